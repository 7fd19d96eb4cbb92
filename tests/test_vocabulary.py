"""The words of the capability rows: what each says to the validator, the emulator, the command line and the page."""

from __future__ import annotations

import json
import warnings

import click
import pytest
from click.testing import CliRunner

from lemon_ext import LemonWarning, check, violations
from lemon_ext.capabilities import capabilities, families, models
from lemon_ext.cli._contract import ApiCommand, api_options
from lemon_ext.emulator import Emulator
from lemon_ext.emulator.contract import Contract
from tests import made_up
from tests.cli import lemon

pytestmark = pytest.mark.regen

PARAMETERS = {
    "seed": {"type": "integer", "minimum": 0, "example": 42, "description": "Makes a picture repeatable."},
    "quantity": {"type": "integer", "x-lemon-alias-of": "n", "deprecated": True, "minimum": 1, "maximum": 10},
    "image_url": {"type": "string"},
    "image_urls": {"type": "array", "items": {"type": "string", "minLength": 3}, "maxItems": 16},
    "mask_url": {"type": "string"},
    "left": {"type": "string"},
    "right": {"type": "string"},
}
BETWEEN = {
    "dependentRequired": {"mask_url": ["image_url"]},
    "not": {"required": ["image_url", "image_urls"]},
    "allOf": [{"not": {"required": ["left", "right", "seed"]}}],
}
PIXELS = {"multipleOf": 16, "maxEdge": 3840, "maxRatio": 3, "minPixels": 655360, "also": ["auto"]}


def row(**words):
    return {"reply": "inline", "summary": "Made up", "source": "S", "parameters": {}, **words}


ROWS = {
    "new-2": row(
        takes=["n", "size", "quality", "image_urls"],
        parameters={"size": {"pixels": PIXELS}, "quality": {"enum": ["auto", "low"]}, "image_urls": {"maxItems": 2},
                    "n": {"maximum": 4}},
        defaults={"size": "1088x800", "quality": "auto", "n": 2},
    ),
    "new-*": row(takes=["n", "size"]),
    "new-mini-*": row(takes=["n"]),
    "tie-*": row(takes=["seed"]),
    "*-tie": row(takes=[]),
    "old-1": row(retired={"since": "2026-05-12", "source": "T", "instead": "new-2"}),
    "old-2": row(retired={"since": "2026-06-27", "source": "S"}),
}  # fmt: skip
SOURCES = {"S": "made up", "T": "made up later"}


@pytest.fixture
def data():
    return made_up.contract(parameters=PARAMETERS, rows=ROWS, between=BETWEEN, sources=SOURCES)


@pytest.fixture
def made(monkeypatch, data):
    return made_up.use(monkeypatch, data)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        # takes: these and no others
        ({"model": "new-2", "n": 4, "size": "1024x1024", "quality": "low", "image_urls": ["abc"]}, []),
        ({"model": "new-2", "seed": 1, "style": "vivid"},
         ["style: new-2 does not take it; leave it out", "seed: new-2 does not take it; leave it out"]),
        # rules of a row, the request schema's own beside them
        ({"model": "new-2", "n": 5}, ["n: 5 is out of range; allowed: 1 to 4"]),
        ({"model": "new-2", "size": "512x512"},
         ["size: 512x512 has 262,144 pixels; allowed: at least 655,360 pixels"]),
        ({"model": "new-2", "size": "large"},
         ["size: 'large' is not auto or WIDTHxHEIGHT"]),
        ({"model": "new-2", "image_urls": ["abc"] * 3}, ["image_urls: has 3 items; allowed: up to 2 items"]),
        ({"model": "new-2", "image_urls": ["a"]},
         ["image_urls: is 1 characters long; allowed: at least 3 characters"]),
        # an alias is judged as what it is a name of
        ({"model": "new-2", "quantity": 5}, ["quantity: 5 is out of range; allowed: 1 to 4"]),
        ({"model": "tie-1", "quantity": 5}, ["quantity: tie-1 does not take it; leave it out"]),
        # families: the exact id, then the longest pattern, then the first
        ({"model": "new-3", "size": "512x512"}, []),
        ({"model": "new-3", "quality": "hd"}, ["quality: new-3 does not take it; leave it out"]),
        ({"model": "new-mini-1", "size": "512x512"}, ["size: new-mini-1 does not take it; leave it out"]),
        ({"model": "tie-tie", "seed": 1}, []),
        ({"model": "a-tie", "seed": 1}, ["seed: a-tie does not take it; leave it out"]),
        # the row *: known values do not bind, all else does
        ({"model": "unheard-of", "quality": "high", "style": "wild", "seed": 7}, []),
        ({"model": "flux-pro", "response_format": "png"},
         ["response_format: 'png' is not available for flux-pro; allowed: url, b64_json"]),
        ({"model": "unheard-of", "seed": -1}, ["seed: -1 is out of range; allowed: at least 0"]),
        # between parameters
        ({"mask_url": "m"}, ["mask_url: needs image_url"]),
        ({"mask_url": "m", "image_url": "i"}, []),
        ({"image_urls": ["abc"], "image_url": "i"}, ["image_url: does not go with image_urls"]),
        ({"left": "l", "right": "r"}, []),
        ({"left": "l", "right": "r", "seed": 1}, ["left: does not go with right and seed"]),
        # a retired model is no error
        ({"model": "old-1", "seed": 1}, []),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("made")
