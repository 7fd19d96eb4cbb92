"""Small real pictures, made by a program that knows nothing of ours."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from PIL import Image

SIZE = (37, 23)
SVG = (
    b'<?xml version="1.0"?>\n<!-- > --><svg xmlns="http://www.w3.org/2000/svg" width="37" height="23px">'
    b"<g><svg/></g><path/></svg>"
)


def picture(kind: str, mode: str = "RGB", frames: int = 1, seed: int = 7, **options: Any) -> bytes:
    """Return a picture of 37x23 pixels."""
    images = [
        Image.frombytes(mode, SIZE, bytes((i + n) * seed % 251 for i in range(37 * 23 * len(mode))))
        for n in range(frames)
    ]
    if frames > 1:
        options = {**options, "save_all": True, "append_images": images[1:]}
    file = BytesIO()
    images[0].save(file, kind, **options)
    return file.getvalue()


PNG, JPEG, WEBP, GIF = (picture(kind) for kind in ("PNG", "JPEG", "WEBP", "GIF"))
