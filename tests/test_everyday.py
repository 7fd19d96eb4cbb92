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
from ruamel.yaml import YAML

from tests.conftest import ROOT

pytestmark = pytest.mark.regen


def request(tree):
    (body,) = [item["post"] for item in tree["paths"].values() if item.get("post", {}).get("operationId") == GENERATION]
    name = body["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    return tree["components"]["schemas"][name]


GENERATION = "create_image"
LIVE = ("tests/test_live.py", "tests/test_docs.py")
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


def new_response_field(tree):
    for schema in tree["components"]["schemas"].values():
        if schema is not request(tree) and "properties" in schema:
            schema["properties"]["brand_new"] = {"type": ["array", "null"], "items": {"type": "string"}}


def new_error_code(tree):
    examples = tree["components"]["responses"]["BadRequest"]["content"]["application/json"]["examples"]
    tree["x-lemon-error-codes"]["brand_new_code"] = {"status": 400, "meaning": "request", "source": "E"}
    examples["new"] = {"value": {"error": {"message": "Not today", "type": "brand_new", "code": "brand_new_code"}}}


def row_deleted(tree):
    table = tree["x-lemon-models"]
    default = request(tree)["properties"]["model"].get("x-server-default")
    del table[next(name for name in table if name not in (default, "*"))]


def reply_changed(tree):
    for row in tree["x-lemon-models"].values():
        row["reply"] = {"inline": "task", "task": "inline"}.get(row["reply"], "either")


def path_moved(tree):
    for path in list(tree["paths"]):
        tree["paths"][path.replace("/v1/images/", "/v2/pictures/")] = tree["paths"].pop(path)


EDITS = [
    *(new_parameter, new_model, new_value, new_size, new_response_field, new_error_code),
    *(row_deleted, reply_changed, path_moved),
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
    assert " passed" in made(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", *LIVE)


def test_the_types_hold_for_all_of_them_at_once(tmp_path):
    copy_of_the_project(tmp_path, *EDITS)
    made(tmp_path, "tools/regen.py")
    assert "is what openapi.yaml makes of it" in made(tmp_path, "tools/regen.py", "--check")
    made(tmp_path, "-m", "mypy", "--cache-dir", str(ROOT / ".mypy_cache"))
