"""The API key, held where no repr, pickle, log or message shows it."""

from __future__ import annotations

import os
import re
from hashlib import sha256
from typing import Any, Final

from attrs import evolve

from ._response import APIResponse
from .errors import ConfigurationError, MissingKeyError

#: Characters of a key from which on its echoes are masked: a local gateway's key may be "x".
SHORTEST_SECRET: Final = 8
#: Letters of a fingerprint that stand in a book, to tell the keys of one user apart.
LETTERS: Final = 4
#: The variables of the key, and of the token that may read the account.
VARIABLE: Final = "LEMONDATA_API_KEY"
ACCOUNT_VARIABLE: Final = "LEMONDATA_MANAGEMENT_TOKEN"
#: What stands in a body that spells characters as JSON, pages and addresses may, or that is UTF-16.
_DISGUISES: Final = (b"\\u", b"&#", b"%", b"\0")


def _spellings(character: str) -> bytes:
    """Return a pattern of the ways in which a body may spell a character."""
    code = ord(character)
    spelled = re.escape(character) if character.isalnum() else rf"\\?{re.escape(character)}"
    return rf"(?:{spelled}|\\u00{code:02x}|&#0{{0,6}}{code};?|&#x0{{0,6}}{code:x};?|%{code:02x})".encode()


class ApiKey:
    """A key. Raises MissingKeyError for none, ConfigurationError for what cannot be one."""

    __slots__ = ("_disguised", "_echoes", "_secret", "header")

    def __init__(self, key: str) -> None:
        if not isinstance(key, str):
            raise ConfigurationError(f"The API key must be text, not {type(key).__name__}.")
        key = key.strip()
        if not key:
            raise MissingKeyError(
                "No API key. Set LEMONDATA_API_KEY or pass api_key=...; to try things without one, use the emulator."
                + (" OPENAI_API_KEY is set, but not read here." if os.environ.get("OPENAI_API_KEY") else "")
            )
        if key[0] in "'\"" or key[-1] in "'\"":
            raise ConfigurationError("The API key has quotes around it. Leave them out.")
        if key.lower().startswith("bearer "):
            raise ConfigurationError("The API key begins with 'Bearer'. Give the key alone; that word is added.")
        if not re.fullmatch(r"[\x21-\x7e]+", key):
            raise ConfigurationError("The API key holds a space or a character outside ASCII. Copy it again.")
        #: The value of the Authorization header.
        self.header = f"Bearer {key}"
        self._secret = key
        echoes = {key, key.replace("/", "\\/")} if len(key) >= SHORTEST_SECRET else set()
        self._echoes = tuple(sorted(echoes, key=len, reverse=True))
        self._disguised = re.compile(b"\0*".join(map(_spellings, key)), re.IGNORECASE) if echoes else None

    def __repr__(self) -> str:
        return "ApiKey(***)"

    def __reduce__(self) -> Any:
        raise TypeError("An API key is never pickled. Make a new client in the other process.")

    def fingerprint(self, base_url: str) -> str:
        """Return what tells the key at an address from others, and does not tell the key."""
        return sha256(f"lemon-ext rate limit\n{base_url}\n{self._secret}".encode()).hexdigest()[:32]

    def mask(self, response: APIResponse) -> APIResponse:
        """Return the response with every echo of the key blanked out."""
        body, headers = response.body, response.headers
        for echo in self._echoes:
            if (echo_bytes := echo.encode()) in body:
                body = body.replace(echo_bytes, b"***")
            if any(echo in value for value in headers.values()):
                headers = {name: value.replace(echo, "***") for name, value in headers.items()}
        if self._disguised is not None and any(mark in body for mark in _DISGUISES):
            body = self._disguised.sub(b"***", body)
        if body == response.body and headers is response.headers:
            return response
        return evolve(response, headers=headers, body=body)

    def hide(self, text: str) -> str:
        """Return a text with every echo of the key blanked out."""
        for echo in self._echoes:
            text = text.replace(echo, "***")
        return text
