"""The input of a batch: what is carried along and never sent, ids, grids, and an input that grows or is mended."""

# ruff: noqa: F811 - fixtures are imported, and named again as arguments

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lemon_ext import CapabilityError, JournalError, arun_batch, read_rows, run_batch
from lemon_ext.batch import batch_status, plan_batch, rows_to_edit
from lemon_ext.batch.source import Fault, RowsError
from lemon_ext.batch.sqlite import SqliteJournal
from tests.cli import emulator, lemon, server  # noqa: F401 - fixtures
from tests.gateway import Gateway, results, statuses

TABLE = "id,prompt,size,shelf\nSKU-00015,a white cat,1024x1024,A7\nSKU-00016,a dog,,B1\n"
FAST = ("--poll-interval", "0.02")


def go(gateway, requests, folder, **options):
    return list(run_batch(requests, folder, client=gateway.client(), **options))


def sent(emulator):
    """Return what was asked for, in any order: the longest requests first."""
    asked = [{name: value for name, value in one.request.items() if name != "model"} for one in emulator.ledger]
    return sorted(asked, key=lambda one: (-len(one), -len(one["prompt"])))


def names(folder):
    return sorted(path.name for path in folder.glob("*.png"))


# ---- columns ----


def test_a_table_of_a_shop_keeps_its_ids_and_its_columns(emulator, tmp_path):
    Path("shop.csv").write_text(TABLE)
    assert lemon("batch", "shop.csv", "-o", "out").exit_code == 0
    requests = [{"prompt": "a white cat", "size": "1024x1024"}, {"prompt": "a dog"}]
    assert sent(emulator) == requests
    assert names(Path("out")) == ["SKU-00015-a-white-cat-1.png", "SKU-00016-a-dog-1.png"]
    found = results(Path("out"))
    assert [(row["id"], row["extra"]) for row in found] == [
        ("SKU-00015", {"shelf": "A7"}),
        ("SKU-00016", {"shelf": "B1"}),
    ]
    with SqliteJournal.read(Path("out")) as journal:
        assert [(entry.id, entry.extra) for entry in journal.entries()] == [(row["id"], row["extra"]) for row in found]
    page = Path("out/index.html").read_text()
    assert '"SKU-00015",{"shelf":"A7"},' in page
    assert lemon("batch", "shop.csv", "-o", "strict", "--strict-columns").exit_code == 2
    assert lemon("batch", "shop.csv", "-o", "else", "--carry", "size", "--id-column", "shelf").exit_code == 0
    assert names(Path("else")) == ["A7-a-white-cat-1.png", "B1-a-dog-1.png"]
    assert sent(emulator) == [requests[0], {"prompt": "a white cat"}, *[requests[1]] * 2]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_rows_from_python_are_told_apart_in_the_same_way(tmp_path, backend):
    rows = [{"Text": "a cat", "sku": 7, "Prompt": "old", "model": "midjourney", "sise": (1, 2), "note": None}]
    how = {"prompt_column": "Text", "id_column": "sku", "carry": ["sise"]}
    gateway = Gateway()
    go(gateway, rows, tmp_path / "one", **how)

    async def work():
        return [row async for row in arun_batch(rows, tmp_path / "two", client=gateway.client(), **how)]

    import anyio

    anyio.run(work, backend=backend)
    for folder in ("one", "two"):
        (row,) = results(tmp_path / folder)
        assert row["request"] == {"model": "midjourney", "prompt": "a cat"}
        assert (row["id"], row["extra"]) == ("7", {"Prompt": "old", "sise": [1, 2]})
        assert row["paths"] == ["7-a-cat-1.png"]
    assert plan_batch(rows, **how).rows == 1


class Scalar:
    """What NumPy and pandas have in the place of Python's own numbers and None."""

    def __init__(self, kind: str, value: Any) -> None:
        self.dtype = SimpleNamespace(kind=kind)
        self.value = value

    def tolist(self) -> Any:
        return self.value


NAType = type("NAType", (), {})


