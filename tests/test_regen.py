"""`make regen`: a broken contract is refused with its place, a good one is written the same way every time."""

from __future__ import annotations

import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lemon_ext import client
from tests.conftest import ROOT
from tests.edits import TEXT, edit, findings

pytestmark = pytest.mark.regen

USER = "        user:\n          type: string\n          description: An identifier of your end user."
CREATED = (
    '        created:\n          type: [integer, "null"]\n          '
    "description: When the images were made, in Unix seconds."
)
POLL_URL = '        poll_url:\n          type: [string, "null"]'
REQUEST = 'schema: {$ref: "#/components/schemas/ImageGenerationRequest"}'
TASK, INLINE = (
    f'                  - {{$ref: "#/components/schemas/{name}"}}\n'
    for name in ("ImageGenerationTask", "ImagesResponse")
)
IMAGE_DATA = "    ImageData:\n      type: object\n"

NEW_MODEL = (
    '  "*":\n    reply: either',
    """\
  gpt-image-2:
    reply: either
    summary: Flexible sizes
    source: L
    parameters:
      size: {pixels: {multipleOf: 16, maxEdge: 3840, maxRatio: 3, minPixels: 655360, also: [auto]}}
      quality: false
      style: false
      seed: {maximum: 1000}
  "*":
    reply: either""",
)
NEW_PARAMETERS = (
    USER,
    rf"""{USER}
        seed: {{type: integer, minimum: 0, description: Makes it repeatable.}}
        strength: {{type: number, maximum: 1, description: 'What \d and "x" do.'}}
        async: {{type: boolean, description: Ask for a task.}}""",
)
NEW_OPERATION = (
    "  /v1/images/generations/{task_id}:\n    get:",
    """\
  /v1/balance:
    get:
      operationId: get_credits
      tags: [account]
      summary: Money left
      security: [{BearerAuth: []}]
      responses:
        "200": {description: The money left.}
  /v1/images/generations/{task_id}:
    get:""",
)


def with_parameter(line):
    return USER, f"{USER}\n        {line}"


def with_row(model, parameters):
    row = f"  {model}: {{reply: inline, summary: x, source: x, parameters: {{{parameters}}}}}\n"
    return '  "*":\n', f'{row}  "*":\n'


@pytest.mark.parametrize(
    ("replacement", "place", "reason"),
    [
        # Read strictly, and as every other reader would.
        (("\ncomponents:\n", "\ncomponents:\n\t"), "YAML", "found character"),
        (("tags:\n  - name: images", "info: {}\ntags:\n  - name: images"), "YAML", "duplicate key"),
        (("x-server-default: standard", "x-server-default: 16:9"), "16:9", "quote it"),
        (("x-server-default: vivid", "x-server-default: off"), "off", "quote it"),
        (("x-server-default: 1\n", "x-server-default: 1e3\n"), "1e3", "quote it"),
        (("x-server-default: 1\n", "x-server-default: 010\n"), "010", "quote it"),
        (('version: "2026.1.26"', "version: 2026-01-26"), "2026-01-26", "quote it"),
        (
            (REQUEST, REQUEST.replace("ImageGenerationRequest", "Nothing")),
            "requestBody",
            "nothing at '#/components/sch",
        ),
        ((REQUEST, 'schema: {$ref: "other.yaml#/Request"}'), "requestBody", "nothing at 'other.yaml#/Request' in this"),
        ((REQUEST, REQUEST.replace("}", ", required: [n]}")), "requestBody", "ignores what stands beside a $ref: requ"),
        # The standard, and what an operation has to say.
        (
            ("get:\n      operationId: get_image_task", "get:\n      operationId: create_image"),
            "contract",
            "is not unique",
        ),
        (("description: The images, or a task that will", "summary: will"), "responses['200']", "required property"),
        (("pattern: '\\S'", "pattern: '['"), "properties.prompt", "'[' is not a 'regex'"),
        (
            ("      operationId: get_image_task\n      tags: [images]", "      tags: [images]"),
            "get",
            "needs an operationId",
        ),
        (
            ("get:\n      operationId: get_image_task", "get:\n      operationId: createImage"),
            "task_id}'].get",
            "createImage and create_image would be one file in Python: rename one",
        ),
        (
            ("    ImageData:\n", "    Imagedata: {type: object}\n    ImageData:\n"),
            "schemas.ImageData",
            "ImageData and Imagedata would be one file in Python",
        ),
        (("operationId: create_image", "operationId: make_image"), "paths", "no operation 'create_image'"),
        ((REQUEST, "schema: {type: object, properties: {}}"), "paths", "must be JSON, a $ref to an object"),
        (
            (f"                anyOf:\n{TASK}", f"                oneOf:\n{TASK}"),
            "responses['200'].content",
            "oneOf is for what differs by its type (a text, an object): use anyOf",
        ),
        (
            ("\ncomponents:\n", f"\nx-notes: [{', '.join(['*task_fields'] * 51)}]\n\ncomponents:\n"),
            "*task_fields",
            "readers in Java refuse a file with more than 50 aliases: write some of them out",
        ),
        (
            (f"{TASK}{INLINE}", f"{INLINE}{TASK}"),
            "responses['200'].content",
            "by their names, ImageGenerationTask first",
        ),
    ],
)
def test_a_broken_contract_is_refused_with_place_and_reason(tools, replacement, place, reason):
    found = findings(tools, edit(replacement))
    assert any(place in one.place and reason in one.reason for one in found), "\n".join(map(str, found))


