"""What ``lemon doctor`` looks at: this machine, the way to the API, and the API's answer to a free request.

Each check takes what it looks at and returns what it found; none takes longer than the seconds it is given, none
raises, and none shows the key. A check that cannot be made says so, and is not held against the machine.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import frozen
from lemon_client.model_table import LIVE, SERVERS
from lemon_client.usage_table import USAGE

from lemon_ext import __version__, _clock
from lemon_ext._address import is_loopback, origin, parse_base_url
from lemon_ext._amount import amount, dollars
from lemon_ext._api import Transient, ask_once, list_models
from lemon_ext._connections import proxy_for, tls
from lemon_ext._key import ApiKey
from lemon_ext._network import addresses_of
from lemon_ext._response import APIResponse, value_of
from lemon_ext.batch.submissions import MIN_FREE
from lemon_ext.client import Lemon
from lemon_ext.errors import APIStatusError, ConfigurationError, LemonError, MissingKeyError
from lemon_ext.ledger import of_environment

#: Seconds that a clock may be off. Signed addresses and certificates go by it.
LARGEST_SKEW: Final = 60.0
#: What keys begin with.
_KEYS: Final = " or ".join(USAGE.keys_begin)


@frozen
class Check:
    """What was looked at, whether it will do, what was found, and what to do if it will not."""

    check: str
    ok: bool
    detail: str
    remedy: str | None = None


def checks(base_url: str | None, key: str, token: str, seconds: float) -> Iterator[Check]:
    """Look at everything, in order. ``seconds`` is for each step over the network."""
    yield from (_python(), _versions(), _disk(), _ledger(), _terminal())
    check, address = _address(base_url)
    yield from (check, _key_check(key, address))
    if address is not None:
        yield from _way(address, key, seconds)
        yield _balance(address, token, seconds)


# ---- this machine ----


def _python() -> Check:
    return Check("python", True, f"{platform.python_version()}, {platform.python_implementation()} on {sys.platform}")


def _versions() -> Check:
    """Compare what is installed with what the package asks for. What only an extra needs may be missing."""
    try:
        asked = [found for text in requires("lemon-ext") or () if (found := _REQUIREMENT.match(text))]
    except PackageNotFoundError:  # run from its source
        return Check("versions", True, f"lemon-ext {__version__}, not installed")
    wanted = {found[1]: found for found in reversed(asked)}  # an extra that holds another one comes behind it
    here, faults, without = [f"lemon-ext {__version__}"], list[str](), list[str]()
    for name, found in reversed(wanted.items()):
        least, extra = found["least"], found["extra"]
        try:
            installed = version(name)
        except PackageNotFoundError:
            (without if extra else faults).append(f"{name} ({extra})" if extra else f"{name} is missing")
            continue
        here.append(f"{name} {installed}")
        if least and _numbers(installed) < _numbers(least):
            faults.append(f"{name} {installed} is older than {least}")
    detail = ", ".join(here) + (f"; not installed: {', '.join(without)}" if without else "")
    if faults:
        return Check("versions", False, f"{'; '.join(faults)}. {detail}", "pip install --upgrade 'lemon-ext[all]'")
    return Check("versions", True, detail)


_REQUIREMENT: Final = re.compile(r"([\w.-]+)(?:.*?>=(?P<least>[\d.]+))?(?:.*extra == ['\"](?P<extra>\w+)['\"])?")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)[:3]))


def _disk() -> Check:
    folder = os.getcwd()  # noqa: PTH109 - as it is shown
    try:
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as exc:
        return Check(
            "disk", False, f"{folder} cannot be written: {exc.strerror}", "Work in a folder of yours, or -o DIR."
        )
    detail = f"{free / 2**30:,.1f} GiB free in {folder}"
    if free < MIN_FREE:
        return Check("disk", False, detail, f"Make room: a batch stops below {MIN_FREE // 2**20} MiB.")
    return Check("disk", True, detail)


def _ledger() -> Check:
    remedy = "Set LEMONDATA_LEDGER to a file of yours, or to off."
    try:
        ledger = of_environment()
        if ledger is None:
            return Check("ledger", True, "off (LEMONDATA_LEDGER)")
        last = next(ledger.calls(1), None)
    except (ConfigurationError, RuntimeError, OSError) as exc:
        return Check("ledger", False, str(exc), remedy)
    place = next(folder for folder in (ledger.path, *ledger.path.absolute().parents) if folder.exists())
    if not os.access(place, os.W_OK):
        return Check("ledger", False, f"{place} cannot be written", remedy)
    return Check("ledger", True, f"{ledger.path}{'' if last is not None else ', empty'}")


def _terminal() -> Check:
    kinds = [name for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)) if stream.isatty()]
    size = shutil.get_terminal_size()
    shown = (
        f"{' and '.join(kinds)}, {size.columns}x{size.lines}, TERM={os.environ.get('TERM', '')}" if kinds else "none"
    )
    return Check("terminal", True, f"{shown}, {sys.stdout.encoding or 'no encoding'}")


# ---- the key and the address ----


def _key_check(key: str, address: str | None) -> Check:
    example = f"{USAGE.keys_begin[0]}..."
    remedy = f"export LEMONDATA_API_KEY={example} with the key of your account; to try things without one: --emulator."
    try:
        ApiKey(key)
    except MissingKeyError:
        return Check("key", False, "LEMONDATA_API_KEY is not set", remedy)
    except ConfigurationError as exc:
        return Check("key", False, str(exc), remedy)
    detail = f"{len(key.strip())} characters"
    if key.strip().startswith(USAGE.keys_begin):
        return Check("key", True, f"{detail}, begins with {_KEYS}")
    if address in SERVERS:
        return Check("key", False, f"{detail}, and it does not begin with {_KEYS}: a token of another kind?", remedy)
    return Check("key", True, detail)


def _address(base_url: str | None) -> tuple[Check, str | None]:
    """Return what the address is like, and the address itself if it can be used."""
    given = base_url or os.environ.get("LEMONDATA_BASE_URL")
    source = "--base-url" if base_url else "LEMONDATA_BASE_URL" if given else "the contract's server"
    try:
        address = parse_base_url(given or SERVERS[0])
    except ConfigurationError as exc:
        return Check("address", False, f"{source}: {exc}", f"Unset it, or give one like {SERVERS[0]}."), None
    return Check("address", True, f"{address} ({source})"), address


# ---- the way to the API ----


def _way(address: str, key: str, seconds: float) -> Iterator[Check]:
    """Look at each step of the way to an address, and at the answer to a free request."""
    place = origin(address)
    assert place is not None  # noqa: S101 - parse_base_url has seen to it
    scheme, host, port = place
    variable, proxy = proxy_for(address)
    if variable:
        yield _proxy(variable, proxy, seconds)
        yield Check("dns", True, "left to the proxy")
        yield Check("tls", True, "see api: it goes through the proxy")
    else:
        yield Check("proxy", True, "none")
        check, addresses = _dns(host, port, seconds)
        yield check
        if scheme == "https":
            yield _tls(host, port, addresses, seconds)
        else:
            yield Check("tls", True, f"not used: {scheme}")
    yield from _answer(address, key, seconds)


def _proxy(variable: str, proxy: str, seconds: float) -> Check:
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    remedy = f"Correct {variable}, unset it, or name the API's host in NO_PROXY."
    try:
        host, port = parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme, 1080)
        shown = f"{parts.scheme}://{host}:{port} ({variable})"  # without a user name and a password
        _connect(addresses_of(host, port, seconds), port, seconds).close()
    except (ValueError, OSError) as exc:
        return Check("proxy", False, f"{variable}: {_said(exc)}", remedy)
    return Check("proxy", True, shown)


def _dns(host: str, port: int, seconds: float) -> tuple[Check, list[str]]:
    try:
        found = addresses_of(host, port, seconds)
    except OSError as exc:
        return Check(
            "dns", False, f"{host}: {_said(exc)}", "Look at the network and the name server (/etc/resolv.conf)."
        ), []
    return Check("dns", True, f"{host} is {', '.join(found[:3])}{' and more' if len(found) > 3 else ''}"), found


def _tls(host: str, port: int, addresses: list[str], seconds: float) -> Check:
    if not addresses:
        return Check("tls", False, "not tried: the name has no address", "See dns.")
    certificates = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]
    by = f" by the certificates in {' and '.join(certificates)}" if certificates else ""
    try:
        context = tls()
        with _connect(addresses, port, seconds) as plain, context.wrap_socket(plain, server_hostname=host) as secure:
            known: Any = secure.getpeercert() or {}
            return Check(
                "tls", True, f"{secure.version()}, certificate valid until {known.get('notAfter', 'unknown')}{by}"
            )
    except ConfigurationError as exc:
        return Check("tls", False, str(exc), "Correct the variable, or unset it.")
    except ssl.SSLCertVerificationError as exc:
        return Check(
            "tls", False, f"the certificate of {host} is not trusted{by}: {exc.verify_message}",
            "If a proxy of your company stands between, set SSL_CERT_FILE to its certificate; and look at the clock.",
        )  # fmt: skip
    except OSError as exc:
        return Check("tls", False, f"{host}:{port}: {_said(exc)}", "Look at the network, a firewall and HTTPS_PROXY.")


def _connect(addresses: list[str], port: int, seconds: float) -> socket.socket:
    """Connect to the first address that answers. They share the time."""
    end = time.monotonic() + seconds
    for left in range(len(addresses), 0, -1):
        address, share = addresses[-left], max((end - time.monotonic()) / left, 0.01)
        try:
            connected = socket.create_connection((address, port), share)
        except OSError:
            if left == 1:
                raise
        else:
            connected.settimeout(max(end - time.monotonic(), 0.01))
            return connected
    raise OSError("no address")


def _said(exc: Exception) -> str:
    return "no answer in time" if isinstance(exc, TimeoutError) else getattr(exc, "strerror", None) or str(exc)


# ---- what the API says ----


def _answer(address: str, key: str, seconds: float) -> Iterator[Check]:
    """Ask for the list of models, which is free, and compare the clocks by the answer."""
    began = time.monotonic()
    try:
        with Lemon(key, base_url=address) as lemon:
            core, question = lemon._core, list_models(LIVE.query)
            target = core.session.base_url + question.path
            outcome = core.run(ask_once(core.session, question.method, target, core.limit(seconds)))
    except (MissingKeyError, ConfigurationError):
        yield Check("api", False, "not asked: there is no key, or a setting cannot work", "See above.")
        return
    except APIStatusError as exc:
        remedy = "Make a new key in your account." if exc.status_code in (401, 403) else "Look at the address."
        yield Check("api", False, " ".join(str(exc).split()), remedy)
        yield from _clock_check(exc.response)
    except LemonError as exc:
        remedy = "Look at the address: something else than the API answers there."
        yield Check("api", False, " ".join(str(exc).split()), remedy)
    else:
        if isinstance(outcome, Transient):
            remedy = "If dns, proxy and tls are well, the API itself is not: try later."
            if is_loopback(urlsplit(address).hostname or ""):
                remedy = "Start `lemon emulator`, and set LEMONDATA_BASE_URL to the address that it prints."
            yield Check("api", False, outcome.reason, remedy)
            return
        if not _is_object(outcome):
            yield Check("api", False, "the answer cannot be read: it is no JSON object", "Look at the address.")
            return
        yield Check("api", True, f"answered GET {question.path} in {time.monotonic() - began:.2f} s")
        yield from _clock_check(outcome)


def _is_object(response: APIResponse) -> bool:
    try:
        return isinstance(response.json(), dict)
    except ValueError:
        return False


def _clock_check(response: APIResponse | None) -> Iterator[Check]:
    now, told = _clock.wall(), response.headers.get("date", "") if response is not None else ""
    try:
        off = now - parsedate_to_datetime(told).timestamp()
    except ValueError:
        yield Check("clock", True, "not compared: the answer has no date")
        return
    if abs(off) > LARGEST_SKEW:
        side = "ahead of" if off > 0 else "behind"
        yield Check(
            "clock", False, f"{abs(off):,.0f} s {side} the API's",
            "Set the clock (timedatectl set-ntp true): signed addresses and certificates go by it.",
        )  # fmt: skip
    else:
        yield Check("clock", True, f"within {max(abs(off), 5):.0f} s of the API's")


def _balance(address: str, token: str, seconds: float) -> Check:
    if not token:
        return Check("balance", True, "not asked: LEMONDATA_MANAGEMENT_TOKEN is not set")
    try:
        with Lemon(token, base_url=address) as lemon:
            record = lemon.balance(deadline=seconds)
    except LemonError as exc:
        return Check("balance", False, " ".join(str(exc).split()), "Look at LEMONDATA_MANAGEMENT_TOKEN.")
    told = str(value_of(record, USAGE.balance.left))
    left = amount(told.removeprefix("-"))
    if left is None:
        return Check("balance", True, "the answer names no amount that can be read: see `lemon balance`")
    if not left or told.startswith("-"):
        owed = "-" if left else ""
        return Check("balance", False, f"{owed}{dollars(left)} is left", "Add money: nothing is accepted without it.")
    return Check("balance", True, f"{dollars(left)} is left")
