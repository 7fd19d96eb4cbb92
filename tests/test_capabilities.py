"""What the validator makes of a request: the documented models, and rules that only a later contract will use."""

from __future__ import annotations

import warnings

import pytest
from lemon_client.model_table import MODELS, PARAMETERS
from lemon_client.models import ImageGenerationRequest

from lemon_ext import CapabilityError, LemonWarning, capabilities, check, violations
from lemon_ext._words import phrases

#: The rule for gpt-image-2 in the vendor's later documents: multiples of 16, no side above 3840, at most 3:1, and
#: 655,360 to 8,294,400 pixels.
PIXELS = {
    "multipleOf": 16, "maxEdge": 3840, "maxRatio": 3, "minPixels": 655_360, "maxPixels": 8_294_400, "also": ("auto",),
}  # fmt: skip
LATER = {
    "seed": {"type": "integer", "minimum": 0},
    "strength": {"type": "number", "minimum": 0.0, "maximum": 1.0},
    "async": {"type": "boolean"},
    "tags": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "string"}},
    "code": {"type": "string", "minLength": 3, "maxLength": 5, "pattern": "^[a-z]+$"},
}
ROW = {"reply": "either", "summary": "Flexible sizes", "source": "L", "parameters": {"size": {"pixels": PIXELS}}}


@pytest.fixture
def _later(monkeypatch):
    """A contract that knows more parameters, and gpt-image-2."""
    monkeypatch.setattr(capabilities, "PARAMETERS", {**PARAMETERS, **LATER})
    monkeypatch.setattr(capabilities, "MODELS", {**MODELS, "gpt-image-2": ROW})


def said(**request):
    return [str(one) for one in violations({"prompt": "a cat", **request})]


@pytest.mark.parametrize(
    ("size", "wrong"),
    [
        ("auto", None),
        ("1024x1024", None),
        ("1536x1024", None),
        ("3840x2160", None),
        ("3840x1280", None),
        ("1024x1792", None),
        ("512x512", "512x512 has 262,144 pixels; allowed: 655,360 to 8,294,400 pixels"),
        ("1000x1008", "1000x1008: both sides multiples of 16"),
        ("4096x1600", "4096x1600: no side above 3840"),
        ("3840x1264", "3840x1264: one side at most 3 times the other"),
    ],
)
@pytest.mark.usefixtures("_later")
def test_sizes_by_pixels(size, wrong):
    assert said(model="gpt-image-2", size=size) == ([f"size: {wrong}"] if wrong else [])


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"seed": 7, "strength": 0.5, "async": True, "tags": ["a", "b"], "code": "abcd"}, []),
        ({"strength": 1}, []),
        ({"seed": 1.5}, ["seed: must be a whole number, not float"]),
        ({"seed": -1}, ["seed: -1 is out of range; allowed: at least 0"]),
        ({"seed": -(10**400)}, [f"seed: -1{'0' * 57}… is out of range; allowed: at least 0"]),
        ({"seed": -(10**5000)}, ["seed: a number of thousands of digits is out of range; allowed: at least 0"]),
        ({"strength": 1.5}, ["strength: 1.5 is out of range; allowed: 0 to 1"]),
        ({"async": 1}, ["async: must be true or false, not int"]),
        ({"tags": []}, ["tags: has 0 items; allowed: 1 to 2 items"]),
        ({"tags": ["a", "b", "c"]}, ["tags: has 3 items; allowed: 1 to 2 items"]),
        ({"tags": ["a", 1]}, ["tags: must be a string, not int"]),
        ({"tags": "a"}, ["tags: must be a list, not str"]),
        ({"code": "ab"}, ["code: is 2 characters long; allowed: 3 to 5 characters"]),
        ({"code": "abcdef"}, ["code: is 6 characters long; allowed: 3 to 5 characters"]),
        ({"code": "ABC"}, ["code: 'ABC' is not of the form ^[a-z]+$"]),
    ],
)
@pytest.mark.usefixtures("_later")
def test_every_kind_of_parameter(given, wrong):
    assert said(**given) == wrong


