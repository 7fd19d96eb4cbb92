"""Reading and saving images: whole or not at all, under the right name, from anywhere, and never with the key."""

from __future__ import annotations

import base64
import errno
import gzip
import io
import os
import pickle
import socket
import tempfile
import threading
import warnings
from pathlib import Path

import anyio
import httpx
import pytest
from PIL import Image

import lemon_ext
from lemon_ext import (
    AsyncLemon,
    DownloadError,
    LemonError,
    LemonWarning,
    ResponseError,
    SaveError,
    SubmissionUncertainError,
)
from lemon_ext._files import PartFile
from tests.pictures import GIF, JPEG, PNG, SVG, WEBP, picture

UNKNOWN = b"\0\1 of a kind that nobody knows"
HOME = "https://img.example.net"


def same(found, data):
    """Tell whether a picture shows the same, whatever its metadata says."""
    with Image.open(io.BytesIO(found)) as new, Image.open(io.BytesIO(data)) as old:
        return (new.format, new.size, new.tobytes()) == (old.format, old.size, old.tobytes())


def images(*data, prompt="a white cat"):
    """A server of one inline answer, whose pictures the given handlers or bytes serve by path."""

    def serve(pictures):
        def handler(request):
            if request.method == "POST":
                return httpx.Response(200, json={"created": 1, "data": list(data)})
            picture = pictures[request.url.path]
            if callable(picture):
                return picture(request)
            return picture if isinstance(picture, httpx.Response) else httpx.Response(200, content=picture)

        return handler

    return serve


def get(colour, handler, **params):
    return colour.call(colour.client(handler).images.generate, params.pop("prompt", "a white cat"), **params)


def one(colour, picture, path="/a"):
    return get(colour, images({"url": f"{HOME}{path}"})({path: picture}))[0]


@pytest.mark.parametrize("picture", [PNG, JPEG, WEBP])
def test_read_returns_the_bytes(colour, picture):
    assert colour.call(colour.twin(one(colour, picture), "read")) == picture


@pytest.mark.parametrize(
    "data", [base64.b64encode(PNG).decode(), "data:image/png;base64," + base64.b64encode(PNG).decode()]
)
def test_base64_data_is_decoded_without_a_request(colour, data):
    image = get(colour, images({"b64_json": data})({}))[0]
    assert image.read() == PNG
    assert colour.call(colour.twin(image, "read")) == PNG
    assert len(colour.requests) == 1


def test_a_data_url_is_an_image_too(colour):
    image = get(colour, images({"url": "data:image/png;base64," + base64.b64encode(PNG).decode()})({}))[0]
    assert image.read() == PNG


@pytest.mark.parametrize(
    "data",
    [
        base64.encodebytes(PNG).decode(),
        "data:image/png;base64,\n" + base64.b64encode(PNG).decode(),
        " DATA:image/png;base64," + base64.b64encode(PNG).decode(),
        base64.urlsafe_b64encode(PNG).decode(),
        base64.b64encode(PNG).decode().rstrip("="),
    ],
    ids=["in lines", "a line after the comma", "capitals", "for addresses", "unpadded"],
)
def test_base64_is_read_however_it_came(colour, data):
    image = get(colour, images({"b64_json": data})({}))[0]
    assert image.read() == PNG
    assert base64.b64decode(image._repr_mimebundle_()["image/png"], validate=True) == PNG


@pytest.mark.parametrize(
    ("data", "why", "kept"),
    [
        ("???", "it cannot be decoded", (".txt", b"???")),
        ("aGk=x==", "it cannot be decoded", (".txt", b"aGk=x==")),
        ("\u00e9", "it cannot be decoded", (".txt", "\u00e9".encode())),
        ("data:image/png;base64,", "it cannot be decoded", (".txt", b"data:image/png;base64,")),
        (b"Internal error: the picture was refused", "it is text, not a picture", (".txt", None)),
        (b'{"error": {"message": "no"}}', "it is text, not a picture", (".txt", None)),
        (PNG[:-12], "it ends before its IEND", (".png", None)),
        (JPEG[:-2], r"it ends before its end mark \(EOI\)", (".jpg", None)),
        (WEBP[:-9], "it is shorter than it says", (".webp", None)),
        (GIF[:-1], "it ends too soon", (".gif", None)),
        (picture("AVIF")[:-9], "it is shorter than it says", (".avif", None)),
    ],
)  # fmt: skip
def test_base64_that_is_no_whole_picture_is_an_error_and_kept(colour, tmp_path, data, why, kept):
    text = base64.b64encode(data).decode() if isinstance(data, bytes) else data
    image = get(colour, images({"b64_json": text})({}))[0]
    suffix, content = kept
    for place, name in (("cat.png", "cat"), ("", "a-white-cat")):
        with pytest.raises(ResponseError, match=f"Base64.*{why}.*paid for.*image\\.raw") as caught:
            colour.call(colour.twin(image, "save"), tmp_path / place)
        assert caught.value.path == tmp_path / f"{name}.damaged{suffix}"
        assert str(caught.value.path) in str(caught.value)
        assert caught.value.path.read_bytes() == (content or data)
        assert list(tmp_path.iterdir()) == [caught.value.path]
        caught.value.path.unlink()
    with pytest.raises(ResponseError, match=why) as caught:
        colour.call(colour.twin(image, "read"))
    assert (caught.value.body, caught.value.path) == (content or data, None)
    assert image.raw.b64_json == text
    assert "image/" in " ".join(image._repr_mimebundle_())


