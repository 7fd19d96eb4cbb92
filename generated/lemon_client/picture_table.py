# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
"""Requests that carry pictures: what a file may be, and which parameters go with it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Files(NamedTuple):
    """What a field of a form holds: up to `most` files of these formats and bytes.

    `url` is where an address stands in the JSON form instead, as keys from the outside to the inside; empty: nowhere.
    `same_size` names the field whose picture has as many pixels. `source` says which document has it.
    """

    most: int
    many: bool
    required: bool
    formats: tuple[str, ...]
    max_bytes: int
    url: tuple[str, ...]
    same_size: str | None
    source: str


class Form(NamedTuple):
    """A request with pictures: its files, its parameters besides, and which of these it needs."""

    files: Mapping[str, Files]
    parameters: tuple[str, ...]
    required: tuple[str, ...]


#: By operation.
FORMS: Final[Mapping[str, Form]] = MappingProxyType(
    {
        "edit_image": Form(
            MappingProxyType(
                {
                    "image": Files(16, True, True, ("png", "jpeg", "webp"), 52428800, ("image_urls",), None, "L, T+"),
                    "mask": Files(1, False, False, ("png",), 52428800, ("mask", "image_url"), "image", "L"),
                }
            ),
            (
                "prompt",
                "model",
                "n",
                "size",
                "quality",
                "response_format",
                "async",
                "aspect_ratio",
                "resolution",
                "background",
                "output_format",
                "output_compression",
                "moderation",
                "user",
            ),
            ("prompt", "model"),
        ),
        "create_variation": Form(
            MappingProxyType(
                {
                    "image": Files(1, False, True, ("png",), 52428800, (), None, "E, T+"),
                }
            ),
            ("model", "n", "size", "response_format", "user"),
            ("model",),
        ),
    }
)
