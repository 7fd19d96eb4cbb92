# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
"""The optional parameters of each billed request, for `**params: Unpack[ImageParams]`."""

from typing import Literal, TypeAlias, TypedDict


class ImageParams(TypedDict, total=False):
    """What a generation request can carry beside prompt and model. None means not given."""

    n: int | None
    """How many images to generate. How many a model makes at once depends on the model."""
    size: Literal["256x256", "512x512", "1024x1024", "1792x1024", "1024x1792"] | str | None
    """Width and height in pixels, as WIDTHxHEIGHT. Which sizes exist depends on the model."""
    quality: Literal["standard", "hd", "auto", "low", "medium", "high"] | str | None
    """Image quality. Which values there are depends on the model."""
    response_format: Literal["url", "b64_json"] | str | None
    """Whether an image comes as a URL or as Base64 data."""
    style: Literal["vivid", "natural"] | str | None
    """Style of the image. Only for models that document it."""
    async_: bool | None
    """Ask for a task, so that no connection has to stay open until a slow picture is done."""
    aspect_ratio: Literal["1:1", "16:9", "9:16", "3:2", "2:3", "3:4", "4:3", "4:5", "5:4", "21:9"] | str | None
    """The shape, as WIDTH:HEIGHT. For models that go by shape instead of size."""
    resolution: Literal["1k", "2k", "4k"] | str | None
    """How many pixels, beside aspect_ratio. Which steps there are depends on the model."""
    background: Literal["transparent", "opaque", "auto"] | str | None
    """Whether what is behind the subject is transparent."""
    output_format: Literal["png", "jpeg", "webp"] | str | None
    """The file format of the images."""
    output_compression: int | None
    """How strongly a jpeg or webp is compressed, in per cent."""
    compression: int | None
    moderation: Literal["auto", "low"] | str | None
    """How strictly prompts and images are moderated."""
    operation: Literal["text-to-image", "image-to-image", "image-edit"] | str | None
    """What is done with reference images; without them it is left out."""
    image_url: str | None
    """A picture to go by, at a public address."""
    image_urls: list[str] | None
    """Pictures to go by, at public addresses."""
    reference_image_urls: list[str] | None
    """Further pictures to go by, at public addresses."""
    mask_url: str | None
    """What to change of a picture, as a PNG at a public address."""
    seed: int | None
    """Makes a picture repeatable, where the model can."""
    negative_prompt: str | None
    """What the picture should not show, where the model can."""
    expand_prompt: bool | None
    """Let the model rewrite the prompt, where it can."""
    user: str | None
    """An identifier of your end user."""


class EditImageParams(TypedDict, total=False):
    """What edit_image can carry beside its pictures, prompt and model. None means not given."""

    n: int | None
    """How many images to generate. How many a model makes at once depends on the model."""
    size: Literal["256x256", "512x512", "1024x1024", "1792x1024", "1024x1792"] | str | None
    """Width and height in pixels, as WIDTHxHEIGHT. Which sizes exist depends on the model."""
    quality: Literal["standard", "hd", "auto", "low", "medium", "high"] | str | None
    """Image quality. Which values there are depends on the model."""
    response_format: Literal["url", "b64_json"] | str | None
    """Whether an image comes as a URL or as Base64 data."""
    async_: bool | None
    """Ask for a task, so that no connection has to stay open until a slow picture is done."""
    aspect_ratio: Literal["1:1", "16:9", "9:16", "3:2", "2:3", "3:4", "4:3", "4:5", "5:4", "21:9"] | str | None
    """The shape, as WIDTH:HEIGHT. For models that go by shape instead of size."""
    resolution: Literal["1k", "2k", "4k"] | str | None
    """How many pixels, beside aspect_ratio. Which steps there are depends on the model."""
    background: Literal["transparent", "opaque", "auto"] | str | None
    """Whether what is behind the subject is transparent."""
    output_format: Literal["png", "jpeg", "webp"] | str | None
    """The file format of the images."""
    output_compression: int | None
    """How strongly a jpeg or webp is compressed, in per cent."""
    moderation: Literal["auto", "low"] | str | None
    """How strictly prompts and images are moderated."""
    user: str | None
    """An identifier of your end user."""


class CreateVariationParams(TypedDict, total=False):
    """What create_variation can carry beside its pictures, prompt and model. None means not given."""

    n: int | None
    """How many images to generate. How many a model makes at once depends on the model."""
    size: Literal["256x256", "512x512", "1024x1024", "1792x1024", "1024x1792"] | str | None
    """Width and height in pixels, as WIDTHxHEIGHT. Which sizes exist depends on the model."""
    response_format: Literal["url", "b64_json"] | str | None
    """Whether an image comes as a URL or as Base64 data."""
    user: str | None
    """An identifier of your end user."""


#: The listed models that are not retired. There are others: `KnownModel | str`.
KnownModel: TypeAlias = Literal[
    "gpt-image-2",
    "nano-banana-pro",
    "nano-banana-2",
    "nano-banana",
    "nano-banana-edit",
    "gemini-3-pro-image",
    "gemini-3.1-flash-image",
    "gemini-2.5-flash-image",
    "grok-imagine-image",
    "grok-imagine-image-quality",
    "grok-imagine-image-pro",
    "flux-pro",
    "ideogram-v3",
    "qwen-image-plus",
]