def test_the_validator_and_the_emulator_read_a_row_alike(data, fields, wrong):
    fields = {"prompt": "x", **fields}
    assert [str(one) for one in violations(fields)] == wrong
    assert bool(Contract(data).problems(fields)) == bool(wrong)


@pytest.mark.parametrize(
    ("rule", "given", "wrong"),
    [
        ({"oneOf": [{"required": ["left"]}, {"required": ["right"]}]}, (), True),
        ({"oneOf": [{"required": ["left"]}, {"required": ["right"]}]}, ("left",), False),
        ({"oneOf": [{"required": ["left"]}, {"required": ["right"]}]}, ("left", "right"), True),
        ({"anyOf": [{"required": ["left"]}, {"required": ["right"]}]}, (), True),
        ({"anyOf": [{"required": ["left"]}, {"required": ["right"]}]}, ("left", "right"), False),
    ],
)
def test_one_of_several_parameters(monkeypatch, rule, given, wrong):
    data = made_up.contract(parameters=PARAMETERS, between={"allOf": [rule]})
    made_up.use(monkeypatch, data)
    fields = {"prompt": "x", **dict.fromkeys(given, "y")}
    said = {"oneOf": "exactly one", "anyOf": "at least one"}[next(iter(rule))]
    assert [str(one) for one in violations(fields)] == [f"left: {said} of left, right is needed"] * wrong
    assert [one.param for one in Contract(data).problems(fields)] == [None] * wrong


@pytest.mark.parametrize(
    ("fields", "warning"),
    [
        ({"model": "old-1"}, "The model 'old-1' was retired on 2026-05-12 (T). Use 'new-2' instead."),
        ({"model": "old-2"}, "The model 'old-2' was retired on 2026-06-27 (S). `lemon models` lists the others."),
        ({"quantity": 2}, "The parameter 'quantity' is deprecated. Use 'n' instead."),
        (
            {"model": "old1"},
            (
                "The model 'old1' is not a documented one. Did you mean 'old-1'? That was retired on 2026-05-12. "
                "Use 'new-2' instead."
            ),
        ),
        ({"model": "new2"}, "The model 'new2' is not a documented one. Did you mean 'new-2'?"),
        ({"model": "new-3", "n": 2}, None),
    ],
)
@pytest.mark.usefixtures("made")
def test_what_may_be_a_mistake_is_warned_of(fields, warning):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check({"prompt": "x", **fields})
    assert [(one.category, str(one.message)) for one in caught] == ([(LemonWarning, warning)] if warning else [])


@pytest.mark.usefixtures("made")
def test_what_is_known_of_a_model():
    new = capabilities("new-2")
    assert {name: rule.get("default") for name, rule in new.parameters.items() if rule is not False} == {
        "model": "dall-e-3", "prompt": None, "n": 2, "size": "1088x800", "quality": "auto", "image_urls": None,
        "quantity": None,
    }  # fmt: skip
    assert (new.listed, new.family, new.retired) == (True, None, None)
    assert (capabilities("new-9").listed, capabilities("new-9").family) == (True, "new-*")
    assert (capabilities("x").listed, capabilities("x").family) == (False, None)
    assert capabilities("old-1").retired == {"since": "2026-05-12", "source": "T", "instead": "new-2"}
    assert [one.id for one in families()] == ["new-*", "new-mini-*", "tie-*", "*-tie"]
    assert {"new-2", "old-1"} <= {one.id for one in models()}
    assert not any("*" in one.id for one in models())


