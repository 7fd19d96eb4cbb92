# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from typing import Literal

ImageOperationKnown = Literal["image-edit", "image-to-image", "text-to-image"]

IMAGE_OPERATION_KNOWN_VALUES: set[ImageOperationKnown] = {
    "image-edit",
    "image-to-image",
    "text-to-image",
}


def check_image_operation_known(value: str) -> ImageOperationKnown:
    if value in IMAGE_OPERATION_KNOWN_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {IMAGE_OPERATION_KNOWN_VALUES!r}")