HOUSE_RULES = {
    "schemas and parameters": [
        (("          maxLength: 4000", "          maxLenght: 4000"), "properties.prompt", "did you mean maxLength?"),
        (("x-server-default: vivid", "x-sever-default: vivid"), "properties.style", "did you mean x-server-default?"),
        ((CREATED, f'{CREATED}\n        note: {{type: [string, "null"], description: on 402, or never}}'),
         "properties.note", "'or never' is no schema keyword"),
        (("x-server-default: standard", "default: standard"), "properties.quality", "write x-server-default"),
        (("schema: {type: string, minLength: 1}\n", "schema: {type: string, default: x}\n"),
         "parameters[0].schema", "write x-server-default"),
        (("x-server-default: 1\n", "x-server-default: 99\n"), "properties.n", "x-server-default does not fit: 99"),
        (("        error:\n          oneOf:", "        error:\n          anyOf:"),
         "ErrorResponse.properties.error", "write oneOf, because of anyOf some readers lose one"),
        (("upstream: {type: [string", "upstream: {const: null, type: [string"),
         "ErrorDetail.properties.upstream", "const breaks readers"),
        (('b64_json:\n          type: [string, "null"]', "b64_json:\n          type: string"),
         "ImageData.properties.b64_json", "allow null"),
        ((f"{IMAGE_DATA}      additionalProperties: true\n", IMAGE_DATA), "schemas.ImageData",
         "write additionalProperties: true, or some readers refuse them"),
        ((POLL_URL, f"{POLL_URL}\n          format: date-time"), "properties.poll_url", "one bad date-time"),
        (with_parameter("mood: {type: string, enum: [a, b]}"), "properties.mood", "closed enum"),
        (with_parameter('look: {$ref: "#/components/schemas/ImageStyleKnown"}'), "properties.look", "closed one"),
        (('enum: ["256x256", "512x512"', 'enum: [huge, "512x512"'), "properties.size", "'huge' does not fit"),
        (with_parameter("seed: {type: integer, examples: [x]}"), "properties.seed", "its example does not fit: 'x'"),
        # What has to become a keyword argument, an option and a rule.
        (with_parameter("response-quality: {type: string}"), "response-quality", "cannot be a keyword argument"),
        (with_parameter("_seed: {type: integer}"), "properties._seed", "cannot be a keyword argument"),
        (with_parameter("class_: {type: string}"), "properties.class_", "cannot be a keyword argument"),
        (with_parameter("deadline: {type: number}"), "properties.deadline", "has this name for something else"),
        (with_parameter("mask: {type: object}"), "properties.mask", "must be a scalar"),
        (with_parameter("many: {anyOf: [{type: string}, {type: integer}]}"), "properties.many", "must be a scalar"),
        (with_parameter("loose: {type: array}"), "properties.loose", "must be a scalar"),
        (with_parameter("step: {type: integer, multipleOf: 8}"), "properties.step", "multipleOf is not enforced"),
        (with_parameter("links: {type: array, items: {type: string, format: uri}}"), "links", "format is not enforced"),
    ],
    "examples and models": [
        (("quality: standard\n                  n: 1", "quality: standard\n                  n: 0"),
         "examples.inline", "does not fit: 0 is less than the minimum"),
        (("status: failed\n", "status: 7\n"), "examples.failed", "does not fit: 7"),
        (("example: img_0f9a12bc34de", "example: 7"), "parameters[0].example", "does not fit: 7"),
        (with_row("a", "stile: {enum: [vivid]}"), "a.parameters.stile", "no such parameter"),
        (with_row("b", "n: {maximum: 20}"), "b.parameters.n", "wider than the request schema: 20 is greater"),
        (with_row("c", "n: {minimum: 3, maximum: 2}"), "c.parameters.n", "no value is between"),
        (with_row("d", "n: {maxLength: 3}"), "d.parameters.n", "maxLength does not bind a parameter of type integer"),
        (with_row("e", "prompt: {maxLength: 5000}"), "e.parameters.prompt", "wider than the request schema: maxLength"),
        (with_row("f", "prompt: {pattern: '['}"), "f.parameters.prompt", "not a regular expression"),
        (with_row("g", "prompt: false"), "g.parameters.prompt", "every request has it"),
        (with_row("h", "quality: {enum: [ultra]}, size: {enum: [ultra]}"), "h.parameters.size", "wider than the"),
    ],
    "the form of the table": [
        (("  flux-pro:\n    reply: task", "  flux-pro:\n    reply: asynch"), "['flux-pro'].reply", "'asynch' is not"),
        (('  "*":\n    reply:', '  "any":\n    reply:'), "x-lemon-models", "'*' is a required property"),
        (("      style: {enum: [vivid, natural]}", "      style: {enumm: [x]}"), "parameters.style", "'enumm' was"),
        (("  ideogram-v3:\n", "  j: {reply: task, summary: x, source: x, parameters: {n: true}}\n  ideogram-v3:\n"),
         "j.parameters.n", "False was expected"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("rules", HOUSE_RULES)
def test_a_contract_that_breaks_house_rules_is_refused_for_each_and_for_nothing_else(tools, rules):
    cases = HOUSE_RULES[rules]
    found = findings(tools, edit(*(replacement for replacement, _, _ in cases)))
    for _, place, reason in cases:
        assert sum(place in one.place and reason in one.reason for one in found) == 1, (place, reason)
    assert len(found) == len(cases), "\n".join(map(str, found))


def test_no_parameter_can_hide_an_argument_of_ours(tools):
    for owner in (client.Images, client.AsyncImages):
        for method in (owner.generate, owner.submit):
            ours = inspect.signature(method).parameters.keys() - {"prompt", "model", "params"}
            assert ours <= tools.lint.RESERVED


def test_every_fault_is_named_at_once_with_its_line(tools):
    text = edit(
        ("reply: task\n    summary: Artistic", "reply: never\n    summary: Artistic"),
        ("example: img_0f9a12bc34de", "example: 7"),
    )
    place = "paths['/v1/images/generations/{task_id}'].get.parameters[0].example"
    assert [(one.place, one.line) for one in findings(tools, text)] == [
        (place, text[: text.index("      parameters:\n        - name: task_id")].count("\n") + 1),
        ("x-lemon-models.midjourney.reply", text[: text.index("reply: never")].count("\n") + 1),
    ]


def test_an_operation_without_security_or_with_two_tags_is_refused(tools):
    text = TEXT.replace("      security: [{BearerAuth: []}]\n", "").replace("tags: [images]", "tags: [images, more]")
    reasons = [one.reason for one in findings(tools, text)]
    assert [reason.split(":")[0] for reason in reasons] == 2 * ["name the security here", "give it exactly one tag"]


@pytest.mark.parametrize("text", ["", "[]", "openapi: 3.1.0", "x-lemon-models: {}"])
def test_what_is_no_contract_at_all_is_refused(tools, text):
    assert findings(tools, text)


@pytest.mark.parametrize(
    ("schema", "flat"),
    [
        ({"type": "string"}, {"type": "string"}),
        (
            {"type": ["integer", "null"], "minimum": 1, "x-server-default": 2},
            {"type": "integer", "minimum": 1, "default": 2},
        ),
        ({"$ref": "#/components/schemas/ImageStyleKnown"}, {"type": "string"}),
        (
            {"anyOf": [{"$ref": "#/components/schemas/ImageStyleKnown"}, {"type": "string"}]},
            {"type": "string", "enum": ("vivid", "natural")},
        ),
        (
            {"anyOf": [{"$ref": "#/components/schemas/ImageStyleKnown"}, {"type": "string", "pattern": "^[a-z]+$"}]},
            {"type": "string", "known": ("vivid", "natural"), "pattern": "^[a-z]+$"},
        ),
        (
            {"type": "array", "items": {"type": "string"}, "maxItems": 16},
            {"type": "array", "maxItems": 16, "items": {"type": "string"}},
        ),
    ],
)
def test_open_enums_are_read_as_what_they_mean(tools, schema, flat):
    assert tools.derive.rule(tools.present, schema) == flat


@pytest.fixture(scope="module")
def grown(tools, tmp_path_factory):
    """A copy of the project after an edit of the contract and `make regen`: a new model and three new parameters."""
    root = tmp_path_factory.mktemp("grown")
    shutil.copy(ROOT / "pyproject.toml", root)
    shutil.copytree(ROOT / "lemon_ext", root / "lemon_ext", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "openapi.yaml").write_text(edit(NEW_MODEL, NEW_PARAMETERS, whole=True), encoding="utf-8")
    (root / "generated").mkdir()
    (root / "generated" / "stale.py").write_text("x = 1")
    assert tools.regen.main([], root) == 0
    return root


MULTIPART = (
    """
          multipart/form-data:
            schema: {$ref: "#/components/schemas/ImageForm"}
      responses:
        "200": &created""",
    """
    ImageForm:
      type: object
      required: [prompt, image]
      properties:
        prompt: {type: string}
        image: {type: string, format: binary}
    ImageSizeKnown:
""",
)


def program(tools, tmp_path, text, script):
    """Write what follows from a contract, and run a program on it."""
    for name, body in tools.regen.outputs(tools.lint.load(text), text, tools.regen.pinned(ROOT)).items():
        tools.regen._put(tmp_path / name, body)
    shutil.copytree(ROOT / "lemon_ext", tmp_path / "lemon_ext", ignore=shutil.ignore_patterns("__pycache__"))
    done = run_in(tmp_path, "-W", "error", "-c", script)
    assert done.returncode == 0, done.stderr


def test_a_body_in_two_forms_can_be_imported(tools, tmp_path):
    """The generator forgets an import there (0.29.1), and said that all was well."""
    text = edit(
        ('\n      responses:\n        "200": &created', MULTIPART[0]), ("\n    ImageSizeKnown:\n", MULTIPART[1])
    )
    program(
        tools,
        tmp_path,
        text,
        """
from io import BytesIO
from lemon_client.api.images import create_image
from lemon_client.models import ImageForm, ImageGenerationRequest
from lemon_client.types import File
form = create_image._get_kwargs(body=ImageForm(prompt="x", image=File(BytesIO(b"png"), "a.png", "image/png")))
assert form["headers"]["Content-Type"].startswith("multipart/form-data"), form
assert create_image._get_kwargs(body=ImageGenerationRequest(prompt="x"))["json"] == {"prompt": "x"}
""",
    )


def test_values_that_differ_little_work_side_by_side(tools, tmp_path):
    """`hd` and `HD` were one member of an enum."""
    twins = "enum: [standard, hd, HD, very high, very_high]\n    ImageResponse"
    text = edit(("enum: [standard, hd]\n    ImageResponse", twins), ("      quality: {enum: [standard, hd]}\n", ""))
    program(
        tools,
        tmp_path,
        text,
        """
from lemon_client.models import ImageGenerationRequest
from lemon_ext import violations
for quality in ("hd", "HD", "very high", "very_high"):
    request = ImageGenerationRequest(prompt="x", model="dall-e-3", quality=quality)
    assert ImageGenerationRequest.from_dict(request.to_dict()).to_dict()["quality"] == quality
    assert violations(request) == []
assert violations({"prompt": "x", "quality": "Hd"}) != []
""",
    )


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("def f(x: Unset = None): ...\n", "NameError: name 'Unset' is not defined"),
        ("def f():\n    return Unset\n", "F821 Undefined name `Unset`"),
        ("from .gone import x\nx()\n", "No module named 'lemon_client.models.gone'"),
        ("def f(:\n", "Failed to parse models/bad.py:1:7"),
        ('"\\d"\n', "invalid escape sequence"),
        ("class A:\n    x: int\n    x: str\n", "PIE794"),
    ],
)
def test_code_that_cannot_be_used_is_not_written(tools, grown, capsys, monkeypatch, module, reason):
    generate = tools.regen._generate

    def badly(text, package, scratch):
        generate(text, package, scratch)
        (package / "models" / "bad.py").write_text(module)

    before = snapshot(grown)
    monkeypatch.setattr(tools.regen, "_generate", badly)
    assert tools.regen.main([], grown) == 1
    shown = capsys.readouterr().err
    assert reason in shown
    assert shown.endswith("Nothing was written.\n")
    assert snapshot(grown) == before


def run_in(root, *command, **environment):
    path = f"{root / 'generated'}{os.pathsep}{root}"
    return subprocess.run(
        [sys.executable, *command],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path, "MYPYPATH": path, **environment},
        check=False,
        capture_output=True,
        text=True,
    )


