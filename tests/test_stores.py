"""Batches into an object store: kept before it counts as saved, and nothing more paid for that nobody can keep.

The stores are folders behind ``file://``, and such as fail when they are told to; tests/test_s3.py has a real one.
"""

# ruff: noqa: F811 - a fixture is imported, and named again as an argument

from __future__ import annotations

import itertools
import re
import shutil
import sys
import threading
import time
from collections import Counter
from contextlib import aclosing
from pathlib import Path

import anyio
import anyio.lowlevel
import PIL.Image
import pytest

from lemon_ext import ConfigurationError, JournalError, LemonWarning, SaveError, arun_batch, reconcile, run_batch
from lemon_ext.batch import batch_status, export_results, plan_batch, row_tasks
from lemon_ext.batch.destination import MARK, Destination
from lemon_ext.batch.engine import Engine
from lemon_ext.batch.journal import change
from lemon_ext.batch.objects import Store
from lemon_ext.batch.sheet import write_sheet
from lemon_ext.batch.sqlite import FILE, SqliteJournal
from lemon_ext.gallery import write_gallery
from tests.cli import ctrl_c, emulator, lemon, server  # noqa: F401 - fixtures
from tests.gateway import PNG, Gateway, results, rows, statuses
from tests.test_batch import whole
from tests.test_reconcile import KEY, TOLD, account, clock, manager, verdicts, write_batch  # noqa: F401 - a fixture

pytest.importorskip("obstore")


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    """This machine's folder for journals."""
    monkeypatch.setattr("lemon_ext.batch.destination.state_folder", lambda: tmp_path / "state")
    return tmp_path / "state"


@pytest.fixture
def bucket(tmp_path):
    (tmp_path / "bucket").mkdir()
    return tmp_path / "bucket"


@pytest.fixture(params=["blocking", "asyncio", "trio"])
def go(request):
    """Run a batch in either colour."""

    def blocking(gateway, requests, place, **options):
        return list(run_batch(requests, place, client=gateway.client(), **options))

    def asynchronous(gateway, requests, place, **options):
        async def main():
            async with aclosing(arun_batch(requests, place, client=gateway.client(), **options)) as outcomes:
                return [outcome async for outcome in outcomes]

        return anyio.run(main, backend=request.param)

    return blocking if request.param == "blocking" else asynchronous


def run(gateway, requests, place, **options):
    return list(run_batch(requests, place, client=gateway.client(), **options))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def mixed(count):
    """Return rows of all three kinds: a task, an address at once, and data."""
    kinds = [{"model": "midjourney"}, {}, {"response_format": "b64_json"}]
    return [{"prompt": f"cat {n}", **kinds[n % 3]} for n in range(1, count + 1)]


class Faults:
    """Makes a store fail: every put whose name ``bad`` tells, with its reason."""

    def __init__(self, monkeypatch):
        self.bad = lambda name: False
        self.puts = Counter()
        before = Store._call

        def call(store, operation, *arguments, **options):
            if operation == "put":
                if self.bad(arguments[0]):
                    raise OSError("it cannot be reached (Connection refused)")
                self.puts[arguments[0]] += 1
            return before(store, operation, *arguments, **options)

        monkeypatch.setattr(Store, "_call", call)


@pytest.fixture
def faults(monkeypatch):
    return Faults(monkeypatch)


# ---- what goes where ----


def test_pictures_and_results_go_into_the_store_and_the_journal_stays(bucket, go):
    gateway, place = Gateway(), bucket.as_uri()
    outcomes = go(gateway, mixed(3), place, also=["csv", "imagefolder"])
    assert statuses(outcomes) == {1: "saved", 2: "saved", 3: "saved"}
    assert names(bucket) == [
        "00001-cat-1-1.png", "00002-cat-2-1.png", "00003-cat-3-1.png",
        "index.html", MARK, "metadata.jsonl", "results.csv", "results.jsonl",
    ]  # fmt: skip
    assert all(whole(path) for path in bucket.glob("*.png"))
    assert [row["paths"] for row in results(bucket)] == [[f"0000{n}-cat-{n}-1.png"] for n in (1, 2, 3)]
    page = (bucket / "index.html").read_text("utf-8")
    assert '"./00001-cat-1-1.png"' in page
    assert "<title>bucket</title>" in page
    assert f"lemon resume {place}" in page
    folder = Destination.of(place).folder
    assert (folder / FILE).is_file()
    assert not list(folder.glob("*.png"))


