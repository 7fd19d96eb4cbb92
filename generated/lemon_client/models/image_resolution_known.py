# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from enum import StrEnum


class ImageResolutionKnown(StrEnum):
    VALUE_0 = "1k"
    VALUE_1 = "2k"
    VALUE_2 = "4k"

    def __str__(self) -> str:
        return str(self.value)
