"""Addresses: the base URL that people give, the origin of an address, and whether it leads into a private network."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address, IPv6Network
from typing import Final
from unicodedata import normalize
from urllib.parse import unquote, urlsplit

from .errors import ConfigurationError

#: Names that no public resolver knows: RFC 6761, 6762, 8375, ICANN's .internal, and what routers hand out.
_PRIVATE_NAMES: Final = re.compile(
    r"(?:.*\.)?(?:localhost|localdomain|local|internal|intranet|lan|home|corp|private|home\.arpa)"
)
#: IPv6 networks that hold an IPv4 address, and the bits behind it.
_EMBEDDED: Final = (
    (IPv6Network("::ffff:0:0/96"), 0),  # mapped
    (IPv6Network("::ffff:0:0:0/96"), 0),  # translated
    (IPv6Network("::/96"), 0),  # compatible
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (IPv6Network("2002::/16"), 80),  # 6to4
)
_GLOBAL: Final = IPv6Network("2000::/3")
_TEREDO: Final = IPv6Network("2001::/32")
_LABEL: Final = re.compile(r"[^\s%/?#@\\<>^`{|}\"]{1,63}")


def parse_base_url(text: str) -> str:
    """Return the base URL without a trailing slash or ``/v1`` (people paste the OpenAI one).

    Raises ConfigurationError.
    """
    secret = re.search(r"\bsk-|@", str(text))  # the two arguments in the wrong order, or a password
    shown = "what was given, which may hold a secret" if secret else repr(text)
    wrong = f"base_url must be an address like https://api.example.com, not {shown}"
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except (ValueError, AttributeError):
        raise ConfigurationError(f"{wrong}.") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("base_url must not hold a user name or password; give the key as api_key.")
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ConfigurationError(f"{wrong}.")
    if parts.query or parts.fragment or re.search(r"[\s\\]", parts.netloc + parts.path):
        raise ConfigurationError(f"{wrong}: no query, fragment or blank belongs there.")
    base_url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v1').rstrip('/')}"
    if origin(base_url) is None:
        raise ConfigurationError(f"{wrong}.")
    return base_url


@lru_cache(256)
def origin(url: str) -> tuple[str, str, int] | None:
    """Return (scheme, host, port) of an http(s) URL, or None if it has none that every reader understands alike."""
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host or parts.username is not None or parts.password is not None:
        return None
    if ":" not in host and not all(map(_LABEL.fullmatch, host.rstrip(".").split("."))):
        return None
    return parts.scheme, (parts.hostname or "").lower(), port or (443 if parts.scheme == "https" else 80)


def is_private_ip(address: str | IPv4Address | IPv6Address) -> bool:
    """Tell whether an IP address is not one of the public internet: loopback, private, link-local, multicast...

    Text that is no address counts as one.
    """
    ip = _ip(str(address))
    if isinstance(ip, IPv6Address):
        inner = next((int(ip) >> shift & 0xFFFFFFFF for net, shift in _EMBEDDED if ip in net), None)
        if inner is None:
            return ip not in _GLOBAL or ip in _TEREDO or not ip.is_global
        ip = IPv4Address(inner)
    return ip is None or not ip.is_global or ip.is_multicast


def is_private_host(host: str) -> bool:
    """Tell whether a host, as it stands in an address, means this machine or a private network without being resolved.

    Knows what resolvers know: 127.1, 0x7f.1, 017700000001, 2130706433, digits of any script, IPv4 in IPv6, and names
    that are private by convention. Of any other name only its resolution can tell.
    """
    name = normalize("NFKC", unquote(host)).strip().strip("[]").rstrip(".").lower()
    if not name.isprintable() or not name or ":" in name or _last(name).isdecimal() or _last(name).startswith("0x"):
        return is_private_ip(name)
    return "." not in name or _PRIVATE_NAMES.fullmatch(name) is not None


def is_loopback(host: str) -> bool:
    """Tell whether a host, as it stands in an address, is this machine, without resolving it."""
    name = host.strip("[]").rstrip(".").lower()
    ip = _ip(name)
    return ip.is_loopback if ip is not None else name == "localhost" or name.endswith(".localhost")


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def leads_inside(where: str, api: str) -> str:
    """Say why an image is not fetched from an address that a public API must not lead to."""
    return (
        f"The image's address leads to {where}, on this machine or in a private network, and {api} is a public API: it "
        "was not fetched. If that is right, use allow_private_images=True (--allow-private-images)."
    )


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    text = text.partition("%")[0]  # the zone
    try:
        return IPv6Address(text) if ":" in text else _ipv4(text.split("."))
    except (AddressValueError, ValueError):
        return None


def _ipv4(parts: list[str]) -> IPv4Address | None:
    """Read one to four numbers, decimal, octal or hexadecimal; the last one fills the bytes that are left."""
    numbers = [int(part, 16) if part[:2] == "0x" else int(part, 8 if part[0] == "0" else 10) for part in parts if part]
    *heads, last = numbers
    if len(parts) > 4 or len(numbers) < len(parts) or any(head > 255 for head in heads):
        return None
    rest = 4 - len(heads)
    if last >= 256**rest:
        return None
    return IPv4Address(sum(head << 8 * (3 - place) for place, head in enumerate(heads)) + last)