def test_the_same_call_again_sends_and_loses_nothing(bucket, go):
    gateway = Gateway()
    go(gateway, mixed(3), bucket.as_uri())
    assert go(gateway, mixed(3), f"{bucket.as_uri()}/") == []
    assert statuses(go(gateway, [*mixed(3), {"prompt": "a dog"}], bucket.as_uri())) == {4: "saved"}
    assert set(gateway.charges.values()) == {1}
    assert (bucket / "00004-a-dog-1.png").is_file()


def test_a_path_that_was_made_of_an_address_is_that_address():
    assert str(Destination.of(Path("s3://bucket/a b"))) == "s3://bucket/a b"
    assert str(Destination.of("file:///tmp/x/")) == "file:///tmp/x"
    assert Destination.of("out") == Destination(Path("out"))
    assert Destination.of("C:/out").store is None


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("file:///tmp/a b", "file:///tmp/a%20b"),
        ("file:///tmp/%61%C3%BC~", "file:///tmp/a%C3%BC~"),
        ("s3://bucket/a%20b", "s3://bucket/a%20b"),
        ("s3://bucket/a b", "s3://bucket/a b"),
        ("s3://bucket/a ", "s3://bucket/a "),
    ],
)
def test_what_a_store_is_called_leads_to_it_again(given, shown):
    assert str(Destination.of(given)) == shown
    assert Destination.of(shown).folder == Destination.of(given).folder


@pytest.mark.parametrize("known", ["topsecret", "me:topsecret", "topsecret:"])
@pytest.mark.parametrize("scheme", ["s3", "gs", "az", "https", "abfs"])
def test_what_stands_before_a_store_in_its_address_is_not_shown(scheme, known):
    """A key or a token may stand there without a name."""
    if (scheme, known) == ("abfs", "topsecret"):  # there it is the name of the container
        assert str(Destination.of("abfs://container@account/x")) == "abfs://container@account/x"
        return
    place = Destination.of(f"{scheme}://{known}@bucket/x")
    assert (str(place), place.folder.name[:9]) == (f"{scheme}://bucket/x", "bucket-x-")


def test_two_spellings_of_a_folder_are_one_batch(tmp_path, go):
    (bucket := tmp_path / "a b").mkdir()
    gateway = Gateway()
    go(gateway, mixed(1), f"file://{tmp_path}/a b")
    assert go(gateway, mixed(1), f"FILE:{tmp_path}/%61%20b/") == []
    assert (len(gateway.posts), (bucket / MARK).is_file()) == (1, True)


def test_no_two_stores_share_a_journal(monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    folders = [Destination.of(one).folder for one in ("s3://a/b", "s3://a/b/", "s3a://a/b", "S3://a/b")]
    assert len(set(folders)) == 1
    others = [Destination.of(one).folder for one in ("s3://a-b", "s3://a/b/c", "gs://a/b", "s3://a/B")]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    others.append(Destination.of("s3://a/b").folder)
    assert len({*folders, *others}) == 6


# ---- what cannot be a store ----


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("memory://", "is lost at the end"),
        ("memory:///x", "is lost at the end"),
        ("s3://", "s3:// names no bucket: give s3://BUCKET/PREFIX."),
        ("s3:///x", "names no bucket"),
        ("s3://bucket/a/../b", "The path of a store .* has one slash between two names, and no . or .. among"),
        ("s3://bucket/./b", "one slash between two names"),
        ("s3://bucket/..", "one slash between two names"),
        ("s3://bucket//b", "one slash between two names"),
        ("https://127.0.0.1/a/%2e%2e/b", "one slash between two names"),
        ("file:///tmp/%2E%2E/b", "one slash between two names"),
        ("s3://bucket/a\tb", "has a control character in it"),
        ("s3://bucket/a\n", "has a control character in it"),
        ("s3://bucket/x?X-Amz-Signature=topsecret", r"ends with its path: no \? and no #"),
        ("s3://me:topsecret/rest@bucket/x", r"The address of a store \(s3://\.\.\.\) cannot be read"),
        ("s3://me:12/topsecret@bucket/x", "cannot be read"),
        ("https://[topsecret/x", "cannot be read"),
        ("nonsense://x", "The store nonsense://x cannot be used: .*Unable to recognise URL"),
        ("https://me:topsecret@127.0.0.1:9/x", "https://127.0.0.1:9/x cannot be used: it cannot be reached"),
        ("file:///no/such/folder", "The store file:///no/such/folder cannot be used"),
        ("postgresql://db/lemon", "the address of its journal is another argument"),
    ],
)
def test_what_cannot_be_a_store_is_said_and_nothing_is_sent(place, said, go, state, monkeypatch):
    monkeypatch.setattr("lemon_ext.batch.objects.AT_ONCE", 0.1)
    gateway = Gateway()
    with pytest.raises(ConfigurationError, match=said) as caught:
        go(gateway, rows(2), place)
    assert "topsecret" not in str(caught.value)
    assert gateway.posts == []
    assert not state.exists()


