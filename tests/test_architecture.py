"""What holds the house: who imports whom, what is public, that both colours are twins, and what is committed."""

from __future__ import annotations

import ast
import importlib
import inspect
import pickle
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import lemon_ext
from lemon_ext import client, errors, results

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "lemon_ext"
ROOMS = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if path.stem not in ("__main__", "pytest_plugin")
)


# ---- who imports whom ----


@pytest.mark.regen
def test_a_room_imports_only_rooms_below_it():
    """The layers stand in pyproject.toml. The marker is for the environment: the linter is a development tool."""
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([linter, "--no-cache", "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def imported(node):
    """Yield the modules that a piece of code imports when it runs: what is for type checkers alone is left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.level == 0:
            yield child.module
        else:
            yield from imported(child)


@cache
def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports_of(path):
    return tuple(imported(parsed(path)))


@cache
def calls_in(path):
    return {ast.unparse(node.func) for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)}


def importers(module):
    return {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(f"{name}.".startswith(f"{module}.") for name in imports_of(path))
    }


@pytest.mark.parametrize(
    ("module", "rooms"),
    [
        ("httpx", {"_aiohttp.py", "_connections.py", "_http.py", "_raw.py", "emulator/transport.py"}),
        ("httpcore", {"_network.py"}),
        ("aiohttp", {"_aiohttp.py"}),
        ("asyncio", {"_http.py"}),
        ("lemon_client.api", {"_api.py"}),
        ("click", None),
        ("rich", None),
        ("PIL", {"_font.py", "batch/sheet.py", "emulator/pictures.py"}),
        ("uvicorn", {"emulator/server.py"}),
    ],
)
def test_a_library_is_known_to_few_rooms(module, rooms):
    """None: to the rooms of the extra that brings it."""
    found = importers(module)
    if rooms is None:
        assert {name for name in found if not name.startswith(("cli/", "emulator/", "_metadata"))} == set()
    else:
        assert found == rooms


@pytest.mark.parametrize(
    ("function", "rooms"),
    [
        ("time.sleep", set()),
        ("warnings.warn", set()),
        ("warnings.warn_explicit", {"_warn.py"}),
        ("_clock.sleep", {"_flow.py"}),
    ],
)
def test_a_function_is_called_by_few_rooms(function, rooms):
    """Sleeps are handed to a driver, which can be given others; a warning never raises and names the caller's line."""
    assert {path.name for path in PACKAGE.rglob("*.py") if function in calls_in(path)} == rooms


def modules_after(code):
    script = f"import sys; before = set(sys.modules); {code}; print(*sorted(set(sys.modules) - before))"
    return set(
        subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
    )


def test_importing_the_package_loads_nothing_but_the_package():
    loaded = modules_after("import lemon_ext") - {"__future__", "warnings"}
    assert {name for name in loaded if not name.startswith("importlib")} == {"lemon_ext"}


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("from lemon_ext import LemonError", {"httpx", "anyio", "ssl", "lemon_client"}),
        ("from lemon_ext import Lemon", {"PIL", "jsonschema", "sqlite3", "starlette", "lemon_ext.batch"}),
        ("import lemon_ext.cli", {"httpx", "rich", "anyio", "attrs", "lemon_client", "lemon_ext.client"}),
        ("import lemon_ext.emulator", {"httpx", "jsonschema", "PIL", "starlette", "uvicorn"}),
    ],
)
def test_what_is_not_used_is_not_loaded(code, heavy):
    assert modules_after(code) & heavy == set()


# ---- what is public ----


def test_the_public_names_are_those_of_the_design():
    assert set(lemon_ext.__all__) >= {
        *(
            "Lemon",
            "AsyncLemon",
            "ImageTask",
            "AsyncImageTask",
            "ImageResult",
            "Image",
            "ModelCapabilities",
            "Violation",
        ),
        *("violations", "check", "poll_until_done", "apoll_until_done", "run_batch", "arun_batch"),
        *(
            "LemonError",
            "MissingKeyError",
            "CapabilityError",
            "APIConnectionError",
            "APITimeoutError",
            "APIStatusError",
        ),
        *("BadRequestError", "AuthenticationError", "InsufficientBalanceError", "PermissionDeniedError"),
        *("NotFoundError", "ConflictError", "PayloadTooLargeError", "RateLimitError", "ServerError", "ResponseError"),
        *("SubmissionUncertainError", "TaskError", "TaskFailedError", "TaskNotFoundError", "TaskTimeoutError"),
        *("DownloadError", "ImageGoneError", "SaveError", "JournalError", "LemonWarning"),
    }


