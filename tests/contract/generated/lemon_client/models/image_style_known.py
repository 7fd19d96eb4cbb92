# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from typing import Literal

ImageStyleKnown = Literal["natural", "vivid"]

IMAGE_STYLE_KNOWN_VALUES: set[ImageStyleKnown] = {
    "natural",
    "vivid",
}


def check_image_style_known(value: str) -> ImageStyleKnown:
    if value in IMAGE_STYLE_KNOWN_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {IMAGE_STYLE_KNOWN_VALUES!r}")
