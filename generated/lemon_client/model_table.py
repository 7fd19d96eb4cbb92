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
            "description": "The model to use, for example gpt-image-2, nano-banana-pro or flux-pro. An open list that grows.",
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
            "description": "How many images to generate. How many a model makes at once depends on the model.",
            "default": 1,
            "asks": "count",
        },
        "size": {
            "type": "string",
            "known": ("256x256", "512x512", "1024x1024", "1792x1024", "1024x1792"),
            "pattern": "^(auto|[1-9][0-9]*x[1-9][0-9]*)$",
            "description": "Width and height in pixels, as WIDTHxHEIGHT. Which sizes exist depends on the model.",
            "asks": "pixels",
        },
        "quality": {
            "type": "string",
            "known": ("standard", "hd", "auto", "low", "medium", "high"),
            "minLength": 1,
            "description": "Image quality. Which values there are depends on the model.",
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
            "description": "Style of the image. Only for models that document it.",
        },
        "async": {
            "type": "boolean",
            "description": "Ask for a task, so that no connection has to stay open until a slow picture is done.",
        },
        "aspect_ratio": {
            "type": "string",
            "known": ("1:1", "16:9", "9:16", "3:2", "2:3", "3:4", "4:3", "4:5", "5:4", "21:9"),
            "minLength": 1,
            "description": "The shape, as WIDTH:HEIGHT. For models that go by shape instead of size.",
            "asks": "shape",
        },
        "resolution": {
            "type": "string",
            "enum": ("1k", "2k", "4k"),
            "description": "How many pixels, beside aspect_ratio. Which steps there are depends on the model.",
        },
        "background": {
            "type": "string",
            "enum": ("transparent", "opaque", "auto"),
            "description": "Whether what is behind the subject is transparent.",
        },
        "output_format": {
            "type": "string",
            "enum": ("png", "jpeg", "webp"),
            "description": "The file format of the images.",
            "asks": "format",
        },
        "output_compression": {
            "type": "integer",
            "minimum": 0,
            "maximum": 100,
            "description": "How strongly a jpeg or webp is compressed, in per cent.",
        },
        "compression": {"type": "integer", "minimum": 0, "maximum": 100, "alias_of": "output_compression"},
        "moderation": {
            "type": "string",
            "enum": ("auto", "low"),
            "description": "How strictly prompts and images are moderated.",
        },
        "operation": {
            "type": "string",
            "enum": ("text-to-image", "image-to-image", "image-edit"),
            "description": "What is done with reference images; without them it is left out.",
        },
        "image_url": {
            "type": "string",
            "pattern": "^https?://",
            "description": "A picture to go by, at a public address.",
            "asks": "edited",
        },
        "image_urls": {
            "type": "array",
            "minItems": 1,
            "maxItems": 16,
            "items": {"type": "string", "pattern": "^https?://"},
            "description": "Pictures to go by, at public addresses.",
            "asks": "edited",
        },
        "reference_image_urls": {
            "type": "array",
            "minItems": 1,
            "maxItems": 16,
            "items": {"type": "string", "pattern": "^https?://"},
            "description": "Further pictures to go by, at public addresses.",
        },
        "mask_url": {
            "type": "string",
            "pattern": "^https?://",
            "description": "What to change of a picture, as a PNG at a public address.",
            "asks": "edited",
        },
        "seed": {"type": "integer", "description": "Makes a picture repeatable, where the model can."},
        "negative_prompt": {"type": "string", "description": "What the picture should not show, where the model can."},
        "expand_prompt": {"type": "boolean", "description": "Let the model rewrite the prompt, where it can."},
        "user": {"type": "string", "description": "An identifier of your end user."},
    }
)

REQUIRED: Final[tuple[str, ...]] = ("model", "prompt")

#: What holds between parameters. `not` is a keyword of Python too, so these are plain mappings.
RELATIONS: Final[tuple[Mapping[str, Any], ...]] = ({"not": {"required": ("output_compression", "compression")}},)