def snapshot(root):
    return {
        path.relative_to(root): path.read_bytes()
        for folder in ("generated", "docs")
        for path in (root / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_a_new_model_and_parameter_follow_everywhere(grown):
    client = grown / "generated" / "lemon_client"
    assert "seed: int | Unset = UNSET" in (client / "models" / "image_generation_request.py").read_text()
    params = (client / "image_params.py").read_text()
    assert "seed: int | None" in params
    assert "strength: float | None" in params
    assert "async_: bool | None" in params
    assert '"gpt-image-2"' in (client / "model_table.py").read_text()
    assert "| `gpt-image-2` | either | Flexible sizes |" in (grown / "docs" / "models.md").read_text()
    assert not (grown / "generated" / "stale.py").exists()


def test_they_are_usable_from_python_without_a_handwritten_line(grown):
    script = """
import httpx, json
from lemon_ext import CapabilityError, Lemon
seen = []
def handler(request):
    seen.append(json.loads(request.content))
    return httpx.Response(200, json={"data": [{"url": "https://i/x.png"}]})
with Lemon("sk-x", http_client=httpx.Client(transport=httpx.MockTransport(handler))) as lemon:
    lemon.images.generate("x", model="gpt-image-2", size="1536x1024", seed=7, strength=0.5, async_=True)
    for wrong in ({"seed": 1001}, {"seed": -1}, {"size": "512x512"}, {"size": "1024x1030"}, {"quality": "hd"},
                  {"strength": 2}, {"async_": 1}):
        try:
            lemon.images.generate("x", model="gpt-image-2", **wrong)
        except CapabilityError as error:
            continue
        raise SystemExit(f"{wrong} was accepted")
sent = {"model": "gpt-image-2", "prompt": "x", "size": "1536x1024", "seed": 7, "strength": 0.5, "async": True}
assert seen == [sent], seen
"""
    done = run_in(grown, "-W", "error", "-c", script)
    assert done.returncode == 0, done.stderr


def test_they_are_options_of_the_command_line(grown):
    given = ("generate", "a cat", "-m", "gpt-image-2", "--size", "1536x1024", "--strength", "0.5", "--async")
    done = run_in(grown, "-m", "lemon_ext", *given, "--seed", "7", "--emulator", "-o", "out", "--json")
    assert done.returncode == 0, done.stderr
    assert (grown / json.loads(done.stdout)["paths"][0]).stat().st_size > 1000
    done = run_in(grown, "-m", "lemon_ext", *given, "--seed", "1001", "--emulator")
    assert done.returncode == 2
    assert "seed: 1001 is out of range; allowed: 0 to 1,000" in done.stderr


def test_they_are_columns_of_a_batch(grown):
    script = """
from lemon_ext import CapabilityError
from lemon_ext.batch import plan_batch
row = {"prompt": "x", "model": "gpt-image-2", "seed": 7, "async": True}
assert plan_batch([row]).models == {"gpt-image-2": 1}
try:
    plan_batch([row, {**row, "seed": 1001}])
except CapabilityError as error:
    assert "seed: 1001 is out of range" in str(error), error
else:
    raise SystemExit("it was accepted")
"""
    done = run_in(grown, "-W", "error", "-c", script)
    assert done.returncode == 0, done.stderr


def test_the_emulator_judges_them(grown):
    script = """
import httpx
from lemon_ext.emulator import KEY, Emulator
wrong = [{"seed": 1001}, {"seed": -1}, {"async": 1}, {"strength": 2}, {"size": "1024x1030"}, {"quality": "hd"}]
with Emulator(task_seconds=0) as emulator:
    client = httpx.Client(transport=emulator.transport, headers={"Authorization": f"Bearer {KEY}"})
    for fields in ({"seed": 7, "strength": 0.5, "async": True, "size": "auto"}, *wrong):
        body = {"model": "gpt-image-2", "prompt": "x", **fields}
        reply = client.post(emulator.address + "/v1/images/generations", json=body)
        print(reply.status_code, reply.json().get("error", {}).get("param"))
    client.close()
    print(emulator.charges)
"""
    done = run_in(grown, "-W", "error", "-c", script)
    assert done.returncode == 0, done.stderr
    refused = [f"400 {name}" for name in ("seed", "seed", "async", "strength", "size", "quality")]
    assert done.stdout.splitlines() == ["200 None", *refused, "1"]


def test_they_are_typed(grown):
    (grown / "new.py").write_text("""
from lemon_ext import AsyncLemon, Lemon

def blocking(lemon: Lemon) -> None:
    lemon.images.generate("x", model="gpt-image-2", seed=7, strength=0.5, async_=True)
    lemon.images.submit("x", seed="7")  # type: ignore[arg-type]
    lemon.images.generate("x", sead=7)  # type: ignore[call-arg]

async def not_blocking(lemon: AsyncLemon) -> None:
    await lemon.images.generate("x", seed=7, strength=1)
    await lemon.images.submit("x", async_="yes")  # type: ignore[arg-type]
""")
    shutil.copy(ROOT / "tests" / "typing" / "api.py", grown)
    done = run_in(grown, "-m", "mypy", "--cache-dir", str(ROOT / ".mypy_cache"), "new.py", "api.py")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_second_run_writes_the_same_bytes(tools, grown):
    before = snapshot(grown)
    shutil.rmtree(grown / "generated")
    script = f"import sys; sys.path.insert(0, {str(ROOT / 'tools')!r}); import regen; regen.main([], regen.Path())"
    done = run_in(grown, "-c", script, PYTHONHASHSEED="7")
    assert done.returncode == 0, done.stderr
    assert snapshot(grown) == before


def test_check_compares_both_ways_and_writes_nothing(tools, grown, capsys):
    before = snapshot(grown)
    client = grown / "generated" / "lemon_client"
    (client / "client.py").write_text("# edited by hand\n")
    (client / "extra.py").write_text("")
    (client / "types.py").unlink()
    assert tools.regen.main(["--check"], grown) == 1
    shown = capsys.readouterr().out
    assert "differs  generated/lemon_client/client.py\n    --- is\n    +++ would be" in shown
    assert "    -# edited by hand\n" in shown
    assert "stale    generated/lemon_client/extra.py" in shown
    assert "missing  generated/lemon_client/types.py" in shown
    assert (client / "client.py").read_text() == "# edited by hand\n"
    assert (client / "extra.py").exists()
    assert not (client / "types.py").exists()
    assert tools.regen.main([], grown) == 0
    assert snapshot(grown) == before


@pytest.mark.parametrize("name", ["openapi.yaml", "pyproject.toml"])
def test_a_broken_contract_or_an_unpinned_tool_leaves_what_is_there(tools, grown, capsys, monkeypatch, name):
    path, before = grown / name, snapshot(grown)
    good = path.read_text(encoding="utf-8")
    path.write_text(good.replace("reply: task", "reply: maybe").replace("ruff==", "ruff==9"), encoding="utf-8")
    try:
        assert tools.regen.main([], grown) == 1
    finally:
        path.write_text(good, encoding="utf-8")
    shown = capsys.readouterr().err
    assert "othing was written" in shown
    assert ("'maybe' is not one of" in shown) == (name == "openapi.yaml")
    assert snapshot(grown) == before


@pytest.fixture
def small(tmp_path):
    """A generated/ of one file, to try the swap on."""
    (tmp_path / "generated").mkdir()
    (tmp_path / "generated" / "a.py").write_bytes(b"old")
    return tmp_path


WANTED = {"generated/a.py": b"new", "docs/models.md": b"page"}


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, PermissionError])
def test_an_interrupt_between_the_renames_leaves_a_usable_generated(tools, small, monkeypatch, nth, interrupt):
    rename, calls = Path.rename, []

    def failing(self, target):
        calls.append(self)
        if len(calls) == nth:
            raise interrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(interrupt):
        tools.regen.write(WANTED, small)
    assert [path.relative_to(small).as_posix() for path in small.rglob("*")] == ["generated", "generated/a.py"]
    assert (small / "generated" / "a.py").read_bytes() == b"old"


