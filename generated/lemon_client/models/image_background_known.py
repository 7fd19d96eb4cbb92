# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from typing import Literal

ImageBackgroundKnown = Literal["auto", "opaque", "transparent"]

IMAGE_BACKGROUND_KNOWN_VALUES: set[ImageBackgroundKnown] = {
    "auto",
    "opaque",
    "transparent",
}


def check_image_background_known(value: str) -> ImageBackgroundKnown:
    if value in IMAGE_BACKGROUND_KNOWN_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {IMAGE_BACKGROUND_KNOWN_VALUES!r}")
