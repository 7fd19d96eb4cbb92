"""Pictures in an answer: taken out while it arrives, kept as bytes, and read however their Base64 came."""

from __future__ import annotations

import base64
import json
import os
import pickle
import random
import tempfile

import httpx
import pytest

from lemon_ext import LemonError, SubmissionUncertainError, _base64
from lemon_ext._base64 import Picture, PictureScan, Spool, as_text, decoded, placed
from tests.pictures import picture

#: Large enough to be taken out of an answer.
PNG = picture("PNG") + bytes(range(256)) * 400
TEXT = base64.b64encode(PNG).decode()


def scanned(raw, size):
    scan = PictureScan()
    for at in range(0, len(raw), size):
        scan.feed(raw[at : at + size])
    return scan.finish(), scan.pictures


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ('{"data":[{"b64_json":"aGVsbG8="}]}', [b"hello"]),
        ('{"data": [{"b64_json" :\n\t "aGVsbG8="}, {"b64_json": "aGk="}], "created": 1}', [b"hello", b"hi"]),
        ('{"data":[{"b64_json":"\\/\\/\\/\\/+\\/\\/\\/"}]}', [b"\xff\xff\xff\xfb\xff\xff"]),
        ('{"data":[{"b64_json":""},{"b64_json":null},{"b64_json":7}]}', []),
        ('{"data":[{"b64_json":"aGVsbG8"}]}', []),
        ('{"data":[{"b64_json":"aGVs=bG8="}]}', []),
        ('{"data":[{"b64_json":"aGk=aGk="}]}', []),
        ('{"data":[{"b64_json":"aGl="}]}', []),
        ('{"data":[{"b64_json":"data:image/png;base64,aGVsbG8="}]}', []),
        ('{"data":[{"b64_json":"aGVs\\nbG8="},{"b64_json":"aGk="}]}', [b"hi"]),
        ('{"data":[{"b64_json":"aGVs\\"bG8="},{"b64_json":"aGk="}]}', [b"hi"]),
        ('{"data":[{"b64_json":"aGVs\\\\/G8="}]}', []),
        ('{"data":[{"b64_json":"aGVs\\u0062G8="}]}', []),
        ('{"data":[{"b64_json":"aGVsé"}]}', []),
        ('{"prompt":"say \\"b64_json\\": \\"aGk=\\"","data":[{"b64_json":"aGk="}]}', [b"hi"]),
        ('{"\\"b64_json":"aGk="}', []),
        ('{"error":{"b64_json":"aGk="},"b64_json":["aGk="]}', [b"hi"]),
    ],
)
def test_pictures_are_taken_out_and_nothing_is_lost(raw, found):
    for size in (1, 2, 3, 5, 7, 64, 1000, 1 << 20):
        text, pictures = scanned(raw.encode(), size)
        assert [b"".join(picture) for picture in pictures.values()] == found
        assert as_text(placed(json.loads(text), pictures)) == json.loads(raw)


@pytest.mark.parametrize("end", ["", "x", '"', '"}', '"}]'])
def test_an_answer_that_ends_too_soon_keeps_its_text(end):
    raw = ('{"data":[{"b64_json":"' + TEXT[:50_001] + end).encode()
    text, pictures = scanned(raw, 4096)
    assert pictures == {}
    assert text == raw


def test_any_answer_survives_being_cut_anywhere(monkeypatch):
    monkeypatch.setattr(_base64, "IN_MEMORY", 500)
    rng = random.Random(4)
    for _ in range(100):
        items = [{rng.choice(["b64_json", "url", "x"]): base64.b64encode(rng.randbytes(rng.randrange(900))).decode()}]
        document = {"data": items * rng.randrange(4), "n": [{"b64_json": rng.choice(["", "a", "====", "aGk="])}]}
        raw = json.dumps(document).replace("/", rng.choice(["/", "\\/"])).encode()
        text, pictures = scanned(raw, rng.randrange(1, 300))
        assert as_text(placed(json.loads(text), pictures)) == document


