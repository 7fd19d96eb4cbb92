"""Blocks of rows, as engines hand them out: more than once, to several at a time, and to machines that die."""

from __future__ import annotations

import json
import math
import threading
from pathlib import Path

import anyio
import pytest

from lemon_ext import BudgetError, ConfigurationError, JournalError, LemonWarning
from lemon_ext.batch import batch_status, submissions
from lemon_ext.batch.address import Address
from lemon_ext.batch.keepers import DatabaseKeeper, StoreKeeper, name_of
from lemon_ext.blocks import arun_block, run_block
from tests.gateway import PNG, Gateway, rows
from tests.test_batch import whole  # noqa: F401 - it imports what a picture needs

pytestmark = pytest.mark.scale
postgres = pytest.importorskip("lemon_ext.batch.postgres", exc_type=ImportError)


@pytest.fixture(params=["database", "folder"])
def store(request, tmp_path):
    return None if request.param == "database" else tmp_path / "store"


def given(count, first=1):
    return [{"id": f"r{n}", **row, "shelf": n} for n, row in enumerate(rows(first + count - 1), 1) if n >= first]


def go(gateway, block, shop, **options):
    return run_block(block, journal=shop, key="id", client=gateway.client(), deadline=1e9, **options)


def statuses(outcomes):
    return [outcome["status"] for outcome in outcomes]


def picture(outcome):
    """Return the bytes of an outcome's picture, wherever they are."""
    return outcome["image"] if "image" in outcome else Path(outcome["path"]).read_bytes()


def test_a_block_gives_one_outcome_a_row_in_order(shop, store):
    gateway = Gateway()
    outcomes = go(gateway, given(5), shop, store=store)
    assert statuses(outcomes) == ["saved"] * 5
    assert [outcome["task_id"] for outcome in outcomes] == [f"img_{n}" for n in range(1, 6)]
    assert all(picture(outcome)[:8] == PNG[:8] for outcome in outcomes)
    expected = {"status", "task_id", "cost", "error"}
    assert set(outcomes[0]) == expected | ({"path", "more_paths"} if store else {"image", "more_images"})
    assert batch_status(shop).saved == 5


def test_a_block_that_is_run_again_finds_its_rows_and_their_pictures(shop, store):
    """As after the death of the machine that had the pictures, with rows in another order and some new."""
    gateway = Gateway()
    first = go(gateway, given(5), shop, store=store)
    again = go(gateway, [*reversed(given(5)), *given(2, first=6)], shop, store=store)
    assert set(gateway.charges.values()) == {1}
    assert len(gateway.posts) == 7
    assert again[:5] == first[::-1]
    assert statuses(again[5:]) == ["saved"] * 2


def test_a_block_that_runs_twice_at_once_is_paid_once(shop, store, monkeypatch):
    monkeypatch.setattr(submissions, "AHEAD", 3)
    gateway, found, start = Gateway(), {}, threading.Barrier(2)
    gateway.clock.rule()

    def work(number):
        start.wait()
        found[number] = go(gateway, given(12), shop, store=store, concurrency=1)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for one in workers:
        one.start()
    for one in workers:
        one.join(60)
    assert gateway.charges == {f"cat {n}": 1 for n in range(1, 13)}
    assert found[0] == found[1]
    assert statuses(found[0]) == ["saved"] * 12


def test_what_a_dead_machine_had_is_finished(pg, shop, store, tmp_path):
    gateway = Gateway()
    gateway.client()
    gateway.tasks["img_50"] = {"ready": 0, "asked": {}, "end": "completed"}
    dead = postgres.PostgresJournal.open(tmp_path, Address.of(shop))
    from lemon_ext.batch.journal import Incoming

    made = [Incoming(None, row, 1, f"r{n}") for n, row in enumerate(rows(3), 1)]
    dead.take_in(made, part=True)
    dead.take("unsent", 2)
    dead.commit([dead.submitting(1, 5.0), dead.submitting(2, 5.0)])
    dead.commit([dead.update(2, status="waiting", task_id="img_50")])
    dead._database.close()
    pg.ask("UPDATE workers SET lease = now()", Address.of(shop).batch)
    outcomes = go(gateway, given(3), shop, store=store)
    assert statuses(outcomes) == ["uncertain", "saved", "saved"]
    assert "look at your account" in outcomes[0]["error"]
    assert gateway.charges == {"cat 3": 1}


