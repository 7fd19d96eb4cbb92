# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
"""The optional parameters of each billed request, for `**params: Unpack[ImageParams]`."""

from typing import Literal, TypeAlias, TypedDict


class ImageParams(TypedDict, total=False):
    """What a generation request can carry beside prompt and model. None means not given."""

    n: int | None
    """How many images to generate. Documented as 1 to 4, depending on the model."""
    size: Literal["256x256", "512x512", "1024x1024", "1792x1024", "1024x1792"] | str | None
    """Width and height in pixels, as WIDTHxHEIGHT. Which sizes exist depends on the model."""
    quality: Literal["standard", "hd"] | str | None
    """Image quality. dall-e-3 only."""
    response_format: Literal["url", "b64_json"] | str | None
    """Whether an image comes as a URL or as Base64 data."""
    style: Literal["vivid", "natural"] | str | None
    """Style of the image. dall-e-3 only."""
    user: str | None
    """An identifier of your end user."""


class EditImageParams(TypedDict, total=False):
    """What edit_image can carry beside its pictures, prompt and model. None means not given."""

    n: int | None
    """How many images to generate. Documented as 1 to 4, depending on the model."""
    size: Literal["256x256", "512x512", "1024x1024", "1792x1024", "1024x1792"] | str | None
    """Width and height in pixels, as WIDTHxHEIGHT. Which sizes exist depends on the model."""
    quality: Literal["standard", "hd"] | str | None
    """Image quality. dall-e-3 only."""
    response_format: Literal["url", "b64_json"] | str | None
    """Whether an image comes as a URL or as Base64 data."""
    user: str | None
    """An identifier of your end user."""


class CreateVariationParams(TypedDict, total=False):
    """What create_variation can carry beside its pictures, prompt and model. None means not given."""

    n: int | None
    """How many images to generate. Documented as 1 to 4, depending on the model."""
    size: Literal["256x256", "512x512", "1024x1024", "1792x1024", "1024x1792"] | str | None
    """Width and height in pixels, as WIDTHxHEIGHT. Which sizes exist depends on the model."""
    response_format: Literal["url", "b64_json"] | str | None
    """Whether an image comes as a URL or as Base64 data."""
    user: str | None
    """An identifier of your end user."""


#: The listed models that are not retired. There are others: `KnownModel | str`.
KnownModel: TypeAlias = Literal[
    "dall-e-3", "dall-e-2", "flux-pro", "flux-schnell", "midjourney", "ideogram-v3", "stable-diffusion-3"
]
