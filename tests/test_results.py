"""Reading and saving images: whole or not at all, under the right name, from anywhere, and never with the key."""

from __future__ import annotations

import base64
import gzip
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import httpx
import pytest

import lemon_ext
from lemon_ext import AsyncLemon, DownloadError, LemonError, ResponseError, SubmissionUncertainError
from lemon_ext._files import PartFile, file_stem, remove_stale_parts, suffix_of

PNG = b"\x89PNG\r\n\x1a\n" + b"picture" * 100
JPEG = b"\xff\xd8\xff\xe0" + b"picture"
WEBP = b"RIFF\x00\x00\x00\x00WEBPVP8 picture"
HOME = "https://img.example.net"


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


@pytest.mark.parametrize("data", ["???", "a", "aGk=x==", "é", "====", "data:image/png;base64,"])
def test_broken_or_empty_base64_is_a_response_error_that_says_where_the_text_is(colour, tmp_path, data):
    image = get(colour, images({"b64_json": data})({}))[0]
    with pytest.raises(ResponseError, match=r"Base64.*paid for.*image\.raw"):
        colour.call(colour.twin(image, "save"), tmp_path / "cat")
    assert list(tmp_path.iterdir()) == []
    assert image.raw.b64_json == data
    assert "image/png" in image._repr_mimebundle_()


@pytest.mark.parametrize("data", ["é", "data:image/png;base64,"])
def test_an_image_whose_data_is_broken_is_fetched_from_its_address(colour, data):
    image = get(colour, images({"b64_json": data, "url": f"{HOME}/a"})({"/a": PNG}))[0]
    assert colour.call(colour.twin(image, "read")) == PNG


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
        (b"unknown kind", "cat.png", "cat.png"),
        (b"unknown kind", "cat", "cat.bin"),
        (PNG, "new/folder/cat", "new/folder/cat.png"),
    ],
)
def test_the_suffix_comes_from_the_bytes(colour, tmp_path, picture, asked, saved):
    path = colour.call(colour.twin(one(colour, picture), "save"), tmp_path / asked)
    assert path == tmp_path / saved
    assert path.read_bytes() == picture


def test_nothing_existing_is_overwritten_silently(colour, tmp_path):
    (tmp_path / "cat.png").write_bytes(b"mine")
    image = one(colour, PNG)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        colour.call(colour.twin(image, "save"), tmp_path / "cat")
    assert (tmp_path / "cat.png").read_bytes() == b"mine"
    colour.call(colour.twin(image, "save"), tmp_path / "cat", overwrite=True)
    assert (tmp_path / "cat.png").read_bytes() == PNG
    assert [path.name for path in tmp_path.iterdir()] == ["cat.png"]


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
    assert (tmp_path / "a-white-cat.png").read_bytes() == PNG


@pytest.mark.parametrize(
    ("prompt", "stem"),
    [
        ("A white cat", "a-white-cat"),
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\Windows\\system32", "c-windows-system32"),
        ("con", "image"),
        ("COM¹", "image"),
        ("  ...  ", "image"),
        ("", "image"),
        (None, "image"),
        ("하얀 고양이", "하얀-고양이"),
        ("x" * 300, "x" * 48),
        ("a\x00b/c", "a-b-c"),
        ("img_0f9a12bc34de", "img_0f9a12bc34de"),
    ],
)
def test_names_cannot_leave_the_folder(prompt, stem):
    assert file_stem(prompt) == stem
    assert len(file_stem("고양이" * 100).encode()) <= 48
    assert file_stem("word " * 200_000) == "word-word-word-word-word-word-word-word-word-wor"


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
        pieces = (PNG, b"more" * 100, b"and more" * 100)

        def blocking():
            for piece in pieces:
                colour.clock.now += 90
                yield piece

        async def asynchronous():
            for piece in blocking():
                yield piece

        return httpx.Response(200, content=blocking() if colour.blocking else asynchronous())

    image = one(colour, slow)
    assert len(colour.call(colour.twin(image, "read"), deadline=300)) == len(PNG) + 1200
    assert len(colour.requests) == 2
    assert colour.requests[1].extensions["timeout"]["read"] == 30


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_an_inline_image_that_is_gone_is_final(colour, status):
    image = one(colour, httpx.Response(status))
    with pytest.raises(DownloadError) as caught:
        colour.call(colour.twin(image, "read"))
    assert caught.value.status_code == status
    assert len(colour.requests) == 2


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


@pytest.mark.parametrize("status", [403, 404, 410])
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
    assert [request.url.path for request in colour.requests].count("/old") == 2


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
        "/relative",
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
    assert "<img" in image._repr_mimebundle_()["text/html"]


def test_a_picture_larger_than_the_limit_is_refused_and_leaves_nothing(colour, tmp_path):
    image = one(colour, PNG)
    with pytest.raises(DownloadError, match="max_bytes"):
        colour.call(colour.twin(image, "save"), tmp_path / "cat", max_bytes=100)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DownloadError, match="max_bytes"):
        get(colour, images({"b64_json": base64.b64encode(PNG).decode()})({}))[0].read(max_bytes=100)


