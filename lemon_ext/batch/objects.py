"""An object store as a batch sees it: objects under one address, each put whole or not at all.

obstore does the work, with the credentials that it finds in the environment. It is imported when a store is used. Where
something fails, a store says why in a few words; neither a key nor a token is ever among them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes, urlsplit

from lemon_ext._files import as_address
from lemon_ext.errors import ConfigurationError

#: Seconds for which a request is tried again: while a batch runs, and for who waits for an answer at its beginning.
PATIENCE: Final = 60.0
AT_ONCE: Final = 6.0
LONG: Final = 2.0
#: Bytes up to which an object goes in one request. Parts of larger ones would be left behind by a killed process.
IN_ONE: Final = 64 * 2**20
#: What browsers are told of an object.
_TYPES: Final[Mapping[str, str]] = {
    ".avif": "image/avif", ".bmp": "image/bmp", ".gif": "image/gif", ".jpg": "image/jpeg", ".png": "image/png",
    ".svg": "image/svg+xml", ".webp": "image/webp", ".csv": "text/csv; charset=utf-8",
    ".html": "text/html; charset=utf-8", ".json": "application/json", ".jsonl": "application/jsonl",
    ".parquet": "application/vnd.apache.parquet",
}  # fmt: skip
#: What environment variables say of where an address leads, beside the address itself.
_WHERE: Final[Mapping[str, tuple[str, ...]]] = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "az": ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
#: Addresses in whose paths %20 is a blank. Elsewhere it is what it says.
_URLS: Final = ("http", "https", "file")
#: Addresses in which a name stands before an @: abfs://CONTAINER@ACCOUNT/. Elsewhere it may be a token.
_CONTAINERS: Final = ("abfs", "abfss")
_ALIASES: Final[Mapping[str, str]] = {"s3a": "s3"}
_SECRET: Final = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|SAS|CREDENTIAL")
#: What the codes of stores, and otherwise their HTTP statuses, mean.
_NO_BUCKET: Final = "there is no such bucket"
_STRANGER: Final = "its credentials are not accepted"
_WORDS: Final[Mapping[str, str]] = {
    "NoSuchBucket": _NO_BUCKET, "ContainerNotFound": _NO_BUCKET, "AccessDenied": "access is denied",
    "InvalidAccessKeyId": _STRANGER, "SignatureDoesNotMatch": _STRANGER, "ExpiredToken": _STRANGER,
    "InvalidToken": _STRANGER, "AuthenticationFailed": _STRANGER,
    "401": _STRANGER, "403": "access is denied", "404": "it is not there",
    "409": "there is a conflict, perhaps a folder that is not there",
    "301": "it is in another region: set AWS_REGION", "PermanentRedirect": "it is in another region: set AWS_REGION",
}  # fmt: skip
#: What the aws program reads, and what names these files.
_FILES: Final[Mapping[str, str]] = {
    "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials", "AWS_CONFIG_FILE": "~/.aws/config",
}  # fmt: skip
_INSTEAD: Final = "Or set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION."
#: Where obstore looks for credentials if there are none in the environment.
_METADATA: Final = ("169.254.169.254", "metadata.google.internal")


class Store:
    """A place in an object store. ``shown`` is its address without a password, and without a slash at its end.

    All of it blocks. OSError, with the reason in a few words, is raised where a store cannot be reached or refuses, and
    ConfigurationError where there can be no such store.
    """

    def __init__(self, address: str) -> None:
        text = as_address(address) or ""
        scheme, _, rest = text.partition("://")
        self.scheme = _ALIASES.get(scheme, scheme)
        if self.scheme == "memory":
            raise ConfigurationError("What is put into memory:// is lost at the end. Give another store, or a folder.")
        if "?" in rest or "#" in rest:  # and it is not quoted: it may be a token
            raise ConfigurationError(
                f"The address of a store ({self.scheme}://...) ends with its path: no ? and no #. Credentials belong "
                "into the environment."
            )
        if re.search(r"[\x00-\x1f\x7f]", rest):
            raise ConfigurationError(f"The address of a store ({self.scheme}://...) has a control character in it.")
        try:
            parts = urlsplit(f"{self.scheme}://{rest}")
            odd = parts.port == 0 or (":" in parts.netloc and "@" in parts.path)
        except ValueError:
            odd = True
        if odd:  # and it is not quoted: what is taken for a path may be the rest of a password
            raise ConfigurationError(
                f"The address of a store ({self.scheme}://...) cannot be read. Credentials belong into the environment."
            )
        if not parts.netloc and self.scheme != "file":
            raise ConfigurationError(f"{self.scheme}:// names no bucket: give {self.scheme}://BUCKET/PREFIX.")
        user, _, host = parts.netloc.rpartition("@")
        known = f"{user}@" if user and ":" not in user and self.scheme in _CONTAINERS else ""
        path = parts.path.rstrip("/")
        if self.scheme in _URLS:
            if self.scheme == "file":
                path = quote_from_bytes(unquote_to_bytes(path), safe="/:")
            shown, plain = path, unquote_to_bytes(path).decode(errors="replace")
        else:  # the name of an object is no URL, and obstore takes it for one
            shown, plain, path = path, path, quote(path)
        if not {"", ".", ".."}.isdisjoint(plain.split("/")[1:]):  # it would lead to the place of another address
            raise ConfigurationError(
                f"The path of a store ({self.scheme}://...) has one slash between two names, and no . or .. among them."
            )
        self._url = f"{self.scheme}://{parts.netloc}{path}"
        self.shown = f"{self.scheme}://{known}{host}{shown}"
        self._stores: dict[bool, Any] = {}
        #: What kept an object out after a long wait. Others are not tried then: each would wait as long.
        self._failed: str | None = None

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"<Store {self.shown}>"

    @property
    def identity(self) -> str:
        """What no other store has, where the environment says which one an address means."""
        names = _WHERE.get(self.scheme, ())
        return " ".join([self.shown, *(os.environ[name] for name in names if name in os.environ)])

    def open(self, *, patient: bool = False) -> Any:
        """Return the store of obstore's. Raises ConfigurationError; nothing is sent."""
        if (found := self._stores.get(patient)) is None:
            try:
                from obstore.store import from_url
            except ImportError:
                raise ConfigurationError(
                    "A store needs what is not installed (obstore): pip install 'lemon-ext[cloud]'"
                ) from None
            self._check_variables()
            retries = {"max_retries": 60, "retry_timeout": timedelta(seconds=PATIENCE if patient else AT_ONCE)}
            client = {"connect_timeout": "10s", "timeout": "120s" if patient else "20s", "allow_http": True}
            options: Any = {} if self.scheme == "file" else {"client_options": client, "retry_config": retries}
            if self.scheme == "s3" and (profile := _profile()) is not None:
                options["credential_provider"] = profile
            try:
                found = self._stores[patient] = from_url(self._url, **options)
            except BaseException as exc:
                if not _is_of_obstore(exc):
                    raise
                raise ConfigurationError(f"The store {self.shown} cannot be used: {_reason(exc)}.") from None
        return found

    def _check_variables(self) -> None:
        """Raise ConfigurationError for an endpoint that is no address: obstore would break down."""
        for name in _WHERE.get(self.scheme, ()):
            value = os.environ.get(name)
            if "ENDPOINT" in name and value is not None and not value.startswith(("http://", "https://")):
                raise ConfigurationError(f"{name} is not an address, such as https://HOST. Nothing was sent.")

    def put(self, name: str, content: Path | bytes) -> None:
        """Put an object, whole or not at all, in the place of what has its name. Takes its time."""
        if self._failed is not None:
            raise OSError(self._failed)
        began = time.monotonic()
        try:
            self._put_surely(name, content)
        except OSError as exc:
            if time.monotonic() - began > LONG:
                self._failed = str(exc)
            raise

    def _put_surely(self, name: str, content: Path | bytes) -> None:
        if self._put(name, content, patient=True) != self._size(name, patient=True):
            raise OSError("it said that it has the object, and it has none like it")

    def replace(self, name: str, content: bytes) -> None:
        """Put an object, at once or not at all."""
        self._put(name, content)

    def create(self, name: str, content: bytes) -> None:
        """Put an object at once, if none has its name, as far as the store can tell."""
        try:
            self._put(name, content, mode="create")
        except OSError:  # perhaps our own, of a try whose answer was lost; and not every store has conditions
            if not self.has(name):
                self._put(name, content)

    def get(self, name: str, *, patient: bool = False) -> bytes | None:
        """Return an object. None if there is none, or no such bucket either: `any_name` tells these apart."""
        try:
            return bytes(self._call("get", name, patient=patient, then=lambda found: found.bytes()))
        except FileNotFoundError:
            return None

    def beginning(self, name: str, most: int) -> bytes | None:
        """Return how an object begins. None if there is none."""
        if not (size := self._size(name)):
            return None if size is None else b""
        return bytes(self._call("get_range", name, start=0, end=min(size, most)))

    def has(self, name: str) -> bool:
        """Tell whether an object is there."""
        return self._size(name) is not None

    def any_name(self) -> str | None:
        """Return the name of an object right at this address, of one that does not begin with a dot. None if there is
        none. The first objects tell it mostly, and a bucket may hold millions.
        """

        def named(found: Iterable[Mapping[str, Any]]) -> str | None:
            paths = (str(one["path"]) for one in found)
            return next((path for path in paths if path and path[0] != "." and "/" not in path), None)

        first = [] if self.scheme in _URLS else self._call("list", then=lambda pages: next(iter(pages), []))
        return named(first) or named(self._call("list_with_delimiter")["objects"])

    def _size(self, name: str, **options: Any) -> int | None:
        """Return an object's size. None if there is none."""
        try:
            return int(self._call("head", name, **options)["size"])
        except FileNotFoundError:
            return None

    def _put(self, name: str, content: Path | bytes, **options: Any) -> int:
        """Put an object, and return its size."""
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        options["use_multipart"] = None if size > IN_ONE else False
        kind = _TYPES.get(Path(name).suffix) if self.scheme != "file" else None
        if kind is not None:
            with suppress(_UnsupportedError):
                self._call("put", name, content, attributes={"Content-Type": kind}, **options)
                return size
        self._call("put", name, content, **options)
        return size

    def _call(
        self,
        operation: str,
        *arguments: Any,
        patient: bool = False,
        then: Callable[[Any], Any] = lambda found: found,
        **options: Any,
    ) -> Any:
        store = self.open(patient=patient)
        import obstore

        try:
            return then(getattr(obstore, operation)(store, *arguments, **options))
        except BaseException as exc:
            if not _is_of_obstore(exc):
                raise
            raise _kind(exc)(_reason(exc)) from None  # without the first one, whose text may have a key in it


