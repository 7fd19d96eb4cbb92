"""The API key: what cannot be one is refused in plain words, and nothing shows it."""

from __future__ import annotations

import copy
import pickle
import traceback
from urllib.parse import unquote

import httpx
import pytest

from lemon_ext import (
    AsyncLemon,
    AuthenticationError,
    ConfigurationError,
    DownloadError,
    Lemon,
    LemonError,
    MissingKeyError,
    SubmissionUncertainError,
)
from lemon_ext._flow import TransportFault
from lemon_ext._key import ApiKey
from tests.conftest import KEY


@pytest.mark.parametrize("kind", [Lemon, AsyncLemon])
@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("sk-a b", "holds a space or a character outside ASCII"),
        ("sk-\u00e9", "holds a space or a character outside ASCII"),
        ("sk-a\nsk-b", "holds a space or a character outside ASCII"),
        (f"Bearer {KEY}", "begins with 'Bearer'. Give the key alone"),
        (f"bearer  {KEY}", "begins with 'Bearer'"),
        (f'"{KEY}"', "has quotes around it. Leave them out"),
        (f"'{KEY}'", "has quotes around it"),
        (KEY.encode(), "must be text, not bytes"),
        (7, "must be text, not int"),
    ],
)  # fmt: skip
def test_a_key_that_cannot_be_one_is_refused_without_showing_it(kind, key, message):
    with pytest.raises(ConfigurationError, match="API key") as caught:
        kind(key)
    assert message in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert KEY not in str(caught.value)
    assert str(key) not in str(caught.value)


@pytest.mark.parametrize("key", ["", "  ", "\n"])
def test_no_key_at_all_names_the_variable(key, monkeypatch):
    monkeypatch.setenv("LEMONDATA_API_KEY", key)
    for give in (None, key):
        with pytest.raises(MissingKeyError, match="Set LEMONDATA_API_KEY"):
            Lemon(give)


@pytest.mark.parametrize("kind", [Lemon, AsyncLemon])
def test_a_key_for_openai_is_not_read_and_that_is_said(kind, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(MissingKeyError, match=r"OPENAI_API_KEY is set, but not read here\.$") as caught:
        kind()
    assert KEY not in str(caught.value)


def test_a_key_is_neither_shown_nor_pickled_nor_copied_into_text():
    key = ApiKey(f" {KEY}\n")
    assert key.header == f"Bearer {KEY}"
    assert KEY not in repr(key) + str(key)
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(key)
    with pytest.raises(TypeError, match="never pickled"):
        copy.deepcopy(key)


def test_a_key_that_the_server_echoes_is_masked(colour):
    body = f'{{"error": {{"message": "bad key {KEY}"}}}}'.encode()
    lemon = colour.client(lambda request: httpx.Response(401, content=body, headers={"X-Echo": f"<{KEY}>"}))
    with pytest.raises(AuthenticationError) as caught:
        colour.call(lemon.images.generate, "a cat")
    error = caught.value
    shown = "".join(traceback.format_exception(error)) + repr(error.__dict__) + error.response.text
    assert KEY not in shown
    assert KEY.encode() not in pickle.dumps(error)
    assert error.response.headers["x-echo"] == "<***>"
    assert "bad key ***" in str(error)


def test_a_key_with_slashes_is_masked_as_json_may_write_it(colour):
    body = b'{"error": {"message": "bad key sk-a\\/b\\/c-0123456789"}}'
    lemon = colour.client(lambda request: httpx.Response(401, content=body), api_key="sk-a/b/c-0123456789")
    with pytest.raises(AuthenticationError, match=r"bad key \*\*\*"):
        colour.call(lemon.images.generate, "a cat")


@pytest.mark.parametrize(
    "spelled",
    [
        f'{{"error": {{"message": "bad key {"".join(f"{chr(92)}u{ord(c):04X}" for c in KEY)}"}}}}'.encode(),
        f'{{"error": {{"message": "bad key {KEY[:5]}{chr(92)}u{ord(KEY[5]):04x}{KEY[6:]}"}}}}'.encode(),
        f'{{"error": {{"message": "bad key {KEY}"}}}}'.encode("utf-16"),
        f"<title>bad key {''.join(f'&#{ord(c)};' for c in KEY)}</title>".encode(),
        f"<p>bad key {''.join(f'&#X{ord(c):x}' for c in KEY[:-4])};{KEY[-4:]}</p>".encode(),
        f"bad key {''.join(f'%{ord(c):02X}' for c in KEY)}".encode(),
    ],
    ids=["json", "one character of json", "utf-16", "a title", "a page", "an address"],
)
def test_a_key_is_masked_however_the_answer_spells_it(colour, spelled):
    lemon = colour.client(lambda request: httpx.Response(401, content=spelled))
    with pytest.raises(LemonError) as caught:
        colour.call(lemon.images.generate, "a cat")
    response = caught.value.response
    assert KEY not in str(caught.value) + repr(caught.value.__dict__) + unquote(response.text.replace("\0", ""))
    assert "bad key" in str(caught.value)


def test_a_key_in_the_place_of_a_picture_is_masked(colour):
    """The request for a picture carries no key, but the server may know it all the same."""
    url = "https://h.test/a.png"

    def serve(request):
        return httpx.Response(200, json={"data": [{"url": url}]}) if request.method == "POST" else text

    text = httpx.Response(200, content=f'{{"error": "no quota left for {KEY}"}}'.encode())
    result = colour.call(colour.client(serve).images.generate, "a cat")
    with pytest.raises(DownloadError, match=r"no quota left for \*\*\*"):
        colour.call(colour.twin(result[0], "read"))


def test_a_local_gateway_s_short_key_changes_no_answer(colour):
    lemon = colour.client(
        lambda request: httpx.Response(200, json={"data": [{"url": "https://h.test/x.png"}]}), api_key="x"
    )
    assert colour.call(lemon.images.generate, "a cat")[0].url == "https://h.test/x.png"


def test_a_fault_that_quotes_the_key_does_not_show_it(colour):
    def broken(request):
        raise httpx.RemoteProtocolError(f"illegal header line: bytearray(b'X-Echo {KEY}')")

    with pytest.raises(SubmissionUncertainError, match=r"illegal header line.*\*\*\*") as caught:
        colour.call(colour.client(broken).images.generate, "a cat")
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert isinstance(caught.value.__cause__, TransportFault)
    assert caught.value.__cause__.__cause__ is None


def test_a_fault_that_does_not_quote_it_keeps_its_cause(colour):
    def broken(request):
        raise httpx.RemoteProtocolError("illegal header line")

    with pytest.raises(SubmissionUncertainError) as caught:
        colour.call(colour.client(broken).images.generate, "a cat")
    assert isinstance(caught.value.__cause__.__cause__, httpx.RemoteProtocolError)
