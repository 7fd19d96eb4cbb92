"""The recipes of docs/scale.md with other engines, each of which may run what it runs twice."""

from __future__ import annotations

import pytest

from lemon_ext.blocks import run_block
from tests import databases
from tests.gateway import Gateway, rows

pytestmark = [pytest.mark.scale, pytest.mark.filterwarnings("ignore")]
pytest.importorskip("lemon_ext.batch.postgres", exc_type=ImportError)


@pytest.fixture(scope="module")
def pg():
    with databases.server() as made:
        yield made


def given(count):
    return [{"id": f"r{n}", **row} for n, row in enumerate(rows(count), 1)]


def test_dask_runs_a_partition_again(pg, tmp_path):
    dask = pytest.importorskip("dask.dataframe", reason="Dask is not installed; it is no extra of ours")
    import pandas as pd

    gateway, journal, failed = Gateway(), pg.address("dask"), []
    gateway.client()

    def images(part):
        known = {"journal": journal, "key": "id", "store": tmp_path / "store", "deadline": 1e9}
        outcomes = run_block(part.to_dict("records"), client=gateway.client(), **known)
        if not failed:
            failed.append(True)
            raise RuntimeError("this worker is gone")
        return part.assign(**pd.DataFrame(outcomes, index=part.index)[["status", "path", "error"]])

    frame = dask.from_pandas(pd.DataFrame(given(12)), npartitions=3)
    kinds = {"id": "object", "prompt": "object", "model": "object", "status": "object", "path": "object"}
    made = frame.map_partitions(images, meta={**kinds, "error": "object"})
    assert gateway.posts == []  # it did not try with a made-up row
    with pytest.raises(RuntimeError, match="this worker is gone"):
        made.compute(scheduler="synchronous")
    found = made.compute(scheduler="synchronous")
    assert list(found["status"]) == ["saved"] * 12
    assert gateway.charges == {f"cat {n}": 1 for n in range(1, 13)}


def test_celery_hands_out_a_message_twice(pg, tmp_path):
    celery = pytest.importorskip("celery", reason="Celery is not installed; it is no extra of ours")
    from celery.contrib.testing.worker import start_worker

    gateway, journal = Gateway(), pg.address("celery")
    gateway.client()
    app = celery.Celery("shop", broker="memory://", backend="cache+memory://")

    @app.task(acks_late=True, reject_on_worker_lost=True)
    def image(order_id, prompt):
        row = {"id": order_id, "prompt": prompt, "model": "midjourney"}
        known = {"journal": journal, "key": "id", "store": tmp_path / "store", "deadline": 1e9}
        (outcome,) = run_block([row], client=gateway.client(), **known)
        return outcome["path"]

    with start_worker(app, perform_ping_check=False, pool="solo", loglevel="ERROR"):
        first, second = (image.delay("order 7", "a cat").get(timeout=60) for _ in range(2))
    assert first == second
    assert gateway.charges == {"a cat": 1}