def test_a_rows_failure_is_a_row(shop):
    gateway = Gateway()
    gateway.expect("cat 2", (400, {"error": {"message": "flagged", "code": "content_policy"}}))
    block = given(3)
    block[2]["n"] = "many"
    block += [{"id": "r1", "prompt": "again", "shelf": 9}, {"id": None, "prompt": None, "shelf": math.nan}]
    outcomes = go(gateway, block, shop)
    assert statuses(outcomes) == ["saved", "refused", "invalid", "invalid", "invalid"]
    assert [bool(outcome["error"]) for outcome in outcomes] == [False, True, True, True, True]
    assert "has the id of row" in outcomes[3]["error"]
    assert outcomes[3]["image"] is None


def test_a_block_of_nothing_but_bad_rows_needs_no_database():
    outcomes = run_block([{"prompt": ""}], journal="postgresql:///x", client=Gateway().client())
    assert statuses(outcomes) == ["invalid"]
    assert run_block([], journal="postgresql:///x", client=Gateway().client()) == []


def test_several_pictures(shop, store):
    (outcome,) = go(Gateway(), [{"id": "a", "prompt": "a dog", "n": 3}], shop, store=store)
    more = outcome["more_images"] if store is None else [Path(path).read_bytes() for path in outcome["more_paths"]]
    assert len(more) == 2
    assert all(one[:8] == PNG[:8] for one in (picture(outcome), *more))


def test_without_a_key_equal_rows_of_a_block_are_separate(shop):
    gateway = Gateway()
    block = [{"prompt": "a dog"}, {"prompt": "a dog"}]
    for _ in range(2):
        assert statuses(run_block(block, journal=shop, client=gateway.client(), deadline=1e9)) == ["saved"] * 2
    assert gateway.charges == {"a dog": 2}


def test_a_key_that_was_used_for_something_else_is_refused(shop):
    gateway = Gateway()
    go(gateway, given(1), shop)
    with pytest.raises(JournalError, match="in row 1 prompt differs, and it is paid for"):
        go(gateway, [{**given(1)[0], "prompt": "a dog"}], shop)


def test_nothing_can_be_sent(shop):
    gateway = Gateway()
    gateway.expect("cat 1", (401, {"error": {"message": "bad key"}}))
    outcomes = go(gateway, given(1), shop)
    assert statuses(outcomes) == ["waiting"]
    assert "bad key" in outcomes[0]["error"]
    assert statuses(go(gateway, given(1), shop)) == ["saved"]  # another call goes on


def test_columns_that_are_almost_parameters_are_refused_before_anything_is_sent(shop):
    gateway = Gateway()
    with pytest.raises(ValueError, match=r"The columns cannot be used: .*sise"):
        go(gateway, [{"id": "a", "prompt": "x", "sise": "1024x1024"}], shop)
    assert gateway.posts == []


class Full:
    """A store that takes nothing."""

    def put(self, batch, row, path):
        raise OSError("the bucket is gone")

    def close(self):
        pass


@pytest.mark.parametrize(
    ("row", "status", "again"),
    [
        ({"prompt": "a cat", "model": "midjourney"}, "unfetched", "saved"),
        ({"prompt": "a dog", "model": "dall-e-3"}, "unfetched", "saved"),
        ({"prompt": "a dog", "response_format": "b64_json"}, "unfetched", "unfetched"),
    ],
    ids=["a task", "an address", "data"],
)
def test_a_picture_that_cannot_be_kept_is_not_lost(shop, monkeypatch, row, status, again):
    """One that has an address is fetched by another call; one that came as data is only in the folder that is named."""
    gateway, block = Gateway(), [{"id": "a", **row}]
    with monkeypatch.context() as patch:
        patch.setattr("lemon_ext.blocks._keeper", lambda address, store: Full())
        with pytest.warns(LemonWarning, match="stay in") as caught:
            (outcome,) = go(gateway, block, shop)
    assert (outcome["status"], "the bucket is gone" in outcome["error"]) == (status, True)
    (told,) = [str(one.message) for one in caught if "stay in" in str(one.message)]
    folder = Path(told.rpartition("stay in ")[2].rstrip("."))
    assert len(list(folder.glob("a-a-*-1.png"))) == 1
    assert statuses(go(gateway, block, shop)) == [again]
    assert set(gateway.charges.values()) == {1}