def test_every_public_name_can_be_imported_and_is_seen_by_type_checkers():
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    typed = {alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert typed | {"__version__"} == set(lemon_ext.__all__)
    for name in lemon_ext.__all__:
        assert getattr(lemon_ext, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'Lemmon'"):
        lemon_ext.Lemmon  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import lemon_ext\nlemon_ext.", set(lemon_ext.__all__) - {"__version__"}),
        ("from lemon_ext import Lemon\nLemon().images.", {"generate", "submit", "edit", "create_variation"}),
        ("import lemon_ext\nlemon_ext.Lemon().images.generate('a', mod", {"model="}),
        ("from lemon_ext import Lemon\nLemon().images.generate('a')[0].", {"url", "save", "aread"}),
        ("from lemon_ext import emulator\nemulator.", {"Emulator", "KEY", "serve"}),
    ],
)
def test_an_editor_completes_it(code, names, tmp_path, monkeypatch):
    """As jedi does: behind IPython, notebooks and many an editor."""
    jedi = pytest.importorskip("jedi", reason="it is a development tool")
    monkeypatch.setattr(jedi.settings, "cache_directory", str(tmp_path))
    project = jedi.Project(str(ROOT), added_sys_path=[str(ROOT), str(ROOT / "generated")])
    line = code.rpartition("\n")[2]
    found = jedi.Script(code, project=project).complete(code.count("\n") + 1, len(line))
    assert names - {one.name for one in found} == set()


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_room_calls_public_is_there_in_order(room):
    if room in ("lemon_ext.batch.condition", "lemon_ext.batch.postgres"):
        pytest.importorskip("psycopg", reason="the extra is not among all")
    names = [name for name in getattr(importlib.import_module(room), "__all__", ()) if name != "__version__"]
    assert names == sorted(names)
    assert [name for name in names if not hasattr(importlib.import_module(room), name)] == []


# ---- both colours are twins ----

#: The only methods that wait, and so the only ones to await.
WAITING = {
    *("generate", "submit", "refresh", "result", "updates", "close", "__enter__", "__exit__"),
    *("wait", "cancel", "pricing", "balance", "edit", "create_variation", "api_keys", "usage"),
}
#: What waits in one class and not in another: `lemon.tasks.get` asks, `lemon.models.get` asks with ``live`` alone.
WAITING_IN = {"Tasks": {"get"}}
TWINS = [
    (client.Lemon, client.AsyncLemon),
    (client.Images, client.AsyncImages),
    (client.ImageTask, client.AsyncImageTask),
    (client.Tasks, client.AsyncTasks),
]


def face(cls):
    """Return the public methods of a class, under their blocking names."""
    renamed = {"aclose": "close", "__aenter__": "__enter__", "__aexit__": "__exit__"}
    shown = {*renamed, *renamed.values(), "__init__"}
    return {
        renamed.get(name, name): value.fget if isinstance(value, property) else value
        for name, value in inspect.getmembers_static(cls)
        if (not name.startswith("_") or name in shown)
        and (isinstance(value, property) or inspect.isfunction(value))
    }  # fmt: skip


def signature(function):
    return str(inspect.signature(function)).replace("Async", "").replace("BlockingCore", "Core")


@pytest.mark.parametrize(("blocking", "not_blocking"), TWINS, ids=lambda cls: cls.__name__)
def test_the_two_colours_have_the_same_signatures(blocking, not_blocking):
    one, other = face(blocking), face(not_blocking)
    assert one.keys() == other.keys()
    for name in one:
        assert signature(other[name]) == signature(one[name]), name
        waits = inspect.iscoroutinefunction(other[name]) or inspect.isasyncgenfunction(other[name])
        assert waits == (name in WAITING | WAITING_IN.get(blocking.__name__, set())), name
        assert not inspect.iscoroutinefunction(one[name]), name


def test_functions_that_wait_have_an_async_twin_of_the_same_signature():
    twins = [(lemon_ext, "poll_until_done"), (lemon_ext, "run_batch"), (lemon_ext, "reconcile")]
    twins += [(results.Image, "read"), (results.Image, "save"), (results.ImageResult, "save")]
    for owner, name in twins:
        one, other = getattr(owner, name), getattr(owner, f"a{name}")
        assert signature(other) == signature(one), name
        assert inspect.iscoroutinefunction(other) or inspect.isasyncgenfunction(other), name


# ---- errors ----


def kinds(cls):
    for kind in cls.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from kinds(kind)


ERRORS = sorted({errors.LemonError, *kinds(errors.LemonError)}, key=lambda cls: cls.__name__)