def _profile() -> Any:
    """Return what gives the credentials of a profile of the aws program, where the environment itself has none and
    boto3 is there to read it. Raises ConfigurationError for one that cannot be used.
    """
    name = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
    if "AWS_ACCESS_KEY_ID" in os.environ or not (name or any(map(_is_there, _FILES.items()))):
        return None
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        if name is None:
            return None
        raise ConfigurationError(
            "AWS_PROFILE names a profile of the aws program, and what reads these is not installed (boto3): pip "
            f"install boto3. {_INSTEAD}"
        ) from None
    try:
        session = boto3.Session()
        if session.get_credentials() is None and name is None:
            return None
        endpoint = urlsplit(session.client("s3").meta.endpoint_url)
        found = Boto3CredentialProvider(session)
    except (BotoCoreError, ValueError) as exc:
        raise ConfigurationError(
            f"The profile of the aws program cannot be used: {_why_not(exc)}. {_INSTEAD}"
        ) from None
    if not any(one in os.environ for one in _WHERE["s3"]) and "amazonaws" not in (endpoint.hostname or "").split("."):
        raise ConfigurationError(
            "The profile of the aws program has an endpoint_url, by which the journal of a store is found. Set it as "
            "AWS_ENDPOINT_URL, too."
        )
    if "AWS_REGION" in os.environ:
        found.config.pop("region", None)
    return found