@pytest.mark.parametrize("data", ["\u00e9", "data:image/png;base64,", base64.b64encode(PNG[:-9]).decode()])
def test_an_image_whose_data_is_broken_is_fetched_from_its_address(colour, tmp_path, data):
    image = get(colour, images({"b64_json": data, "url": f"{HOME}/a"})({"/a": PNG}))[0]
    assert colour.call(colour.twin(image, "read")) == PNG
    gone = get(colour, images({"b64_json": data, "url": f"{HOME}/a"})({"/a": httpx.Response(410)}))[0]
    with pytest.raises(ResponseError, match="no whole picture") as caught:
        colour.call(colour.twin(gone, "save"), tmp_path / "cat")
    assert caught.value.path.is_file()


def test_an_image_of_the_async_client_says_how_to_read_it(colour):
    image = one(colour, PNG)
    if colour.blocking:
        assert image.read() == PNG
    else:
        with pytest.raises(TypeError, match=r"await image\.aread"):
            image.read()


@pytest.mark.parametrize(
    ("picture", "asked", "saved"),
    [
        (PNG, "cat.png", "cat.png"),
        (PNG, "cat", "cat.png"),
        (PNG, "cat.jpg", "cat.png"),
        (JPEG, "cat.jpeg", "cat.jpeg"),
        (JPEG, "cat.PNG", "cat.jpg"),
        (WEBP, "cat.v2", "cat.v2.webp"),
        (UNKNOWN, "cat.png", "cat.png"),
        (UNKNOWN, "cat", "cat.bin"),
        (SVG, "cat", "cat.svg"),
        (PNG, "new/folder/cat", "new/folder/cat.png"),
    ],
)
def test_the_suffix_comes_from_the_bytes(colour, tmp_path, picture, asked, saved):
    path = colour.call(colour.twin(one(colour, picture), "save"), tmp_path / asked)
    assert path == tmp_path / saved
    assert path.read_bytes() == picture if picture in (UNKNOWN, SVG) else same(path.read_bytes(), picture)


def test_nothing_existing_is_overwritten_silently(colour, tmp_path):
    (tmp_path / "cat.png").write_bytes(b"mine")
    image = one(colour, PNG)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        colour.call(colour.twin(image, "save"), tmp_path / "cat")
    assert (tmp_path / "cat.png").read_bytes() == b"mine"
    colour.call(colour.twin(image, "save"), tmp_path / "cat", overwrite=True)
    assert same((tmp_path / "cat.png").read_bytes(), PNG)
    assert [path.name for path in tmp_path.iterdir()] == ["cat.png"]