def test_the_rows_of_a_data_frame_are_taken_as_they_are(tmp_path):
    """Bug: `run_batch(df.to_dict("records"))` was refused where a cell was empty: a whole number is 2.0 then, and
    nothing is NaN. So were the numbers of NumPy.
    """
    rows = [
        {
            "id": Scalar("i", 7),
            "prompt": "a",
            "n": 2.0,
            "model": "midjourney",
            "size": float("nan"),
            "shelf": Scalar("f", 1.5),
        },
        {
            "id": Scalar("i", 8),
            "prompt": "b",
            "n": Scalar("i", 1),
            "model": "midjourney",
            "shelf": Scalar("f", float("nan")),
        },
        {"id": Scalar("i", 9), "prompt": "c", "n": NAType(), "model": "midjourney", "boxes": [Scalar("i", 1)]},
    ]
    go(Gateway(), rows, tmp_path)
    assert [(row["id"], row["request"], row["extra"]) for row in results(tmp_path)] == [
        ("7", {"prompt": "a", "n": 2, "model": "midjourney"}, {"shelf": 1.5}),
        ("8", {"prompt": "b", "n": 1, "model": "midjourney"}, {}),
        ("9", {"prompt": "c", "model": "midjourney"}, {"boxes": [1]}),
    ]


@pytest.mark.parametrize(
    ("method", "way"),
    [
        ("to_dicts", "df.iter_rows(named=True)"),
        ("iterrows", 'df.to_dict("records")'),
        ("to_pylist", "table.to_pylist()"),
    ],
)
def test_a_data_frame_itself_is_answered_with_how_to_get_its_rows(tmp_path, method, way):
    frame = type("DataFrame", (list,), {method: None})(["prompt", "n"])  # it yields the names of its columns
    with pytest.raises(TypeError, match=re.escape(f"each a dict, and not DataFrame. Its rows are {way}.")):
        go(Gateway(), frame, tmp_path / "out")


def test_an_id_that_is_there_twice_is_named_by_its_line(tmp_path):
    """Bug: it was said to be that of row 1, which is the header in every spreadsheet."""
    (tmp_path / "a.csv").write_text("id,prompt\n1,a\n2,b\n1,c\n")
    with pytest.raises(CapabilityError, match="line 4: has the id of line 2, too"):
        go(Gateway(), read_rows(tmp_path / "a.csv"), tmp_path / "out")


X = {"prompt": "x"}


@pytest.mark.parametrize(
    ("rows", "how", "said"),
    [
        ([{**X, "sise": "1"}], {}, "row 1: 'sise' is no parameter; did you mean 'size'?"),
        ([{**X, "note": "1"}], {"strict_columns": True}, "row 1: 'note' is no parameter"),
        ([{"caption": "x"}], {}, "row 1: there is no column 'prompt'; to take 'caption' for it"),
        ([{**X, "note": object()}], {}, "row 1: note holds object, which cannot be carried along"),
        ([{1: "x"}], {}, "row 1: a row is a dict of parameters"),
        ([{**X, "id": 1}, {**X, "id": 2}, {**X, "id": 1}], {}, "row 3: has the id of row 1, too"),
        ([{**X, "id": "a"}, {**X, "id": "A"}], {}, "row 2: has the id of row 1, too"),
        ([{**X, "id": 1}, X], {}, "row 2: has no id, and the rows before have one"),
        ([X, {**X, "id": 1}], {}, "row 2: has an id, and the rows before have none"),
        ([{**X, "id": " "}], {}, "row 1: id is empty, and every row needs an id"),
        ([{**X, "id": "a/b"}], {}, "row 1: id holds '/'"),
        ([{**X, "id": "..x"}], {}, "row 1: id begins with"),
        ([{**X, "id": "é" * 300}], {}, "row 1: id is longer than 100 characters or 150 bytes"),
        ([{**X, "id": [1]}], {}, "row 1: id must be text or a whole number"),
        (
            [{"id": "a", "prompt": "b c"}, {"id": "a-b", "prompt": "c"}],
            {},
            "row 2: would have the file names of row 1, too",
        ),
        ([{**X, "n": 99}] * 2000, {}, "Nothing was sent. rows 1, 2, 3, 4, 5 and 1,995 more: n: 99 is out"),
        ([{**X, "size": "1024x1024"}], {"grid": {"size": ["1024x1024"]}}, "row 1: sets size, and so does the grid"),
    ],
)
def test_what_a_row_cannot_be_is_said_and_nothing_is_sent(tmp_path, rows, how, said):
    gateway = Gateway()
    with pytest.raises(CapabilityError) as caught:
        go(gateway, rows, tmp_path / "out", **how)
    assert said in str(caught.value)
    assert gateway.posts == []
    assert not (tmp_path / "out").exists()


