# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from typing import Literal

ImageQualityKnown = Literal["hd", "standard"]

IMAGE_QUALITY_KNOWN_VALUES: set[ImageQualityKnown] = {
    "hd",
    "standard",
}


def check_image_quality_known(value: str) -> ImageQualityKnown:
    if value in IMAGE_QUALITY_KNOWN_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {IMAGE_QUALITY_KNOWN_VALUES!r}")