def test_without_a_folder_images_are_saved_here(colour, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = get(colour, images({"url": f"{HOME}/a"})({"/a": PNG}), prompt="a cat")
    assert colour.call(colour.twin(result, "save")) == [Path("a-cat.png")]
    assert same((tmp_path / "a-cat.png").read_bytes(), PNG)


def test_a_folder_gets_free_names_made_from_the_prompt(colour, tmp_path):
    handler = images({"url": f"{HOME}/a"}, {"url": f"{HOME}/b"})({"/a": PNG, "/b": JPEG})
    result = get(colour, handler, prompt="A white cat, sitting!", n=2)
    first = colour.call(colour.twin(result, "save"), tmp_path / "out")
    again = colour.call(colour.twin(result, "save"), tmp_path / "out")
    assert [path.name for path in first] == ["a-white-cat-sitting.png", "a-white-cat-sitting.jpg"]
    assert [path.name for path in again] == ["a-white-cat-sitting-2.png", "a-white-cat-sitting-2.jpg"]


def test_an_empty_folder_name_is_the_current_folder(colour, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = colour.call(colour.twin(get(colour, images({"url": f"{HOME}/a"})({"/a": PNG})), "save"), "")
    assert paths == [Path("a-white-cat.png")]
    assert same((tmp_path / "a-white-cat.png").read_bytes(), PNG)


def test_file_modes_follow_the_umask(colour, tmp_path):
    path = colour.call(colour.twin(one(colour, PNG), "save"), tmp_path / "cat")
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def once(*replies):
    left = list(replies)

    def handler(request):
        reply = left.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    return handler


@pytest.mark.parametrize(
    "hiccup",
    [
        httpx.ReadTimeout("t"),
        httpx.ConnectError("c"),
        httpx.RemoteProtocolError("cut short"),
        (500, b"", {}),
        (502, b"<html>", {}),
        (429, b"", {"Retry-After": "3"}),
        (408, b"", {}),
        (200, b"", {}),
    ],
)
def test_a_download_survives(colour, hiccup):
    if not isinstance(hiccup, Exception):
        status, content, headers = hiccup
        hiccup = httpx.Response(status, content=content, headers=headers)
    image = one(colour, once(hiccup, httpx.Response(200, content=PNG)))
    assert colour.call(colour.twin(image, "read")) == PNG


def test_a_download_ends_at_its_deadline(colour):
    image = one(colour, lambda request: httpx.Response(503))
    with pytest.raises(DownloadError, match="do not generate it again") as caught:
        colour.call(colour.twin(image, "read"), deadline=20)
    assert colour.clock.now <= 1020
    assert caught.value.status_code == 503


def test_a_server_that_keeps_saying_at_once_is_not_asked_all_the_time(colour):
    image = one(colour, httpx.Response(503, headers={"Retry-After": "0"}))
    with pytest.raises(DownloadError):
        colour.call(colour.twin(image, "read"), deadline=60)
    assert 8 < len(colour.requests) < 25


def test_a_slow_and_steady_download_has_the_time_until_the_deadline(colour):
    def slow(request):
        pieces = (PNG[:100], PNG[100:200], PNG[200:])

        def blocking():
            for piece in pieces:
                colour.clock.now += 90
                yield piece

        async def asynchronous():
            for piece in blocking():
                yield piece

        return httpx.Response(200, content=blocking() if colour.blocking else asynchronous())

    image = one(colour, slow)
    assert colour.call(colour.twin(image, "read"), deadline=300) == PNG
    assert len(colour.requests) == 2
    assert colour.requests[1].extensions["timeout"]["read"] == 30


@pytest.mark.parametrize("status", [400, 401, 402, 451])
def test_what_another_try_cannot_mend_is_final(colour, status):
    image = one(colour, httpx.Response(status))
    with pytest.raises(DownloadError, match=f"HTTP {status}") as caught:
        colour.call(colour.twin(image, "read"))
    assert caught.value.status_code == status
    assert len(colour.requests) == 2


NOT_YET = {
    "403": (403, b"", "HTTP 403"),
    "404": (404, b"", "HTTP 404"),
    "410": (410, b"", "HTTP 410"),
    "a page": (200, b"<!doctype html><title>Sorry</title>", "it is text, not a picture: Sorry"),
    "json": (200, b'{"error": {"message": "no"}}', "it is text, not a picture: no"),
    "a text": (200, b"too many requests\x1b[2J", "it is text, not a picture: too many requests"),
    "a part of a PNG": (200, PNG[:-12], "it ends before its IEND"),
    "a part of a JPEG": (200, JPEG[:-20], r"it ends before its end mark \(EOI\)"),
    "a part of a WebP": (200, WEBP[:-20], "it is shorter than it says"),
    "a part of a GIF": (200, GIF[:-20], "it ends too soon"),
    "a part of an SVG": (200, SVG[:-3], "it ends before its </svg>"),
}


@pytest.mark.parametrize("reply", NOT_YET)
def test_what_is_not_there_or_not_whole_is_fetched_again_for_a_while_and_then_said(colour, tmp_path, reply):
    status, body, why = NOT_YET[reply]

    def reply(request=None):
        return httpx.Response(status, content=body)

    image = one(colour, once(reply(), reply(), httpx.Response(200, content=PNG)))
    assert colour.call(colour.twin(image, "read")) == PNG
    began, before = colour.clock.now, len(colour.requests)
    image = one(colour, reply)
    with pytest.raises(DownloadError, match=f"{why}.*do not generate it again") as caught:
        colour.call(colour.twin(image, "save"), tmp_path / "cat", deadline=300)
    assert 5 < colour.clock.now - began <= 15
    assert 4 <= len(colour.requests) - before <= 8
    assert "\x1b" not in str(caught.value)
    # A part of a picture is kept; a page or a message is nobody's picture.
    kept = [caught.value.path] if status == 200 and "text" not in why else []
    assert list(tmp_path.iterdir()) == kept
    assert [path.read_bytes() for path in kept] == [body for _ in kept]
    with pytest.raises(DownloadError) as caught:
        colour.call(colour.twin(image, "read"))
    assert caught.value.body == (body if kept else b"")


@pytest.mark.parametrize("status", [202, 425, 503])
def test_an_image_that_is_on_its_way_is_fetched_until_the_deadline(colour, status):
    image = one(colour, once(*[httpx.Response(status)] * 9, httpx.Response(200, content=PNG)))
    assert colour.call(colour.twin(image, "read"), deadline=120) == PNG
    assert colour.clock.now - 1000 > 20


@pytest.mark.parametrize("whole", [PNG, UNKNOWN])
def test_a_body_that_ends_before_its_length_is_fetched_again(colour, whole):
    cut = httpx.Response(200, headers={"Content-Length": str(len(whole))}, content=whole[:-9])
    image = one(colour, once(cut, httpx.Response(200, content=whole)))
    assert colour.call(colour.twin(image, "read")) == whole


def head(*fields):
    return "\r\n".join(["HTTP/1.1 200 OK", "Connection: close", *fields, "", ""]).encode()


@pytest.mark.parametrize(
    "cut",
    [
        lambda data: head(f"Content-Length: {len(data)}") + data[:-9],
        lambda data: head("Transfer-Encoding: chunked") + b"%x\r\n%b" % (len(data), data[:-9]),
        lambda data: head("Transfer-Encoding: chunked") + b"%x\r\n%b\r\n" % (len(data) - 9, data[:-9]),
        lambda data: head() + data[:-9],
    ],
    ids=["less than its length", "in a chunk", "between chunks", "without a length"],
)
def test_a_body_that_breaks_off_on_the_wire_is_fetched_again(colour, cut):
    answers = [*map(cut, (PNG, JPEG, WEBP, GIF)), head() + JPEG]
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)

        def serve():
            for answer in answers:
                with server.accept()[0] as connection:
                    while b"\r\n\r\n" not in connection.recv(65536):
                        pass
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        base = f"http://127.0.0.1:{server.getsockname()[1]}"
        lemon = lemon_ext.Lemon("sk-x", base_url=base) if colour.blocking else AsyncLemon("sk-x", base_url=base)
        data = {"answer": {"data": [{"url": "/a"}]}}

        async def aread():
            async with lemon:
                return await (await lemon.images.task_from_dict(data).result())[0].aread()

        if colour.blocking:
            with lemon:
                found = lemon.images.task_from_dict(data).result()[0].read()
        else:
            found = colour.call(aread)
        thread.join(20)
    assert found == JPEG


def test_a_picture_of_an_unknown_kind_is_kept_with_a_warning(colour, tmp_path):
    for image in (one(colour, UNKNOWN), get(colour, images({"b64_json": base64.b64encode(UNKNOWN).decode()})({}))[0]):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            path = colour.call(colour.twin(image, "save"), f"{tmp_path}/")
        assert path.read_bytes() == UNKNOWN
        assert [warning.category for warning in said] == [LemonWarning]
        assert "kind" in str(said[0].message)


def expiring(status, fresh):
    """A task whose first address has expired; asking again gives a fresh one, or the same."""
    pending = {"task_id": "img_1", "status": "pending"}
    looks = [f"{HOME}/old", fresh, f"{HOME}/never"]

    def handler(request):
        if request.url.path == "/old":
            return httpx.Response(status)
        if request.url.path == "/fresh":
            return httpx.Response(200, content=PNG)
        if request.method == "POST":
            return httpx.Response(200, json=pending)
        return httpx.Response(200, json={"task_id": "img_1", "status": "completed", "data": [{"url": looks.pop(0)}]})

    return handler


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_an_expired_address_is_asked_of_its_task_and_never_generated_again(colour, status):
    image = get(colour, expiring(status, f"{HOME}/fresh"), model="midjourney")[0]
    assert colour.call(colour.twin(image, "read")) == PNG
    assert image.url == f"{HOME}/fresh"
    assert [request.method for request in colour.requests].count("POST") == 1


def test_a_task_is_asked_for_a_fresh_address_once(colour):
    image = get(colour, expiring(404, f"{HOME}/old"), model="midjourney")[0]
    with pytest.raises(DownloadError) as caught:
        colour.call(colour.twin(image, "read"))
    assert caught.value.task.id == "img_1"
    assert [request.method for request in colour.requests].count("POST") == 1
    assert len([request for request in colour.requests if request.url.host == "api.lemondata.cc"]) == 3
    assert 4 <= [request.url.path for request in colour.requests].count("/old") <= 8


def redirect(target):
    return httpx.Response(302, headers={"Location": target})


def test_redirects_are_followed_without_the_key(colour):
    handler = images({"url": f"{HOME}/a"})(
        {"/a": redirect("/b"), "/b": redirect("https://cdn.example.org/c"), "/c": PNG}
    )
    assert colour.call(colour.twin(get(colour, handler)[0], "read")) == PNG
    assert all("authorization" not in request.headers for request in colour.requests[1:])


def test_not_even_a_download_from_the_api_s_own_host_carries_the_key(colour):
    handler = images({"url": "https://api.lemondata.cc/files/a"})({"/files/a": PNG})
    assert colour.call(colour.twin(get(colour, handler)[0], "read")) == PNG
    assert "authorization" not in colour.requests[1].headers


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("http://img.example.net/b", "away from https"),
        ("ftp://img.example.net/b", "away from https"),
        ("file:///etc/passwd", "away from https"),
        ("/a", "more than 5 times"),
        ("https://user:pw@img.example.net/", "not a plain http"),
        ("https://[bad", "is no address"),
        ("https://a..b/", "not a plain http"),
        ("https://127.0.0.1/b", "allow_private_images=True"),
        ("https://[::ffff:10.0.0.1]/b", "allow_private_images=True"),
        ("https://metadata.google.internal/b", "allow_private_images=True"),
    ],
)
def test_redirects_have_limits(colour, target, message):
    image = one(colour, redirect(target))
    with pytest.raises(DownloadError, match=message):
        colour.call(colour.twin(image, "read"))


