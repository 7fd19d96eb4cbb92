# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from typing import Literal

ImageResponseFormatKnown = Literal["b64_json", "url"]

IMAGE_RESPONSE_FORMAT_KNOWN_VALUES: set[ImageResponseFormatKnown] = {
    "b64_json",
    "url",
}


def check_image_response_format_known(value: str) -> ImageResponseFormatKnown:
    if value in IMAGE_RESPONSE_FORMAT_KNOWN_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {IMAGE_RESPONSE_FORMAT_KNOWN_VALUES!r}")