def test_pictures_of_somebody_else_are_not_replaced(tmp_path):
    (tmp_path / "A-x-1.png").write_bytes(b"mine")
    for _ in range(2):
        with pytest.raises(JournalError, match=r"holds A-x-1\.png, which a picture of this batch would replace"):
            go(Gateway(), [{**X, "id": "A"}], tmp_path)
    assert (tmp_path / "A-x-1.png").read_bytes() == b"mine"


# ---- grids ----


def test_a_grid_sends_every_combination(emulator):
    Path("shop.csv").write_text("id,prompt\nA,a cat\nB,a dog\n")
    command = ("batch", "shop.csv", "--grid", "size=1024x1024,1792x1024", "--grid", "n=1,2")
    assert "8 rows for 12 images" in lemon(*command, "--dry-run").stdout
    result = lemon(*command, "-o", "out", "-m", "dall-e-3")
    assert result.exit_code == 0
    assert result.stderr.splitlines()[:2] == [
        "lemon: 2 rows, each 4 times: 8 rows for 12 images.",
        "lemon: The cost is at least $0.24: no price is known of dall-e-3.",
    ]
    assert emulator.charges == 8
    assert [row["id"] for row in results(Path("out"))][:5] == [
        "A-1024x1024-1", "A-1024x1024-2", "A-1792x1024-1", "A-1792x1024-2", "B-1024x1024-1",
    ]  # fmt: skip
    assert results(Path("out"))[3]["request"] == {"model": "dall-e-3", "prompt": "a cat", "size": "1792x1024", "n": 2}
    for wrong, said in (
        ("hat=1", "'hat' is no parameter"),
        ("n=1,x", "n must be a whole"),
        ("n", "is not of the form"),
    ):
        result = lemon("batch", "shop.csv", "-o", "no", "--grid", wrong)
        assert (result.exit_code, said in result.stderr) == (2, True)


# ---- another input for the same folder ----


def test_an_input_may_grow_and_what_was_refused_may_be_mended(emulator):
    table = Path("in.csv")
    table.write_text("prompt,note\na cat,1\nbad [fault:error_403],2\n")
    assert lemon("batch", "in.csv", "-o", "out").exit_code == 8
    table.write_text("prompt,note\na cat,one\nbad [fault:error_403],2\na bird,3\n")
    assert lemon("batch", "in.csv", "-o", "out").exit_code == 8
    assert emulator.charges == 2  # what was refused, and was not mended, was not sent again
    table.write_text("prompt,note\na cat,one\na good dog,2\na bird,3\n")
    assert lemon("batch", "in.csv", "-o", "out").exit_code == 0
    assert emulator.charges == 3
    assert names(Path("out")) == ["00001-a-cat-1.png", "00002-a-good-dog-1.png", "00003-a-bird-1.png"]
    assert [row["extra"] for row in results(Path("out"))] == [{"note": "one"}, {"note": "2"}, {"note": "3"}]
    table.write_text("prompt,note\nnew,0\na cat,one\na good dog,2\na bird,3\n")
    result = lemon("batch", "in.csv", "-o", "out")
    assert result.exit_code == 2
    assert "in row 1 (line 2) prompt differs, and it is paid for. Rows may be added at the end." in result.stderr
    assert emulator.charges == 3


@pytest.mark.parametrize(
    ("status", "doubts", "what"),
    [
        ("unsent", 0, None),
        ("refused", 0, None),
        ("unsent", 1, "may be paid for"),
        ("waiting", 0, "is paid for"),
        ("completed", 0, "is paid for"),
        ("failed", 0, "may be paid for"),
        ("uncertain", 0, "may be paid for"),
        ("saved", 0, "is paid for"),
    ],
)
@pytest.mark.parametrize("changed", [{"prompt": "b", "id": "1"}, {"prompt": "a", "id": "2"}])
def test_only_a_row_that_cost_nothing_may_change(tmp_path, changed, status, doubts, what):
    gateway = Gateway()
    go(gateway, [{"prompt": "a", "id": "1"}], tmp_path, max_images=0)
    with sqlite3.connect(tmp_path / "journal.sqlite3") as database:
        database.execute("UPDATE rows SET status = ?, doubts = ?", (status, doubts))
    database.close()
    if what is None:
        go(gateway, [changed], tmp_path)
        assert gateway.posts == [changed["prompt"]]
        return
    with pytest.raises(JournalError, match=f"in row 1 (prompt|id) differs, and it {what}"):
        go(gateway, [changed], tmp_path)
    assert gateway.posts == []