def test_a_page_is_not_taken_for_a_picture(colour, tmp_path):
    image = one(colour, b"<!doctype html><title>Sorry</title>")
    with pytest.raises(DownloadError, match="a page, not a picture"):
        colour.call(colour.twin(image, "save"), tmp_path / "cat")
    assert list(tmp_path.iterdir()) == []


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

        async with AsyncLemon("sk-x", http_client=httpx.AsyncClient(transport=httpx.MockTransport(handler))) as lemon:
            image = (await lemon.images.generate("a white cat"))[0]
            async with anyio.create_task_group() as group:
                group.start_soon(image.asave, tmp_path / "cat")
                await arrived.wait()
                assert len(list(tmp_path.iterdir())) == 1
                group.cancel_scope.cancel()
        await lemon._core.wire.client.aclose()

    anyio.run(main, backend=backend)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="the limit on a file's size stands for a full disk")
@pytest.mark.parametrize("large", [1, 300])
def test_a_full_disk_is_an_os_error_and_leaves_nothing(colour, tmp_path, large):
    import resource

    data = base64.b64encode(PNG * large).decode()
    for image in (one(colour, PNG * large), get(colour, images({"b64_json": data})({}))[0]):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
        try:
            with pytest.raises(OSError, match="too large"):
                colour.call(colour.twin(image, "save"), tmp_path / "cat")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert list(tmp_path.iterdir()) == []


def put(path, stem="", data=PNG, **options):
    with PartFile(path, 10_000) as part:
        part.write(data)
        return part.place(stem, **options)


def test_a_picture_can_be_finished_before_it_gets_its_name(tmp_path):
    def finish(part):
        assert part.read_bytes() == PNG
        assert [path.name for path in tmp_path.iterdir()] == [part.name]
        part.write_bytes(PNG + b"more")

    path = put(tmp_path / "00042-a-white-cat-1", overwrite=True, finish=finish)
    assert path == tmp_path / "00042-a-white-cat-1.png"
    assert path.read_bytes() == PNG + b"more"
    with pytest.raises(ZeroDivisionError):
        put(tmp_path / "other", finish=lambda part: 1 / 0)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_system_without_hard_links_is_served_too(tmp_path, monkeypatch):
    def link(source, target):
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", link)
    for name in ("image.png", "image-2.png"):
        assert put(tmp_path, "image") == tmp_path / name
    with pytest.raises(FileExistsError):
        put(tmp_path / "image")
    monkeypatch.setattr(Path, "replace", link)
    with pytest.raises(PermissionError):
        put(tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image-2.png", "image.png"]


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path):
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "cat.png").symlink_to(tmp_path / "mine")
    with pytest.raises(FileExistsError):
        put(tmp_path / "cat")
    put(tmp_path / "cat", overwrite=True)
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert (tmp_path / "cat.png").read_bytes() == PNG


def test_what_a_crash_left_is_removed_and_what_is_being_written_is_not(tmp_path):
    for name in (".0123456789abcdef.part", ".hidden.part", "0123456789abcdef.part", "mine.png"):
        (tmp_path / name).write_bytes(b"x")
    with PartFile(tmp_path / "cat", 10_000) as part:
        part.write(PNG)
        remove_stale_parts(tmp_path)
        part.place("")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".hidden.part", "0123456789abcdef.part", "cat.png", "mine.png"]


def test_many_saving_in_one_folder_lose_nothing(tmp_path):
    with ThreadPoolExecutor(8) as threads:
        paths = list(threads.map(lambda number: put(tmp_path, "cat", PNG + bytes([number])), range(40)))
    assert len(set(paths)) == 40
    assert [path.read_bytes()[-1] for path in paths] == list(range(40))


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
    import pickle

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
    result = get(colour, images({"url": f"{HOME}/a"}, {"b64_json": "aGk="})({}), prompt="secret", n=2)
    assert len(result) == 2
    assert result[-1].read() == b"hi"
    assert [image.url for image in result[:1]] == [f"{HOME}/a"]
    assert "secret" not in repr(result) + repr(result.images)


@pytest.mark.parametrize(
    ("head", "suffix"),
    [
        (b"\x89PNG\r\n\x1a\n", ".png"), (b"\xff\xd8\xff\xdb", ".jpg"), (b"RIFF1234WEBP", ".webp"), (b"GIF89a", ".gif"),
        (b"\x00\x00\x00\x1cftypavif", ".avif"), (b"<svg xmlns", ".svg"), (b"hello", None), (b"", None),
        (b'<?xml version="1.0"?><svg xmlns="x"/>', ".svg"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- a > b -->\n<!DOCTYPE svg PUBLIC "x" "y">\n<svg>', ".svg"),
        (b'<?xml version="1.0"?><html><svg>', None), (b"<!doctype html><svg>", None), (b"<!----> " * 100, None),
    ],
)  # fmt: skip
def test_pictures_are_told_by_their_first_bytes(head, suffix):
    assert suffix_of(head) == suffix


def test_a_result_is_saved_in_a_folder_and_not_under_a_files_name(tmp_path):
    result = lemon_ext.ImageResult([])
    with pytest.raises(ValueError, match=r"result\[0\].save\("):
        result.save(tmp_path / "one.png")
    (tmp_path / "odd.png").mkdir()
    assert result.save(tmp_path / "odd.png") == []