def test_a_store_needs_its_extra(bucket, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    gateway = Gateway()
    with pytest.raises(ConfigurationError, match=r"pip install 'lemon-ext\[cloud\]'"):
        run(gateway, rows(1), bucket.as_uri())
    assert gateway.posts == []


def test_a_store_that_cannot_be_written_to_is_said_before_anything_is_sent(bucket, faults, go):
    faults.bad = lambda name: True
    gateway = Gateway()
    with pytest.raises(ConfigurationError, match=r"cannot be written to: it cannot be reached .*\. Nothing was sent\."):
        go(gateway, rows(2), bucket.as_uri())
    assert gateway.posts == []
    faults.bad = lambda name: False
    assert set(statuses(go(gateway, rows(3), bucket.as_uri())).values()) == {"saved"}


def test_a_store_that_loses_what_it_takes_is_said_before_anything_is_sent(bucket, faults, monkeypatch, go):
    before = Store._call
    monkeypatch.setattr(
        Store, "_call", lambda store, what, *given, **o: what == "put" or before(store, what, *given, **o)
    )
    gateway = Gateway()
    with pytest.raises(ConfigurationError, match=r"has taken an object, and does not have it.* Nothing was sent\."):
        go(gateway, rows(2), bucket.as_uri())
    assert gateway.posts == []


# ---- whose store it is ----


def test_a_folder_that_is_the_store_of_a_batch_is_no_folder_for_it(bucket, faults, go):
    """Bug: before there was a picture, /mnt/x began anew what file:///mnt/x had paid for."""
    faults.bad = lambda name: name != MARK
    gateway = Gateway()
    with pytest.raises(SaveError):
        go(gateway, [{"id": "a", "prompt": "a cat"}], bucket.as_uri())
    assert names(bucket) == [MARK]
    with pytest.raises(JournalError, match=f"holds {MARK}, and not the journal it belongs to"):
        go(gateway, [{"id": "a", "prompt": "a cat"}], bucket)
    assert len(gateway.posts) == 1


def test_a_folder_that_has_its_journal_is_no_store(bucket, go):
    gateway = Gateway()
    go(gateway, rows(1), bucket, max_images=0)
    with pytest.raises(JournalError, match="a batch needs a place of its own"):
        go(gateway, rows(1), bucket.as_uri())
    assert gateway.posts == []


def test_a_place_that_holds_something_is_refused(bucket, state, go):
    (bucket / "index.html").write_text("somebody's page")
    gateway = Gateway()
    with pytest.raises(JournalError, match=r"holds index.html already, and a batch needs a place of its own: .*/NAME"):
        go(gateway, rows(2), bucket.as_uri())
    assert gateway.posts == []
    assert not state.exists()


def test_pictures_without_their_journal_are_not_paid_for_again(bucket, state, go):
    """As from another machine."""
    gateway = Gateway()
    go(gateway, rows(2), bucket.as_uri())
    shutil.rmtree(state)
    for use in (lambda: go(gateway, rows(2), bucket.as_uri()), lambda: plan_batch(rows(2), folder=bucket.as_uri())):
        with pytest.raises(JournalError, match="holds the pictures of a batch whose journal is not the one here"):
            use()
    with pytest.raises(JournalError, match=f"This machine has no journal of a batch in {bucket.as_uri()}"):
        batch_status(bucket.as_uri())
    assert len(gateway.posts) == 2
    assert not state.exists()


def test_a_journal_beside_another_batch_of_the_same_address_is_refused(bucket, go):
    gateway = Gateway()
    go(gateway, rows(2), bucket.as_uri())
    (bucket / MARK).write_text('{"batch": "another"}')
    with pytest.raises(JournalError, match="whose journal is not the one here"):
        go(gateway, rows(3), bucket.as_uri())
    assert len(gateway.posts) == 2


def test_nothing_is_put_beside_another_batch_afterwards(bucket, go):
    """Somebody has emptied the store, and begun there."""
    gateway, place = Gateway(), bucket.as_uri()
    go(gateway, rows(2), place)
    (bucket / MARK).write_text('{"batch": "another"}')
    (bucket / "results.jsonl").write_text("theirs")
    for use in (lambda: export_results(place), lambda: write_gallery(place)):
        with pytest.raises(SaveError, match=r"could not be put into .*: .* whose journal is not the one here"):
            use()
    assert (bucket / "results.jsonl").read_text() == "theirs"


def test_a_store_that_was_emptied_is_not_filled_half(bucket, go):
    gateway = Gateway()
    go(gateway, rows(2), bucket.as_uri())
    for path in bucket.iterdir():
        path.unlink()
    with pytest.raises(JournalError, match=r"does not hold the pictures that the journal in .* says are saved there"):
        go(gateway, rows(3), bucket.as_uri())
    assert len(gateway.posts) == 2


def test_a_mark_that_was_lost_is_put_again(bucket, go):
    gateway = Gateway()
    go(gateway, rows(2), bucket.as_uri())
    (bucket / MARK).unlink()
    assert statuses(go(gateway, rows(3), bucket.as_uri())) == {3: "saved"}
    assert (bucket / MARK).is_file()


# ---- a store that fails half-way ----


@pytest.mark.parametrize("bad", [1, 4])
def test_a_store_that_fails_stops_the_sending_and_loses_nothing(bucket, faults, go, bad):
    faults.bad = lambda name: name != MARK and sum(faults.puts.values()) >= bad
    gateway, place = Gateway(), bucket.as_uri()
    with pytest.raises(SaveError, match=r"results.jsonl, index.html could not be put into .*the same command again"):
        go(gateway, mixed(120), place, concurrency=4)
    assert len(gateway.posts) < 60
    assert batch_status(place).saved == bad - 1
    paid = dict(gateway.charges)
    assert set(paid.values()) == {1}
    with pytest.raises(SaveError):  # it is still away: nothing more is paid for
        go(gateway, mixed(120), place, concurrency=4)
    assert len(gateway.posts) - len(paid) < 60
    faults.bad = lambda name: False
    go(gateway, mixed(120), place)
    assert batch_status(place).saved == 120
    assert set(gateway.charges.values()) == {1}
    assert len(list(bucket.glob("*.png"))) == 120
    assert not list(Destination.of(place).folder.glob("*.png"))


def test_data_that_could_not_be_kept_is_put_by_another_run_and_never_paid_again(bucket, faults, go):
    """It came with the answer and is nowhere else."""
    faults.bad = lambda name: name != MARK
    gateway, place = Gateway(), bucket.as_uri()
    with pytest.raises(SaveError):
        go(gateway, [{"prompt": "a dog", "response_format": "b64_json", "n": 2}], place)
    progress = batch_status(place)
    assert (progress.unfetched, progress.failed) == (1, 0)
    assert names(bucket) == [MARK]
    faults.bad = lambda name: False
    assert statuses(go(gateway, None, place)) == {1: "saved"}
    assert gateway.charges == {"a dog": 1}
    assert all(whole(path) for path in bucket.glob("*.png"))
    assert len(list(bucket.glob("*.png"))) == 2


def test_data_that_is_nowhere_any_more_is_failed_and_ends(bucket, faults, go):
    """Its file was removed by hand. Nothing can fetch it, so no loop is to go on for it."""
    faults.bad = lambda name: name != MARK
    gateway, place = Gateway(), bucket.as_uri()
    with pytest.raises(SaveError):
        go(gateway, [{"prompt": "a dog", "response_format": "b64_json"}], place)
    faults.bad = lambda name: False
    for path in Destination.of(place).folder.glob("*.png"):
        path.unlink()
    assert statuses(go(gateway, None, place)) == {1: "failed"}
    assert (batch_status(place).failed, batch_status(place).open) == (1, 0)
    assert go(gateway, None, place) == []
    assert gateway.charges == {"a dog": 1}


def test_what_a_failed_put_left_here_is_not_fetched_again(bucket, faults):
    faults.bad = lambda name: name != MARK
    gateway, place = Gateway(), bucket.as_uri()
    with pytest.raises(SaveError):
        run(gateway, rows(1, model="dall-e-3"), place)
    gateway.pictures["i1-0.png"] = type("Gone", (), {"popleft": lambda self: 410, "__bool__": lambda self: True})()
    faults.bad = lambda name: False
    assert statuses(run(gateway, None, place)) == {1: "saved"}


def test_results_that_could_not_be_put_are_put_by_the_same_call(bucket, faults, go):
    faults.bad = lambda name: name == "results.jsonl"
    gateway, place = Gateway(), bucket.as_uri()
    with pytest.raises(SaveError, match=r"results.jsonl, index.html could not be put into"):
        go(gateway, rows(2), place)
    assert batch_status(place).saved == 2
    faults.bad = lambda name: False
    assert go(gateway, rows(2), place) == []
    assert (bucket / "results.jsonl").is_file()
    assert set(gateway.charges.values()) == {1}


def test_little_is_sent_while_a_store_hangs(bucket, monkeypatch, go):
    """A store that hangs takes its time to fail. What is paid for meanwhile, it may never take."""
    gateway, first, over, posts, engines = Gateway(seconds=0.0), threading.Lock(), threading.Event(), [], []
    before = Store._call

    def nothing_more_is_sent():
        (engine,) = engines
        return engine._tasks.are_crowded and not engine._jobs.running["submit"]

    def call(store, operation, *arguments, **options):
        if operation == "put" and arguments[0] != MARK:
            if first.acquire(blocking=False):
                end = time.monotonic() + 60.0
                while not nothing_more_is_sent() and time.monotonic() < end:
                    time.sleep(0.01)
                posts.append(len(gateway.posts))
                over.set()
            over.wait(60.0)
            raise OSError("it cannot be reached (Connection refused)")
        return before(store, operation, *arguments, **options)

    monkeypatch.setattr(Store, "_call", call)
    monkeypatch.setattr(Engine, "run", lambda engine, run=Engine.run: engines.append(engine) or run(engine))
    with pytest.raises(SaveError):
        go(gateway, rows(2000, model="dall-e-3"), bucket.as_uri(), concurrency=8)
    assert posts[-1] <= row_tasks.KEEPS_WAITING + 8 + row_tasks.SAVES
    assert len(gateway.posts) <= posts[-1] + 8
    assert batch_status(bucket.as_uri()).unfetched == len(gateway.posts)
    assert set(gateway.charges.values()) == {1}


def test_a_store_that_hangs_does_not_keep_the_journal_from_writing(bucket, monkeypatch, go):
    """Pictures that came as data were put by as many threads as there are, and no task was written down meanwhile."""
    gateway, place, seen = Gateway(seconds=1e9), bucket.as_uri(), []
    turns, waited, before = itertools.count(), threading.Event(), Store._call

    def call(store, operation, *arguments, **options):
        turn = next(turns) if operation == "put" and arguments[0].endswith(".png") else 0
        if turn == 10:
            end = time.monotonic() + 30.0
            with SqliteJournal.read(Destination.of(place).folder) as journal:
                while (tasks := journal.counts().get("waiting")) != 5 and time.monotonic() < end:
                    time.sleep(0.05)
            seen.append(tasks)
            waited.set()
        elif turn > 10:
            waited.wait(60.0)
        return before(store, operation, *arguments, **options)

    monkeypatch.setattr(Store, "_call", call)
    block = [{"prompt": f"dog {n}", "response_format": "b64_json"} for n in range(60)] + rows(5)
    go(gateway, block, place, concurrency=64, deadline=60.0)
    assert seen == [5]


def test_a_store_that_failed_after_a_long_wait_is_not_waited_for_again(bucket, monkeypatch):
    tried = []

    def call(store, operation, *arguments, **options):
        tried.append(arguments[0])
        raise OSError("it cannot be reached (timed out)")

    monkeypatch.setattr(Store, "_call", call)
    monkeypatch.setattr("lemon_ext.batch.objects.LONG", -1.0)
    store = Store(bucket.as_uri())
    for name in ("a", "b"):
        with pytest.raises(OSError, match="timed out"):
            store.put(name, b"x")
    assert tried == ["a"]


def test_of_two_that_begin_at_once_one_is_second(bucket, monkeypatch, go):
    """Both have seen that nothing is there."""
    before = Store.create

    def create(store, name, content):
        (bucket / MARK).write_text('{"batch": "of another machine"}')
        before(store, name, content)

    monkeypatch.setattr(Store, "create", create)
    gateway = Gateway()
    with pytest.raises(JournalError, match="whose journal is not the one here"):
        go(gateway, rows(2), bucket.as_uri())
    assert gateway.posts == []
    assert "of another machine" in (bucket / MARK).read_text()


def test_who_began_meanwhile_is_not_replaced_where_a_store_fails_or_has_no_conditions(bucket, monkeypatch, go):
    """Bug: what kept the mark out of the store was taken for a store that has no conditions."""
    before = Store._call

    def call(store, operation, *arguments, **options):
        if "mode" in options:
            (bucket / MARK).write_text('{"batch": "of another machine"}')
            raise OSError("HTTP 503, SlowDown")
        return before(store, operation, *arguments, **options)

    monkeypatch.setattr(Store, "_call", call)
    gateway = Gateway()
    with pytest.raises(JournalError, match="whose journal is not the one here"):
        go(gateway, rows(2), bucket.as_uri())
    assert gateway.posts == []


def test_a_bucket_with_millions_of_objects_is_not_listed_to_its_end(monkeypatch):
    """Bug: to tell that something is there, everything was listed."""

    def pages():
        yield [{"path": name} for name in ("a/deep.png", ".hidden", "", "notes.txt", "z.png")]
        raise AssertionError("the next thousand were asked for")

    def call(store, operation, *arguments, then, **options):
        assert operation == "list"
        return then(pages())

    monkeypatch.setattr(Store, "_call", call)
    assert Store("s3://bucket").any_name() == "notes.txt"


@pytest.mark.parametrize("there", [None, b"half a pic"])
def test_a_picture_that_a_store_lost_after_it_had_it_is_not_saved(bucket, monkeypatch, go, there):
    """Bug: a store that answered 200 was believed, and the file here was removed."""
    before, lost = Store._call, ["00001-cat-1-1.png"]

    def call(store, operation, *arguments, **options):
        found = before(store, operation, *arguments, **options)
        if operation == "put" and arguments[0] in lost:
            (bucket / arguments[0]).unlink()
            if there is not None:
                (bucket / arguments[0]).write_bytes(there)
        return found

    monkeypatch.setattr(Store, "_call", call)
    gateway, place = Gateway(), bucket.as_uri()
    (row,) = go(gateway, rows(1), place)
    assert row["status"] == "unfetched"
    assert "it said that it has the object, and it has none like it" in row["error"]["message"]
    assert (Destination.of(place).folder / lost[0]).is_file()
    lost.clear()
    go(gateway, rows(1), place)
    assert batch_status(place).saved == 1
    assert whole(bucket / "00001-cat-1-1.png")
    assert set(gateway.charges.values()) == {1}


def test_a_page_of_somebody_elses_in_a_store_stays(bucket, go):
    """Bug: a folder keeps it, and in a store it was replaced without a word."""
    gateway, place = Gateway(), bucket.as_uri()
    go(gateway, rows(1), place)
    (bucket / "index.html").write_text("my shop")
    with pytest.warns(
        LemonWarning, match=r"index\.html is not a gallery of this program, so it stays as it is\. Move it"
    ):
        go(gateway, rows(2), place)
    assert (bucket / "index.html").read_text() == "my shop"
    assert [row["status"] for row in results(bucket)] == ["saved", "saved"]
    with pytest.raises(FileExistsError, match="is not a gallery of this program"):
        write_gallery(place)
    (bucket / "index.html").unlink()
    assert write_gallery(place) == f"{place}/index.html"


class Hanging:
    """A store whose puts hang until it is let go."""

    def __init__(self, monkeypatch):
        self.begun, self.over, before = threading.Event(), threading.Event(), Store._call

        def call(store, operation, *arguments, **options):
            if operation == "put" and arguments[0] != MARK:
                self.begun.set()
                self.over.wait(100.0)
            return before(store, operation, *arguments, **options)

        monkeypatch.setattr(Store, "_call", call)
        monkeypatch.setattr("lemon_ext.batch.work.GRACE", 0.05)


@pytest.fixture
def hanging(monkeypatch):
    made = Hanging(monkeypatch)
    yield made
    made.over.set()


def test_ctrl_c_twice_does_not_wait_for_a_store_that_hangs(emulator, bucket, hanging):
    """Bug: it waited for two minutes, although it was said that a second one ends at once."""
    Path("rows.txt").write_text("a\n", encoding="utf-8")
    place = bucket.as_uri()
    with ctrl_c(when=hanging.begun.is_set, times=2):
        done = lemon("batch", "rows.txt", "-o", place, "-m", "dall-e-3")
    assert not hanging.over.is_set()
    assert done.exit_code == 130
    assert "results.jsonl, index.html could not be put into" in done.stderr
    assert done.stderr.rstrip().endswith(f"next: lemon resume -- {place}")
    hanging.over.set()
    assert lemon("resume", place).exit_code == 0
    assert emulator.charges == 1
    assert (bucket / "00001-a-1.png").read_bytes().endswith(b"IEND\xaeB`\x82")
    assert (bucket / "results.jsonl").is_file()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancellation_does_not_wait_for_a_store_that_hangs(bucket, hanging, backend):
    gateway, place = Gateway(), bucket.as_uri()

    async def work():
        async with aclosing(arun_batch(rows(1), place, client=gateway.client())) as outcomes:
            async for _ in outcomes:
                pass

    async def main():
        async with anyio.create_task_group() as group:
            group.start_soon(work)
            while not hanging.begun.is_set():
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()

    with pytest.warns(LemonWarning, match="paid for"):
        anyio.run(main, backend=backend)
    assert not hanging.over.is_set()
    assert batch_status(place).open == 1
    hanging.over.set()
    run(gateway, None, place)
    assert batch_status(place).saved == 1
    assert set(gateway.charges.values()) == {1}


# ---- killed in between ----


def test_a_row_that_was_cut_off_is_put_before_it_counts_as_saved(bucket, faults, go):
    gateway, place = Gateway(), bucket.as_uri()
    go(gateway, [{"prompt": "a dog", "response_format": "b64_json"}], place)
    folder = Destination.of(place).folder
    with SqliteJournal.open(folder) as journal:
        journal.commit([change(1, status="submitting", paths=None, finished_at=None)])
    (bucket / "00001-a-dog-1.png").rename(folder / "00001-a-dog-1.png")
    go(gateway, None, place)
    assert batch_status(place).saved == 1
    assert whole(bucket / "00001-a-dog-1.png")
    assert not list(folder.glob("*.png"))
    assert gateway.charges == {"a dog": 1}


def test_what_a_killed_process_left_here_is_removed(bucket, go):
    gateway, place = Gateway(), bucket.as_uri()
    go(gateway, rows(2), place)
    folder = Destination.of(place).folder
    (folder / "00001-cat-1-1.png").write_bytes(PNG)
    go(gateway, None, place)
    assert not list(folder.glob("*.png"))


# ---- what else is done with a batch ----


def test_status_plan_results_gallery_and_sheet_of_a_store(bucket, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gateway, place = Gateway(), bucket.as_uri()
    assert plan_batch(rows(3), folder=place).rows == 3
    run(gateway, rows(2), place)
    assert (plan_batch(rows(3), folder=place).rows, plan_batch(rows(3), folder=place).others) == (1, 2)
    for page in ("results.jsonl", "index.html"):
        (bucket / page).unlink()
    assert export_results(place, also=["csv"]) == f"{place}/results.jsonl"
    assert write_gallery(place, title="Cats") == f"{place}/index.html"
    assert "<title>Cats</title>" in (bucket / "index.html").read_text("utf-8")
    assert (bucket / "results.csv").is_file()
    (sheet,) = write_sheet(place)
    assert sheet == Path("sheet.jpg")
    with PIL.Image.open(sheet) as found:
        assert found.size == (2 * (256 + 12) + 12, 256 + 2 * 18 + 12 + 12)


def test_a_sheet_of_a_store_that_is_away_is_no_sheet_of_empty_frames(bucket, tmp_path, monkeypatch):
    run(Gateway(), rows(1), bucket.as_uri())
    monkeypatch.setattr(Store, "get", lambda *_, **__: (_ for _ in ()).throw(OSError("it cannot be reached")))
    with pytest.raises(ConfigurationError, match="cannot be read: it cannot be reached"):
        write_sheet(bucket.as_uri(), tmp_path / "sheet.jpg")


def test_what_the_account_says_is_put_into_the_store(bucket, clock):
    place = bucket.as_uri()
    folder = write_batch(Destination.of(place).folder)
    (bucket / "a.png").write_bytes(PNG)
    (folder / "index.html").write_text('<meta name="generator" content="lemon-ext gallery">')
    found = reconcile(place, client=manager(account(clock)), api_key=KEY, apply=True)
    assert verdicts(found) == TOLD
    assert [row["cost"] for row in results(bucket)][:3] == ["0.04", "0.04", None]
    assert "The account was billed" in (bucket / "index.html").read_text("utf-8")


# ---- what saves single pictures ----


@pytest.mark.parametrize("where", ["s3://bucket/x", "s3://bucket/x.png", Path("gs://bucket/x"), "file:///tmp/x"])
def test_a_picture_is_not_saved_at_an_address_and_stays_in_hand(colour, where, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gateway = Gateway()
    client = colour.client(gateway, base_url="https://api.example.test")
    result = colour.call(client.images.generate, "a dog", model="dall-e-3", response_format="b64_json")
    for thing in (result, result[0]):
        with pytest.raises(ValueError, match=r"://\.\.\. is an address, and images are saved in files"):
            colour.call(colour.twin(thing, "save"), where)
    assert list(tmp_path.iterdir()) == []
    (path,) = colour.call(colour.twin(result, "save"), "out")
    assert whole(path)


# ---- the command ----


def test_ctrl_c_while_a_store_is_away_says_that_the_results_are_here(emulator, bucket, faults):
    emulator.task_seconds = 60.0
    Path("rows.txt").write_text("a\nb\n", encoding="utf-8")
    faults.bad = lambda name: name != MARK
    place = bucket.as_uri()
    with ctrl_c(when=lambda: emulator.charges == 2):
        done = lemon("batch", "rows.txt", "-o", place, "-m", "midjourney")
    assert done.exit_code == 130
    assert done.stdout == ""
    assert "lemon: warning: results.jsonl, index.html could not be put into" in done.stderr
    assert done.stderr.rstrip().endswith(f"next: lemon resume -- {place}")


def test_a_store_that_takes_no_picture_ends_the_command_with_what_to_do(emulator, bucket, faults):
    Path("rows.txt").write_text("a\nb\n", encoding="utf-8")
    place = bucket.as_uri()
    faults.bad = lambda name: name.endswith(".png")
    done = lemon("batch", "rows.txt", "-o", place, "-m", "dall-e-3")
    assert done.exit_code == 7
    assert "Nothing more is sent: the images cannot be written: 0000" in done.stderr
    assert f"cannot be put into {place}: it cannot be reached (Connection refused). It is kept beside" in done.stderr
    assert str(Destination.of(place).folder) not in (bucket / "results.jsonl").read_text("utf-8")
    assert done.stderr.rstrip().endswith(f"next: lemon resume -- {place}")
    faults.bad = lambda name: False
    assert lemon("resume", place).exit_code == 0
    assert emulator.charges == 2
    assert len(list(bucket.glob("*.png"))) == 2


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Server returned non-2xx status code: 403 Forbidden: <Error><Code>InvalidAccessKeyId</Code>",
         "its credentials are not accepted (403, InvalidAccessKeyId)"),
        ("status code: 404 Not Found: <Error><Code>NoSuchBucket</Code><Message>x</Message>",
         "there is no such bucket (404, NoSuchBucket)"),
        ("status code: 409 Conflict: <html>PUT parent must be a collection",
         "there is a conflict, perhaps a folder that is not there (409)"),
        ("status code: 503 Slow Down: <Error><Code>SlowDown</Code>", "HTTP 503, SlowDown"),
        ("Error performing PUT http://169.254.169.254/latest/api/token in 2.6ms",
         "there are no credentials for it in the environment (`lemon docs batch` says which)"),
        ('HTTP error: error sending request\n\nDebug source:\nOs { kind: TimedOut, message: "Connection timed out" }',
         "it cannot be reached (Connection timed out)"),
        ("Something at https://me:pw@host/x?sig=abc with a-very-secret-key.", "Something at https://host/x with ***"),
        ("", "RuntimeError"),
    ],
)  # fmt: skip
def test_what_a_store_said_is_told_in_a_few_words_and_without_a_key(said, reason, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE0")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-very-secret-key")

    def call(store, *_, **__):
        raise RuntimeError(said)

    monkeypatch.setattr("obstore.get", call)
    with pytest.raises(OSError, match="^" + re.escape(reason) + "$") as caught:
        Store("s3://bucket/x").get("name")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "refusal", [NotImplementedError("mode"), RuntimeError("status code: 501: <Code>NotImplemented</Code>")]
)
def test_what_only_some_stores_can_do_is_done_without(bucket, monkeypatch, refusal):
    """A WebDAV server neither creates nor tells what exists, and says 409 where a folder is missing."""
    import obstore

    before, asked = obstore.put, []

    def put(store, name, content, **options):
        asked.append(options)
        if "mode" in options or "attributes" in options:
            raise refusal
        return before(store, name, content, **options)

    monkeypatch.setattr(obstore, "put", put)
    Store(bucket.as_uri()).create("a.json", b"x")
    assert (bucket / "a.json").read_bytes() == b"x"

    def conflict(store, name, content, **options):
        raise obstore.exceptions.AlreadyExistsError("status code: 409 Conflict")

    monkeypatch.setattr(obstore, "put", conflict)
    Store(bucket.as_uri()).create("a.json", b"y")
    for use in (Store.put, Store.create):
        with pytest.raises(FileExistsError, match="there is a conflict"):
            use(Store(bucket.as_uri()), "b.json", b"y")