def test_a_redirect_away_from_https_is_not_followed_in_capitals_either(colour):
    image = get(colour, images({"url": "HTTPS://img.example.net/a"})({"/a": redirect("http://img.example.net/b")}))[0]
    with pytest.raises(DownloadError, match="away from https"):
        colour.call(colour.twin(image, "read"))


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://h/x",
        "javascript:alert(1)",
        "http://[::1",
        "https://[bad",
        "https://api.test\u2100/x",
        "https://a..b/x",
        f"https://{'a' * 70}.test/x",
        "https://h.test:99999/x",
        "https://h.test/\x00",
    ],
)
def test_an_address_that_is_no_http_one_is_shown_and_not_fetched(colour, url):
    image = get(colour, images({"url": url})({}))[0]
    with pytest.raises(DownloadError, match="not a plain http"):
        colour.call(colour.twin(image, "read"))
    assert len(colour.requests) == 1
    assert "<Image at" in repr(image)
    assert 'src=""' in image._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize(
    ("url", "fetched"),
    [
        ("/files/a", "https://api.lemondata.cc/files/a"),
        ("files/a", "https://api.lemondata.cc/files/a"),
        ("/v1/files/a?x=1", "https://api.lemondata.cc/v1/files/a?x=1"),
        ("//img.example.net/a", "https://img.example.net/a"),
        (" https://img.example.net/a\n", "https://img.example.net/a"),
        ("http://img.example.net/a", "https://img.example.net/a"),
        ("http://img.example.net:80/a", "https://img.example.net/a"),
    ],
)
def test_an_address_is_read_as_the_poll_url_is_and_the_key_stays_at_home(colour, url, fetched):
    seen = []

    def handler(request):
        if request.method == "POST":
            return httpx.Response(200, json={"data": [{"url": url}]})
        seen.append(request)
        return httpx.Response(200, content=PNG)

    image = get(colour, handler)[0]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert colour.call(colour.twin(image, "read")) == PNG
        assert f'src="{fetched}"' in image._repr_mimebundle_()["text/html"]
    assert [str(request.url) for request in seen] == [fetched]
    assert "authorization" not in seen[0].headers
    upgraded = "was not encrypted, and that of the API is: it is fetched with https"
    assert len({str(warning.message) for warning in said}) == url.startswith("http:")
    assert all(upgraded in str(warning.message) for warning in said)


