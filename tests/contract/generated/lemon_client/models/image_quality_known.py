# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from enum import StrEnum


class ImageQualityKnown(StrEnum):
    HD = "hd"
    STANDARD = "standard"

    def __str__(self) -> str:
        return str(self.value)