def example(kind):
    """Return an error with all that its class can carry."""
    given = {
        "violations": [lemon_ext.Violation("size", "is too large", ("1024x1024",))],
        "response": lemon_ext.APIResponse(418, {"x-request-id": "r1"}, b'{"error": {"code": "teapot", "hint": "tea"}}'),
        "retry_after": 7.5,
        "task": client.ImageTask("img_1", "/v1/images/generations/img_1", "midjourney", 2, "a prompt"),
        "reason": "refused",
        "url": "https://img.example.net/a.png",
        "status_code": 404,
        "path": Path("out/journal.sqlite3"),
        "errno": 28,
    }
    wanted = inspect.signature(kind).parameters
    return kind("what happened", **{name: value for name, value in given.items() if name in wanted})


def test_every_error_of_the_module_is_public():
    assert {kind.__name__ for kind in ERRORS} <= set(lemon_ext.__all__)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_survives_a_pickle(kind):
    before = example(kind)
    after = pickle.loads(pickle.dumps(before))
    assert type(after) is kind
    assert str(after) == "what happened"
    assert vars(after).keys() == vars(before).keys()
    shown = {name: value for name, value in vars(after).items() if name != "task"}
    assert shown == {name: value for name, value in vars(before).items() if name != "task"}
    assert getattr(after.task, "id", None) == getattr(before.task, "id", None)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("MissingKeyError", 2), ("ConfigurationError", 2), ("CapabilityError", 2), ("JournalError", 2),
        ("APIConnectionError", 3), ("APITimeoutError", 3), ("APIStatusError", 3), ("BadRequestError", 3),
        ("AuthenticationError", 3), ("InsufficientBalanceError", 3), ("PermissionDeniedError", 3),
        ("NotFoundError", 3), ("ConflictError", 3), ("PayloadTooLargeError", 3), ("RateLimitError", 3),
        ("UnprocessableEntityError", 3),
        ("ServerError", 3), ("ResponseError", 3), ("TaskNotFoundError", 3),
        ("BudgetError", 2), ("TaskError", 4), ("TaskFailedError", 4), ("TaskCancelledError", 4),
        ("ModerationError", 1), ("ModerationStatusError", 3), ("ModerationTaskError", 4),
        ("TaskTimeoutError", 5), ("DownloadError", 5), ("ImageGoneError", 4), ("SaveError", 5),
        ("SubmissionUncertainError", 6), ("UnreadableSubmissionError", 6), ("LemonError", 1),
    ],
)  # fmt: skip
def test_every_error_has_its_exit_code(kind, code):
    from lemon_ext.cli._errors import exit_code

    assert exit_code(example(getattr(errors, kind))) == code


def test_no_error_is_without_an_exit_code():
    listed = next(mark for mark in test_every_error_has_its_exit_code.pytestmark if mark.name == "parametrize")
    assert {kind for kind, _ in listed.args[1]} == {kind.__name__ for kind in ERRORS}


def test_every_error_that_is_raised_is_documented():
    page = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    leaves = [kind.__name__ for kind in ERRORS if not kind.__subclasses__()]
    assert [name for name in leaves if f"`{name}`" not in page] == []


# ---- what is committed ----


@pytest.fixture(scope="module")
def committed():
    """Every text file of the project, by its path."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: there is no list of what is committed")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    files = {}
    for name in filter(None, listed):
        path = ROOT / name
        if path.is_file() and b"\0" not in (body := path.read_bytes()):
            files[name] = body.decode(encoding="utf-8")
    return files


def test_locks_hold_versions_and_hashes_and_no_address(committed):
    locks = [name for name in committed if name.startswith("tools/locks/")]
    assert len(locks) == 4
    for name in locks:
        for word in (
            "http:",
            "https:",
            "://",
            " @ ",
            "--index-url",
            "--extra-index-url",
            "--find-links",
            "--trusted-host",
        ):
            assert word not in committed[name], (name, word)
        requirements = [line for line in committed[name].splitlines() if line and not line.startswith((" ", "#"))]
        assert all("==" in line for line in requirements), name


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("the address of a package registry", r"https?://[^\s\"'<>)]*(?:pypi|pythonhosted|artifactory|nexus|devpi|/simple\b)"),
        ("a registry setting", r"(?<!emit-)(?:index-url|extra-index|trusted-host)\s*[=:]\s*\S"),
        ("a path of somebody's machine", r"(?<![\w.}])/(?:work|home|root|Users)/\w"),
        ("a key", r"\bsk-(?!emulator|invalid|secret|x\b)[A-Za-z0-9]{20,}"),
        ("a conflict mark", r"(?m)^(?:<{7}|>{7}) "),
    ],
)  # fmt: skip
def test_no_committed_file_holds(committed, what, pattern):
    found = [
        name for name, text in committed.items() if name != "tests/test_architecture.py" and re.search(pattern, text)
    ]
    assert found == [], f"{what} stands in {found}"
