"""What the contract says of files and of live models: what is incomplete is refused, the rest is typed Python."""

from __future__ import annotations

import pytest
from lemon_client import image_params, model_table, picture_table

from tests.edits import edit, findings

pytestmark = pytest.mark.regen

IMAGE = 'x-lemon-files: {url: image_urls, formats: [png, jpeg, webp], maxBytes: 52428800, source: "L, T+"}'
MASK = 'x-lemon-files: {url: mask.image_url, formats: [png], maxBytes: 52428800, sameSizeAs: image, source: "L"}'
VARIED = '          x-lemon-files: {formats: [png], maxBytes: 52428800, source: "E, T+"}\n'
SIZES = "    size: [tokenlab.request_format_details.resolutions]"
EDIT, VARY, LIVE = "paths['/v1/images/edits'].post", "paths['/v1/images/variations'].post", "x-lemon-live"


@pytest.mark.parametrize(
    ("old", "new", "place", "reason"),
    [
        # Files.
        (VARIED, "", f"{VARY}.requestBody.image", "say what the file may be: x-lemon-files"),
        (IMAGE, "x-lemon-files: {formats: [png]}", f"{EDIT}.requestBody.image", "say what the file may be"),
        (IMAGE, IMAGE.replace("image_urls", "images"), f"{EDIT}.requestBody.image", "has no field 'images'"),
        (MASK, MASK.replace("mask.image_url", "mask.url"), f"{EDIT}.requestBody.mask", "has no field 'mask.url'"),
        (MASK, MASK.replace("As: image", "As: picture"), f"{EDIT}.requestBody.mask", "there is no file 'picture'"),
        (VARIED, VARIED.replace("{", "{url: image_urls, "), f"{VARY}.requestBody.image", "JSON form has no field"),
        (VARIED, VARIED.replace("[png]", "png"), f"{VARY}.requestBody.image", "formats is a list of kinds of files"),
        (VARIED, VARIED.replace("52428800", '"50 MB"'), f"{VARY}.requestBody.image", "maxBytes is a number of bytes"),
        (IMAGE, IMAGE.replace("image_urls", "[image_urls]"), f"{EDIT}.requestBody.image", "has no field ['image"),
        ("        model: *model\n        n: *n\n        size: *size\n        response",
         "        model: *model\n        n: {type: integer}\n        size: *size\n        response",
         f"{VARY}.requestBody", "n is not a generation's: the rows speak of those, so share it by an anchor (*n)"),
        # Live models.
        ("  entries: [data]\n", "", LIVE, "entries is missing"),
        ("  id: [id]\n  takes:", "  id: id\n  takes:", f"{LIVE}.id", "is a list of fields"),
        ("  unit: [", "  units: [", f"{LIVE}.units", "did you mean unit?"),
        (SIZES, SIZES.replace("size", "sise"), f"{LIVE}.values.sise", "has no such parameter"),
        ("  query: {category: image}", "  query: [category]", f"{LIVE}.query", "is what the list is asked with"),
    ],
)  # fmt: skip
def test_what_nothing_would_come_of_is_refused(tools, old, new, place, reason):
    found = findings(tools, edit((old, new), whole=True))
    assert any(one.place == place and reason in one.reason for one in found), [str(one) for one in found]
    assert all(one.line for one in found)


def test_the_tables_say_what_the_contract_says(tools):
    assert picture_table.FORMS["create_variation"].files["image"] == picture_table.Files(
        most=1, many=False, required=True, formats=("png",), max_bytes=52428800, url=(), same_size=None, source="E, T+"
    )
    assert picture_table.FORMS["edit_image"].required == ("prompt", "model")
    assert set(image_params.CreateVariationParams.__annotations__) == {"n", "size", "response_format", "user"}
    assert model_table.LIVE.entries == (("data",),)
    assert model_table.LIVE.takes[0] == ("tokenlab", "request_format_details", "supported_parameters")
    changed = edit((IMAGE, IMAGE.replace("52428800", "100")), whole=True)
    assert "('png', 'jpeg', 'webp'), 100, ('image_urls',)" in tools.regen.picture_table(tools.lint.load(changed))
