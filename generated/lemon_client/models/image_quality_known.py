from enum import StrEnum


class ImageQualityKnown(StrEnum):
    HD = "hd"
    STANDARD = "standard"

    def __str__(self) -> str:
        return str(self.value)