def test_a_kill_between_the_renames_is_mended_by_the_next_run(tools, small):
    (small / "generated").rename(small / "generated.old")
    (small / "generated.new").mkdir()
    tools.regen.recover(small)
    assert [path.relative_to(small).as_posix() for path in small.rglob("*")] == ["generated", "generated/a.py"]
    tools.regen.write(WANTED, small)
    assert snapshot(small) == {Path(name): body for name, body in WANTED.items()}


def test_what_is_committed_is_what_the_contracts_make(tools, capsys):
    assert tools.regen.main(["--check"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "generated/ is what openapi.yaml makes of it.",
        "tests/contract/generated/ is what tests/contract/openapi.yaml makes of it.",
    ]


def test_the_frozen_contract_is_kept_in_step_and_to_the_same_rules(tools, grown, tmp_path, capsys):
    shutil.copytree(grown, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    place = tmp_path / "tests" / "contract"
    place.mkdir(parents=True)
    (place / "openapi.yaml").write_text(TEXT, encoding="utf-8")
    assert tools.regen.main(["--check"], tmp_path) == 1
    assert "missing  tests/contract/generated/lemon_client/client.py" in capsys.readouterr().out
    assert tools.regen.main([], tmp_path) == 0
    assert tools.regen.main(["--check"], tmp_path) == 0
    assert {path.name for path in place.iterdir()} == {"openapi.yaml", "generated"}
    (place / "openapi.yaml").write_text(edit(("  flux-pro:\n    reply: task", "  flux-pro:\n    reply: never")))
    before = snapshot(tmp_path)
    assert tools.regen.main([], tmp_path) == 1
    line = TEXT[: TEXT.index("  flux-pro:\n    reply: task")].count("\n") + 2
    assert f"tests/contract/openapi.yaml:{line}: x-lemon-models['flux-pro'].reply: " in capsys.readouterr().err
    assert snapshot(tmp_path) == before


def test_the_report_compares_with_the_last_commit(tools, tmp_path):
    def git(*arguments):
        identity = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "openapi.yaml").write_text(TEXT, encoding="utf-8")
    assert tools.regen.earlier(tmp_path) is None
    git("init")
    git("add", "openapi.yaml")
    git("commit", "-m", "x")
    (tmp_path / "openapi.yaml").write_text(edit(NEW_OPERATION), encoding="utf-8")
    assert tools.regen.earlier(tmp_path).data == tools.present.data


def test_a_new_operation_is_reported_until_it_is_wrapped(tools):
    assert tools.impact.unwrapped(tools.present, ROOT) == []
    assert tools.impact.unwrapped(tools.lint.load(edit(NEW_OPERATION)), ROOT) == ["get_credits"]
