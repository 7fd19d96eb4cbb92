# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from typing import Literal

ImageResolutionKnown = Literal["1k", "2k", "4k"]

IMAGE_RESOLUTION_KNOWN_VALUES: set[ImageResolutionKnown] = {
    "1k",
    "2k",
    "4k",
}


def check_image_resolution_known(value: str) -> ImageResolutionKnown:
    if value in IMAGE_RESOLUTION_KNOWN_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {IMAGE_RESOLUTION_KNOWN_VALUES!r}")
