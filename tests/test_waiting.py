"""How a task is waited for stands in the contract: what is incomplete is refused, the rest is typed Python."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from lemon_client import task_table
from lemon_client.model_table import DEFAULT_MODEL, MODELS, SERVERS

from tests.conftest import ROOT
from tests.edits import TEXT, edit, findings

ID = "        id: [task_id, id]"
IMAGES = "        images: [data]\n"
POLL = """            poll:
              description: Where the task stands, and its images at the end.
              operationId: get_image_task
              parameters: {task_id: "$response.body#/task_id"}
"""
RUNNING = "        running: [pending, processing, queued, running, submitted, in_progress]\n"
SUCCEEDED = "        succeeded: [completed, complete, succeeded, success]\n"
FAILED = "        failed: [failed, failure, error, expired, aborted]\n"
CANCELLED = "        cancelled: [cancelled, canceled]\n"
SECONDS = "      x-typical-seconds: [30, 120]"
ENUM = "      enum: [pending, processing, completed, failed]\n"
STATUS = """            - {$ref: "#/components/schemas/TaskStatusKnown"}
            - {type: string}
"""


def block(start, end):
    return TEXT[TEXT.index(start) : TEXT.index(end)]


FIELDS = block("      x-lemon-task:", "      requestBody:")
STATES = block("      x-lemon-states:", "      x-typical-seconds:")
LINKS = block("          links:\n", "          content:\n            application/json:\n              schema:\n")


@pytest.mark.regen
@pytest.mark.parametrize(
    ("replacements", "place", "reason"),
    [
        # The fields.
        ([(FIELDS, "")], "generations'].post", "x-lemon-task: {id: [...], status: [...], images: [...]}"),
        ([(FIELDS, "      x-lemon-task: [id]\n")], "post.x-lemon-task", "is a mapping, for example {id:"),
        ([(IMAGES, "")], "post.x-lemon-task", "images is missing: the field of an answer that holds the images"),
        ([(IMAGES, "        images: data\n")], "x-lemon-task.images", "is a list of fields, for example [task_id]"),
        ([(IMAGES, "        images: []\n")], "x-lemon-task.images", "is a list of fields"),
        ([(IMAGES, "        images: [output..images]\n")], "x-lemon-task.images", "is a list of fields"),
        ([(IMAGES, "        images: [output.images]\n")], "x-lemon-task.images", "documents a field output.images"),
        ([(IMAGES, "        images: [data, data]\n")], "x-lemon-task.images", "names a field twice"),
        ([(IMAGES, f"{IMAGES}        imagse: [data]\n")], "x-lemon-task.imagse", "did you mean images?"),
        ([(IMAGES, f"{IMAGES}        seconds: [s]\n")], "x-lemon-task.seconds", "can be: id, status, poll_url"),
        ([("        error: [error]", "        error: [eror]")], "task.error", "'eror': did you mean 'error'?"),
        # What comes next.
        ([(LINKS, "")], "responses['200']", "say how it is polled: links: {poll:"),
        ([(POLL, POLL.replace("poll:", "look:"))], "responses['200']", "say how it is polled"),
        ([(POLL, POLL.replace("get_image_task", "get_task"))], "links.poll", "there is no operation 'get_task'"),
        ([(POLL, POLL.replace("{task_id:", "{id:"))], "poll", "get_image_task has no parameter 'id'"),
        ([(POLL, POLL.replace("{task_id:", "{id:"))], "poll", "it needs task_id, for example {task_id: '$resp"),
        ([(POLL, POLL.replace("#/task_id", "#/name"))], "poll", "'$response.body#/name' is no documented field"),
        ([(POLL, POLL.replace("$response.body#", "$request.body#"))], "links.poll", "is no documented field: write"),
        ([(POLL, POLL.replace("#/task_id", "#/status"))], "poll", "status is not among the fields x-lemon"),
        # The states.
        ([(STATES, "")], "components.schemas", "has to say what they mean: x-lemon-states: {running: [...], ...}"),
        ([(STATES, "      x-lemon-states: [pending]\n")], "Known.x-lemon-states", "is a mapping of running, succeed"),
        ([(FAILED, "        failed: failed\n")], "Known.x-lemon-states", "is a mapping of running, succeeded"),
        ([(RUNNING, RUNNING.replace("processing, ", ""))], "Known.x-lemon-states",
         "the known value 'processing' is in no state: add it to one of running, succeeded, failed, cancelled"),
        ([(ENUM, ENUM.replace("completed", "completed, brand_new"))], "Known.x-lemon-states",
         "the known value 'brand_new' is in no state"),
        ([(FAILED, "        failed: [expired, pending]\n")], "states.failed", "'pending' is in running already"),
        ([(FAILED, FAILED.replace("error", "Canceled"))], "states.cancelled", "'canceled' is in failed already"),
        ([(FAILED, FAILED.replace("error", "''"))], "x-lemon-states.failed", "'' is no word"),
        ([(CANCELLED, "        canceled: [cancelled]\n")], "states.canceled", "is no state; there are: running"),
        ([(FAILED, ""), (CANCELLED, "        cancelled: [failed]\n")], "states", "no known value is failed"),
        ([(SUCCEEDED, ""), (ENUM, ENUM.replace("completed, ", ""))], "Known.x-lemon-states",
         "no known value is succeeded: add one to enum and to this state"),
        ([("    TaskErrorDetail:\n      type: object\n",
           "    TaskErrorDetail:\n      type: object\n      x-lemon-states: {running: [x]}\n")],
         "schemas.TaskErrorDetail", "TaskStatusKnown has x-lemon-states already: use that schema"),
        ([(STATUS, STATUS.replace("TaskStatus", "ImageStyle"))], "task.status", "status has to be anyOf [TaskS"),
        ([(SECONDS, "")], "x-typical-seconds", "is how long a task usually takes: [30, 120], in seconds"),
        ([(SECONDS, "      x-typical-seconds: 30")], "x-typical-seconds", "is how long"),
        ([(SECONDS, "      x-typical-seconds: [120, 30]")], "x-typical-seconds", "is how long"),
        ([(SECONDS, "      x-typical-seconds: [0, yes please]")], "x-typical-seconds", "is how long"),
        ([("                completed:\n                  value:", "                done:\n                  value:"),
          ("                    status: completed\n", "                    status: processing\n")],
         "get.responses['200'].content['application/json'].examples", "that of a finished task"),
        # The default model.
        ([("x-lemon-default-model: dall-e-3", "x-lemon-default-model: dall-e-9")], "x-lemon-default-model",
         "'dall-e-9' is no row of x-lemon-models: a call that names no model sends it"),
        ([("x-lemon-default-model: dall-e-3", "x-lemon-default-model: '*'")], "x-lemon-default-model", "'*' is no row"),
        ([("x-lemon-default-model: dall-e-3", "x-lemon-default-model: [dall-e-3]")], "x-lemon-default-model", "no row"),
    ],
)  # fmt: skip
def test_what_could_not_be_waited_for_is_refused(tools, replacements, place, reason):
    found = findings(tools, edit(*replacements))
    assert any(place in one.place and reason in one.reason and one.line for one in found), "\n".join(map(str, found))


SECOND = """
  /v1/images/edits:
    post:
      operationId: edit_image
      tags: [images]
      summary: Edit
      security: [{BearerAuth: []}]
      x-lemon-task: *task_fields
      responses:
        "200": *created