def test_a_failed_row_may_be_mended_where_it_is_sent_again(emulator):
    """Bug: only the same text could be sent again, and a content policy refuses the same text again."""
    table = Path("in.csv")
    table.write_text("prompt,size\na cat,1024x1024\nbad [fault:task_failed],1024x1024\n")
    assert lemon("batch", "in.csv", "-o", "out", "-m", "flux-pro").exit_code == 8
    table.write_text("prompt,size\na cat,1024x1024\na good dog,512x512\n")
    refused = lemon("batch", "in.csv", "-o", "out", "-m", "flux-pro")
    assert (refused.exit_code, emulator.charges) == (2, 2)
    assert (
        "in row 2 (line 3) prompt, size differ, and it may be paid for (with --resend-failed it is sent again, mended)."
        in refused.stderr
    )
    mended = ("batch", "in.csv", "-o", "out", "-m", "flux-pro", "--resend-failed")
    assert lemon(*mended, "--dry-run").stdout.startswith("1 row for 1 image left to send.")
    # The first try stays counted.
    spent = lemon(*mended, "--budget", "0.10")
    assert (spent.exit_code, emulator.charges) == (8, 2)
    assert lemon(*mended, "--budget", "0.12").exit_code == 0
    assert emulator.charges == 3
    assert names(Path("out")) == ["00001-a-cat-1.png", "00002-a-good-dog-1.png"]
    assert [row["request"]["size"] for row in results(Path("out"))] == ["1024x1024", "512x512"]
    assert [row["error"] for row in results(Path("out"))] == [None, None]


def test_what_was_sent_before_a_row_was_mended_counts_no_less(emulator):
    """Bug: earlier tries counted as if they had asked for what the row asks for now."""
    table = Path("in.csv")
    table.write_text("prompt,n\na cat,1\nbad [fault:task_failed],4\n")
    assert lemon("batch", "in.csv", "-o", "out", "-m", "flux-pro").exit_code == 8
    table.write_text("prompt,n\na cat,1\na dog,1\na bird,1\n")  # 5 images and $0.175 are spent
    mended = ("batch", "in.csv", "-o", "out", "-m", "flux-pro", "--resend-failed")
    assert lemon(*mended, "--max-images", "5").exit_code == 8
    table.write_text("prompt,n\na cat,1\na wolf,2\na bird,1\n")  # once more, before it is sent
    assert lemon(*mended, "--max-images", "6").exit_code == 8
    table.write_text("prompt,n\na cat,1\na dog,1\na bird,1\n")
    refused = lemon("batch", "in.csv", "-o", "out", "-m", "flux-pro")
    assert (refused.exit_code, "(with --resend-failed it is sent again, mended)" in refused.stderr) == (2, True)
    assert lemon(*mended, "--budget", "0.209").exit_code == 8
    assert emulator.charges == 2
    assert lemon(*mended, "--max-images", "6").exit_code == 8
    assert lemon(*mended, "--budget", "0.244").exit_code == 8
    assert emulator.charges == 3
    assert lemon(*mended, "--max-images", "7", "--budget", "0.245").exit_code == 0
    assert emulator.charges == 4


def test_a_failed_row_with_pictures_stays_what_it_is(tmp_path):
    gateway = Gateway()
    go(gateway, [{"prompt": "a"}], tmp_path, max_images=0)
    with sqlite3.connect(tmp_path / "journal.sqlite3") as database:
        database.execute("""UPDATE rows SET status = 'failed', paths = '["a.png"]'""")
    database.close()
    with pytest.raises(JournalError, match="in row 1 prompt differs"):
        go(gateway, [{"prompt": "b"}], tmp_path, resend_failed=True)
    assert gateway.posts == []