@pytest.mark.parametrize(
    ("base", "url", "option", "message"),
    [
        ("https://api.lemondata.cc", "https://127.0.0.1/a", False, "allow_private_images=True"),
        ("https://api.lemondata.cc", "http://0x7f.1:9000/a", False, "allow_private_images=True"),
        ("https://api.lemondata.cc", "//localhost/a", False, "allow_private_images=True"),
        ("http://api.lemondata.cc", "http://169.254.169.254/latest/meta-data", False, "allow_private_images=True"),
        ("https://api.lemondata.cc", "http://10.0.0.7:9000/a", True, None),
        ("http://127.0.0.1:8000", "http://127.0.0.1:9000/a", False, None),
        ("http://gateway:8000", "http://10.0.0.7/a", False, None),
        ("https://gateway.local", "http://10.0.0.7:9000/a", False, None),
        ("http://api.lemondata.cc", "http://img.example.net:9000/a", False, None),
        ("https://api.lemondata.cc", "http://img.example.net:9000/a", False, "not encrypted"),
    ],
)
def test_an_answer_leads_nowhere_it_must_not(colour, base, url, option, message):
    lemon = colour.client(
        images({"url": url})({"/a": PNG, "/latest/meta-data": PNG}), base_url=base, allow_private_images=option
    )
    image = colour.call(lemon.images.generate, "a white cat")[0]
    if message is None:
        assert colour.call(colour.twin(image, "read")) == PNG
        return
    with pytest.raises(DownloadError, match=message):
        colour.call(colour.twin(image, "read"))
    assert len(colour.requests) == 1
    assert 'src=""' in image._repr_mimebundle_()["text/html"]


