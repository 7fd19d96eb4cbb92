# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from enum import StrEnum


class ImageAspectRatioKnown(StrEnum):
    VALUE_0 = "1:1"
    VALUE_1 = "16:9"
    VALUE_2 = "9:16"
    VALUE_3 = "3:2"
    VALUE_4 = "2:3"
    VALUE_5 = "3:4"
    VALUE_6 = "4:3"
    VALUE_7 = "4:5"
    VALUE_8 = "5:4"
    VALUE_9 = "21:9"

    def __str__(self) -> str:
        return str(self.value)
