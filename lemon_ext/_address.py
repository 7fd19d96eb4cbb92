"""Addresses: the base URL that people give, and which origin an address belongs to."""

from __future__ import annotations

import re
import socket
import unicodedata
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from .errors import ConfigurationError

#: IPv4 addresses inside IPv6 ones, and the dots that names may be written with.
_NAT64 = ip_network("64:ff9b::/96")
_DOTS = str.maketrans("。．｡", "...")
_LABEL = re.compile(r"[^\s%/?#@\\<>^`{|}\"]{1,63}")


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


def is_private_ip(address: str) -> bool:
    """Tell whether an IP address leads to this machine or a private network, or to nowhere on the internet."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return True
    inner = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None)
    if isinstance(ip, IPv6Address) and ip in _NAT64:
        inner = IPv4Address(int(ip) & 0xFFFFFFFF)
    return not (inner or ip).is_global or (inner or ip).is_multicast


def is_private_host(host: str) -> bool:
    """Tell whether a host, in any spelling that a resolver understands, names this machine or a private network."""
    name = host.strip("[]").rstrip(".").translate(_DOTS).lower()
    name = unicodedata.normalize("NFKC", name)
    if not name or name == "localhost" or name.endswith((".localhost", ".local", ".internal", ".home.arpa")):
        return True
    if ":" in name:
        return is_private_ip(name)
    try:  # 127.1, 0x7f000001, 2130706433 and 017700000001 are addresses to the system
        return is_private_ip(socket.inet_ntoa(socket.inet_aton(name)))
    except OSError:
        return False