@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")  # httpx and trio
def test_a_picture_larger_than_the_limit_is_refused_and_leaves_nothing(colour, tmp_path):
    image = one(colour, PNG)
    with pytest.raises(DownloadError, match="max_bytes"):
        colour.call(colour.twin(image, "save"), tmp_path / "cat", max_bytes=100)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DownloadError, match="max_bytes"):
        get(colour, images({"b64_json": base64.b64encode(PNG).decode()})({}))[0].read(max_bytes=100)


def test_an_interrupted_download_leaves_nothing(colour, tmp_path):
    def broken(request):
        def chunks():
            yield PNG
            raise KeyboardInterrupt

        async def achunks():
            yield PNG
            raise KeyboardInterrupt

        return httpx.Response(200, content=chunks() if colour.blocking else achunks())

    if not colour.blocking:
        return  # an interrupt ends the whole event loop; the blocking client shows the same code
    with pytest.raises(KeyboardInterrupt):
        one(colour, broken).save(tmp_path / "cat")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_download_leaves_nothing(tmp_path, backend):
    async def main():
        arrived = anyio.Event()

        async def body():
            yield PNG
            arrived.set()
            await anyio.sleep_forever()

        def handler(request):
            if request.method == "POST":
                return httpx.Response(200, json={"data": [{"url": f"{HOME}/a"}]})
            return httpx.Response(200, content=body())

        http = httpx.AsyncClient(transport=httpx.MockTransport(handler))
        async with AsyncLemon("sk-x", http_client=http) as lemon:
            image = (await lemon.images.generate("a white cat"))[0]
            async with anyio.create_task_group() as group:
                group.start_soon(image.asave, tmp_path / "cat")
                await arrived.wait()
                assert len(list(tmp_path.iterdir())) == 1
                group.cancel_scope.cancel()
        await http.aclose()

    anyio.run(main, backend=backend)
    assert list(tmp_path.iterdir()) == []


def full(colour, inline):
    data = {"b64_json": base64.b64encode(PNG).decode()} if inline else {"url": f"{HOME}/a"}
    return get(colour, images(data)({"/a": PNG}))[0]


@pytest.mark.parametrize("limits", [{"RLIMIT_FSIZE": 100}, {"RLIMIT_NOFILE": 3}], ids=["full disk", "too many files"])
def test_an_image_that_cannot_be_written_anywhere_is_still_there_and_leaves_nothing(colour, tmp_path, limited, limits):
    for inline, advice in ((True, "in memory"), (False, "do not generate it again")):
        image = full(colour, inline)
        with limited(**limits), pytest.raises(SaveError, match=f"{tmp_path}.*paid for.*{advice}") as caught:
            colour.call(colour.twin(image, "save"), tmp_path / "cat")
        assert caught.value.path is None
        assert caught.value.errno in (errno.EFBIG, errno.EMFILE)
        assert isinstance(caught.value, OSError)
        assert list(tmp_path.iterdir()) == []
        assert same(colour.call(colour.twin(image, "save"), tmp_path / f"cat-{inline}").read_bytes(), PNG)
        (tmp_path / f"cat-{inline}.png").unlink()


@pytest.mark.parametrize("whole", [True, False])
def test_the_only_copy_is_put_aside_where_its_place_cannot_be_written(colour, tmp_path, monkeypatch, whole):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data = PNG if whole else PNG[:-12]
    image = get(colour, images({"b64_json": base64.b64encode(data).decode()})({}))[0]
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(SaveError, match=r"put aside as .*a-white-cat\.png\.") as caught:
        colour.call(colour.twin(image, "save"), tmp_path / "file" / "cat.png")
    assert str(caught.value.path) in str(caught.value)
    assert caught.value.path.read_bytes() == data
    assert caught.value.path.is_relative_to(tmp_path)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.path, again.errno) == (str(caught.value), caught.value.path, errno.ENOTDIR)


