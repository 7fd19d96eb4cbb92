"""`make follow`: what a vendor's own document says that our contract does not, and an edit that would follow it."""

from __future__ import annotations

import json

import pytest

from tests.edits import TEXT, WHOLE

pytestmark = pytest.mark.regen


def answer(**properties):
    schema = {"type": "object", "properties": properties}
    return {"description": "x", "content": {"application/json": {"schema": schema}}}


def vendor(properties, *, required=("prompt",), task=None, image=None, example="dall-e-3", **more):
    """A document as vendors write them: 3.0, nullable, other names of parameters, shapes put together by allOf."""
    text = {"type": "string", "nullable": True}
    data = {"type": "array", "items": {"allOf": [{"properties": {"url": text}}, {"properties": image or {}}]}}
    known = {
        "model": {"type": "string"},
        "prompt": {"type": "string", "maxLength": 4000},
        "n": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
        "size": {"type": "string"},
        "quality": {"type": "string", "enum": ["standard", "hd"]},
        "response_format": {"type": "string"},
        "style": {"type": "string"},
        "user": {"type": "string"},
    }
    fields = {name: rule for name, rule in {**known, **properties}.items() if rule is not None}
    body = {"schema": {"$ref": "#/components/schemas/Request"}, "examples": {"a": {"value": {"model": example}}}}
    post = {
        "operationId": "createImage",
        "requestBody": {"content": {"application/json": body}},
        "responses": {"200": answer(created={"type": "integer"}, data=data)},
    }
    get = {"operationId": "getTask", "responses": {"200": answer(status={"type": "string"}, data=data, **(task or {}))}}
    return {
        "openapi": "3.0.3",
        "info": {"title": "vendor", "version": "1"},
        "servers": [{"url": "https://api.lemondata.cc/"}],
        "paths": {
            "/v1/images/generations": {"post": post},
            "/v1/images/generations/{id}": {"get": get},
            **more,
        },
        "components": {"schemas": {"Request": {"required": list(required), "properties": fields}}},
    }


@pytest.fixture
def follow(tools, tmp_path, capsys):
    """Compare a document with the frozen contract: exit code, differences, proposed lines."""
    (tmp_path / "openapi.yaml").write_text(TEXT, encoding="utf-8")

    def run(document):
        path = tmp_path / "vendor.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
        code = tools.follow.main([str(path)], tmp_path)
        assert (tmp_path / "openapi.yaml").read_text(encoding="utf-8") == TEXT
        shown = capsys.readouterr()
        listed, _, proposed = shown.out.partition("\nWhat would follow it; nothing was written:\n")
        lines = [line for line in proposed.splitlines() if line[:1] in ("+", "-") and line[:3] not in ("+++", "---")]
        return code, [line.strip() for line in listed.splitlines()[1:]], lines, shown

    return run


def test_a_document_that_says_the_same_has_no_differences(follow):
    assert follow(vendor({}))[:3] == (0, [], [])


