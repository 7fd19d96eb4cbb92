"""What happens to an API every week is an edit of openapi.yaml and `make regen`, and nothing of it turns a test red.

Each edit is made on a copy of the project. There, what depends on the real contract has to stay green: regeneration,
the tests marked `live`, and for all edits together its check and the types. The other tests see the frozen contract.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT

YAML = pytest.importorskip("ruamel.yaml", reason="the environment of the generator has it").YAML

pytestmark = [pytest.mark.regen, pytest.mark.timeout(600)]


def request(tree):
    (body,) = [item["post"] for item in tree["paths"].values() if item.get("post", {}).get("operationId") == GENERATION]
    name = body["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    return tree["components"]["schemas"][name]


GENERATION = "create_image"
LIVE = "tests/test_live.py"
CONFUSING = "A new one: \"quoted\", with a \\\\ and 'more'"


def new_parameter(tree):
    request(tree)["properties"]["grain"] = {"type": "integer", "minimum": 0, "description": CONFUSING}


def new_model(tree):
    row = {"reply": "task", "summary": "A new one", "source": "E", "parameters": {"n": {"maximum": 2}}}
    tree["x-lemon-models"].insert(0, "brand-new-9", row)


def known(tree, parameter):
    name = request(tree)["properties"][parameter]["anyOf"][0]["$ref"].rpartition("/")[2]
    return tree["components"]["schemas"][name]["enum"]


def new_value(tree):
    known(tree, "quality").append("ultra-9")


def new_size(tree):
    known(tree, "size").append("2080x1040")


def bodies(tree):
    """Return the names of the schemas that are sent."""
    operations = [operation for item in tree["paths"].values() for operation in item.values()]
    content = [media for one in operations for media in one.get("requestBody", {}).get("content", {}).values()]
    return {media["schema"]["$ref"].rpartition("/")[2] for media in content}


def new_response_field(tree):
    for name, schema in tree["components"]["schemas"].items():
        if name not in bodies(tree) and "properties" in schema:
            schema["properties"]["brand_new"] = {"type": ["array", "null"], "items": {"type": "string"}}


def new_error_code(tree):
    examples = tree["components"]["responses"]["BadRequest"]["content"]["application/json"]["examples"]
    tree["x-lemon-error-codes"]["brand_new_code"] = {"status": 400, "meaning": "request", "source": "E"}
    examples["new"] = {"value": {"error": {"message": "Not today", "type": "brand_new", "code": "brand_new_code"}}}


def row_deleted(tree):
    table = tree["x-lemon-models"]
    del table[next(name for name in table if name not in (tree["x-lemon-default-model"], "*"))]


def reply_changed(tree):
    for row in tree["x-lemon-models"].values():
        row["reply"] = {"inline": "task", "task": "inline"}.get(row["reply"], "either")


def path_moved(tree):
    for path in list(tree["paths"]):
        tree["paths"][path.replace("/v1/images/", "/v2/pictures/")] = tree["paths"].pop(path)


def everywhere(tree, old, new, *, keys):
    """Call something otherwise wherever it stands: as a value, as an item of a list, and as a key."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        if isinstance(tree[key], dict | list) and key not in ("x-lemon-task", "x-lemon-states"):
            everywhere(tree[key], old, new, keys=keys)
        elif tree[key] == old:
            tree[key] = new
    if keys and isinstance(tree, dict) and old in tree:
        tree.insert(list(tree).index(old), new, tree.pop(old))


def also(lists, old, new):
    """Put a word before one that means the same: what was recorded before is still understood."""
    for listed in lists.values():
        if old in listed:
            listed.insert(listed.index(old), new)


def other_words(tree):
    names = {"pending": "waiting_line", "processing": "painting", "completed": "Painted", "failed": "spoilt"}
    status = tree["components"]["schemas"]["TaskStatusKnown"]
    for old, new in names.items():
        everywhere(tree["paths"], old, new, keys=False)
        everywhere(status, old, new, keys=False)
        also(status["x-lemon-states"], old, new)


def other_fields(tree):
    makers = [op for item in tree["paths"].values() for op in item.values() if "x-lemon-task" in op]
    tasks = [
        item
        for path, item in tree["paths"].items()
        if "{task_id}" in path or any("x-lemon-task" in op for op in item.values())
    ]
    for old, new in {"task_id": "job", "status": "phase", "poll_url": "next_look", "data": "pictures"}.items():
        for part in (*tasks, *map(tree["components"]["schemas"].get, ("ImageGenerationTask", "ImagesResponse"))):
            everywhere(part, old, new, keys=True)
        also(makers[0]["x-lemon-task"], old, new)
    for link in makers[0]["responses"]["200"]["links"].values():
        link["parameters"] = {"job": "$response.body#/job"}
    for path in [path for path in tree["paths"] if "{task_id}" in path]:
        tree["paths"][path.replace("{task_id}", "{job}")] = tree["paths"].pop(path)


def model_required(tree):
    request(tree)["required"] = ["prompt", "model"]


def other_default_model(tree):
    table = tree["x-lemon-models"]
    before = tree["x-lemon-default-model"]
    tree["x-lemon-default-model"] = next(
        name for name, row in table.items() if "*" not in name and "retired" not in row and name != before
    )


def other_server(tree):
    tree["servers"].insert(0, {"url": "https://api.example.test"})


EDITS = [
    *(new_parameter, new_model, new_value, new_size, new_response_field, new_error_code),
    *(row_deleted, reply_changed, path_moved, other_words, other_fields),
    *(model_required, other_default_model, other_server),
]


def copy_of_the_project(folder, *edits):
    for name in ("lemon_ext", "generated", "tests", "tools", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tests" / "contract" / "openapi.yaml").unlink()  # it is not edited, and so not written again
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "openapi.yaml", "LICENSE", "Makefile"):
        shutil.copy(ROOT / name, folder)
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 10_000  # type: ignore[assignment]
    tree = yaml.load(folder / "openapi.yaml")
    for edit in edits:
        edit(tree)
    yaml.dump(tree, folder / "openapi.yaml")


def made(folder, *command):
    path = os.pathsep.join([str(folder / "generated"), str(folder)])
    environment = {**os.environ, "PYTHONPATH": path, "MYPYPATH": path}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_an_everyday_edit_needs_no_handwritten_line(tmp_path, edit):
    copy_of_the_project(tmp_path, edit)
    made(tmp_path, "tools/regen.py")
    assert " passed" in made(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", LIVE)


def test_the_types_and_the_pages_hold_for_all_of_them_at_once(tmp_path):
    copy_of_the_project(tmp_path, *EDITS)
    made(tmp_path, "tools/regen.py")
    assert "is what openapi.yaml makes of it" in made(tmp_path, "tools/regen.py", "--check")
    made(tmp_path, "-m", "mypy", "--cache-dir", str(ROOT / ".mypy_cache"))
    assert " passed" in made(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_docs.py")