@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")  # httpx and trio
def test_a_disk_that_is_full_for_a_moment_costs_nothing(colour, tmp_path, monkeypatch):
    for inline in (True, False):
        faults = [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EMFILE, "Too many open files")]
        real = PartFile.write

        def write(self, chunk, real=real, faults=faults):
            if faults:
                raise faults.pop(0)
            real(self, chunk)

        monkeypatch.setattr(PartFile, "write", write)
        path = colour.call(colour.twin(full(colour, inline), "save"), tmp_path / f"cat-{inline}")
        assert same(path.read_bytes(), PNG)
        monkeypatch.undo()
    assert len(list(tmp_path.iterdir())) == 2


def gone(status):
    return lambda request: httpx.Response(status)


def of_four(replies, kind):
    """A server of four images: their bytes, or the status of a fetch that fails."""
    if kind == "url":
        served = {f"/{name}": reply for name, reply in zip("abcd", replies, strict=True)}
        pictures = {path: gone(reply) if isinstance(reply, int) else reply for path, reply in served.items()}
        return images(*({"url": HOME + path} for path in served))(pictures)
    return images(*({"b64_json": base64.b64encode(reply).decode()} for reply in replies))({})


@pytest.mark.parametrize(
    ("kind", "replies", "why"),
    [
        ("url", [PNG, 404, JPEG, WEBP], r"Image 2, result\[1\]: .*HTTP 404.*do not generate it again"),
        ("url", [PNG, PNG[:-12], JPEG, WEBP], r"Image 2, result\[1\]: .*its IEND.*damaged\.png"),
        (
            "b64",
            [PNG, b"an error and no picture", JPEG, WEBP],
            r"Image 2, result\[1\]: .*text, not a picture.*damaged\.txt",
        ),
    ],
)
def test_one_image_that_fails_does_not_keep_the_others_from_being_saved(colour, tmp_path, kind, replies, why):
    result = get(colour, of_four(replies, kind), n=4)
    with pytest.raises((DownloadError, ResponseError), match=rf"3 of 4 images were saved\. {why}") as caught:
        colour.call(colour.twin(result, "save"), tmp_path)
    names = ["a-white-cat.png", "a-white-cat.jpg", "a-white-cat.webp"]
    assert [path.name for path in caught.value.paths] == names
    for path, data in zip(caught.value.paths, (PNG, JPEG, WEBP), strict=True):
        assert same(path.read_bytes(), data)
    assert pickle.loads(pickle.dumps(caught.value)).paths == caught.value.paths


def test_every_image_that_is_missing_is_named(colour, tmp_path):
    replies = [404, PNG, 401, 404]
    with pytest.raises(DownloadError, match=r"1 of 4 .*Image 1,.*404.*Image 3,.*401.*Image 4,.*404") as caught:
        colour.call(colour.twin(get(colour, of_four(replies, "url"), n=4), "save"), tmp_path)
    assert len(caught.value.paths) == 1


@pytest.mark.parametrize("at", ["writing", "placing"])
def test_an_interrupt_loses_no_image_that_came_with_its_answer(tmp_path, monkeypatch, at):
    lemon = lemon_ext.Lemon("sk-x", http_client=httpx.Client(transport=httpx.MockTransport(of_four([PNG] * 4, "b64"))))
    result = lemon.images.generate("a white cat", n=4)
    place, name = (PartFile, "write") if at == "writing" else (PartFile, "place")
    real, calls = getattr(place, name), []

    def interrupted(*args, **kwargs):
        calls.append(name)
        done = real(*args, **kwargs)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(place, name, interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        result.save(tmp_path)
    assert all(same(path.read_bytes(), PNG) for path in tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) >= 4
    assert sum("saved as" in note for note in caught.value.__notes__) == 3


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancellation_loses_no_image_that_came_with_its_answer(tmp_path, backend):
    async def main():
        http = httpx.AsyncClient(transport=httpx.MockTransport(of_four([PNG] * 4, "b64")))
        async with AsyncLemon("sk-x", http_client=http) as lemon:
            result = await lemon.images.generate("a white cat", n=4)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await result.asave(tmp_path)
        await http.aclose()

    anyio.run(main, backend=backend)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a-white-cat-2.png", "a-white-cat-3.png", "a-white-cat-4.png", "a-white-cat.png",
    ]  # fmt: skip