@pytest.mark.parametrize(
    "model", ["dall-e-2", "flux-pro", "flux-schnell", "midjourney", "ideogram-v3", "stable-diffusion-3"]
)
def test_quality_and_style_are_for_dalle_3_alone(model):
    assert said(model=model, quality="hd", style="vivid") == [
        f"quality: {model} does not take it; leave it out",
        f"style: {model} does not take it; leave it out",
    ]
    assert said(model="dall-e-3", quality="hd", style="vivid") == []


def test_a_model_without_a_row_follows_the_request_schema_alone():
    assert said(model="brand-new", size="640x480", quality="hd") == []
    assert said(model="brand-new", n=11) == ["n: 11 is out of range; allowed: 1 to 10"]


def test_no_model_means_the_servers_default():
    assert said(size="512x512") == [
        "size: '512x512' is not available for dall-e-3; allowed: 1024x1024, 1792x1024, 1024x1792"
    ]


def test_a_violation_lists_what_would_do():
    (one,) = violations({"prompt": "x", "quality": "ultra"})
    assert (one.parameter, one.allowed) == ("quality", ("standard", "hd"))


def test_a_request_of_the_generated_client_is_judged_the_same():
    request = ImageGenerationRequest(prompt="x", model="midjourney", style="vivid")
    with pytest.raises(CapabilityError, match="style: midjourney does not take it"):
        check(request)


def test_what_the_contract_does_not_know_is_not_judged():
    assert said(aspect_ratio="16:9") == []


@pytest.mark.parametrize(
    ("model", "near"),
    [("dalle-3", "dall-e-3"), ("DALL-E-3", "dall-e-3"), ("mid-journey", "midjourney"), ("flux-shnell", "flux-schnell")],
)
def test_a_near_miss_is_warned_of(model, near):
    with pytest.warns(LemonWarning, match=f"Did you mean '{near}'"):
        check({"prompt": "x", "model": model})


@pytest.mark.parametrize(
    ("model", "near"),
    [
        # One slip of the finger in the name of a family's listed model:
        *(("flux-por", "flux-pro"), ("flux-pr", "flux-pro"), ("flux-prro", "flux-pro"), ("flux-pri", "flux-pro")),
        *(("flux-Pro", "flux-pro"), ("flux-shnell", "flux-schnell"), ("flux-schenll", "flux-schnell")),
        # Names that a new model of the family may have:
        *(
            (name, None)
            for name in ("flux-2-max", "flux-2-pro", "flux-pro2", "flux-pro-1.1", "flux-1.1-pro", "flux-dev")
        ),
        *((name, None) for name in ("flux-pro-x", "flux-kontext-pro", "flux-pro-ultra", "flux-max", "flux-pixel")),
        *((name, None) for name in ("flux-pro", "flux-schnell-5", "flux-")),
    ],
)
def test_a_name_that_only_a_family_takes_in_is_warned_of_where_it_is_one_slip_away(monkeypatch, model, near):
    row = MODELS["flux-pro"]
    monkeypatch.setattr(capabilities, "MODELS", {"flux-pro": row, "flux-schnell": row, "flux-*": row, "*": MODELS["*"]})
    assert capabilities.nearest_model(model) == near


def test_what_a_slip_in_a_family_is_told_as(monkeypatch):
    monkeypatch.setattr(capabilities, "MODELS", {**MODELS, "flux-*": MODELS["flux-pro"]})
    with pytest.warns(LemonWarning, match="'flux-por' is not a documented one. Did you mean 'flux-pro'"):
        check({"prompt": "x", "model": "flux-por"})


@pytest.mark.parametrize("model", ["dall-e-3", "gpt-image-2", "nano-banana", "*"])
def test_others_are_not(model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check({"prompt": "x", "model": model})


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("^(auto|[1-9][0-9]*x[1-9][0-9]*)$", "auto or NxN (N is a whole number)"),
        ("^[0-9]+:[0-9]+$", None),
        ("^(\\d+:\\d+)$", "N:N (N is a whole number)"),
        ("^https?://", "text that begins with http:// or https://"),
        ("^(png|webp)$", "png or webp"),
        ("^a|b$", "of the form ^a|b$"),
        ("^[a-z]+$", "of the form ^[a-z]+$"),
        ("cat", "of the form cat"),
    ],
)
def test_a_pattern_is_said_in_words_where_it_is_simple(pattern, said):
    assert phrases({"pattern": pattern})["pattern"] == (said or "N:N (N is a whole number)")
