from typing import Literal, TypedDict
class ImageParams(TypedDict, total=False):
    n: int | None
    size: str | None
    quality: str | None
    response_format: str | None
    style: str | None
    user: str | None
