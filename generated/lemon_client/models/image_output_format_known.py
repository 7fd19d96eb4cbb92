# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from typing import Literal

ImageOutputFormatKnown = Literal["jpeg", "png", "webp"]

IMAGE_OUTPUT_FORMAT_KNOWN_VALUES: set[ImageOutputFormatKnown] = {
    "jpeg",
    "png",
    "webp",
}


def check_image_output_format_known(value: str) -> ImageOutputFormatKnown:
    if value in IMAGE_OUTPUT_FORMAT_KNOWN_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {IMAGE_OUTPUT_FORMAT_KNOWN_VALUES!r}")
