"""What became of 100,000 rows by 110,000 usage records: seconds, and the most memory of the whole process.

    python benchmarks/reconciling.py [ROWS]

5 % of the answers are lost, half of them billed; a tenth of the records is another program's. Measured are the matching
alone, with rows and records that are made while they are read, and the whole of it: a journal on disk, pages of JSON
as the client gets them, and the matching.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "generated"), str(ROOT)]

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 100_000
BEGAN = 1_700_000_000.0
MODELS = ("flux-pro", "gpt-image-2", "midjourney", "dall-e-3", "nano-banana-pro")


def plan():
    """Yield (row, model, when, lost, billed): what became of each row."""
    dice = random.Random(1)
    for row in range(1, ROWS + 1):
        lost = dice.random() < 0.05
        yield row, dice.choice(MODELS), BEGAN + row * 0.5, lost, not lost or dice.random() < 0.5


def records():
    """Yield what is charged: request id, model, when."""
    dice = random.Random(2)
    for row, model, when, lost, billed in plan():
        if billed:
            yield f"req_{row:016x}", model, when + 1
        if dice.random() < 0.1:
            yield f"req_other_{row:010x}", dice.choice(MODELS), when
        del lost


def matching():
    from decimal import Decimal

    from lemon_ext._matching import Rules, Sent, match
    from lemon_ext._usage import Charge

    cost, names = Decimal("0.04"), {model: (model,) for model in MODELS}
    sent = (
        Sent(row, "lost" if lost else "paid", model, when, None if lost else f"req_{row:016x}", None, cost)
        for row, model, when, lost, _ in plan()
    )
    charges = (Charge(name, f"txn_{name}", names[model], when, cost) for name, model, when in records())
    return match(sent, charges, Rules(BEGAN + ROWS + 10_000.0))


def set_up(folder):
    """Write what the measured process finds: the journal, and the pages as the server sends them."""
    from lemon_ext.batch.journal import Incoming, change, fact
    from lemon_ext.batch.sqlite import SqliteJournal

    with SqliteJournal.open(folder) as journal:
        rows = ({"model": model, "prompt": f"cat {row}"} for row, model, *_ in plan())
        journal.take_in(Incoming(None, request, 1) for request in rows)
        journal.commit([fact("base_url", "https://api.example.test")])
        journal.commit(
            change(
                row, status="uncertain" if lost else "saved", submitted_at=when,
                request_id=None if lost else f"req_{row:016x}",
            )
            for row, _, when, lost, _ in plan()
        )  # fmt: skip
    everything = list(records())
    for number in range(1, -(-len(everything) // 100) + 1):
        items = [
            {
                "request_id": name, "billing_transaction_id": f"txn_{name}", "model": model, "logical_model": model,
                "model_vendor": "x", "scene": "image", "usage_unit": "per_request", "usage_quantity": 1,
                "cost": 0.04, "cost_decimal": "0.04", "created_at": datetime.fromtimestamp(when, UTC).isoformat(),
            }
            for name, model, when in everything[(number - 1) * 100 : number * 100]
        ]  # fmt: skip
        pages = {"page": number, "limit": 100, "total": len(everything), "totalPages": -(-len(everything) // 100)}
        (folder / f"page-{number}.json").write_text(json.dumps({"items": items, "pagination": pages}))


def whole(folder):
    import httpx

    from lemon_ext import Lemon, reconcile

    def answer(request):
        return httpx.Response(200, content=(folder / f"page-{request.url.params['page']}.json").read_bytes())

    http = httpx.Client(transport=httpx.MockTransport(answer))
    client = Lemon("mt-x", base_url="https://api.example.test", http_client=http, requests_per_minute=None)
    return reconcile(folder, client=client, key_id="key_1").matched


def main():
    if len(sys.argv) > 3:
        began, what, folder = time.perf_counter(), sys.argv[2], Path(sys.argv[3])
        if what == "set-up":
            return set_up(folder)
        found = matching() if what == "matching" else whole(folder)
        told = {}
        for one in found.findings:
            told[one.verdict.value] = told.get(one.verdict.value, 0) + 1
        seconds, memory = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{what:<9} {found.charges:>8,} records  {seconds:6.1f} s  {memory:6,.0f} MB  {told}")
        return None
    print(f"{ROWS:,} rows")
    with tempfile.TemporaryDirectory() as name:
        for what in ("set-up", "matching", "whole"):
            subprocess.run([sys.executable, __file__, str(ROWS), what, name], check=True)
    return None


if __name__ == "__main__":
    main()