components:
"""


@pytest.mark.regen
def test_another_operation_shares_the_description_by_an_anchor(tools):
    text = edit(("\ncomponents:\n", SECOND))
    assert (
        "'edit_image': Poll('get_image_task', MappingProxyType({'task_id': ('task_id',)}))"
        in tools.waiting.task_table(tools.lint.load(text))
    )
    own = text.replace("x-lemon-task: *task_fields", "x-lemon-task: {id: [task_id], status: [status], images: [data]}")
    assert [(one.place, one.reason) for one in findings(tools, own)] == [
        ("paths['/v1/images/edits'].post.x-lemon-task", "every operation needs the same: share it by a YAML anchor")
    ]


@pytest.mark.regen
def test_other_words_other_fields_and_other_paths_follow(tools):
    """Everything that a vendor can call otherwise, called otherwise."""
    names = {
        "pending": "WAITING",
        "completed": "Done",
        "task_id": "job",
        "poll_url": "where",
        "/v1/images/": "/v9/jobs/",
    }
    text = edit((IMAGES, "        images: [out.pictures, data]\n"))
    for old, new in names.items():
        text = text.replace(old, new)
    text = text.replace("        where: [where]", "        poll_url: [where]")
    text = text.replace(
        "        error:\n          description: Why the task failed",
        '        out: {anyOf: [{$ref: "#/components/schemas/Out"}, {type: "null"}]}\n'
        "        error:\n          description: Why the task failed",
    ).replace(
        "    TaskErrorDetail:\n",
        "    Out:\n      type: object\n      additionalProperties: true\n      properties:\n        pictures:\n"
        '          {type: [array, "null"], items: {$ref: "#/components/schemas/ImageData"}}\n    TaskErrorDetail:\n',
    )
    table = {}
    exec(tools.waiting.task_table(tools.lint.load(text)), table)
    assert table["FIELDS"].id == (("job",), ("id",))
    assert table["FIELDS"].images == (("out", "pictures"), ("data",))
    assert table["FIELDS"].poll_url == (("where",),)
    assert table["STATES"]["waiting"] == "running"
    assert table["STATES"]["done"] == "succeeded"
    assert table["DOCUMENTED"]["running"] == ("WAITING", "processing")
    assert table["POLLS"] == {"create_image": ("get_image_task", {"job": ("job",)})}


def test_the_table_says_what_the_documents_say():
    assert task_table.FIELDS._asdict() == {
        "id": (("task_id",), ("id",)), "status": (("status",),), "poll_url": (("poll_url",),), "images": (("data",),),
        "error": (("error",),), "progress": (("progress",),), "cancelled": (("cancelled",),),
        "created": (("created",),),
    }  # fmt: skip
    assert task_table.DOCUMENTED == {
        "running": ("pending", "processing"), "succeeded": ("completed",), "failed": ("failed",), "cancelled": (),
    }  # fmt: skip
    words = {
        state: [word for word, its in task_table.STATES.items() if its == state] for state in task_table.DOCUMENTED
    }
    assert words == {
        "running": ["pending", "processing", "queued", "running", "submitted", "in_progress"],
        "succeeded": ["completed", "complete", "succeeded", "success"],
        "failed": ["failed", "failure", "error", "expired", "aborted"],
        "cancelled": ["cancelled", "canceled"],
    }
    assert task_table.TYPICAL_SECONDS == (30.0, 120.0)
    poll = task_table.Poll("get_image_task", {"task_id": ("task_id",)})
    assert dict.fromkeys(("create_image", "edit_image", "create_variation"), poll) == task_table.POLLS
    assert {link.operation for link in task_table.CANCELS.values()} == {"cancel_image_task"}


WORDS = {*task_table.STATES, *(key for paths in task_table.FIELDS for path in paths for key in path)}
#: What stands in our own formats, and not in an answer: the rooms that write and read journals, results and handles.
OWN = ("batch", "blocks.py", "cli", "ledger.py", "ray.py")


def typed(node):
    """Return the status words and the field names of the API that are typed in a constant, or in several."""
    if isinstance(node, ast.Constant):
        return {node.value} if isinstance(node.value, str) and node.value.lower() in WORDS else set()
    return {word for child in ast.iter_child_nodes(node) for word in typed(child)}


def read(node):
    """Return those that a piece of code reads with: as a key, in a comparison, in a pattern."""
    match node:
        case ast.Subscript(value=ast.Name(id="Literal")):
            return set()
        case ast.Subscript(slice=key) | ast.MatchValue(value=key):
            return typed(key)
        case ast.Compare(left=left, comparators=others):
            return typed(left).union(*map(typed, others))
        case ast.MatchMapping(keys=keys):
            return set().union(*map(typed, keys))
        case ast.Call(func=ast.Attribute(attr="get" | "pop" | "setdefault"), args=[key, *_]):
            return typed(key)
    return set()


def test_no_answer_is_read_by_a_word_or_a_field_that_is_typed():
    """Whether any is written shows in tests/test_live.py, and there with other words and fields (test_everyday.py)."""
    paths = [path.relative_to(ROOT / "lemon_ext") for path in sorted((ROOT / "lemon_ext").rglob("*.py"))]
    found = {
        f"{path.as_posix()}: {ast.unparse(node)}"
        for path in paths
        if path.parts[0] not in OWN
        for node in ast.walk(ast.parse((ROOT / "lemon_ext" / path).read_text(encoding="utf-8")))
        if read(node)
    }
    assert found == {
        "_response.py: body.get('error')",  # of an envelope, whoever sent it
        "_usage.py: page.get('success') is False",  # of an envelope, too
        "_usage.py: page.get('success')",
        "emulator/contract.py: self.data.get('x-lemon-live', {}).get('id', ())",  # a word of the contract's own
        "emulator/contract.py: self.data['x-lemon-live']['id']",
        "emulator/task.py: DOCUMENTED['failed']",  # a state, for which the table has the word
        "tasks.py: data.get('id')",  # of a handle
    }


@pytest.mark.parametrize(
    "code",
    [
        'body["task_id"]', 'body.get("status", "")', 'body.pop("data")', 'answer.status == "completed"',
        '"error" in body', 'status.lower() in ("done", "Failed")', "match status:\n    case 'pending': ...",
        "match body:\n    case {'poll_url': url}: ...",
    ],
)  # fmt: skip
def test_what_is_read_so_would_be_found(code):
    assert [node for node in ast.walk(ast.parse(code)) if read(node)]


def test_the_default_model_is_a_listed_one_and_the_first_server_is_the_documented_one():
    assert DEFAULT_MODEL in MODELS
    assert SERVERS[0] == "https://api.lemondata.cc"


def test_the_tables_are_read_without_the_http_library():
    code = """
import sys
from lemon_client import image_params, model_table, task_table
print(sorted({"httpx", "attrs", "anyio"} & set(sys.modules)))
import lemon_client
print(lemon_client.Client, lemon_client.AuthenticatedClient.__name__, "httpx" in sys.modules)
try:
    lemon_client.Cleint
except AttributeError as error:
    print(error)
"""
    shown = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert shown.splitlines() == [
        "[]",
        "<class 'lemon_client.client.Client'> AuthenticatedClient True",
        "module 'lemon_client' has no attribute 'Cleint'",
    ]


@pytest.mark.regen
def test_another_init_of_the_generator_is_told_of(tools):
    with pytest.raises(tools.regen.RegenError, match=r"another __init__\.py than the step `lazy`"):
        tools.regen.lazy('"""A client."""\nfrom .client import Client\n')


@pytest.mark.regen
def test_without_a_default_model_every_call_has_to_name_one(tools):
    text = edit(("x-lemon-default-model: dall-e-3\n", ""))
    assert "DEFAULT_MODEL: Final[str | None] = None\n" in tools.derive.defaults(tools.lint.load(text))
