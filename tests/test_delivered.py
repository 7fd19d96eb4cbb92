"""Delivered is what was asked for: a picture says by itself what it is, and a difference is told."""

from __future__ import annotations

import json
import random
from collections import deque
from io import BytesIO

import httpx
import lemon_client.model_table
import PIL.Image
import pytest

from lemon_ext import AsyncLemon, Lemon, LemonWarning, capabilities, run_batch
from lemon_ext._delivered import differences
from lemon_ext._picture import Examined, examine
from tests.cli import emulator, lemon, server  # noqa: F401 - fixtures
from tests.conftest import KEY
from tests.gateway import Gateway, results

SHAPES = ("1:1", "16:9", "9:16", "3:2", "2:3", "3:4", "4:3", "4:5", "5:4", "21:9")
#: What Google's image models make of each shape, as their documents list it.
REAL = {
    "1:1": (1024, 1024), "2:3": (832, 1248), "3:2": (1248, 832), "3:4": (864, 1184), "4:3": (1184, 864),
    "4:5": (896, 1152), "5:4": (1152, 896), "9:16": (768, 1344), "16:9": (1344, 768), "21:9": (1536, 672),
}  # fmt: skip


def picture(size=(64, 48), kind="PNG"):
    file = BytesIO()
    PIL.Image.new("RGB", size, "gold").save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("asked", "size", "kind", "said"),
    [
        ({"pixels": "64x48"}, (64, 48), "PNG", []),
        ({"pixels": "64x64"}, (64, 48), "JPEG", ["64x64 pixels were asked for and 64x48 came"]),
        ({"pixels": "48x64"}, (64, 48), "WEBP", ["48x64 pixels were asked for and 64x48 came"]),
        ({"pixels": "auto"}, (64, 48), "PNG", []),
        ({"shape": "4:3"}, (64, 48), "PNG", []),
        ({"shape": "64x48"}, (640, 480), "PNG", []),  # a size that stands for a shape
        ({"shape": "16:9"}, (64, 48), "PNG", ["the shape 16:9 was asked for and 64x48 pixels came"]),
        ({"shape": "wide"}, (64, 48), "PNG", []),
        ({"format": "jpeg"}, (64, 48), "JPEG", []),
        ({"format": "JPG"}, (64, 48), "JPEG", []),
        ({"format": "webp"}, (64, 48), "PNG", ["webp was asked for and png came"]),
        (
            {"format": "webp", "pixels": "1x1", "count": 1},
            (64, 48),
            "PNG",
            ["webp was asked for and png came", "1x1 pixels were asked for and 64x48 came"],
        ),
        ({"pixels": None, "shape": 4, "format": []}, (64, 48), "PNG", []),
        ({"pixels": "0x0", "shape": "0:1"}, (64, 48), "PNG", []),
    ],
)
def test_a_picture_is_compared_by_its_own_header(asked, size, kind, said):
    assert differences(asked, examine(picture(size, kind))) == said


def test_a_drawing_has_a_shape_and_no_pixels():
    drawing = Examined("svg", None, (32, 24))
    assert differences({"pixels": "640x480"}, drawing) == []
    assert differences({"pixels": "640x640"}, drawing) == [
        "the shape 640x640 was asked for and 32x24 pixels came",
    ]


def test_five_hundred_mismatches_are_found_and_no_match_is_taken_for_one():
    dice = random.Random(9)
    found = 0
    for _ in range(500):
        kind, other = dice.sample(["png", "jpeg", "webp"], 2)
        shape, wrong = dice.sample(SHAPES, 2)
        width, height = (dice.randrange(256, 3841, 16) for _ in range(2))
        asked = {"pixels": f"{width}x{height}", "format": kind, "shape": None}
        assert differences(asked, Examined(kind, None, (width, height))) == []
        assert differences({"shape": shape}, Examined(kind, None, REAL[shape])) == []
        mismatch = dice.choice(
            [
                (asked, Examined(other, None, (width, height))),
                (asked, Examined(kind, None, (width + dice.choice([-16, 16, 1]), height))),
                ({"shape": shape}, Examined(kind, None, REAL[wrong])),
            ]
        )
        found += bool(differences(*mismatch))
    assert found == 500


def test_what_a_request_asks_follows_from_the_contract(monkeypatch):
    rows = dict(lemon_client.model_table.MODELS)
    rows["brand-new"] = {**rows["*"], "asks": {"size": "shape"}}
    monkeypatch.setattr(capabilities, "MODELS", rows)
    assert capabilities.asked({"model": "dall-e-3", "size": "1024x1024", "n": 2, "prompt": "a cat"}) == {
        "pixels": "1024x1024",
        "count": 2,
    }
    assert capabilities.asked({"model": "brand-new", "size": "1024x1024"}) == {"shape": "1024x1024"}
    assert capabilities.asked({"model": 5, "size": None}) == {}


