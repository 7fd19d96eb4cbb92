"""Names that people bring along from ``openai``, answered with ours.

What comes before anything is paid for is answered with a sentence. What is asked of a result works, because an error
there would lose what was paid for.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from functools import wraps
from types import MappingProxyType
from typing import Any, Final, NoReturn, ParamSpec, TypeVar

from . import errors

P = ParamSpec("P")
T = TypeVar("T")

_HEADERS: Final = "Headers are an option of the client, for one call: lemon.with_options(default_headers={...}).images."
_QUERY: Final = "Give it to an httpx client of yours: Lemon(http_client=httpx.Client(params=...))."
_NOTHING: Final = "There is no such thing here."
_STREAM: Final = "Pictures are not streamed here; on_update=... is called whenever the state changes."
#: What a call takes beside the API's parameters.
CALL: Final[Mapping[str, str]] = MappingProxyType(
    {
        "timeout": "Here it is deadline=SECONDS, for the whole call.",
        "extra_headers": _HEADERS,
        "extra_query": _QUERY,
        "idempotency_key": "The API documents none; here a paid request is never sent twice by itself.",
        "stream": _STREAM,
        "partial_images": _STREAM,
    }
)
#: What a client takes.
CLIENT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "default_query": _QUERY,
        "organization": _NOTHING,
        "project": _NOTHING,
        "webhook_secret": _NOTHING,
    }
)
_OTHER_REQUESTS: Final = "For requests of your own: lemon.raw.get_httpx_client(), or its async twin."
_IMAGES_ALONE: Final = "This is a client of the image API alone; for anything else keep using openai's."
#: What a client has.
ATTRIBUTES: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "audio",
                "batches",
                "beta",
                "chat",
                "completions",
                "containers",
                "conversations",
                "embeddings",
                "evals",
                "files",
                "fine_tuning",
                "moderations",
                "realtime",
                "responses",
                "uploads",
                "vector_stores",
                "videos",
                "webhooks",
            ),
            _IMAGES_ALONE,
        ),
        **dict.fromkeys(("delete", "get", "patch", "post", "put", "request"), _OTHER_REQUESTS),
        **dict.fromkeys(("auth_headers", "default_headers"), _HEADERS),
        **dict.fromkeys(("max_retries", "timeout"), "Options are not told here; with_options(...) changes them."),
        "api_key": "A client does not give its key away: keep what you gave it.",
        "base_url": "A client does not tell it: keep what you gave it, or read LEMONDATA_BASE_URL.",
        "default_query": _NOTHING,
        "organization": _NOTHING,
        "project": _NOTHING,
        "copy": "Here it is lemon.with_options(...).",
        "is_closed": _NOTHING,
        "with_raw_response": "Here result.raw is the answer as it came, and result.request_id its id.",
        "with_streaming_response": _STREAM,
    }
)
#: What `models` of either colour has.
MODELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "delete": _NOTHING,
        "retrieve": "Here it is lemon.models.get(model).",
        "with_raw_response": "Here .raw is what the API said of a model, with live=True.",
    }
)
_NOT_KEPT: Final = "The request is not kept, because the key stood in it."
#: What the answer in `error.response` has.
RESPONSE: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("content", "read"), "Here it is .body."),
        **dict.fromkeys(("request", "url"), _NOT_KEPT),
        **dict.fromkeys(("elapsed", "http_version", "reason_phrase"), _NOTHING),
    }
)
#: What `images` of either colour has.
IMAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "create": "Here it is lemon.images.generate(prompt).",
        **{name: ATTRIBUTES[name] for name in ("with_raw_response", "with_streaming_response")},
    }
)

#: Names of openai's module that mean one of ours. In an `except` an error about the name would take the place of the
#: error that holds what is paid for, so these work.
ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "APIError": "LemonError",
        "APIResponseValidationError": "ResponseError",
        "InternalServerError": "ServerError",
        "OpenAIError": "LemonError",
    }
)
#: What stands for an argument that is not given.
NOT_GIVEN: Final = ("NOT_GIVEN", "omit")
_NEVER_RAISED: Final = "It is of chats and webhooks, and never raised here: leave the clause out."
#: What openai's module has.
MODULE: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("OpenAI", "Client"), "Here it is Lemon(...)."),
        **dict.fromkeys(("AsyncOpenAI", "AsyncClient"), "Here it is AsyncLemon(...)."),
        **dict.fromkeys(("AzureOpenAI", "AsyncAzureOpenAI"), _IMAGES_ALONE),
        **dict.fromkeys(("DefaultHttpxClient", "DefaultAsyncHttpxClient"), "Here it is an httpx client of yours."),
        **dict.fromkeys(("NotGiven", "Omit"), "Here an argument that is None is not given."),
        **dict.fromkeys(
            ("ContentFilterFinishReasonError", "InvalidWebhookSignatureError", "LengthFinishReasonError"), _NEVER_RAISED
        ),
        "Timeout": "Here timeout is a number of seconds.",
        "Stream": _STREAM,
        "AsyncStream": _STREAM,
        "images": "Here there is no client of the module: Lemon().images.",
        "models": "Here there is no client of the module: Lemon().models.",
        "api_key": "Here it is Lemon(api_key), or LEMONDATA_API_KEY.",
        "base_url": "Here it is Lemon(base_url=...), or LEMONDATA_BASE_URL.",
    }
)


def of_module(name: str) -> object:
    """Return what a name of openai's module is here. Raises AttributeError, with ours where there is another."""
    if name in ALIASES:
        return getattr(errors, ALIASES[name])
    if name in NOT_GIVEN:
        return None
    raise AttributeError(f"module {__package__!r} has no attribute {name!r}.{sentence(name, MODULE)}", name=name)


