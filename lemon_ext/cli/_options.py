"""Options that several commands share."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from lemon_ext._duration import GIVE_UP_AFTER, as_seconds, written

from ._screen import screen

if TYPE_CHECKING:
    from lemon_ext.emulator import Emulator
    from lemon_ext.ledger import Ledger

F = TypeVar("F", bound=Callable[..., Any])

LATER: Final = "that takes longer keeps running and can be resumed."


class Duration(click.ParamType):  # type: ignore[type-arg]  # older versions of click have none
    """Seconds, written as 90s, 30m, 8h or a bare number. ``zero``: whether there may be none."""

    name = "duration"

    def __init__(self, *, zero: bool = False) -> None:
        self.zero = zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        try:
            seconds = as_seconds(value)
        except ValueError as exc:
            self.fail(str(exc), param, ctx)
        if not seconds and not self.zero:
            self.fail(f"{value!r} is no time at all.", param, ctx)
        return seconds


base_url_option = click.option(
    "--base-url", metavar="URL", help="The address of the API. [default: LEMONDATA_BASE_URL, or the contract's server]"
)
private_images_option = click.option(
    "--allow-private-images",
    is_flag=True,
    help="Fetch images from addresses in private networks, too.",
)
prompt_metadata_option = click.option(
    "--prompt-metadata/--no-prompt-metadata",
    default=True,
    help="Whether to write the prompt into the pictures' metadata. [default: yes]",
)
emulator_option = click.option(
    "--emulator", is_flag=True, help="Use an emulator inside this command: no key, no network, no charges."
)
title_option = click.option(
    "--title", metavar="TEXT", help="The title of the gallery, in the place of the folder's name. It is kept."
)
journal_address_option = click.option(
    "--journal",
    metavar="ADDRESS",
    help="Where the journal is, if it is in PostgreSQL and DIR does not know it: "
    "postgresql://USER@HOST/DATABASE?batch=NAME.",
)
journal_option = click.option(
    "--journal",
    metavar="ADDRESS",
    help="Keep the journal in PostgreSQL, so that several machines can work at the batch: "
    "postgresql://USER@HOST/DATABASE?batch=NAME. See `lemon docs scale`.",
)


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return what gives a command several options, in the order in which its help shows them."""

    def give(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return give


class Place(click.Path):
    """The folder of a batch, the address of the store it is in, or that of its journal."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if "://" in str(value) else super().convert(value, param, ctx)


def placed(place: Path | str | None, journal: str | None = None) -> tuple[list[str], list[str]]:
    """Return how a command finds a batch: its options and its argument. An address is shown without its password."""
    from lemon_ext.batch import address_shown
    from lemon_ext.batch.address import is_address
    from lemon_ext.batch.destination import Destination

    address = str(place) if is_address(place) else journal
    options = ["--journal", address_shown(address)] if address else []
    if place is None or is_address(place):
        return options, ["DIR"] if address else []
    return options, [str(Destination.of(place))]


output_option = click.option(
    "-o",
    "--output",
    metavar="PATH",
    type=click.Path(),  # for the completion
    default=".",
    help="The folder to save in, or a file name for a single image. [default: the current folder]",
)
budget_option = click.option(
    "--budget",
    metavar="USD",
    help="Spend no more than this: a request that would exceed it is not sent. See `lemon docs money`.",
)
unknown_price_option = click.option(
    "--allow-unknown-price",
    is_flag=True,
    help="With --budget, send requests whose price is not known, too. They count as nothing.",
)
fan_out_option = click.option(
    "--fan-out",
    is_flag=True,
    help="Send several requests, each billed, where the model gives fewer images in one than -n asks for.",
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace the file given with -o.")
open_option = click.option("--open", "opened", is_flag=True, help="Open what is saved with the system's viewer.")
preview_option = click.option(
    "--preview/--no-preview",
    default=True,
    help="Whether to show the pictures in the terminal, if it can (pip install 'lemon-ext[preview]'). [default: yes]",
)


def duration_option(name: str, what: str, seconds: float | None, *, zero: bool = False) -> Callable[[F], F]:
    """Return an option that takes a duration, with its default."""
    default = "" if seconds is None else f" [default: {written(seconds)}]"
    return click.option(name, metavar="DURATION", type=Duration(zero=zero), default=seconds, help=f"{what}{default}")


poll_interval_option = duration_option(
    "--poll-interval",
    "How long between two polls of a task. [default: it adapts to how long the tasks of a model take]",
    None,
)


def deadline_option(
    seconds: float, what: str = f"How long to wait for each request, such as 90s, 30m or 8h. A task {LATER}"
) -> Callable[[F], F]:
    """Return the option that limits the waiting."""
    return duration_option("--deadline", what, seconds)


give_up_option = duration_option(
    "--give-up-after",
    "How long the API may be unreachable before the batch ends and leaves the rest to another run.",
    GIVE_UP_AFTER,
    zero=True,
)


def json_option(text: str) -> Callable[[F], F]:
    """Return the option for JSON on stdout, errors included."""

    def choose(_ctx: click.Context, _param: click.Parameter, value: bool) -> None:
        screen.as_json = value

    return click.option("--json", is_flag=True, is_eager=True, expose_value=False, callback=choose, help=text)


def _be_quiet(_ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    screen.quiet = screen.quiet or value


def _log(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        logger, handler = logging.getLogger("lemon_ext"), _Log()
        before = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        ctx.call_on_close(partial(logger.removeHandler, handler))
        ctx.call_on_close(partial(logger.setLevel, before))


class _Log(logging.Handler):
    """Shows what the library logs: neither keys, prompts, pictures nor their addresses are in it."""

    def emit(self, record: logging.LogRecord) -> None:
        screen.debug(record.getMessage())


quiet_option = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    expose_value=False,
    callback=_be_quiet,
    help="Show no progress: results, warnings and errors alone.",
)
debug_option = click.option(
    "-v",
    "--debug",
    is_flag=True,
    expose_value=False,
    callback=_log,
    help="Log each request on stderr: method, path, status, seconds, request id. Never the key or a prompt.",
)


def user_ledger() -> Ledger | None:
    """Return the ledger of this user. Warns of one that cannot be had."""
    from lemon_ext.errors import ConfigurationError
    from lemon_ext.ledger import of_environment

    try:
        return of_environment()
    except (ConfigurationError, RuntimeError, OSError) as exc:  # no home, for example
        screen.warn(f"Calls are not written down: {exc}")
        return None


def check_stdin() -> None:
    """Raise UsageError if there is nothing to read from."""
    if sys.stdin is None:
        raise click.UsageError("stdin is closed.")


def read_stdin() -> str:
    """Return all of stdin."""
    check_stdin()
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as exc:
        raise click.UsageError(f"stdin is not text in {exc.encoding}.") from None


@contextmanager
def connection(
    base_url: str | None, *, emulator: bool = False, private_images: bool = False
) -> Iterator[dict[str, Any]]:
    """Give the arguments of a client that say where the API is and with which key."""
    if not emulator:
        yield {"base_url": base_url, "allow_private_images": private_images}
        return
    if base_url is not None:
        raise click.UsageError("--emulator and --base-url exclude each other.")
    emulator_class, key, _ = load_emulator()
    with emulator_class() as local, _no_proxy():
        yield {"api_key": key, "base_url": local.url}


@contextmanager
def _no_proxy() -> Iterator[None]:
    """Keep this process from looking for its own emulator behind a proxy."""
    before = os.environ.get("no_proxy")
    os.environ["no_proxy"] = "*"
    try:
        yield
    finally:
        if before is None:
            del os.environ["no_proxy"]
        else:
            os.environ["no_proxy"] = before


def load_emulator() -> tuple[type[Emulator], str, Callable[..., None]]:
    """Return the emulator's class, the key to use with it, and its server. It is an extra, so it may be missing."""
    try:
        from lemon_ext.emulator import KEY, Emulator, serve
    except ModuleNotFoundError:  # not of the extra: a bug
        raise
    except ImportError as exc:
        raise click.ClickException(str(exc)) from exc
    logging.getLogger("uvicorn.error").addFilter(_is_a_bug)
    return Emulator, KEY, serve


def _is_a_bug(record: logging.LogRecord) -> bool:
    """Tell whether a notice of the server's is for the user. The others are of connections, and so of the client."""
    return record.exc_info is not None