def test_a_journal_of_the_first_version_goes_on(tmp_path):
    gateway = Gateway()
    go(gateway, [{"prompt": "a"}, {"prompt": "b"}], tmp_path, max_images=1)
    with sqlite3.connect(tmp_path / "journal.sqlite3") as database:
        database.executescript("ALTER TABLE rows DROP id; ALTER TABLE rows DROP extra; PRAGMA user_version = 1")
    database.close()
    assert batch_status(tmp_path).saved == 1
    assert [row["extra"] for row in go(gateway, None, tmp_path)] == [{}]
    assert statuses(results(tmp_path)) == {1: "saved", 2: "saved"}
    assert len(gateway.posts) == 2


# ---- what failed ----


def test_failed_rows_in_a_file_are_what_excel_opens_and_in_a_pipe_what_programs_read(emulator):
    """Bug: Excel showed other letters for umlauts. A formula that an error quotes is no formula."""
    Path("in.csv").write_text("prompt,note\nein Bär [fault:error_403:1],=1+1\n", encoding="utf-8")
    assert lemon("batch", "in.csv", "-o", "out", *FAST).exit_code == 8
    with closing(sqlite3.connect("out/journal.sqlite3")) as database, database:
        database.execute("UPDATE rows SET error = json_set(error, '$.message', '=SUM(A1)')")
    with Path("failed.csv").open("wb") as file:
        subprocess.run([sys.executable, "-m", "lemon_ext", "status", "out", "--failed"], stdout=file, check=True)
    written = Path("failed.csv").read_bytes()
    assert written.startswith(b"\xef\xbb\xbfprompt,")
    (row,) = csv.DictReader(io.StringIO(written.decode("utf-8-sig")))
    assert (row["prompt"], row["note"], row["lemon.error"]) == ("ein Bär [fault:error_403:1]", "=1+1", "'=SUM(A1)")
    assert lemon("status", "out", "--failed").stdout == written.decode("utf-8-sig").replace("\r\n", "\n")
    assert lemon("batch", "failed.csv", "-o", "again", *FAST).exit_code == 0


def test_failed_rows_are_sent_again_only_when_told_to_and_can_be_written_out(emulator):
    Path("in.jsonl").write_text(
        '{"id": "A", "prompt": "a [fault:task_failed:1]", "n": 1, "shelf": ["x"]}\n'
        '{"id": "B", "prompt": "b, [fault:error_403:1]", "note": "é"}\n{"id": "C", "prompt": "c"}\n'
    )
    assert lemon("batch", "in.jsonl", "-o", "out", *FAST).exit_code == 8
    written = lemon("status", "out", "--failed", "--format", "csv").stdout
    found = list(csv.DictReader(io.StringIO(written)))
    assert [(row["id"], row["prompt"], row["n"], row["shelf"], row["note"], row["lemon.status"]) for row in found] == [
        ("A", "a [fault:task_failed:1]", "1", '["x"]', "", "failed"),
        ("B", "b, [fault:error_403:1]", "", "", "é", "refused"),
    ]
    assert [json.loads(line)["id"] for line in lemon("status", "out", "--failed", "--json").stdout.splitlines()] == [
        "A", "B",
    ]  # fmt: skip
    assert lemon("status", "out", "--format", "csv").exit_code == 2
    assert lemon("resume", "out", *FAST).exit_code == 8
    assert lemon("resume", "out", "--resend-failed", "--resend-refused", *FAST).exit_code == 0
    assert list(rows_to_edit("out")) == []
    assert lemon("batch", "-", "--format", "csv", "-o", "again", *FAST, input=written).exit_code == 0
    # Bug: what was told of the rows was carried along with them.
    again = [json.loads(line) for line in Path("again/results.jsonl").read_text().splitlines()]
    assert [row["extra"] for row in again] == [{"shelf": '["x"]'}, {"note": "é"}]
    assert [row["id"] for row in results(Path("again"))] == ["A", "B"]


