"""Rows with a picture: each is an edit.

The journal keeps where the pictures are. They are read when the row is checked, and again when it is sent.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lemon_client.picture_table import FORMS

from lemon_ext._inputs import EDIT, OPERATION, Form, form, is_address, read_pictures, told
from lemon_ext._request import Request, Validation, prepare_pictures
from lemon_ext.errors import LemonError

from .cells import PICTURES


def prepared(
    pictures: Mapping[str, Any],
    prompt: str,
    model: str | None,
    params: Mapping[str, Any],
    extra_body: Mapping[str, Any] | None,
    validation: Validation,
) -> tuple[Request, dict[str, Any]]:
    """Check an edit, and return what the journal keeps of it besides. A path is kept so that it holds in any folder."""
    found = {name: _whole(value) for name, value in pictures.items()}
    try:
        request = prepare_pictures(EDIT, found, prompt, model, params, extra_body, validation)
    except OSError as exc:
        raise ValueError(f"a picture cannot be read: {exc.strerror or exc}") from None
    return request, {**told(request.body), **found}


def body_of(request: Mapping[str, Any]) -> Mapping[str, Any] | Form:
    """Return what is sent for a request of the journal. Raises LemonError if a picture is not as it was."""
    if OPERATION not in request:
        return request
    try:
        pictures, wrong = read_pictures(EDIT, {name: request.get(name) for name in FORMS[EDIT].files})
    except OSError as exc:
        raise LemonError(f"A picture cannot be read ({exc.strerror or exc}), so nothing was sent.") from None
    if wrong:
        raise LemonError(f"A picture changed since the row was checked ({': '.join(wrong[0])}), so nothing was sent.")
    fields = {name: value for name, value in request.items() if name not in (OPERATION, *PICTURES)}
    return form(EDIT, fields, pictures)


def _whole(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_whole(one) for one in value]
    if isinstance(value, str | os.PathLike):
        return str(value) if isinstance(value, str) and is_address(value) else str(Path(value).absolute())
    raise TypeError(f"the picture of a row is a path or an address, not {type(value).__name__}")
