# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from typing import Literal

ImageModerationKnown = Literal["auto", "low"]

IMAGE_MODERATION_KNOWN_VALUES: set[ImageModerationKnown] = {
    "auto",
    "low",
}


def check_image_moderation_known(value: str) -> ImageModerationKnown:
    if value in IMAGE_MODERATION_KNOWN_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {IMAGE_MODERATION_KNOWN_VALUES!r}")