@pytest.mark.parametrize("given", ["../b c%20d", "./e", "a/../f", "g\u00fc#?"])
def test_a_folder_that_is_a_store_is_any_folder(given, tmp_path, monkeypatch):
    (tmp_path / "here" / "a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "x.png").write_bytes(b"abc")
    keeper = StoreKeeper(given)
    keeper.put("b", 3, tmp_path / "x.png")
    assert Path(keeper.address("b", 3, "x.png")).read_bytes() == b"abc"
    assert next(Path(given).iterdir()).read_bytes() == b"abc"


def test_names_and_stores(tmp_path):
    assert name_of(7, "00007-a-cat-1.png") == "00007-a-cat-1.png"
    assert name_of(7, "sku-a-cat-1.png") == "00007-sku-a-cat-1.png"
    keeper = StoreKeeper(tmp_path / "a folder")
    (tmp_path / "x.png").write_bytes(b"abc")
    keeper.put("b", 3, tmp_path / "x.png")
    assert keeper.get("b", 3, "x.png") == b"abc"
    assert Path(keeper.address("b", 3, "x.png")).read_bytes() == b"abc"
    with pytest.raises(OSError, match="is not in"):
        keeper.get("b", 4, "x.png")
    with pytest.raises(OSError, match="cannot be put into"):
        keeper.put("b", 4, tmp_path / "missing.png")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        StoreKeeper("nonsense://x")


def test_two_batches_with_one_store_do_not_replace_each_others_pictures(pg, shop, tmp_path):
    """Bug: the names of their pictures were the same, and the only copies of the first were gone."""
    gateway, kept = Gateway(), []
    for journal in (shop, pg.address(f"{Address.of(shop).batch}_too")):
        (outcome,) = go(gateway, given(1), journal, store=tmp_path / "store")
        kept.append((outcome["path"], Path(outcome["path"]).read_bytes()))
    assert len(dict(kept)) == 2
    assert [Path(path).read_bytes() for path, _ in kept] == [data for _, data in kept]
    assert len(list((tmp_path / "store").glob("*.png"))) == 2


def test_pictures_that_the_database_does_not_have_any_more(pg, shop):
    gateway = Gateway()
    go(gateway, given(1), shop)
    pg.ask("DELETE FROM pictures", Address.of(shop).batch)
    (outcome,) = go(gateway, given(1), shop)
    assert (outcome["status"], outcome["image"]) == ("saved", None)
    assert "cannot be read again" in outcome["error"]
    keeper = DatabaseKeeper(Address.of(shop))
    assert keeper.address("b", 1, "x.png") is None
    keeper.close()


@pytest.mark.parametrize("state", ["new", "known"])
def test_a_block_that_begins_while_the_database_is_started_again(tmp_path, monkeypatch, state):
    """It ended the job of the engine: Ray gives up at the first error of a block."""
    monkeypatch.setattr(postgres, "PAUSE", 0.05)
    gateway = Gateway()
    from tests import databases

    with databases.server() as own:
        if state == "known":
            go(gateway, given(2), own.address("shop"))
        own.stop("immediate")
        starts = threading.Timer(0.3, own.start)
        starts.start()
        assert statuses(go(gateway, given(4), own.address("shop"))) == ["saved"] * 4
        starts.join()
        assert gateway.charges == {f"cat {n}": 1 for n in range(1, 5)}
        own.stop("immediate")
        monkeypatch.setattr(postgres, "GRACE", 0.2)
        with pytest.raises(JournalError, match="cannot be used"):
            go(gateway, given(5), own.address("shop"))
    assert len(gateway.posts) == 4


def test_inside_a_running_event_loop(shop):
    gateway = Gateway()

    async def main():
        return await arun_block(given(2), journal=shop, key="id", client=gateway.client(), deadline=1e9)

    assert statuses(anyio.run(main)) == ["saved"] * 2


def test_the_status_of_a_batch_of_blocks(shop):
    from tests.cli import lemon

    go(Gateway(), given(2), shop)
    assert json.loads(lemon("status", shop, "--json").stdout)["images"] == 2


# ---- limits ----


def priced(count, first=1):
    return [{**row, "model": "dall-e-3"} for row in given(count, first)]  # $0.04 each


@pytest.mark.parametrize(
    ("limit", "more", "reason"),
    [
        ({"max_images": 3}, {"max_images": 4}, "Not sent: the next row would exceed 3 images."),
        (
            {"budget": "0.12"}, {"budget": "0.16"},
            "Not sent: the next request costs $0.04, and $0.12 of the budget of $0.12 is spent.",
        ),
    ],
    ids=["images", "budget"],
)  # fmt: skip
def test_limits_are_those_of_all_blocks_and_what_has_no_room_is_a_row(shop, store, limit, more, reason):
    gateway = Gateway()
    assert statuses(go(gateway, priced(2), shop, store=store, **limit)) == ["saved"] * 2
    outcomes = go(gateway, priced(3, first=3), shop, store=store, **limit)
    assert statuses(outcomes) == ["saved", "waiting", "waiting"]
    assert [(one["task_id"], one["error"]) for one in outcomes[1:]] == [(None, reason)] * 2
    assert statuses(go(gateway, priced(2), shop, store=store, **limit)) == ["saved"] * 2  # what is there is given again
    assert statuses(go(gateway, priced(2, first=4), shop, store=store, **more)) == ["saved", "waiting"]
    assert gateway.charges == {f"cat {n}": 1 for n in (1, 2, 3, 4)}


def test_blocks_that_run_at_once_share_the_limit(shop, monkeypatch):
    monkeypatch.setattr(submissions, "AHEAD", 3)
    gateway, found, start = Gateway(), {}, threading.Barrier(3)
    gateway.clock.rule()
    gateway.expect("cat 2", (400, {"error": {"message": "no"}}))

    def work(number):
        start.wait()
        found[number] = go(gateway, given(10, first=10 * number + 1), shop, max_images=7)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for one in workers:
        one.start()
    for one in workers:
        one.join(60)
    assert gateway.charges.total() == len(gateway.charges) == 7
    ended = [status for number in range(3) for status in statuses(found[number])]
    assert (ended.count("saved"), ended.count("saved") + ended.count("waiting") + ended.count("refused")) == (7, 30)


@pytest.mark.parametrize("is_allowed", [False, True])
def test_a_budget_and_rows_whose_price_is_not_known(shop, is_allowed):
    """Each is told by itself; the others are sent."""
    gateway, block = Gateway(), priced(3)
    block[0]["model"] = "never-heard-of"
    outcomes = go(gateway, block, shop, budget="1.00", allow_unknown_price=is_allowed)
    assert statuses(outcomes) == ["saved" if is_allowed else "waiting", "saved", "saved"]
    told = None if is_allowed else "Not sent: a budget needs prices, and none is known of never-heard-of."
    assert outcomes[0]["error"] == told
    again = go(gateway, block, shop, budget="0.01")  # what was paid for before is found
    assert statuses(again) == statuses(outcomes)
    assert statuses(go(gateway, block, shop)) == ["saved"] * 3
    assert set(gateway.charges.values()) == {1}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"budget": "much"}, BudgetError),
        ({"max_images": -1}, ValueError),
        ({"journal": "out/"}, ConfigurationError),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_sent(shop, options, error):
    gateway = Gateway()
    with pytest.raises(error):
        run_block(given(1), **{"journal": shop, "key": "id", "client": gateway.client(), **options})
    assert gateway.posts == []