def test_an_answer_with_no_end_of_keys_is_not_searched_for_ever():
    raw = json.dumps([{"b64_json": "aGk="}] * 1000).encode()
    text, pictures = scanned(raw, 4096)
    assert len(pictures) == _base64.MAX_PICTURES
    assert as_text(placed(json.loads(text), pictures)) == json.loads(raw)


def test_a_picture_can_be_pickled():
    picture = pickle.loads(pickle.dumps(Picture.of(PNG)))
    assert b"".join(picture) == PNG
    assert picture.base64() == TEXT


def test_many_bytes_go_to_disk_and_are_gone_with_the_last_picture(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(_base64, "_on_disk", type(_base64._on_disk)())
    spool = Spool()
    spool.write(b"x" * 1000)
    assert not _base64._on_disk
    spool.write(b"y" * _base64.IN_MEMORY)
    assert spool in _base64._on_disk
    assert spool.read(999, 2) == b"xy"
    del spool
    assert list(tmp_path.iterdir()) == []
    assert not _base64._on_disk


def test_a_full_disk_costs_memory_and_no_picture(monkeypatch):
    class Full:
        def __init__(self):
            self.data = b""

        def write(self, data):
            if len(self.data) >= _base64.IN_MEMORY:
                raise OSError(28, "No space left on device")
            self.data += bytes(data[:100_000])  # a full disk takes a part first
            return min(len(data), 100_000)

        def seek(self, at):
            self.at = at

        def read(self, size):
            return self.data[self.at : self.at + size]

        def close(self):
            self.data = b""

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **options: Full())
    data = bytes(range(256)) * 1200
    spool = Spool()
    for _ in range(4):
        spool.write(data)
    assert spool.read(0, 10_000_000) == data * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_process_and_its_parent_read_the_same_picture_at_once():
    shown = Picture.of(PNG * 10)
    child = os.fork()
    if child == 0:  # the place in the file is shared: reading must not rest on it
        os._exit(0 if all(b"".join(shown) == PNG * 10 for _ in range(50)) else 1)
    ours = all(b"".join(shown) == PNG * 10 for _ in range(50))
    assert ours
    assert os.waitpid(child, 0)[1] == 0


def test_answers_above_the_files_a_process_may_hold_stay_in_memory(monkeypatch):
    monkeypatch.setattr(_base64, "MAX_FILES", 0)
    monkeypatch.setattr(tempfile, "TemporaryFile", None)
    assert b"".join(Picture.of(PNG * 5)) == PNG * 5


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (TEXT, PNG),
        (base64.encodebytes(PNG).decode(), PNG),
        (base64.encodebytes(PNG).decode().replace("\n", "\r\n\t "), PNG),
        (f" {TEXT}\n", PNG),
        (" ".join([TEXT[:4000], TEXT[4000:9000], TEXT[9000:]]), PNG),
        (TEXT.replace("+", " "), PNG),  # as a form writes it
        (TEXT.rstrip("="), PNG),
        (base64.urlsafe_b64encode(PNG).decode(), PNG),
        (TEXT[:8001], PNG[:6000]),
        (TEXT[:8002], PNG[:6001]),
        (f"data:image/png;base64,{TEXT}", PNG),
        (f" DATA:image/png;base64 ,\n{TEXT}", PNG),
        ("data:image/svg+xml,%3Csvg%3E+%3C/svg%3E", b"<svg>+</svg>"),
        ("data:image/svg+xml;utf8,<svg></svg>", b"<svg></svg>"),
        ("data:image/png;base64,", b""),
        ("???", b""), ("a", b""), ("aGk=x==", b""), ("\u00e9", b""), ("====", b""), ("", b""),
    ],
)  # fmt: skip
def test_base64_is_read_however_it_came(text, data):
    assert "+" in TEXT
    assert decoded(text) == data