def _why_not(error: Exception) -> str:
    return "it has no credentials" if isinstance(error, ValueError) else _reason(error)


def _is_there(file: tuple[str, str]) -> bool:
    variable, usual = file
    with suppress(OSError, RuntimeError):  # no home
        return Path(os.environ.get(variable, usual)).expanduser().is_file()
    return False


class _UnsupportedError(OSError):
    """The store has no such operation."""


def _kind(error: BaseException) -> type[OSError]:
    from obstore.exceptions import AlreadyExistsError

    if isinstance(error, NotImplementedError):
        return _UnsupportedError
    if isinstance(error, AlreadyExistsError):
        return FileExistsError
    return FileNotFoundError if isinstance(error, FileNotFoundError) else OSError


def _is_of_obstore(error: BaseException) -> bool:
    """Tell whether obstore raises it: its own kinds, Python's, and what Rust calls a panic, which is no Exception."""
    return isinstance(error, Exception) or type(error).__module__ == "pyo3_runtime"


def _reason(error: BaseException) -> str:
    """Return in a few words what a store said, without anything that is nobody's business."""
    said, _, debug = str(error).partition("\n\nDebug source")
    if any(place in said for place in _METADATA):
        return "there are no credentials for it in the environment (`lemon docs batch` says which)"
    if found := re.search(r"External AWS credential provider: (?:\w+: )?(.*)", said):
        return f"its credentials cannot be had ({_harmless(found[1].rstrip('.'))})"
    code = re.search(r"<Code>(\w+)</Code>", said)
    status = re.search(r"status code: (\d{3})", said)
    named = [found[1] for found in (code, status) if found]
    if words := next((_WORDS[name] for name in named if name in _WORDS), None):
        return f"{words} ({', '.join(reversed(named))})"
    if named:
        return f"HTTP {', '.join(reversed(named))}"
    if "error sending request" in said or "Connect" in debug:
        why = re.findall(r'(?:message|error): "([^"]+)"', debug)
        return f"it cannot be reached ({_harmless(why[-1] if why else 'no answer')})"
    return _harmless((said.splitlines() or [type(error).__name__])[0].rstrip("."))


def _harmless(text: str) -> str:
    text = re.sub(r"//[^/\s@]*@", "//", text)
    text = re.sub(r"\?[^\s)\"']+", "", text)
    for name, value in os.environ.items():
        if _SECRET.search(name) and len(value) >= 8:
            text = text.replace(value, "***")
    return text