#: What narrows the parameters for each model. A name with `*` is a family; '*' is for all the others.
MODELS: Final[Mapping[str, ModelRow]] = MappingProxyType(
    {
        "gpt-image-2": {
            "reply": "either",
            "summary": "Sizes up to 3840 pixels; as a task with async",
            "source": "L, T, T+",
            "takes": (
                "model",
                "prompt",
                "n",
                "size",
                "quality",
                "response_format",
                "async",
                "background",
                "output_format",
                "output_compression",
                "compression",
                "moderation",
                "user",
            ),
            "parameters": {
                "size": {
                    "type": "string",
                    "known": ("256x256", "512x512", "1024x1024", "1792x1024", "1024x1792"),
                    "pattern": "^(auto|[1-9][0-9]*x[1-9][0-9]*)$",
                    "pixels": {
                        "multipleOf": 16,
                        "maxEdge": 3840,
                        "maxRatio": 3,
                        "minPixels": 655360,
                        "maxPixels": 8294400,
                        "also": ("auto",),
                    },
                },
                "quality": {"type": "string", "enum": ("auto", "low", "medium", "high")},
                "background": {"type": "string", "enum": ("auto", "opaque")},
            },
            "defaults": {"size": "auto", "quality": "auto"},
        },
        "nano-banana-pro": {
            "reply": "task",
            "summary": "Follows reference pictures, in high resolution",
            "source": "L, T",
            "takes": (
                "model",
                "prompt",
                "n",
                "size",
                "response_format",
                "aspect_ratio",
                "resolution",
                "operation",
                "image_url",
                "image_urls",
                "reference_image_urls",
                "user",
            ),
            "parameters": {},
            "asks": {"size": "shape"},
        },
        "nano-banana-2": {
            "reply": "either",
            "summary": "As nano-banana, in up to three resolutions",
            "source": "L, T, T+",
            "takes": (
                "model",
                "prompt",
                "n",
                "size",
                "response_format",
                "aspect_ratio",
                "resolution",
                "operation",
                "image_url",
                "image_urls",
                "reference_image_urls",
                "user",
            ),
            "parameters": {},
            "asks": {"size": "shape"},
        },
        "nano-banana": {
            "reply": "either",
            "summary": "Goes by shape",
            "source": "L, T",
            "takes": (
                "model",
                "prompt",
                "n",
                "size",
                "response_format",
                "aspect_ratio",
                "operation",
                "image_url",
                "image_urls",
                "reference_image_urls",
                "user",
            ),
            "parameters": {},
            "asks": {"size": "shape"},
        },
        "nano-banana-edit": {
            "reply": "either",
            "summary": "Changes pictures that it is given",
            "source": "L, T",
            "takes": (
                "model",
                "prompt",
                "n",
                "size",
                "response_format",
                "aspect_ratio",
                "operation",
                "image_url",
                "image_urls",
                "reference_image_urls",
                "user",
            ),
            "parameters": {},
            "asks": {"size": "shape"},
        },
        "gemini-3-pro-image": {
            "reply": "either",
            "summary": "Goes by shape and resolution",
            "source": "T",
            "takes": (
                "model",
                "prompt",
                "n",
                "size",
                "response_format",
                "aspect_ratio",
                "resolution",
                "operation",
                "image_url",
                "image_urls",
                "reference_image_urls",
                "user",
            ),
            "parameters": {},
            "asks": {"size": "shape"},
        },
        "gemini-3.1-flash-image": {
            "reply": "either",
            "summary": "Goes by shape and resolution",
            "source": "T",
            "takes": (
                "model",
                "prompt",
                "n",
                "size",
                "response_format",
                "aspect_ratio",
                "resolution",
                "operation",
                "image_url",
                "image_urls",
                "reference_image_urls",
                "user",
            ),
            "parameters": {},
            "asks": {"size": "shape"},
        },
        "gemini-2.5-flash-image": {
            "reply": "either",
            "summary": "Goes by shape",
            "source": "L, T+",
            "takes": ("model", "prompt", "n", "size", "response_format", "aspect_ratio", "user"),
            "parameters": {},
            "asks": {"size": "shape"},
        },
        "grok-imagine-image": {
            "reply": "task",
            "summary": "Goes by shape and resolution",
            "source": "L, T",
            "takes": ("model", "prompt", "n", "size", "response_format", "aspect_ratio", "resolution", "user"),
            "parameters": {"resolution": {"type": "string", "enum": ("1k", "2k")}},
        },
        "grok-imagine-image-quality": {
            "reply": "task",
            "summary": "The better of the two",
            "source": "L, T",
            "takes": ("model", "prompt", "n", "size", "response_format", "aspect_ratio", "resolution", "user"),
            "parameters": {"resolution": {"type": "string", "enum": ("1k", "2k")}},
        },
        "grok-imagine-image-pro": {
            "reply": "task",
            "summary": "Another name of grok-imagine-image-quality",
            "source": "L, T",
            "takes": ("model", "prompt", "n", "size", "response_format", "aspect_ratio", "resolution", "user"),
            "parameters": {"resolution": {"type": "string", "enum": ("1k", "2k")}},
        },
        "flux-pro": {
            "reply": "task",
            "summary": "Photorealistic, high quality",
            "source": "SEED, L, T",
            "parameters": {"quality": False, "style": False},
        },
        "flux-*": {
            "reply": "either",
            "summary": "The other FLUX models; as a task with async",
            "source": "L, T",
            "parameters": {"quality": False, "style": False},
        },
        "ideogram-v3": {
            "reply": "task",
            "summary": "Best at rendering text",
            "source": "SEED, L, T",
            "parameters": {"quality": False, "style": False, "async": False},
        },
        "qwen-image-plus": {
            "reply": "task",
            "summary": "No limits of it are documented",
            "source": "T",
            "parameters": {"quality": False, "style": False, "async": False},
        },
        "gemini-3-pro-image-preview": {
            "reply": "either",
            "summary": "Goes by shape and resolution",
            "source": "L",
            "takes": ("model", "prompt", "n", "size", "response_format", "aspect_ratio", "resolution", "user"),
            "parameters": {},
            "asks": {"size": "shape"},
            "retired": {"since": "2026-06-27", "source": "T", "instead": "gemini-3-pro-image"},
        },
        "gemini-3.1-flash-image-preview": {
            "reply": "either",
            "summary": "Goes by shape",
            "source": "L",
            "takes": ("model", "prompt", "n", "size", "response_format", "aspect_ratio", "user"),
            "parameters": {},
            "asks": {"size": "shape"},
            "retired": {"since": "2026-06-27", "source": "T", "instead": "gemini-3.1-flash-image"},
        },
        "gemini-2.0-flash-preview-image-generation": {
            "reply": "either",
            "summary": "A prompt and nothing else",
            "source": "L",
            "takes": ("model", "prompt", "n", "response_format", "user"),
            "parameters": {},
            "retired": {"since": "2026-06-27", "source": "T", "instead": "gemini-2.5-flash-image"},
        },
        "dall-e-3": {
            "reply": "inline",
            "summary": "Best quality, rewrites the prompt",
            "source": "SEED, L",
            "takes": ("model", "prompt", "n", "size", "quality", "response_format", "style", "user"),
            "parameters": {
                "size": {"type": "string", "enum": ("1024x1024", "1792x1024", "1024x1792")},
                "quality": {"type": "string", "enum": ("standard", "hd")},
                "style": {"type": "string", "enum": ("vivid", "natural")},
            },
            "defaults": {"size": "1024x1024", "quality": "standard", "style": "vivid"},
            "retired": {"since": "2026-05-12", "source": "3P", "instead": "gpt-image-2"},
        },
        "dall-e-2": {
            "reply": "inline",
            "summary": "Faster and cheaper",
            "source": "SEED, L",
            "takes": ("model", "prompt", "n", "size", "response_format", "user"),
            "parameters": {},
            "defaults": {"size": "1024x1024"},
            "retired": {"since": "2026-05-12", "source": "3P", "instead": "gpt-image-2"},
        },
        "flux-schnell": {
            "reply": "inline",
            "summary": "Very fast",
            "source": "SEED, L",
            "takes": ("model", "prompt", "n", "size", "response_format", "user"),
            "parameters": {},
            "defaults": {"size": "1024x1024"},
            "retired": {"since": "2026-06-27", "source": "T", "instead": "flux-pro"},
        },
        "midjourney": {
            "reply": "task",
            "summary": "Artistic style",
            "source": "SEED, L",
            "takes": ("model", "prompt", "n", "size", "response_format", "user"),
            "parameters": {},
            "defaults": {"size": "1024x1024"},
            "retired": {"since": "2026-06-27", "source": "T", "instead": "gpt-image-2"},
        },
        "stable-diffusion-3": {
            "reply": "inline",
            "summary": "Open source, customizable",
            "source": "SEED, L",
            "takes": ("model", "prompt", "n", "size", "response_format", "user"),
            "parameters": {},
            "defaults": {"size": "1024x1024"},
            "retired": {"since": "2026-06-27", "source": "T", "instead": "flux-pro"},
        },
        "*": {
            "reply": "either",
            "summary": "Any other model; the request schema alone, the API decides",
            "source": "E",
            "parameters": {
                "response_format": {"type": "string", "known": ("url", "b64_json")},
                "style": {"type": "string", "known": ("vivid", "natural")},
                "resolution": {"type": "string", "known": ("1k", "2k", "4k")},
                "background": {"type": "string", "known": ("transparent", "opaque", "auto")},
                "output_format": {"type": "string", "known": ("png", "jpeg", "webp")},
                "moderation": {"type": "string", "known": ("auto", "low")},
                "operation": {"type": "string", "known": ("text-to-image", "image-to-image", "image-edit")},
            },
        },
    }
)

