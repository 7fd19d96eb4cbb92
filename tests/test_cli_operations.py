"""`lemon edit`, `vary`, `task --cancel`, `models --live`, `--prices` and `balance`: what they print, how they end."""

# ruff: noqa: F811 - fixtures are imported, and named again as arguments

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from lemon_client.model_table import MODELS

from lemon_ext.emulator import TOKEN
from lemon_ext.testing import instant
from tests.cli import emulator, lemon, server  # noqa: F401 - fixtures
from tests.pictures import GIF, JPEG, PNG


@pytest.fixture
def pictures(emulator):
    for name, data in (("a.png", PNG), ("b.jpg", JPEG), ("c.gif", GIF), ("empty.png", b"")):
        Path(name).write_bytes(data)
    return emulator


@pytest.mark.parametrize(
    ("arguments", "saved", "sent"),
    [
        (["edit", "night", "--image", "a.png"], ["night.png"], {"prompt": "night", "image": ["(a file)"]}),
        (
            ["edit", "night", "--image", "a.png", "--image", "b.jpg", "--mask", "a.png", "-n", "2", "-o", "out"],
            ["out/night.png", "out/night-2.png"],
            {"prompt": "night", "n": 2, "image": ["(a file)", "(a file)"], "mask": "(a file)"},
        ),
        (
            ["edit", "night", "--image", "https://img.example.net/a.png", "--extra", "new=[1]"],
            ["night.png"],
            {"prompt": "night", "image_urls": ["https://img.example.net/a.png"], "new": [1]},
        ),
        (
            ["vary", "--image", "a.png", "--size", "512x512"],
            ["variation.png"],
            {"size": "512x512", "image": "(a file)"},
        ),
    ],
)
def test_pictures_are_changed_and_saved(pictures, arguments, saved, sent):
    result = lemon(*arguments, "-m", "dall-e-2")
    assert (result.exit_code, result.stdout.splitlines()) == (0, saved)
    assert all(Path(path).stat().st_size > 100 for path in saved)
    assert [charge.request for charge in pictures.ledger] == [{"model": "dall-e-2", **sent}]