def test_a_failed_row_keeps_the_pictures_that_came(tmp_path):
    gateway = Gateway()
    go(gateway, [{"prompt": "a"}, {"prompt": "b"}], tmp_path)
    with sqlite3.connect(tmp_path / "journal.sqlite3") as database:
        database.execute("UPDATE rows SET status = 'failed'")
        database.execute("UPDATE rows SET paths = '[null]' WHERE row = 2")
    database.close()
    go(gateway, None, tmp_path, resend_failed=True)
    assert gateway.posts == ["a", "b", "b"]
    with SqliteJournal.read(tmp_path) as journal:
        assert [entry.doubts for entry in journal.entries()] == [0, 1]  # the first try counts as images, too


def test_what_is_sent_again_has_a_bill_of_its_own(tmp_path):
    gateway = Gateway()
    go(gateway, [{"prompt": "a"}, {"prompt": "b"}, {"prompt": "c"}], tmp_path)
    with sqlite3.connect(tmp_path / "journal.sqlite3") as database:
        database.execute(
            "UPDATE rows SET paths = NULL, status = 'failed', note = 'n', request_id = 'r',"
            " billing_id = 'b', cost = '9'"
        )
        database.execute("UPDATE rows SET status = 'uncertain' WHERE row = 2")
        # What was answered at once and is no picture.
        database.execute("UPDATE rows SET status = 'completed', error = '{}' WHERE row = 3")
    database.close()
    for picture in tmp_path.glob("*.png"):  # they would be recognized
        picture.unlink()
    go(gateway, None, tmp_path, resend_failed=True, resend_uncertain=True)
    assert sorted(gateway.posts) == ["a", "a", "b", "b", "c", "c"]
    assert statuses(results(tmp_path)) == {1: "saved", 2: "saved", 3: "saved"}
    assert {row[name] for row in results(tmp_path) for name in ("note", "request_id", "billing_id", "cost")} == {None}


def test_a_damaged_picture_of_an_uncertain_row_is_not_taken_for_saved(tmp_path):
    gateway = Gateway()
    go(gateway, [{"prompt": "a"}], tmp_path)
    with sqlite3.connect(tmp_path / "journal.sqlite3") as database:
        database.execute("UPDATE rows SET status = 'uncertain', paths = NULL")
    database.close()
    (tmp_path / "00001-a-1.png").rename(tmp_path / "00001-a-1.damaged.png")
    assert [row["status"] for row in go(gateway, None, tmp_path)] == ["uncertain"]
    (tmp_path / "00001-a-1.damaged.png").rename(tmp_path / "00001-a-1.png")
    go(gateway, None, tmp_path)
    assert statuses(results(tmp_path)) == {1: "saved"}


def test_what_was_carried_along_never_takes_the_place_of_what_was_sent(emulator):
    row = {"caption": "a cat [fault:error_403:1]", "Prompt": "old", "size": 11, "foo": 2, "ID": "x"}
    row["extra_body"] = {"foo": 1}
    Path("in.jsonl").write_text(json.dumps(row) + "\n")
    how = ("--prompt-column", "caption", "--carry", "ID", "--carry", "size", *FAST)
    assert lemon("batch", "in.jsonl", "-o", "out", "--also", "csv", *how).exit_code == 8
    beside = {"extra.Prompt": "old", "extra.size": 11, "extra.ID": "x"}
    (found,) = rows_to_edit("out")
    known = {"lemon.row": 1, "lemon.status": "refused", "lemon.error": found["lemon.error"]}
    sent = {"model": found["model"], "prompt": row["caption"], "extra_body": {"foo": 1}}
    assert found == {**sent, "foo": 2, **beside, **known}
    (table,) = csv.DictReader(io.StringIO(Path("out/results.csv").read_text(encoding="utf-8-sig")))
    assert {name: table[name] for name in beside} == {name: str(value) for name, value in beside.items()}
    assert (table["prompt"], table["id"], table["foo"], table["extra.foo"]) == (row["caption"], "", "1", "2")
    written = lemon("status", "out", "--failed", "--format", "csv").stdout
    assert lemon("batch", "-", "--format", "csv", "-o", "again", *FAST, input=written).exit_code == 0
    assert emulator.ledger[-1].request == {"model": found["model"], "prompt": row["caption"], "foo": 1}


# ---- other forms of the results ----


