# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from typing import Literal

ImageAspectRatioKnown = Literal["16:9", "1:1", "21:9", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16"]

IMAGE_ASPECT_RATIO_KNOWN_VALUES: set[ImageAspectRatioKnown] = {
    "16:9",
    "1:1",
    "21:9",
    "2:3",
    "3:2",
    "3:4",
    "4:3",
    "4:5",
    "5:4",
    "9:16",
}


def check_image_aspect_ratio_known(value: str) -> ImageAspectRatioKnown:
    if value in IMAGE_ASPECT_RATIO_KNOWN_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {IMAGE_ASPECT_RATIO_KNOWN_VALUES!r}")
