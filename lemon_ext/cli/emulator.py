"""``lemon emulator``: the API on this machine."""

from __future__ import annotations

from typing import Any

import click

from lemon_ext._amount import dollars
from lemon_ext._words import count

from ._options import duration_option, load_emulator
from ._screen import screen


@click.command(epilog="The faults, and how to ask for one in a prompt: lemon docs emulator")
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    default=0,
    help="The port; 0 picks a free one. [default: 0]",
)
@click.option("--host", default="127.0.0.1", help="The address to listen on. [default: 127.0.0.1, this machine alone]")
@click.option(
    "--fault",
    "faults",
    metavar="NAME[:N]",
    multiple=True,
    shell_complete=lambda _ctx, _param, begun: _faults(begun),
    help="Misbehave N times, or once; '*' is always. Can be given again. '--fault list' lists them.",
)
@duration_option("--task-seconds", "How long a task takes.", 2.0, zero=True)
@duration_option("--latency", "How long before every answer.", 0.0, zero=True)
@click.option(
    "--rpm", metavar="N", type=click.IntRange(min=1), help="Requests a minute; more get 429. [default: no limit]"
)
@click.option("--balance", metavar="USD", help="What the account holds; what exceeds it gets 402. [default: no limit]")
@click.option(
    "--price",
    metavar="USD",
    default="0.01",
    help="What an image costs whose price the contract does not say. It is made up. [default: 0.01]",
)
def emulator(port: int, host: str, faults: tuple[str, ...], rpm: int | None, **options: Any) -> int:
    """Serve the API on this machine, without a key and without charges.

    The first line on stdout is the address; after it, the two variables that send a client there. Ctrl-C stops it and
    says what would have been billed.
    """
    emulator_class, key, serve = load_emulator()
    if "list" in faults:
        return _list_faults()
    try:
        local = emulator_class(requests_per_minute=rpm, faults=faults, **options)
    except ValueError as exc:
        raise click.UsageError(str(exc)) from None

    def ready(address: str) -> None:
        screen.out(address)
        screen.out(f"export LEMONDATA_BASE_URL={address}")
        screen.out(f"export LEMONDATA_API_KEY={key}")
        screen.note("The emulator is running; any key that begins with sk- will do. Ctrl-C stops it.")

    try:
        with local:
            serve(local, host, port, on_ready=ready)
    except OSError as exc:
        raise click.UsageError(f"Cannot listen on {host}, port {port}: {exc.strerror}.") from None
    charges, images = local.charges, local.images
    screen.note(
        f"{count(len(local.requests), 'request')}, {charges:,} of them would have been billed, for "
        f"{count(images, 'image')}: {dollars(local.account.spent)}."
    )
    return 0


def _faults(begun: str) -> list[str]:
    """Return the faults that begin so; none where the emulator is not installed."""
    try:
        from lemon_ext.emulator import FAULTS
    except ImportError:
        return []
    return [name for name in (*FAULTS, "list") if name.startswith(begun)]


def _list_faults() -> int:
    from lemon_ext.emulator import FAULTS

    width = max(map(len, FAULTS))
    for fault in FAULTS.values():
        screen.out(f"{fault.name:<{width}}  {fault.summary}")
    return 0
