"""What has to hold for the real contract, whatever it says: few things, and none of them names a model or a value.

All other tests stand on the frozen contract in tests/contract, so that an edit of openapi.yaml turns none of them red.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tomllib

import lemon_client
import pytest

from lemon_ext import _api
from tests.conftest import FROZEN, ROOT, run_live

pytestmark = pytest.mark.live

CONTRACT = json.loads((ROOT / "generated/lemon_client/openapi.json").read_text(encoding="utf-8"))


WHERE = "import lemon_client; print(lemon_client.__path__[0])"


def test_the_tests_stand_on_their_own_contract_and_so_do_the_programs_they_start():
    assert lemon_client.__path__ == [str(FROZEN / "lemon_client")]
    shown = subprocess.run([sys.executable, "-c", WHERE], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == str(FROZEN / "lemon_client")
    assert run_live(WHERE).strip() == str(ROOT / "generated" / "lemon_client")


def test_every_listed_model_makes_a_picture_on_the_emulator():
    """Checked, submitted, waited for and read; and one without a model, which is none that is retired."""
    code = """
import warnings
from lemon_client.model_table import MODELS
from lemon_ext import Lemon
from lemon_ext.emulator import KEY, Emulator
with Emulator(task_seconds=0) as emulator, Lemon(KEY, base_url=emulator.url) as lemon:
    for model in [name for name in MODELS if "*" not in name]:
        print(model, len(lemon.images.generate("a cat", model=model, poll_interval=0.01)[0].read()))
    warnings.simplefilter("error")
    print(len(lemon.images.generate("a cat", poll_interval=0.01)))
    print(emulator.ledger[-1].model, emulator.ledger[-1].request["model"])
"""
    *each, default, without = run_live(code).splitlines()
    assert [line.split()[0] for line in each] == [name for name in CONTRACT["x-lemon-models"] if "*" not in name]
    assert all(int(line.split()[1]) > 1000 for line in each)
    assert default == "1"
    assert without.split() == [CONTRACT["x-lemon-default-model"]] * 2
    assert "retired" not in CONTRACT["x-lemon-models"][CONTRACT["x-lemon-default-model"]]


def test_every_parameter_is_an_argument_an_option_and_a_line_of_the_page():
    code = """
import sys
from lemon_client.image_params import ImageParams
from lemon_client.model_table import PARAMETERS
from lemon_ext.cli import main
print(*PARAMETERS)
print(*[name.rstrip("_") for name in ImageParams.__annotations__])
sys.argv = ["lemon", "generate", "--help"]
main()
"""
    known, arguments, *shown = run_live(code).splitlines()
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    names = set(known.split())
    assert names - set(arguments.split()) == {"prompt", "model"}
    for name in names - {"prompt"}:
        assert re.search(rf"--(?:api-)?{name.replace('_', '-')}\b", "\n".join(shown)), name
        assert f"| `{name}` |" in page


def test_every_operation_is_wrapped():
    operations = {op["operationId"] for item in CONTRACT["paths"].values() for op in item.values() if "responses" in op}
    missing = {name for name in operations if not hasattr(_api, name)}
    assert not missing, (
        f"{missing}: import it in lemon_ext/_api.py, write a function for it there, and give Lemon and AsyncLemon a "
        'method that asks it. See docs/regenerating.md, "A new operation".'
    )


def test_generated_files_say_so():
    for path in (ROOT / "generated").rglob("*.py"):
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        assert re.match(r"# @generated from openapi\.yaml by openapi-python-client [\d.]+\. Do not edit", first), path
    assert 'Written by "make regen"' in (ROOT / "docs/models.md").read_text(encoding="utf-8")


def test_the_lock_of_generated_fits_the_contract_and_the_pins():
    lock = json.loads((ROOT / "generated/regen.lock").read_text(encoding="utf-8"))
    text = (ROOT / "openapi.yaml").read_text(encoding="utf-8")
    assert lock.pop("openapi.yaml") == hashlib.sha256(text.encode()).hexdigest(), 'run "make regen"'
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    assert lock == dict(line.split("==") for line in groups["regen"] if "==" in line)
    pinned = (ROOT / "tools/locks/dev.txt").read_text(encoding="utf-8")
    for tool, version in lock.items():
        assert f"\n{tool}=={version} " in f"\n{pinned}"


def test_replies_of_the_first_page_and_of_today_both_work():
    """As the vendor's pages show them: the address that is polled, an empty or a placeholder `data`, and the ids."""
    code = """
import httpx
from lemon_ext import Lemon
URL = "https://img.example.net/b2.png"
FIRST = {"created": 1769500000, "task_id": "img_0f9a12bc34de", "status": "pending",
         "poll_url": "/v1/images/generations/img_0f9a12bc34de", "data": [{"url": "", "revised_prompt": "a paper boat"}]}
TODAY = {"created": 1779500000, "id": "ldtask_0123456789abcdef0123456789abcdef", "model": "gpt-image-2",
         "task_id": "ldtask_0123456789abcdef0123456789abcdef", "status": "pending",
         "poll_url": "/v1/tasks/ldtask_0123456789abcdef0123456789abcdef", "data": []}
for begun in (FIRST, TODAY):
    def answer(request, begun=begun, seen=[]):
        seen.append(request.url.path)
        if request.method == "POST":
            return httpx.Response(200, json=begun)
        assert request.url.path == begun["poll_url"], request.url.path
        return httpx.Response(200, json={**begun, "status": "completed", "data": [{"url": URL}]})
    with Lemon("sk-x", http_client=httpx.Client(transport=httpx.MockTransport(answer))) as lemon:
        result = lemon.images.generate("a paper boat", poll_interval=0.01)
        print(result.task_id, result.model, result[0].url)
"""
    assert run_live(code).splitlines() == [
        f"{task_id} {CONTRACT['x-lemon-default-model']} https://img.example.net/b2.png"
        for task_id in ("img_0f9a12bc34de", "ldtask_0123456789abcdef0123456789abcdef")
    ]


def test_the_emulator_writes_the_fields_and_the_words_of_the_contract_and_no_others():
    """Its answers may hold more, by their schemas: here they must not."""
    code = """
import httpx, itertools, json
from lemon_client.task_table import DOCUMENTED, FIELDS
from lemon_ext import Lemon
from lemon_ext._response import value_of
from lemon_ext.emulator import KEY, Emulator
fields, words = set(), set()
def kept(response):
    body = json.loads(response.read()) if "json" in response.headers.get("content-type", "") else {}
    if response.is_success:
        fields.update(body)
        words.add(value_of(body, FIELDS.status))
clock = itertools.count().__next__
with Emulator(task_seconds=8, clock=clock) as emulator, httpx.Client(transport=emulator.transport) as http:
    http.event_hooks = {"response": [kept]}
    lemon = Lemon(KEY, base_url=emulator.address, http_client=http)
    for fault in ("reply_inline", "reply_task", "task_failed"):
        emulator.inject(fault)
        task = lemon.images.submit("a cat")
        while not task.done:
            task.refresh()
    emulator.inject("task_seconds", seconds=1000)
    lemon.tasks.cancel(lemon.images.submit("a cat").id)
print(json.dumps([sorted(fields), sorted(word for word in words if word), DOCUMENTED.copy()]))
"""
    fields, words, documented = json.loads(run_live(code))
    schemas = CONTRACT["components"]["schemas"]
    known = {name for one in ("ImageGenerationTask", "ImagesResponse") for name in schemas[one]["properties"]}
    assert set(fields) <= known
    assert len(fields) >= 5
    assert set(words) == {word for each in documented.values() for word in each}
