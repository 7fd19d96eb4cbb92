# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
"""The capability table and the request parameters of the contract, as typed Python."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, NotRequired, TypeAlias, TypedDict

#: What a parameter asks of a picture, so that the picture can be compared with it. `edited`: it is a picture to change.
Asks: TypeAlias = Literal["pixels", "shape", "format", "count", "edited"]


class Pixels(TypedDict, total=False):
    """A rule for WIDTHxHEIGHT. `also` lists words that stand for a size."""

    multipleOf: int
    maxEdge: int
    maxRatio: float
    minPixels: int
    maxPixels: int
    also: tuple[str, ...]


class Rule(TypedDict, total=False):
    """What a parameter may be, in keywords of JSON Schema. `known` lists values that do not bind."""

    type: Literal["string", "integer", "number", "boolean", "array"]
    enum: tuple[str | int | float, ...]
    known: tuple[str | int | float, ...]
    minimum: float
    maximum: float
    minLength: int
    maxLength: int
    minItems: int
    maxItems: int
    pattern: str
    items: Rule
    pixels: Pixels
    description: str
    default: str | int | float | bool
    example: str | int | float | bool
    deprecated: bool
    alias_of: str
    asks: Asks


class Retired(TypedDict):
    """Since when a model is gone, who says so, and what to use instead."""

    since: str
    source: str
    instead: NotRequired[str]


class ModelRow(TypedDict):
    """What is documented of one model. A parameter that maps to False, or is missing in `takes`, is not taken.

    A rule in `parameters` is whole: it stands in the place of the general one. `defaults` is what the server uses for
    this model; it is never sent. `asks` is what a parameter asks of this model's pictures, where that is another thing.
    """

    reply: Literal["inline", "task", "either"]
    summary: str
    source: str
    parameters: Mapping[str, Rule | Literal[False]]
    takes: NotRequired[tuple[str, ...]]
    defaults: NotRequired[Mapping[str, str | int | float | bool]]
    asks: NotRequired[Mapping[str, Asks]]
    retired: NotRequired[Retired]


#: The parameters of a generation request. `default` is what the server uses; it is never sent.
PARAMETERS: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "model": {
            "type": "string",
            "minLength": 1,
            "description": "The model to use, for example dall-e-3, flux-pro or midjourney. An open list that grows.",
            "default": "dall-e-3",
        },
        "prompt": {
            "type": "string",
            "minLength": 1,
            "maxLength": 4000,
            "pattern": "\\S",
            "description": "What the image should show.",
        },
        "n": {
            "type": "integer",
            "minimum": 1,
            "maximum": 10,
            "description": "How many images to generate. Documented as 1 to 4, depending on the model.",
            "default": 1,
            "asks": "count",
        },
        "size": {
            "type": "string",
            "known": ("256x256", "512x512", "1024x1024", "1792x1024", "1024x1792"),
            "pattern": "^(auto|[1-9][0-9]*x[1-9][0-9]*)$",
            "description": "Width and height in pixels, as WIDTHxHEIGHT. Which sizes exist depends on the model.",
            "default": "1024x1024",
            "asks": "pixels",
        },
        "quality": {
            "type": "string",
            "enum": ("standard", "hd"),
            "description": "Image quality. dall-e-3 only.",
            "default": "standard",
        },
        "response_format": {
            "type": "string",
            "enum": ("url", "b64_json"),
            "description": "Whether an image comes as a URL or as Base64 data.",
            "default": "url",
        },
        "style": {
            "type": "string",
            "enum": ("vivid", "natural"),
            "description": "Style of the image. dall-e-3 only.",
            "default": "vivid",
        },
        "user": {"type": "string", "description": "An identifier of your end user."},
    }
)

REQUIRED: Final[tuple[str, ...]] = ("prompt",)

#: What holds between parameters. `not` is a keyword of Python too, so these are plain mappings.
RELATIONS: Final[tuple[Mapping[str, Any], ...]] = ()

#: What narrows the parameters for each model. A name with `*` is a family; '*' is for all the others.
MODELS: Final[Mapping[str, ModelRow]] = MappingProxyType(
    {
        "dall-e-3": {
            "reply": "inline",
            "summary": "Best quality, rewrites the prompt",
            "source": "SEED",
            "parameters": {
                "size": {"type": "string", "enum": ("1024x1024", "1792x1024", "1024x1792")},
                "quality": {"type": "string", "enum": ("standard", "hd")},
                "style": {"type": "string", "enum": ("vivid", "natural")},
            },
        },
        "dall-e-2": {
            "reply": "inline",
            "summary": "Faster and cheaper",
            "source": "SEED",
            "parameters": {"quality": False, "style": False},
        },
        "flux-pro": {
            "reply": "task",
            "summary": "Photorealistic, high quality",
            "source": "SEED",
            "parameters": {"quality": False, "style": False},
        },
        "flux-schnell": {
            "reply": "inline",
            "summary": "Very fast",
            "source": "SEED",
            "parameters": {"quality": False, "style": False},
        },
        "midjourney": {
            "reply": "task",
            "summary": "Artistic style",
            "source": "SEED",
            "parameters": {"quality": False, "style": False},
        },
        "ideogram-v3": {
            "reply": "task",
            "summary": "Best at rendering text",
            "source": "SEED",
            "parameters": {"quality": False, "style": False},
        },
        "stable-diffusion-3": {
            "reply": "inline",
            "summary": "Open source, customizable",
            "source": "SEED",
            "parameters": {"quality": False, "style": False},
        },
        "*": {
            "reply": "either",
            "summary": "Any other model; the request schema alone, the API decides",
            "source": "E",
            "parameters": {
                "quality": {"type": "string", "known": ("standard", "hd")},
                "response_format": {"type": "string", "known": ("url", "b64_json")},
                "style": {"type": "string", "known": ("vivid", "natural")},
            },
        },
    }
)

#: What the codes of the sources stand for.
SOURCES: Final[Mapping[str, str]] = MappingProxyType({})

#: The model of a call that names none. It is sent. None: every call has to name one.
DEFAULT_MODEL: Final[str | None] = "dall-e-3"

#: Where the API is: the default first, then where it is said to be too.
SERVERS: Final[tuple[str, ...]] = ("https://api.lemondata.cc",)


class LiveFields(NamedTuple):
    """The fields of a live model, each in order of preference, as the keys that lead to it."""

    entries: tuple[tuple[str, ...], ...]
    """Where the list of models is, in the answer that lists them."""
    id: tuple[tuple[str, ...], ...]
    """Names the model."""
    takes: tuple[tuple[str, ...], ...]
    """Lists the parameters that it takes."""
    retired: tuple[tuple[str, ...], ...]
    """Is when it was retired."""
    instead: tuple[tuple[str, ...], ...]
    """Names the model to use instead."""
    unit: tuple[tuple[str, ...], ...]
    """Is what its price is per."""
    values: Mapping[str, tuple[tuple[str, ...], ...]]
    """Lists the values of a parameter."""
    query: Mapping[str, str]
    """What the list is asked with."""


#: Where a live model says what.
LIVE: Final = LiveFields(
    entries=(("data",),),
    id=(("id",),),
    takes=(
        ("tokenlab", "request_format_details", "supported_parameters"),
        ("lemondata", "public_contract", "supported_parameters"),
    ),
    retired=(("tokenlab", "lifecycle", "retired_at"),),
    instead=(("tokenlab", "lifecycle", "replacement_model"),),
    unit=(("tokenlab", "pricing_unit"), ("lemondata", "pricing_unit")),
    values=MappingProxyType({"size": (("tokenlab", "request_format_details", "resolutions"),)}),
    query=MappingProxyType({"category": "image"}),
)