def test_the_emulator_uses_a_models_own_defaults_and_names(data):
    emulator = Emulator(contract=data)
    assert [emulator.contract.value({}, name, "new-2") for name in ("n", "size", "quality")] == [2, "1088x800", "auto"]
    assert emulator.contract.value({"quantity": 3}, "n", "new-2") == 3
    assert emulator.contract.value({}, "size", "new-3") == "1024x1024"


@pytest.mark.usefixtures("made")
def test_retired_models_are_marked_and_not_completed(monkeypatch):
    lines = {line.split(" ")[0]: line for line in lemon("models", "--sources").stdout.splitlines()}
    assert lines["RETIRED"].split() == ["RETIRED", "SINCE", "SOURCE", "USE", "INSTEAD"]
    assert lines["old-1"].split() == ["old-1", "2026-05-12", "T", "new-2"]
    assert lines["T"].split(maxsplit=1) == ["T", "made up later"]
    shown = lemon("models", "old-1")
    assert "RETIRED on 2026-05-12" in shown.stdout
    assert "was retired on 2026-05-12 (T). Use 'new-2' instead." in shown.stderr
    assert json.loads(lemon("models", "old-1", "--json").stdout)["retired"]["instead"] == "new-2"
    (model,) = [param for param in command().params if "--model" in param.opts]
    assert [item.value for item in model.shell_complete(None, "old")] == []
    assert [item.value for item in model.shell_complete(None, "new")] == ["new-2"]


def command():
    @click.command(cls=ApiCommand)
    @api_options
    def generate(**options):
        """Made up."""

    return generate


def test_the_page_says_all_of_it(made):
    lines = made.page.splitlines()
    assert (
        "| `new-2` | inline | Made up | only `n`, `size`, `quality`, `image_urls`; `size`: auto or WIDTHxHEIGHT, both "
        "sides multiples of 16, no side above 3840, one side at most 3 times the other, at least 655,360 pixels; "
        "`quality`: auto, low; `image_urls`: up to 2 items; `n`: up to 4; `size` is `1088x800` where it is left out; "
        "`quality` is `auto` where it is left out; `n` is `2` where it is left out | S |"
    ) in lines
    assert "| `old-1` | inline | **Retired** on 2026-05-12 (T); use `new-2`. Made up | all | S |" in lines
    assert "- T: made up later" in lines
    assert "| `quantity` | integer | 1 to 10 | - | Deprecated. Another name of n. |" in lines
    assert "| `seed` | integer | at least 0 | - | Makes a picture repeatable. For example 42. |" in lines
    assert lines[-3:] == [
        "- `mask_url`: needs image_url",
        "- `image_url`: does not go with image_urls",
        "- `left`: does not go with right and seed",
    ]


def test_forty_parameters_and_thirty_models_stay_readable(monkeypatch):
    kinds = ("integer", "string", "boolean", "number")
    many = {f"made_up_parameter_{n}": {"type": kinds[n % 4], "description": f"What {n} does to it."} for n in range(33)}
    rows = {f"made-up-model-{n}": row(takes=[f"made_up_parameter_{i}" for i in range(n)]) for n in range(33)}
    made = made_up.use(monkeypatch, made_up.contract(parameters={**PARAMETERS, **many}, rows=rows))
    assert len(made.PARAMETERS) == 48
    assert len(made.MODELS) == 41
    help_page = CliRunner().invoke(command(), ["--help"], terminal_width=80).stdout.splitlines()
    assert max(map(len, help_page)) <= 80
    for name in set(made.PARAMETERS) - {"prompt"}:
        assert sum(f" --{name.replace('_', '-')} " in line for line in help_page) == 1, name
    for width in (80, 160):
        monkeypatch.setattr("lemon_ext.cli._table.room", lambda width=width: width)
        shown = lemon("models").stdout.splitlines()
        assert max(map(len, shown)) <= width
        assert [line.split()[0] for line in shown if line.startswith("made-up")] == list(rows)
        text = " ".join(" ".join(shown).split())
        assert "made_up_parameter_1 made-up-model-3" in text
        assert max(map(len, lemon("models", "made-up-model-3").stdout.splitlines())) <= width
    monkeypatch.setattr("lemon_ext.cli._table.room", lambda: 0)
    by_name = {line.split(" ")[0]: line for line in lemon("models").stdout.splitlines()}
    assert by_name["made-up-model-0"].endswith("the prompt alone")
    assert by_name["made-up-model-2"].endswith("  made_up_parameter_0, made_up_parameter_1")
    assert "all but n, size, quality," in by_name["made-up-model-32"]