def sentence(name: str, answers: Mapping[str, str]) -> str:
    """Return what is said of a name, with a blank before it; nothing for a name that is not openai's."""
    return f" {name!r} is openai's name. {answers[name]}" if name in answers else ""


def answered(owner: str, answers: Mapping[str, str]) -> Callable[[object, str], NoReturn]:
    """Return a ``__getattr__`` that says what a name of openai's is called here."""

    def answer(self: object, name: str) -> NoReturn:
        raise AttributeError(f"{owner} has no attribute {name!r}.{sentence(name, answers)}", name=name, obj=self)

    return answer


class Page(list[T]):
    """A list that also has the ``data`` of openai's pages: itself."""

    @property
    def data(self) -> list[T]:
        return self


class AsyncPage(Page[T]):
    """The same for who writes ``await`` before it, or ``async for``, as openai's wants it. Nothing is waited for."""

    def __await__(self) -> Generator[None, None, AsyncPage[T]]:
        yield from ()
        return self

    async def __aiter__(self) -> AsyncIterator[T]:
        for one in self:
            yield one


#: What a result of openai's has, if only as None.
RESULT: Final = ("background", "output_format", "quality", "size", "usage")


def brought(owner: str, fields: str, *absent: str) -> Callable[[Any, str], object]:
    """Return a ``__getattr__`` of a result: pydantic's names for its JSON, and the fields of the answer, work.

    What is paid for is not lost for a name. ``fields`` is the attribute with the answer; ``absent`` are names that are
    None where the answer has no such field.
    """

    def find(self: Any, name: str) -> object:
        if name in ("dict", "model_dump"):
            return lambda **_: self.to_dict()
        if name in ("json", "model_dump_json", "to_json"):
            return lambda indent=None, **_: json.dumps(self.to_dict(), indent=indent)
        if name == "_request_id":
            return self.request_id
        if not name.startswith("_") and name in getattr(self, fields):
            return self.to_dict()[name]
        if name in absent:
            return None
        raise AttributeError(
            f"{owner} has no attribute {name!r}, and the answer no such field: .to_dict() is all that came.",
            name=name,
            obj=self,
        )

    return find


def takes(function: Callable[P, T]) -> Callable[P, T]:
    """Let the constructor of a client say what an argument of openai's is called here."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        for name in kwargs:
            if name in CLIENT:
                raise TypeError(sentence(name, CLIENT).strip())
        return function(*args, **kwargs)

    return call