#: What the codes of the sources stand for.
SOURCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "SEED": "The vendor's create-image page, January 2026",
        "E": "The vendor's documentation pages of January and February 2026",
        "E-spec": "The vendor's own openapi.json of January 2026",
        "M": "Pages of spring 2026 with poll_url on /v1/tasks, after 2026-03-01",
        "L": "Pages before 2026-06-25 with gpt-image-2, async and task ids that begin with ldtask_",
        "T": "Pages of 2026-06-27 to 2026-07-02, under the name TokenLab",
        "T-spec": "The vendor's own openapi.json of 2026-07-11 to 2026-07-24",
        "T+": "The newest public pages and openapi.json, after 2026-07-20",
        "SK": "The vendor's skill repositories of March to May 2026",
        "3P": "What others report in public, May 2026",
        "elsewhere": "Other gateways of this kind; no page of the vendor says it",
    }
)

#: The model of a call that names none. It is sent. None: every call has to name one.
DEFAULT_MODEL: Final[str | None] = "gpt-image-2"

#: Where the API is: the default first, then where it is said to be too.
SERVERS: Final[tuple[str, ...]] = ("https://api.lemondata.cc", "https://api.tokenlab.sh")


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
    values=MappingProxyType(
        {
            "aspect_ratio": (
                ("tokenlab", "request_format_details", "aspect_ratios"),
                ("lemondata", "public_contract", "aspect_ratios"),
            ),
            "resolution": (
                ("tokenlab", "request_format_details", "resolutions"),
                ("lemondata", "public_contract", "resolutions"),
            ),
            "output_format": (("tokenlab", "request_format_details", "output_formats"),),
        }
    ),
    query=MappingProxyType({"category": "image"}),
)
