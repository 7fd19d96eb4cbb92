"""Pictures that are sent: what is refused before sending, what a form holds, edits and variations in both colours."""

from __future__ import annotations

import io
import re

import anyio
import pytest
from lemon_client.picture_table import FORMS
from PIL import Image, ImageDraw
from werkzeug.formparser import parse_form_data
from werkzeug.test import EnvironBuilder

from lemon_ext import AsyncLemon, CapabilityError, Lemon, SubmissionUncertainError
from lemon_ext._inputs import form, read_pictures
from lemon_ext._request import prepare_pictures
from lemon_ext.emulator import KEY, Emulator, Request
from tests.conftest import awaited


def picture(size=(64, 48), kind="PNG", hole=False):
    image = Image.new("RGBA" if hole else "RGB", size, (200, 60, 40, 255) if hole else (200, 60, 40))
    ImageDraw.Draw(image).rectangle((16, 12, 40, 30), fill=(0, 0, 0, 0) if hole else (40, 200, 60))
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


PNG, JPEG, WEBP, GIF = (picture(kind=kind) for kind in ("PNG", "JPEG", "WEBP", "GIF"))
MASK = picture(hole=True)
ADDRESS = "https://img.example.net/a.png"


# ---- what is refused before anything is sent ----


@pytest.mark.parametrize("validation", ["strict", "warn", "off"])
@pytest.mark.parametrize(
    ("operation", "given", "reason"),
    [
        ("edit_image", {"image": b""}, "image: is empty"),
        ("edit_image", {"image": PNG[:-20]}, "image: is no whole picture"),
        ("edit_image", {"image": JPEG[: len(JPEG) // 2]}, "image: is no whole picture"),
        (
            "edit_image",
            {"image": b"<html>not a picture, however long it is</html>"},
            "image: is no whole picture: it is text",
        ),
        ("edit_image", {"image": bytes(range(256))}, "image: is no picture of a kind that is known"),
        ("edit_image", {"image": GIF}, "image: is a gif; allowed: png, jpeg, webp (L, T+)"),
        (
            "edit_image",
            {"image": PNG + bytes(52428800)},
            "image: has 52,428,9.. bytes; allowed: up to 52,428,800 bytes",
        ),
        (
            "edit_image",
            {"image": lambda: io.BytesIO(PNG + bytes(52428800))},
            "image: is larger; allowed: up to 52,428,800 bytes",
        ),
        ("edit_image", {"image": []}, "image: there are 0 pictures; allowed: 1 to 16 (L, T+)"),
        ("edit_image", {"image": 17 * [PNG]}, "image: there are 17 pictures; allowed: 1 to 16 (L, T+)"),
        ("edit_image", {"image": [PNG, b""]}, "image: picture 2: is empty"),
        ("edit_image", {"image": [PNG, ADDRESS]}, "image: some are files and some are addresses"),
        ("edit_image", {"image": ADDRESS, "mask": MASK}, "image: some are files and some are addresses"),
        ("edit_image", {"image": "https://user:secret@img.example.net/a.png"}, "image: is no public http(s) address"),
        ("edit_image", {"image": PNG, "mask": JPEG}, "mask: is a jpeg; allowed: png (L)"),
        ("edit_image", {"image": PNG, "mask": picture((32, 32), hole=True)}, "mask: is 32x32 and image is 64x48: both"),
        ("create_variation", {"image": None}, "image: there are 0 pictures; allowed: one"),
        ("create_variation", {"image": [PNG, PNG]}, "image: there are 2 pictures; allowed: one"),
        ("create_variation", {"image": ADDRESS}, "image: is an address, and this takes files alone"),
    ],
)
def test_what_is_no_picture_or_beyond_a_limit_is_never_sent(operation, given, reason, validation):
    given = {name: value() if callable(value) else value for name, value in given.items()}
    with pytest.raises(CapabilityError, match=re.escape(reason).replace("9\\.\\.", r"9\d\d")) as caught:
        prepare_pictures(operation, given, "x", "a-new-model", {}, None, validation)
    assert str(caught.value).startswith("Nothing was sent.")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "kind"),
    [("no/such/file.png", FileNotFoundError), (io.StringIO("x"), TypeError), (3, TypeError), (None, CapabilityError)],
)
def test_what_cannot_be_read_is_an_error_of_its_own(given, kind):
    with pytest.raises(kind):
        prepare_pictures("edit_image", {"image": given}, "x", "a-new-model", {}, None, "strict")


@pytest.mark.parametrize(
    ("operation", "params", "kind", "message"),
    [
        ("edit_image", {"n": 99}, CapabilityError, "n: 99 is out of range"),
        ("edit_image", {"style": "vivid"}, TypeError, "'style' is not a parameter of the API for this request"),
        ("edit_image", {"sise": "1024x1024"}, TypeError, "Did you mean 'size'"),
        ("create_variation", {"quality": "hd"}, TypeError, "'quality' is not a parameter"),
    ],
)
def test_parameters_are_judged_as_those_of_a_generation(operation, params, kind, message):
    with pytest.raises(kind, match=message):
        prepare_pictures(operation, {"image": PNG}, "x", "dall-e-2", params, None, "strict")


# ---- a form ----

EVIL = [
    b"\r\n--" + b"0" * 32 + b"--\r\n",
    b'\r\n--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nthe-dearest-one\r\n--x--\r\n',
    b"\r\n" * 1000,
]


def test_no_bytes_of_a_picture_can_end_its_part(monkeypatch):
    """Another reader of forms finds each part as it was given, whatever stands in the pictures and in the texts."""
    files = [PNG + tail for tail in EVIL]  # bytes behind the end of a picture are no fault
    pictures, wrong = read_pictures("edit_image", {"image": files, "mask": MASK})
    assert wrong == []
    fields = {"prompt": 'half "quoted"\r\n--x\r\n', "n": 2, 'a"\r\nb': [True, {"c": 1}]}
    drawn = iter(["0" * 32, "1" * 32])
    monkeypatch.setattr("secrets.token_hex", lambda _: next(drawn))
    sent = form("edit_image", fields, pictures)
    assert sent.content_type == f"multipart/form-data; boundary={'1' * 32}"  # the first one stands in a picture
    environment = EnvironBuilder(
        method="POST", input_stream=io.BytesIO(sent.content), content_type=sent.content_type,
        content_length=len(sent.content),
    ).get_environ()  # fmt: skip
    _, texts, parts = parse_form_data(environment)
    assert [part.read() for part in parts.getlist("image")] == files
    assert [part.read() for part in parts.getlist("mask")] == [MASK]
    assert [part.mimetype for part in parts.getlist("image")] == 3 * ["image/png"]
    assert (texts["prompt"], texts["n"]) == (fields["prompt"], "2")
    (odd,) = texts.keys() - {"prompt", "n"}  # readers differ in whether they undo the escapes of a name
    assert odd.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n") == 'a"\r\nb'
    assert texts.getlist(odd) == ["true", '{"c": 1}']
    assert parts.keys() == {"image", "mask"}
    for part in (*parts.getlist("image"), *parts.getlist("mask")):
        part.close()


def test_addresses_go_where_the_contract_says():
    pictures, wrong = read_pictures("edit_image", {"image": [ADDRESS, f"{ADDRESS}?2"], "mask": ADDRESS})
    assert wrong == []
    sent = form("edit_image", {"prompt": "x"}, pictures)
    assert (sent.content, sent.json) == (
        None,
        {"prompt": "x", "image_urls": [ADDRESS, f"{ADDRESS}?2"], "mask": {"image_url": ADDRESS}},
    )


# ---- both colours, on the emulator ----


def pixels(data):
    return Image.open(io.BytesIO(data)).convert("RGB")


@pytest.mark.parametrize("colour", [Lemon, AsyncLemon])
def test_edits_and_variations_in_both_colours(colour, tmp_path):
    (tmp_path / "cat.png").write_bytes(PNG)

    async def main():
        with Emulator(task_seconds=0) as emulator:
            lemon = colour(KEY, base_url=emulator.url, deadline=20)
            try:
                images = lemon.images
                with (tmp_path / "cat.png").open("rb") as file:
                    givens = [PNG, tmp_path / "cat.png", str(tmp_path / "cat.png"), file, [PNG, JPEG, WEBP]]
                    for given in givens:
                        result = await awaited(images.edit(given, "make it night", model="dall-e-2", n=2))
                        assert (len(result), result.prompt, result.task_id) == (2, "make it night", None)
                task = await awaited(images.edit(PNG, "x", model="flux-pro", poll_interval=0.01))
                assert task.task_id
                made = await awaited(images.generate("a cat", model="dall-e-2", size="256x256"))
                by_address = await awaited(images.edit(made[0].url, "x", model="dall-e-2"))
                assert pixels(await by_address[0].aread() if colour is AsyncLemon else by_address[0].read()).size == (
                    256,
                    256,
                )
                varied = await awaited(images.create_variation(PNG, model="dall-e-2", response_format="b64_json"))
                assert pixels(varied[0].read()).size == (64, 48)
                asked = [charge.request for charge in emulator.ledger]
                assert asked[0] == {"model": "dall-e-2", "prompt": "make it night", "n": 2, "image": ["(a file)"]}
                assert asked[4]["image"] == 3 * ["(a file)"]
                assert asked[7] == {"model": "dall-e-2", "prompt": "x", "image_urls": [made[0].url]}
                assert asked[8] == {"model": "dall-e-2", "response_format": "b64_json", "image": "(a file)"}
                emulator.inject("drop_after")
                before = emulator.charges
                with pytest.raises(SubmissionUncertainError):
                    await awaited(images.edit(PNG, "lost", model="dall-e-2"))
                with pytest.raises(CapabilityError, match="Nothing was sent"):
                    await awaited(images.edit(b"", "x"))
                assert emulator.charges == before + 1
            finally:
                await awaited(lemon.close() if colour is Lemon else lemon.aclose())

    anyio.run(main)


def test_the_emulator_changes_what_the_mask_leaves_open():
    with Emulator() as emulator, Lemon(KEY, base_url=emulator.url) as lemon:
        edit = lemon.images.edit(PNG, "x", mask=MASK, model="dall-e-2", response_format="b64_json")
        whole = lemon.images.edit(PNG, "x", model="dall-e-2", response_format="b64_json")
    masked, everywhere, before = (pixels(data) for data in (edit[0].read(), whole[0].read(), PNG))
    inside, outside = (20, 20), (56, 24)
    assert masked.getpixel(inside) != before.getpixel(inside)
    assert masked.getpixel(outside) == before.getpixel(outside)
    assert everywhere.getpixel(outside) != before.getpixel(outside)


@pytest.mark.parametrize(
    ("parts", "status", "param"),
    [
        ({"prompt": b"x", "model": b"dall-e-2", "image": PNG}, 200, None),
        ({"prompt": b"x", "model": b"dall-e-2"}, 400, "image"),
        ({"model": b"dall-e-2", "image": PNG}, 400, "prompt"),
        ({"prompt": b"x", "model": b"dall-e-2", "image": PNG[:50]}, 400, "image"),
        ({"prompt": b"x", "model": b"dall-e-2", "image": GIF}, 400, "image"),
        ({"prompt": b"x", "model": b"dall-e-2", "image": PNG, "n": b"99"}, 400, "n"),
        ({"prompt": b"x", "model": b"dall-e-2", "image": PNG, "n": b"many"}, 400, "n"),
        ({"prompt": b"x", "model": b"dall-e-2", "image": PNG, "quality": b"hd"}, 400, "quality"),
    ],
)
def test_the_emulator_judges_a_form_by_the_contract(parts, status, param):
    body = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), data)
        for name, data in parts.items()
    )
    headers = {"authorization": f"Bearer {KEY}", "content-type": "multipart/form-data; boundary=b"}
    for whole, expected in ((body + b"--b--\r\n", status), (body, 400)):
        response = Emulator().handle(Request("POST", "/v1/images/edits", headers, whole))
        assert response.status == expected, response.body
        if whole is not body and param:
            assert response.json()["error"]["param"] == param


def test_the_limits_are_those_of_the_contract():
    files = FORMS["edit_image"].files
    assert (files["image"].most, files["image"].max_bytes, files["image"].url) == (16, 52428800, ("image_urls",))
    assert (files["mask"].formats, files["mask"].same_size, files["mask"].url) == (
        ("png",),
        "image",
        ("mask", "image_url"),
    )
    assert FORMS["create_variation"].required == ("model",)
