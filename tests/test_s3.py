"""Batches into a real S3-compatible server: what is there whole, what a kill leaves, and a server that goes away."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path

import anyio
import pytest

from lemon_ext import ConfigurationError, SaveError, arun_batch, run_batch
from lemon_ext.batch import batch_status
from lemon_ext.batch.destination import Destination
from lemon_ext.emulator import KEY, Emulator
from tests.browser import CHROMIUM, Browser
from tests.children import python
from tests.cli import lemon
from tests.gateway import PNG, Gateway

pytest.importorskip("obstore")
moto = pytest.importorskip("moto.server", reason="moto, an S3 server for tests, is not installed")
boto3 = pytest.importorskip("boto3")

#: What the server and its client do with dates is not ours.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
HAS_PARQUET = find_spec("pyarrow") is not None
SECRET = "a-secret-that-nobody-is-to-see"


class Bucket:
    """A bucket of a server that can be stopped and started; what it holds stays."""

    def __init__(self):
        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        self.port = 0
        self.start()
        keys = {"aws_access_key_id": "AKIDEXAMPLE0", "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
        self.s3 = boto3.client("s3", endpoint_url=self.url, **keys)
        self.made = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        self.server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self.server.start()
        self.port = self.server.get_host_and_port()[1]

    def stop(self):
        self.server.stop()

    def new(self):
        self.made += 1
        self.name = f"bucket-{self.made}"
        self.s3.create_bucket(Bucket=self.name)

    def forbid(self, action="s3:PutObject", effect="Deny"):
        rule = {"Effect": effect, "Principal": "*", "Action": action, "Resource": f"arn:aws:s3:::{self.name}/*"}
        policy = {"Version": "2012-10-17", "Statement": [rule]}
        self.s3.put_bucket_policy(Bucket=self.name, Policy=json.dumps(policy))

    def serve(self):
        self.forbid("s3:GetObject", "Allow")

    def allow(self):
        self.s3.delete_bucket_policy(Bucket=self.name)

    def held(self):
        found = self.s3.list_objects_v2(Bucket=self.name, MaxKeys=1000).get("Contents", [])
        return sorted(one["Key"] for one in found)

    def read(self, key):
        return self.s3.get_object(Bucket=self.name, Key=key)

    def address(self, prefix="shop"):
        return f"s3://{self.name}/{prefix}"


@pytest.fixture(scope="module")
def server():
    made = Bucket()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def bucket(server, monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE0")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("lemon_ext.batch.destination.state_folder", lambda: tmp_path / "state" / "lemon-ext")
    server.new()
    return server


@pytest.fixture(params=["blocking", "async"])
def go(request):
    def blocking(gateway, requests, place, **options):
        return list(run_batch(requests, place, client=gateway.client(), **options))

    def asynchronous(gateway, requests, place, **options):
        async def main():
            async with aclosing(arun_batch(requests, place, client=gateway.client(), **options)) as outcomes:
                return [outcome async for outcome in outcomes]

        return anyio.run(main)

    return blocking if request.param == "blocking" else asynchronous


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home whose `.aws` the aws program would read, and no credentials in the environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (tmp_path / ".aws").mkdir()
    return tmp_path / ".aws"


KEYS = f"aws_access_key_id = AKIDEXAMPLE0\naws_secret_access_key = {SECRET}\n"


@pytest.mark.parametrize("profile", ["default", "work"])
def test_a_profile_of_the_aws_program_is_read(server, bucket, home, go, monkeypatch, profile):
    """Bug: credentials that every other program finds were not found."""
    (home / "credentials").write_text(f"[{profile}]\n{KEYS}")
    (home / "config").write_text("[profile work]\nregion = eu-central-1\n")
    if profile != "default":
        monkeypatch.setenv("AWS_PROFILE", profile)
    go(Gateway(), some(1), bucket.address())
    assert "shop/00001-cat-1-1.png" in bucket.held()


SSO = """
[profile work]
sso_session = x
sso_account_id = 1
sso_role_name = r
[sso-session x]
sso_start_url = https://x.example
sso_region = us-east-1
"""


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            "[profile other]\n",
            r"cannot be used: The config profile \(work\) could not be found\. Or set AWS_ACCESS_KEY_ID",
        ),
        (
            "[profile work]\nregion = eu-central-1\n",
            r"cannot be used: it has no credentials\. Or set AWS_ACCESS_KEY_ID",
        ),
        (
            f"[profile work]\n{KEYS}endpoint_url = http://127.0.0.1:9\n",
            r"has an endpoint_url, .* Set it as AWS_ENDPOINT_URL, too",
        ),
        (
            SSO,
            r"its credentials cannot be had \(Error loading SSO Token: Token for x does not exist\)",
        ),
        (None, r"what reads these is not installed \(boto3\): pip install boto3\. Or set AWS_ACCESS_KEY_ID"),
    ],
)
def test_a_profile_that_cannot_be_used_is_said_and_nothing_is_sent(bucket, home, go, monkeypatch, config, said):
    (home / "config").write_text(config or f"[profile work]\n{KEYS}")
    monkeypatch.setenv("AWS_PROFILE", "work")
    if config is None:
        monkeypatch.setitem(sys.modules, "boto3", None)
    elif "endpoint_url" in config:
        monkeypatch.delenv("AWS_ENDPOINT_URL")
    gateway = Gateway()
    with pytest.raises(ConfigurationError, match=said):
        go(gateway, some(1), bucket.address())
    assert gateway.posts == []


def some(count):
    kinds = [{"model": "midjourney"}, {}, {"response_format": "b64_json"}]
    return [{"prompt": f"cat {n}", **kinds[n % 3]} for n in range(1, count + 1)]


def is_whole(data):
    return data.startswith(b"\x89PNG") and data.endswith(b"IEND\xaeB`\x82")


def test_the_folder_that_a_browser_has_made_is_no_object_of_somebody_elses(bucket, go):
    """The pages of S3 make one by an object whose name ends with a slash."""
    bucket.s3.put_object(Bucket=bucket.name, Key="shop/", Body=b"")
    bucket.s3.put_object(Bucket=bucket.name, Key="shop/.keep", Body=b"")
    bucket.s3.put_object(Bucket=bucket.name, Key="shop/another/00001-a-cat-1.png", Body=b"x")
    assert {outcome["status"] for outcome in go(Gateway(), some(2), bucket.address())} == {"saved"}


def test_a_journal_that_is_copied_to_another_machine_goes_on_there(bucket, go, monkeypatch, tmp_path):
    gateway = Gateway()
    go(gateway, some(2), bucket.address())
    shutil.copytree(tmp_path / "state" / "lemon-ext", tmp_path / "other")
    monkeypatch.setattr("lemon_ext.batch.destination.state_folder", lambda: tmp_path / "other")
    assert [outcome["row"] for outcome in go(gateway, some(3), bucket.address())] == [3]
    assert set(gateway.charges.values()) == {1}


def test_what_a_bucket_holds_at_the_end(bucket, go):
    rows = [{"id": "SKU#1 50%~ü", "prompt": "a dog"}, {"id": "b", "prompt": "a cat"}]
    go(Gateway(), rows, bucket.address("a b/ü"), also=["csv", "parquet"] if HAS_PARQUET else ["csv"])
    names = ["SKU#1 50%~ü-a-dog-1.png", "b-a-cat-1.png", "index.html", "lemon-batch.json", "results.csv"]
    names += ["results.jsonl"] + (["results.parquet"] if HAS_PARQUET else [])
    assert bucket.held() == sorted(f"a b/ü/{name}" for name in names)
    kinds = {name: bucket.read(f"a b/ü/{name}")["ContentType"] for name in ("b-a-cat-1.png", "index.html")}
    assert kinds == {"b-a-cat-1.png": "image/png", "index.html": "text/html; charset=utf-8"}
    page = bucket.read("a b/ü/index.html")["Body"].read().decode()
    assert '"./SKU%231%2050%25~%C3%BC-a-dog-1.png"' in page
    mark = json.loads(bucket.read("a b/ü/lemon-batch.json")["Body"].read())
    assert set(mark) == {"batch", "about"}, "nothing of this machine or its user"


@pytest.mark.parametrize("prefix", ["a%20b", "a%2Fb", "a b ", " a", "a%b", "a\\b", "e\u0301", "\u00e9", "a+b~[c]"])
def test_the_objects_are_where_the_address_says(bucket, go, prefix):
    """Bug: obstore takes what it is given for a URL, and s3://bucket/a%20b was shown for objects under ``a b``."""
    go(Gateway(), some(1), bucket.address(prefix))
    assert bucket.held() == sorted(
        f"{prefix}/{name}" for name in ("00001-cat-1-1.png", "index.html", "lemon-batch.json", "results.jsonl")
    )


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs a headless chromium")
def test_the_gallery_shows_the_pictures_where_the_bucket_is_served(bucket, tmp_path):
    rows = [{**row, "id": f"SKU#{number} 50%~ü"} for number, row in enumerate(some(4))]
    assert len(list(run_batch(rows, bucket.address(), client=Gateway().client()))) == 4
    bucket.serve()
    with Browser(tmp_path / "profile", seconds=90) as browser:
        browser.open(f"{bucket.url}/{bucket.name}/shop/index.html")
        sizes = "[...document.querySelectorAll('img')].map(one => one.naturalWidth)"
        assert browser.until(f"(sizes => sizes.length == 4 && sizes.every(Boolean))({sizes})")
        assert [one for one in browser.problems() if "favicon.ico" not in one] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b, _: setattr(b, "name", "no-such-bucket"), "cannot be used: there is no such bucket"),
        (lambda b, _: b.forbid(), "cannot be written to: access is denied"),
        (lambda b, m: m.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9"), "cannot be used: it cannot be reached"),
        (lambda b, m: m.setenv("AWS_ENDPOINT_URL", ""), "AWS_ENDPOINT_URL is not an address"),
        (lambda b, m: m.setenv("AWS_ENDPOINT_URL", "localhost:9000"), "AWS_ENDPOINT_URL is not an address"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_said_before_anything_is_sent(bucket, go, monkeypatch, change, said):
    monkeypatch.setattr("lemon_ext.batch.objects.AT_ONCE", 0.5)
    change(bucket, monkeypatch)
    gateway = Gateway()
    with pytest.raises(ConfigurationError, match=said) as caught:
        go(gateway, some(3), bucket.address())
    assert SECRET not in str(caught.value)
    assert gateway.posts == []


@pytest.mark.parametrize("how", ["stopped", "forbidden", "deleted"])
def test_a_bucket_that_disappears_half_way_loses_nothing(bucket, go, monkeypatch, how):
    monkeypatch.setattr("lemon_ext.batch.objects.PATIENCE", 1.0)
    gateway, place = Gateway(), bucket.address()
    seen = []

    def vanish(progress):
        if progress.saved >= 5 and not seen:
            seen.append(progress.saved)
            if how == "stopped":
                bucket.stop()
            elif how == "forbidden":
                bucket.forbid()
            else:
                bucket.forbid()  # a picture that is on its way would keep it
                while held := bucket.held():
                    bucket.s3.delete_object(Bucket=bucket.name, Key=held[0])
                bucket.s3.delete_bucket(Bucket=bucket.name)

    try:
        with pytest.raises(SaveError, match=r"could not be put into s3://.*the same command again puts it there"):
            go(gateway, some(400), place, concurrency=4, on_progress=vanish)
    finally:
        if how == "stopped":
            bucket.start()
    paid = batch_status(place)
    assert paid.failed == paid.uncertain == 0
    assert len(gateway.posts) < 250
    if how == "deleted":  # what was in it is gone; nothing else is
        return
    if how == "forbidden":
        bucket.allow()
    go(gateway, some(400), place)
    assert batch_status(place).saved == 400
    assert set(gateway.charges.values()) == {1}
    pictures = [key for key in bucket.held() if key.endswith(".png")]
    assert len(pictures) == 400
    assert all(is_whole(bucket.read(key)["Body"].read()) for key in pictures[::20])
    assert not list(Destination.of(place).folder.glob("*.png"))


CHILD = """
import sys
from lemon_ext import AsyncLemon, run_batch
url, place, rows = sys.argv[1:]
forms = [{"model": "flux-pro"}, {"model": "flux-schnell"}, {"model": "dall-e-3", "response_format": "b64_json"}]
requests = [{"prompt": f"cat {row}", **forms[row % 3]} for row in range(int(rows))]
client = AsyncLemon("sk-emulator", base_url=url, requests_per_minute=None)
print("ready", flush=True)
for outcome in run_batch(requests, place, client=client, concurrency=2):
    pass
"""


def work(emulator, place, rows, kills, how, chance):
    """Run the batch, killing it so often, until it ends by itself."""
    for number in range(kills + 3):
        with python("-c", CHILD, emulator.url, place, str(rows)) as running:
            assert running.stdout.readline() == "ready\n", running.communicate()[1]
            try:
                _, errors = running.communicate(timeout=chance.uniform(0.1, 0.8) if number < kills else 90)
            except subprocess.TimeoutExpired:
                running.send_signal(how)
                running.communicate(timeout=60)
            else:
                if running.returncode == 0 and not batch_status(place).open:
                    return
                assert number < kills, errors


@pytest.mark.parametrize(
    ("how", "rows", "kills"),
    [
        pytest.param(signal.SIGKILL, 60, 4, id="sigkill"),
        pytest.param(signal.SIGTERM, 60, 2, id="sigterm"),
        pytest.param(
            signal.SIGKILL, 300, 40, id="sigkill-40-times", marks=(pytest.mark.kill, pytest.mark.timeout(600))
        ),
    ],
)
def test_a_killed_batch_into_a_bucket_pays_every_row_once_and_has_every_picture(bucket, how, rows, kills):
    place = bucket.address()
    with Emulator(task_seconds=lambda model, chance: chance.uniform(0.1, 0.6)) as emulator:
        work(emulator, place, rows, kills, how, random.Random(5))
        charged = Counter(charge.request["prompt"] for charge in emulator.ledger)
    told = [json.loads(line) for line in bucket.read("shop/results.jsonl")["Body"].read().splitlines()]
    assert [row["row"] for row in told] == list(range(1, rows + 1))
    for row in told:
        assert row["status"] in ("saved", "uncertain"), row
        assert charged[row["prompt"]] == 1 or (row["status"] == "uncertain" and charged[row["prompt"]] == 0)
    saved = sorted(f"shop/{path}" for row in told for path in row["paths"])
    assert saved == [key for key in bucket.held() if key.endswith(".png")]
    assert all(is_whole(bucket.read(key)["Body"].read()) for key in saved)
    folder = Destination.of(place).folder
    assert not list(folder.glob(".*.part"))
    assert not list(folder.glob("*.png"))
    assert not bucket.s3.list_multipart_uploads(Bucket=bucket.name).get("Uploads"), "what nobody completes is billed"


# ---- the command ----


@pytest.fixture
def shop(bucket, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("prompts.txt").write_text("a cat\na dog\n", encoding="utf-8")
    with Emulator(task_seconds=0.02) as emulator:
        monkeypatch.setenv("LEMONDATA_BASE_URL", emulator.url)
        monkeypatch.setenv("LEMONDATA_API_KEY", KEY)
        yield emulator


def test_the_commands_of_a_batch_take_the_address(bucket, shop, tmp_path):
    place = bucket.address()
    folder = Destination.of(place).folder
    plan = lemon("batch", "prompts.txt", "-o", place, "-m", "flux-pro", "--dry-run")
    assert (plan.exit_code, plan.stdout.splitlines()[0]) == (
        0,
        "2 rows for 2 images; all of them can be sent. Nothing was sent.",
    )
    assert not folder.exists()
    done = lemon("batch", "prompts.txt", "-o", place, "-m", "flux-pro", "--also", "csv")
    assert done.exit_code == 0
    assert done.stdout.split() == [f"{place}/{name}" for name in ("results.jsonl", "results.csv", "index.html")]
    assert f"lemon: The journal stays on this machine, in {folder}\n" in done.stderr
    status = lemon("status", place)
    assert (status.exit_code, f"in {folder}" in status.stderr) == (0, True)
    assert lemon("resume", place).exit_code == 0
    assert lemon("gallery", place).stdout == f"{place}/index.html\n"
    sheet = lemon("sheet", place)
    assert (sheet.stdout, Path("sheet.jpg").is_file()) == ("sheet.jpg\n", True)
    assert len(shop.ledger) == 2


def test_what_goes_wrong_is_said_with_the_address_and_the_next_command(bucket, shop, monkeypatch):
    monkeypatch.setattr("lemon_ext.batch.objects.AT_ONCE", 0.5)
    place = bucket.address()
    assert lemon("batch", "prompts.txt", "-o", place, "-m", "flux-pro").exit_code == 0
    bucket.forbid()
    again = lemon("resume", place)
    assert again.exit_code == 7
    assert again.stdout == ""
    assert again.stderr.startswith(
        "lemon: 2 of 2 rows saved (2 images).\n"
        f"lemon: results.jsonl could not be put into {place}: access is denied (403"
    )
    assert again.stderr.endswith(f"  next: lemon resume -- {place}\n")
    first = lemon("batch", "prompts.txt", "-o", bucket.address("other"), "-m", "flux-pro")
    assert (first.exit_code, first.stderr) == (
        2,
        f"lemon: {bucket.address('other')} cannot be written to: access is denied (403). Nothing was sent.\n",
    )
    assert len(shop.ledger) == 2


@pytest.mark.parametrize("command", ["generate", "edit", "vary", "task"])
def test_a_single_picture_is_not_saved_at_an_address(shop, command, tmp_path):
    """A folder called s3: is nowhere that anybody looks."""
    (tmp_path / "cat.png").write_bytes(PNG)
    words = {
        "generate": ["a cat"], "edit": ["a hat", "--image", "cat.png"], "vary": ["--image", "cat.png"],
        "task": ["img_1", "--wait"],
    }  # fmt: skip
    done = lemon(command, *words[command], "-o", "s3://bucket/x")
    assert done.exit_code == 2, done.stderr
    assert "s3://... is an address" in done.stderr
    assert "Nothing was sent." in done.stderr
    assert not shop.ledger
    assert not Path("s3:").exists()