@pytest.mark.parametrize(
    ("document", "listed", "proposed"),
    [
        (vendor({"seed": {"type": "integer", "minimum": 0, "description": "Same seed. Same picture."}}),
         ["parameter seed: only theirs"],
         ["+        seed:", "+          type: integer", "+          minimum: 0",
          '+          description: "Same seed"']),
        (vendor({"mood": {"type": "string", "enum": ["calm", "on"], "default": "calm"}}),
         ["parameter mood: only theirs"],
         ["+        mood:", "+          anyOf:", '+            - {$ref: "#/components/schemas/ImageMoodKnown"}',
          "+            - {type: string}", "+          x-server-default: calm", "+    ImageMoodKnown:",
          "+      type: string", '+      enum: [calm, "on"]']),
        (vendor({"a": {"type": "string", "enum": ["x"]}, "b": {"type": "boolean"}}),
         ["parameter a: only theirs", "parameter b: only theirs"],
         ["+        a:", "+          anyOf:", '+            - {$ref: "#/components/schemas/ImageAKnown"}',
          "+            - {type: string}", "+        b:", "+          type: boolean", "+    ImageAKnown:",
          "+      type: string", "+      enum: [x]"]),
        (vendor({"urls": {"type": "array", "maxItems": 16, "items": {"type": "string", "format": "uri"}}}),
         ["parameter urls: only theirs"],
         ["+        urls:", "+          type: array", "+          items: {type: string}", "+          maxItems: 16"]),
        (vendor({"mask": {"type": "object"}}),
         ["parameter mask: only theirs; it is object, which no keyword argument can be: extra_body"], []),
        (vendor({"user": None}), ["parameter user: only ours"], []),
        (vendor({"n": {"type": "integer", "minimum": 1, "maximum": 4, "default": 2}}),
         ["parameter n: maximum 4 there, 10 here", "parameter n: default 2 there, 1 here"],
         ["-          maximum: 10", "+          maximum: 4", "-          x-server-default: 1",
          "+          x-server-default: 2"]),
        (vendor({"quality": {"type": "string", "enum": ["standard", "ultra"]}}),
         ["parameter quality: ultra only there", "parameter quality: hd only ours"],
         ["-      enum: [standard, hd]", "+      enum: [standard, hd, ultra]"]),
        (vendor({"user": {"type": "integer"}}), ["parameter user: integer there, string here"], []),
        (vendor({}, required=["prompt", "model"]), ["parameter model: required there"],
         ["-      required: [prompt]", "+      required: [model, prompt]"]),
        (vendor({}, task={"progress": {"type": "number"}, "video": {"type": "object"}}),
         ["field ImageGenerationTask.progress: only theirs", "field ImageGenerationTask.video: only theirs"],
         ['+        progress: {type: [number, "null"]}']),
        (vendor({}, image={"seed": {"type": "integer"}}), ["field ImageData.seed: only theirs"],
         ['+        seed: {type: [integer, "null"]}']),
        (vendor({}, example="flux-9"), ["model flux-9: only theirs"],
         ["+  flux-9:", "+    reply: either", "+    summary: TODO", "+    source: TODO", "+    parameters: {}"]),
        (vendor({}, **{"/v1/images/edits": {"post": {"responses": {}}}, "/v1/chat": {"post": {"responses": {}}}}),
         ["operation POST /v1/images/edits: not in ours"], []),
    ],
)  # fmt: skip
def test_a_difference_is_listed_with_an_edit_that_follows_it(tools, follow, document, listed, proposed):
    code, found, lines, _ = follow(document)
    assert code == 1
    assert found == listed
    assert lines == proposed
    # Followed, it is no difference any more; and the house rules have nothing against it.
    page, theirs = tools.follow.Page(TEXT, tools.contract.parse(TEXT)), tools.follow.Document(document)
    differences = tools.follow.differences(page, theirs)
    text = page.proposal(tools.follow.edits_of(differences))
    after = tools.follow.Page(text, tools.lint.load(text))
    left = [one.text for one in differences if not one.edits]
    assert [one.text for one in tools.follow.differences(after, theirs)] == left


EDITS = {
    "parameters": [{"name": "wait", "in": "query"}, {"name": "X-Trace", "in": "header"}],
    "requestBody": {
        "content": {
            "multipart/form-data": {
                "schema": {
                    "properties": {
                        "image": {"type": "array", "maxItems": 4, "items": {"type": "string"}},
                        "prompt": {"type": "string", "maxLength": 32000},
                        "quality": {"type": "string", "enum": ["standard", "hd", "ultra"]},
                        "strength": {"type": "number"},
                    }
                }
            },
            "text/plain": {"schema": {"type": "string"}},
        }
    },
    "responses": {
        "202": answer(),
        "422": answer(error={"type": "object", "properties": {"message": {}, "shape": {"type": "string"}}}),
    },
}


def test_the_other_operations_are_told_of(tools):
    """Their parameters are those of a generation, by aliases, so no edit of them alone is proposed."""
    page = tools.follow.Page(WHOLE, tools.contract.parse(WHOLE))
    found = tools.follow.differences(page, tools.follow.Document(vendor({}, **{"/v1/images/edits": {"post": EDITS}})))
    told = [one for one in found if "edit_image" in one.text or "shape" in one.text]
    form = "operation edit_image, multipart/form-data: parameter"
    assert [one.text for one in told] == [
        "operation edit_image: the query wait: only theirs",
        "operation edit_image: it takes text/plain too, there",
        "operation edit_image: it takes application/json only here",
        f"{form} strength: only theirs",
        *(f"{form} {name}: only ours" for name in ("mask", "model", "n", "size", "response_format", "user")),
        f"{form} image: maxItems 4 there, 16 here",
        f"{form} prompt: maxLength 32000 there, 4000 here",
        f"{form} quality: ultra only there",
        "field ErrorDetail.shape: only theirs",
    ]
    assert [one.edits for one in told if one.text.startswith("operation")] == [()] * (len(told) - 1)


def test_a_proposal_that_the_house_rules_refuse_says_so(follow):
    *_, shown = follow(vendor({"deadline": {"type": "number"}}))
    assert "`make regen` would refuse this as it is:" in shown.out
    assert "images.generate has this name for something else" in shown.out


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "vendor.json cannot be read: "),
        ("[]", "vendor.json is no OpenAPI document: it has no `openapi` or no `paths`"),
        ('{"openapi": "3.0.3"}', "vendor.json is no OpenAPI document"),
    ],
)
def test_what_is_no_document_is_refused(follow, text, reason):
    code, _, _, shown = follow(text)
    assert code == 2
    assert shown.err.startswith(reason)