BROKEN = [
    (row(takes=["stile"]), "takes", "has no parameter 'stile'"),
    (row(takes=["prompt"]), "takes", "every request has prompt"),
    (row(takes=["quantity"]), "takes", "quantity is another name of n: write that"),
    (row(takes=["n"], parameters={"n": False}), "takes", "n is false in its parameters"),
    (row(takes=["n"], parameters={"size": {"enum": ["1x1"]}}), "parameters.size", "`takes` does not name it"),
    (row(parameters={"quantity": {"maximum": 2}}), "parameters.quantity", "it is another name of n: write that"),
    (row(parameters={"image_urls": {"maxItems": 17}}), "parameters.image_urls", "maxItems 16 there"),
    (row(defaults={"n": 11}), "defaults.n", "does not fit: 11"),
    (row(defaults={"n": 4}, parameters={"n": {"maximum": 3}}), "defaults.n", "does not fit: 4"),
    (row(defaults={"n": 4}, takes=[]), "defaults.n", "the model does not take it"),
    (row(defaults={"n": 4}, parameters={"n": False}), "defaults.n", "the model does not take it"),
    (row(retired={"since": "2026-05-12", "source": "S", "instead": "x"}), "instead", "'x' is no listed model"),
    (row(retired={"since": "2026-05-12", "source": "S", "instead": "new-*"}), "instead", "'new-*' is no listed model"),
    (row(retired={"since": "2026-05-12", "source": "S", "instead": "old-1"}), "instead", "'old-1' is no listed model"),
    (row(retired={"since": "May", "source": "S"}), "retired.since", "'May' does not match"),
    (row(retired={"source": "S"}), "retired", "'since' is a required property"),
    (row(retired={"since": "2026-05-12", "source": "Q"}), "retired.source", "does not say what 'Q' is"),
    (row(source="S, Q"), "source", "does not say what 'Q' is"),
]


@pytest.fixture
def lint(monkeypatch):
    monkeypatch.syspath_prepend(str(made_up.ROOT / "tools"))
    import contract
    import lint

    def findings(data):
        with pytest.raises(contract.BrokenContractError) as caught:
            lint.load(json.dumps(data, indent=1))
        return caught.value.findings

    return findings


@pytest.mark.parametrize(("broken", "place", "reason"), BROKEN)
def test_a_row_that_says_what_cannot_be_is_refused_with_its_place(lint, data, broken, place, reason):
    data["x-lemon-models"] = {"bad": broken, **data["x-lemon-models"]}
    (one,) = lint(data)
    assert one.place == f"x-lemon-models.bad.{place}" or one.place.endswith(place)
    assert reason in one.reason
    assert one.line is not None


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        ({"oneOf": [{"required": ["left"]}]}, "drops this request, and says nothing: write allOf: [{oneOf: [...]}]"),
        ({"anyOf": [{"required": ["left"]}]}, "drops this request, and says nothing: write allOf: [{anyOf: [...]}]"),
        ({"not": {"required": ["left"]}}, "a parameter that is never taken"),
        ({"not": {"properties": {}}}, "write {required: [...]}"),
        ({"dependentRequired": {"left": ["write"]}}, "there is no parameter 'write'"),
        ({"allOf": [{"oneOf": [{"required": ["write"]}]}]}, "there is no parameter 'write'"),
        ({"allOf": [{"properties": {}}]}, "each part says how parameters depend on each other"),
        ({"allOf": [{"oneOf": [{"properties": {}}]}]}, "write {required: [...]}"),
    ],
)
def test_a_rule_between_parameters_that_nothing_could_check_is_refused(lint, between, reason):
    (one,) = lint(made_up.contract(parameters=PARAMETERS, between=between))
    assert one.place.startswith("components.schemas.ImageGenerationRequest")
    assert reason in one.reason
    assert one.line is not None


@pytest.mark.parametrize("other", ["nothing", "quantity", "left"])
def test_an_alias_names_a_parameter_of_its_own_type(lint, other):
    bad = {"type": "integer", "x-lemon-alias-of": other}
    (one,) = lint(made_up.contract(parameters={**PARAMETERS, "bad": bad}))
    assert one.place.endswith("properties.bad")