def test_a_finished_batch_can_be_written_in_another_form(emulator):
    Path("in.txt").write_text("a cat\n")
    lemon("batch", "in.txt", "-o", "out", *FAST)
    Path("out/index.html").write_text("<p>mine</p>")  # is kept, and keeps nothing else from being written
    assert lemon("resume", "out", "--also", "csv", *FAST).exit_code == 0
    assert Path("out/results.csv").exists()
    assert Path("out/index.html").read_text() == "<p>mine</p>"


@pytest.fixture
def sold(emulator):
    """Make a batch whose columns are of every kind, and return its folder."""
    Path("in.jsonl").write_text(
        '{"id": 1, "prompt": "=cat", "n": 2, "price": 3, "tags": ["a"], "mixed": 1, "status": "sold"}\n'
        '{"id": 2, "prompt": "b [fault:error_403]", "price": 1.5, "mixed": "x", "ok": true,'
        ' "cold": "-5", "=x": "-5+1"}\n'
    )
    lemon("batch", "in.jsonl", "-o", "out", "--also", "csv,imagefolder", *FAST)
    return Path("out")


def test_the_results_are_a_table_for_a_spreadsheet(sold):
    text = (sold / "results.csv").read_text(encoding="utf-8-sig")
    first, second = csv.DictReader(io.StringIO(text))
    names = ("id", "status", "prompt", "n", "price", "tags", "mixed", "extra.status")
    assert {name: first[name] for name in names} == {
        "id": "1", "status": "saved", "prompt": "'=cat", "n": "2", "price": "3.0", "tags": '["a"]', "mixed": "1",
        "extra.status": "sold",
    }  # fmt: skip
    assert first["paths"] == "1-cat-1.png; 1-cat-2.png"
    assert (second["status"], second["ok"], second["paths"]) == ("refused", "True", "")
    assert (second["cold"], second["'=x"]) == ("-5", "'-5+1")  # a number stays one, and a name is no formula
    assert second["error"]


def test_the_folder_is_a_data_set(sold):
    pictures = [json.loads(line) for line in (sold / "metadata.jsonl").read_text().splitlines()]
    assert [(one["file_name"], one["prompt"], one["extra.status"]) for one in pictures] == [
        ("1-cat-1.png", "=cat", "sold"), ("1-cat-2.png", "=cat", "sold"),
    ]  # fmt: skip
    datasets = pytest.importorskip("datasets", reason="the package 'datasets' is not installed; it is no extra of ours")
    found = datasets.load_dataset("imagefolder", data_dir=str(sold), cache_dir="cache")["train"]
    assert (len(found), found[0]["prompt"], found[0]["image"].size) == (2, "=cat", (1024, 1024))


def test_the_results_are_a_parquet_file(sold):
    pq = pytest.importorskip("pyarrow.parquet", reason="the extra 'parquet' is not installed")
    assert "--also csv,parquet" in lemon("resume", "out", "--also", "csv,parquet").stderr
    first, second = pq.read_table(sold / "results.parquet").to_pylist()
    assert (first["price"], first["tags"], first["n"], first["extra.status"]) == (3.0, '["a"]', 2, "sold")
    assert (second["price"], second["ok"], second["status"]) == (1.5, True, "refused")


def test_a_form_that_there_is_not_is_refused_before_anything_is_sent(emulator, tmp_path, monkeypatch):
    Path("in.txt").write_text("a cat")
    result = lemon("batch", "in.txt", "-o", "out", "--also", "csv,hat")
    assert (result.exit_code, emulator.requests) == (2, [])
    assert "also can be csv, parquet, imagefolder, and not 'hat'." in result.stderr
    monkeypatch.setattr("lemon_ext.batch.also.find_spec", lambda _: None)
    result = lemon("batch", "in.txt", "-o", "out", "--also", "parquet")
    assert (result.exit_code, emulator.requests) == (2, [])
    assert "pip install 'lemon-ext[parquet]'" in result.stderr


def test_what_is_wrong_with_the_columns_of_a_file_without_lines_is_said_of_them(tmp_path):
    class Parquet(list):  # as the rows of such a file come: what is wrong with its columns has no line
        def __iter__(self):
            raise RowsError("no", faults=[Fault(0, "there is no column 'prompt'")])

    with pytest.raises(CapabilityError, match=r"^Nothing was sent\. the columns: there is no column 'prompt'\.$"):
        plan_batch(Parquet())