def api(count=1):
    def respond(request):
        if request.url.host == "img.example.net":
            return httpx.Response(200, content=picture())
        data = [{"url": f"https://img.example.net/{number}"} for number in range(count)]
        return httpx.Response(200, json={"created": 1, "data": data})

    return httpx.MockTransport(respond)


def test_a_difference_is_a_warning_and_a_note_where_it_is_saved(tmp_path):
    with httpx.Client(transport=api(2)) as http, Lemon(KEY, http_client=http) as client:
        result = client.images.generate("a cat", model="flux-schnell", size="64x64", n=2)
        assert result.notes == []
        with pytest.warns(LemonWarning, match=r"Image \d: 64x64 pixels were asked for and 64x48 came\.") as caught:
            result.save(tmp_path)
        result[0].read()  # told once: another warning would be an error here
    assert len(caught) == 2
    assert result[1].notes == ["64x64 pixels were asked for and 64x48 came"]
    assert result.notes[1] == "Image 2: 64x64 pixels were asked for and 64x48 came."


@pytest.mark.anyio
async def test_the_async_twin_warns_too(tmp_path):
    async with httpx.AsyncClient(transport=api()) as http, AsyncLemon(KEY, http_client=http) as client:
        result = await client.images.generate("a cat", model="flux-schnell", size="64x64")
        with pytest.warns(LemonWarning, match="64x64 pixels were asked for and 64x48 came"):
            await result[0].asave(tmp_path / "cat.png")


@pytest.mark.parametrize(("given", "warns"), [({"n": 1}, True), ({}, False)])
def test_more_images_than_asked_for_are_told_where_a_number_was_asked_for(given, warns):
    with httpx.Client(transport=api(4)) as http, Lemon(KEY, http_client=http) as client:
        if warns:
            with pytest.warns(LemonWarning, match="1 image was asked for and 4 came"):
                result = client.images.generate("a cat", **given)
        else:
            result = client.images.generate("a cat", **given)
    assert (len(result), bool(result.notes)) == (4, warns)


def test_what_was_asked_for_goes_with_a_handle_to_another_process():
    gateway = Gateway(seconds=0.0)
    client = gateway.client(blocking=True)
    task = client.images.submit("a cat", model="midjourney", size="64x64")
    handle = json.loads(json.dumps(task.to_dict()))
    assert handle["asked"] == {"pixels": "64x64"}
    gateway.picture = picture()
    result = client.images.task_from_dict(handle).result()
    with pytest.warns(LemonWarning, match=r"Image 1 of task img_1: 64x64 pixels were asked for and 64x48 came"):
        result[0].read()


def test_a_batch_notes_it_in_its_results(tmp_path):
    gateway = Gateway()
    gateway.picture = picture()
    rows = [
        {"prompt": "one", "model": "midjourney", "size": "64x48"},
        {"prompt": "two", "model": "midjourney", "size": "64x64", "n": 2},
    ]
    list(run_batch(rows, tmp_path, client=gateway.client()))
    one, two = results(tmp_path)
    assert one["note"] is None
    said = "64x64 pixels were asked for and 64x48 came."
    assert two["note"] == f"Image 1: {said} Image 2: {said}"
    assert said in (tmp_path / "index.html").read_text()


def test_a_batch_that_goes_on_keeps_what_was_noted(tmp_path):
    gateway = Gateway()
    gateway.picture = picture()
    rows = [{"prompt": "two", "model": "midjourney", "size": "64x64", "n": 2}]
    gateway.pictures["img_1-1.png"] = deque([404] * 50)
    list(run_batch(rows, tmp_path, client=gateway.client()))
    said = "64x64 pixels were asked for and 64x48 came."
    assert results(tmp_path)[0]["note"] == f"Image 1: {said}"
    gateway.pictures.clear()
    list(run_batch(None, tmp_path, client=gateway.client()))
    assert results(tmp_path)[0]["note"] == f"Image 1: {said} Image 2: {said}"


def test_the_command_line_says_it_on_stderr_and_in_json(emulator):  # noqa: F811
    emulator.inject("other_size")
    emulator.inject("other_format")
    done = lemon("generate", "a cat", "-m", "flux-schnell", "--size", "512x512", "--json")
    assert "512x512 pixels were asked for and 256x256 came" in done.stderr
    assert json.loads(done.stdout)["note"] == "Image 1: 512x512 pixels were asked for and 256x256 came."
    assert json.loads(done.stdout)["paths"] == ["a-cat.webp"]