def chunked(colour, raw, size=10_000, end=None):
    """A body that arrives in pieces, and may break off."""
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]

    def blocking():
        yield from pieces
        if end is not None:
            raise end

    async def asynchronous():
        for piece in blocking():
            yield piece

    return blocking() if colour.blocking else asynchronous()


def generate(colour, raw, status=200, **options):
    lemon = colour.client(lambda request: httpx.Response(status, content=chunked(colour, raw, **options)))
    return colour.call(lemon.images.generate, "a cat")


ANSWER = {"created": 5, "data": [{"b64_json": TEXT, "revised_prompt": "x"}, {"b64_json": TEXT[:-4], "new": [1]}]}


def test_a_large_answer_looks_like_any_other(colour, tmp_path):
    result = generate(colour, json.dumps(ANSWER).encode())
    assert isinstance(result[0]._fields["b64_json"], Picture)
    assert [image.b64_json for image in result] == [item["b64_json"] for item in ANSWER["data"]]
    assert result.raw == ANSWER
    assert result[1].raw.to_dict() == ANSWER["data"][1]
    assert result[0].read() == PNG
    assert colour.call(colour.twin(result[0], "read")) == PNG
    paths = colour.call(colour.twin(result, "save"), tmp_path)
    assert [path.read_bytes() for path in paths] == [PNG, base64.b64decode(TEXT[:-4])]
    assert repr(result[0]) == "<Image with data>"
    assert result[0]._repr_mimebundle_()["image/png"] == TEXT
    again = pickle.loads(pickle.dumps(result))
    assert again[0].read() == PNG
    assert again.raw == ANSWER


def test_a_large_answer_to_a_poll_goes_to_json_and_back_whole(colour):
    done = {"task_id": "img_1", "status": "completed", **ANSWER}
    pending = {"task_id": "img_1", "status": "pending"}

    def handler(request):
        answer = pending if request.method == "POST" else done
        return httpx.Response(200, content=chunked(colour, json.dumps(answer).encode()))

    lemon = colour.client(handler)
    task = colour.call(lemon.images.submit, "a cat", model="midjourney")
    colour.call(task.result)
    kept = json.loads(json.dumps(task.to_dict()))
    assert kept["answer"] == done
    assert colour.call(lemon.images.task_from_dict(kept).result)[0].read() == PNG


def test_small_answers_and_errors_are_taken_as_they_come(colour):
    small = {"data": [{"b64_json": "aGk="}]}
    assert generate(colour, json.dumps(small).encode()).raw == small
    with pytest.raises(LemonError) as caught:
        generate(colour, json.dumps({"error": {"message": "no", "b64_json": TEXT}}).encode(), status=400)
    assert caught.value.body["b64_json"] == TEXT


def test_an_answer_that_cannot_be_understood_keeps_all_but_the_pictures(colour):
    with pytest.raises(LemonError) as caught:
        generate(colour, json.dumps({"odd": {"b64_json": TEXT, "note": "look here"}}).encode())
    response = caught.value.response
    assert as_text(response.json())["odd"] == {"note": "look here", "b64_json": TEXT}
    assert as_text(pickle.loads(pickle.dumps(caught.value)).response.json()) == as_text(response.json())


def test_an_answer_that_breaks_off_in_a_picture_may_have_been_billed(colour):
    raw = json.dumps(ANSWER).encode()[:100_000]
    with pytest.raises(SubmissionUncertainError):
        generate(colour, raw, end=httpx.RemoteProtocolError("cut"))


def test_a_key_in_a_large_answer_is_masked_and_its_pictures_stay(colour):
    lemon_key = "sk-secret-0123456789"
    result = generate(colour, json.dumps({**ANSWER, "echo": lemon_key}).encode())
    assert result.raw["echo"] == "***"
    assert result[0].read() == PNG
