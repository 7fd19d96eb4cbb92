"""The base URL that people give, and which origin an address belongs to: the key goes to that one alone."""

from __future__ import annotations

import pytest

from lemon_ext import ConfigurationError, Lemon
from lemon_ext._address import origin
from tests.conftest import KEY


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://h.test", "https://h.test"),
        ("https://h.test/", "https://h.test"),
        ("https://h.test/v1", "https://h.test"),
        ("https://h.test/v1/", "https://h.test"),
        ("https://h.test/lemon/v1", "https://h.test/lemon"),
        (" http://127.0.0.1:8080 ", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/v1", "http://[::1]:8080"),
    ],
)
def test_base_urls_work_with_and_without_v1(given, used):
    with Lemon(KEY, base_url=given) as lemon:
        assert repr(lemon) == f"<Lemon {used}>"


@pytest.mark.parametrize(
    "given",
    [
        "", "h.test", "ftp://h.test", "https://", "https://h.test?x=1", "https://h.test/#a", "https://h.test/a b",
        "https://u:p@h.test", "https://h.test:99999", "https://h.test:0", 3, None.__class__,
        "https://a..b", "https://h.test\u2100", f"https://{'a' * 70}.test", "http://[::1", "https://h.test\\evil.test",
    ],
)  # fmt: skip
def test_what_cannot_be_one_is_refused(given):
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        Lemon(KEY, base_url=given)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("given", [KEY, f"Bearer {KEY}", f"https://me:{KEY[3:]}@h.test:99999"])
def test_a_base_url_that_may_be_a_secret_is_not_repeated(given):
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        Lemon("https://h.test", base_url=given)
    assert KEY[3:] not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "its"),
    [
        ("https://h.test/a?b#c", ("https", "h.test", 443)),
        ("HTTPS://H.Test:443", ("https", "h.test", 443)),
        ("http://h.test", ("http", "h.test", 80)),
        ("http://[::1]:8080/", ("http", "::1", 8080)),
        ("https://user@h.test/", None),
        ("https://h.test@evil.test/", None),
        ("https://evil.test\\@h.test/", None),
        ("https://h.test:port/", None),
        ("//h.test/", None),
        ("javascript:alert(1)", None),
        ("https://a..b/", None),
        ("", None),
    ],
)
def test_an_address_has_the_origin_that_every_reader_sees_or_none(url, its):
    assert origin(url) == its