def test_what_is_saved_says_what_it_is_and_what_is_read_is_as_it_came(colour, tmp_path):
    data = {"b64_json": base64.b64encode(PNG).decode(), "revised_prompt": "a revised cat"}
    result = get(colour, images(data)({}), model="dall-e-3")
    path = colour.call(colour.twin(result[0], "save"), tmp_path / "cat")
    for said in (b"a white cat", b"<Iptc4xmpExt:AIPromptInformation>a revised cat<", b"AISystemUsed>dall-e-3<"):
        assert said in path.read_bytes()
    assert colour.call(colour.twin(result[0], "read")) == PNG


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip"])
def test_a_coding_that_could_explode_is_not_unpacked(colour, coding):
    image = one(colour, lambda request: httpx.Response(200, headers={"Content-Encoding": coding}, stream=Never()))
    with pytest.raises(DownloadError, match="came compressed"):
        colour.call(colour.twin(image, "read"))
    assert len(colour.requests) == 2
    assert colour.requests[-1].headers["Accept-Encoding"] == "identity"


class Never(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __iter__(self):
        raise AssertionError("must not be read")

    def __aiter__(self):
        raise AssertionError("must not be read")


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Length": "999999999"}, {"Content-Length": "100", "Content-Encoding": "gzip, gzip"}]
)
def test_the_body_of_a_failed_download_is_neither_read_nor_unpacked(colour, headers):
    image = one(colour, lambda request: httpx.Response(404, headers=headers, stream=Never()))
    with pytest.raises(DownloadError, match="HTTP 404"):
        colour.call(colour.twin(image, "read"))


def test_a_short_one_is_read_for_what_it_asks_to_wait(colour):
    busy = httpx.Response(503, json={"error": {"retry_after": 7}})
    image = one(colour, once(busy, httpx.Response(200, content=PNG)))
    assert colour.call(colour.twin(image, "read")) == PNG
    assert colour.clock.now == 1007


def test_an_answer_compressed_twice_is_not_unpacked_and_may_have_been_billed(colour):
    with pytest.raises(SubmissionUncertainError, match="compressed more than once"):
        get(colour, lambda request: httpx.Response(200, headers={"Content-Encoding": "gzip, gzip"}, stream=Never()))


@pytest.mark.parametrize(
    ("coding", "content"),
    [("GZIP", gzip.compress(PNG)), ("identity", PNG), ("utf-8", PNG), ("", PNG)],
    ids=["gzip", "identity", "utf-8", "none"],
)
def test_a_picture_stored_compressed_is_unpacked_and_odd_codings_are_passed_over(colour, coding, content):
    packed = httpx.Response(200, headers={"Content-Encoding": coding}, content=content)
    assert colour.call(colour.twin(one(colour, packed), "read")) == PNG


def test_the_message_of_a_failed_download_does_not_show_a_signed_address(colour):
    image = get(colour, images({"url": f"{HOME}/a?signature=secret"})({"/a": httpx.Response(404)}))[0]
    with pytest.raises(DownloadError) as caught:
        colour.call(colour.twin(image, "read"))
    assert "secret" not in str(caught.value)
    assert caught.value.url == f"{HOME}/a?signature=secret"


def test_an_image_without_its_client_says_so(colour):
    image = pickle.loads(pickle.dumps(one(colour, PNG)))
    with pytest.raises(LemonError, match="unpickled"):
        image.read()


def test_a_notebook_is_given_the_data_or_the_address(colour):
    shown = get(colour, images({"b64_json": base64.b64encode(JPEG).decode()})({}))[0]._repr_mimebundle_()
    assert base64.b64decode(shown["image/jpeg"]) == JPEG
    linked = one(colour, PNG, '/"><script>')
    assert "<script>" not in linked._repr_mimebundle_()["text/html"]
    result = get(colour, images({"url": f"{HOME}/a"})({}))
    assert f'src="{HOME}/a"' in result._repr_html_()


def test_a_result_is_a_sequence_and_shows_neither_prompt_nor_data(colour):
    result = get(
        colour, images({"url": f"{HOME}/a"}, {"b64_json": base64.b64encode(UNKNOWN).decode()})({}), prompt="secret", n=2
    )
    assert len(result) == 2
    assert result[-1].read() == UNKNOWN
    assert [image.url for image in result[:1]] == [f"{HOME}/a"]
    assert "secret" not in repr(result) + repr(result.images)


def test_a_result_is_saved_in_a_folder_and_not_under_a_files_name(tmp_path):
    result = lemon_ext.ImageResult([])
    with pytest.raises(ValueError, match=r"result\[0\].save\("):
        result.save(tmp_path / "one.png")
    (tmp_path / "odd.png").mkdir()
    assert result.save(tmp_path / "odd.png") == []
