# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from typing import Literal

ImageSizeKnown = Literal["1024x1024", "1024x1792", "1792x1024", "256x256", "512x512"]

IMAGE_SIZE_KNOWN_VALUES: set[ImageSizeKnown] = {
    "1024x1024",
    "1024x1792",
    "1792x1024",
    "256x256",
    "512x512",
}


def check_image_size_known(value: str) -> ImageSizeKnown:
    if value in IMAGE_SIZE_KNOWN_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {IMAGE_SIZE_KNOWN_VALUES!r}")