def test_a_task_of_an_edit_can_be_left_and_fetched(pictures):
    left = lemon("edit", "night", "--image", "a.png", "-m", "flux-pro", "--no-wait", "--json")
    with instant():
        fetched = lemon("task", "-", "--wait", input=left.stdout)
    assert (left.exit_code, fetched.exit_code, fetched.stdout) == (0, 0, "night.png\n")
    assert pictures.charges == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["edit", "x", "--image", "no.png"], "no.png: No such file or directory."),
        (["edit", "x", "--image", "empty.png"], "Nothing was sent. image: is empty."),
        (["edit", "x", "--image", "c.gif"], "Nothing was sent. image: is a gif; allowed: png, jpeg, webp"),
        (
            ["edit", "x", "--image", "a.png", "--image", "http://x.org/a.png"],
            "image: some are files and some are addresses",
        ),
        (["edit", "x", "--image", "a.png", "-n", "99"], "Nothing was sent. n: 99 is out of range"),
        (["edit", "x", "--image", "a.png", "--style", "vivid"], "No such option"),
        (["edit", "x"], "Missing option '--image'"),
        (["vary", "--image", "http://x.org/a.png"], "image: is an address, and this takes files alone"),
        (["task", "--cancel", "--wait", "img_1"], "--cancel and --wait exclude each other"),
        (["models", "--live", "--prices"], "--live --prices goes with a MODEL"),
        (["balance"], "set LEMONDATA_MANAGEMENT_TOKEN"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(pictures, monkeypatch, arguments, message):
    monkeypatch.delenv("LEMONDATA_MANAGEMENT_TOKEN", raising=False)
    result = lemon(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert pictures.requests == []


def test_what_an_edit_costs_is_not_published(pictures):
    planned = lemon("edit", "x", "--image", "a.png", "-m", "dall-e-3", "--dry-run")
    assert (planned.exit_code, "no price is known of dall-e-3" in planned.stdout) == (0, True)
    refused = lemon("edit", "x", "--image", "a.png", "-m", "dall-e-3", "--budget", "1")
    assert (refused.exit_code, pictures.charges) == (2, 0)
    allowed = lemon("edit", "x", "--image", "a.png", "-m", "dall-e-2", "--budget", "1", "--allow-unknown-price")
    assert (allowed.exit_code, pictures.charges) == (0, 1)


def test_a_picture_from_stdin(pictures):
    result = lemon("edit", "x", "--image", "-", "-m", "dall-e-2", input=PNG)
    assert (result.exit_code, pictures.charges) == (0, 1)


def test_what_was_answered_at_once_has_no_task_to_cancel(emulator):
    handle = lemon("generate", "x", "-m", "dall-e-3", "--no-wait", "--json").stdout
    assert json.loads(handle).get("id") is None
    result = lemon("task", "--cancel", "-", input=handle)
    assert (result.exit_code, "answered at once has no task to cancel" in result.stderr) == (2, True)
    assert len(emulator.requests) == 1


@pytest.mark.parametrize(
    ("fault", "code", "said", "goes_on"),
    [
        (None, 0, "", False),
        ("not_cancellable", 3, "HTTP 400", True),
        ("not_owned", 3, "HTTP 403", False),
        ("error_501@ask", 3, "HTTP 501", False),
    ],
)
def test_cancelling(emulator, fault, code, said, goes_on):
    emulator.task_seconds = 60
    task_id = lemon("generate", "x", "-m", "flux-pro", "--no-wait").stdout.strip()
    if fault:
        emulator.inject(fault.partition("@")[0])
    result = lemon("task", "--cancel", "--", task_id)
    assert (result.exit_code, said in result.stderr) == (code, True)
    assert (f"next: lemon task --wait -- {task_id}" in result.stderr) == goes_on
    if fault is None:
        assert result.stdout == f"{task_id}  cancelled\n"
        assert lemon("task", "--wait", "--", task_id).exit_code == 4
    unknown = lemon("task", "--cancel", "--json", "--", "img_unknown", task_id)
    assert unknown.exit_code == 3
    first, _ = map(json.loads, unknown.stdout.splitlines())
    assert (first["task_id"], first["error"]["type"], first["next"]) == ("img_unknown", "TaskNotFoundError", None)


def test_models_live_and_their_prices(emulator):
    listed = lemon("models", "--live")
    assert listed.exit_code == 0
    lines = {line.split()[0]: line for line in listed.stdout.splitlines()}
    assert re.fullmatch(r"flux-pro +there .*Photorealistic.*", lines["flux-pro"])
    assert re.fullmatch(r"live-only +there, not in the table *", lines["live-only"])
    assert re.search(rf"from {emulator.url}/v1/models\?category=image, asked at \d{{4}}-\d\d-\d\d", listed.stderr)
    one = lemon("models", "--live", "flux-pro")
    assert re.search(r"^quality .*standard, hd$", one.stdout, re.MULTILINE)
    assert one.stdout.splitlines()[1].endswith("; price: per_image")
    as_json = [json.loads(line) for line in lemon("models", "--live", "--json").stdout.splitlines()]
    # Pictures are made with every model of the table, so all of them are there.
    named = {name for name, row in MODELS.items() if "*" not in name and "retired" not in row}
    assert {one["id"] for one in as_json if one["origin"]} == {*named, "live-only"}
    assert [lemon("models", "--live", name).exit_code for name in sorted(named)] == [0] * len(named)
    assert lemon("models", "--live", "nonsense").exit_code == 3
    prices = lemon("models", "--live", "--prices", "dall-e-3")
    assert "pricing_summary      $0.04 an image\n" in prices.stdout
    assert json.loads(lemon("models", "--live", "--prices", "dall-e-3", "--json").stdout)["scalar_pricing"] == {
        "per_image": "0.04"
    }
    emulator.inject("error_501")
    assert "HTTP 501" in lemon("models", "--live").stderr


def test_the_balance_takes_a_token_of_its_own(emulator, monkeypatch):
    monkeypatch.setenv("LEMONDATA_MANAGEMENT_TOKEN", TOKEN)
    assert "balance_decimal         12.500000\n" in lemon("balance").stdout
    monkeypatch.setenv("LEMONDATA_MANAGEMENT_TOKEN", "sk-wrong")
    wrong = lemon("balance")
    assert (wrong.exit_code, "management token" in wrong.stderr) == (2, True)
    monkeypatch.setenv("LEMONDATA_MANAGEMENT_TOKEN", "mt-expired")
    assert lemon("balance").exit_code == 3
    monkeypatch.delenv("LEMONDATA_MANAGEMENT_TOKEN")
    assert lemon("balance", "--emulator").exit_code == 0
