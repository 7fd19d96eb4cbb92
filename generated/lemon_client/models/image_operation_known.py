# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from enum import StrEnum


class ImageOperationKnown(StrEnum):
    IMAGE_EDIT = "image-edit"
    IMAGE_TO_IMAGE = "image-to-image"
    TEXT_TO_IMAGE = "text-to-image"

    def __str__(self) -> str:
        return str(self.value)
