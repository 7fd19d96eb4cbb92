"""`lemon batch`, `resume`, `status` and `gallery`: what is printed, the exit codes, and what to do next."""

# ruff: noqa: F811 - fixtures are imported, and named again as arguments

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lemon_ext.batch import Progress
from lemon_ext.batch.sqlite import SqliteJournal
from lemon_ext.cli._words import summary
from lemon_ext.errors import JournalError
from lemon_ext.testing import instant
from tests.cli import ctrl_c, emulator, lemon, server, terminal  # noqa: F401 - fixtures

FAST = ("--poll-interval", "0.02")
#: As a command to go on with repeats it.
REPEATED = "--poll-interval 0.02s"
PATHS = f"{Path('out/results.jsonl')}\n{Path('out/index.html')}\n"


@pytest.fixture
def rows(emulator, tmp_path):
    """Write a file of rows, and return its name."""

    def write(*rows: str | dict, name: str = "rows.jsonl") -> str:
        text = "".join(f"{json.dumps(row) if isinstance(row, dict) else row}\n" for row in rows)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return name

    return write


def test_every_row_becomes_a_picture_and_the_results_are_named(rows, emulator):
    file = rows({"prompt": "a cat"}, {"prompt": "a dog", "model": "flux-pro", "n": 2})
    result = lemon("batch", file, "-o", "out", "-m", "midjourney", *FAST)
    assert (result.exit_code, result.stdout) == (0, PATHS)
    assert result.stderr == "lemon: 2 of 2 rows saved (3 images).\n"
    assert {path.name for path in Path("out").glob("*.png")} == {
        "00001-a-cat-1.png", "00002-a-dog-1.png", "00002-a-dog-2.png"
    }  # fmt: skip
    assert {charge.model for charge in emulator.ledger} == {"midjourney", "flux-pro"}


def test_the_model_of_rows_that_name_none_is_said_once(rows):
    file = rows({"prompt": "a cat", "model": "flux-pro"}, {"prompt": "a dog"}, {"prompt": "a cow"})
    said = "lemon: No model was named, so it is dall-e-3.\nlemon: 3 of 3 rows saved (3 images).\n"
    assert lemon("batch", file, "-o", "out", *FAST).stderr == said


def test_the_same_command_again_sends_nothing(rows, emulator):
    file = rows("a cat", "a dog", name="rows.txt")
    for _ in range(2):
        assert lemon("batch", file, "-o", "out").exit_code == 0
    assert emulator.charges == 2


def test_csv_from_stdin(emulator):
    result = lemon("batch", "-", "--format", "csv", "-o", "out", input="prompt,size\na cat,1792x1024\n")
    assert result.exit_code == 0
    assert emulator.ledger[0].request == {"model": "dall-e-3", "prompt": "a cat", "size": "1792x1024"}


def test_rows_are_told_as_json_as_they_end(rows):
    result = lemon("batch", rows("a", "b [fault:error_402]", name="rows.txt"), "-o", "out", "--json")
    shown = {row["row"]: row for row in map(json.loads, result.stdout.splitlines())}
    assert (result.exit_code, shown[1]["status"], shown[1]["paths"]) == (7, "saved", ["00001-a-1.png"])


def test_bad_rows_are_named_with_their_lines_and_nothing_is_sent(rows, emulator):
    file = rows({"prompt": "a"}, {"prompt": "b", "n": 99}, {"prompt": "c", "sise": "red"})
    result = lemon("batch", file, "-o", "out")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "line 2: n: 99 is out of range; allowed: 1 to 10" in result.stderr
    assert "line 3: 'sise' is no parameter; did you mean 'size'?" in result.stderr
    assert emulator.requests == []
    assert not list(Path("out").glob("*.png"))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nowhere.jsonl", "-o", "out"], "nowhere.jsonl"),
        (["-", "-o", "out"], "standard input holds no prompts."),
        (["rows.txt"], "Give the folder of the batch with -o DIR, or --dry-run to only check it."),
        (["rows.txt", "-o", "rows.txt"], "rows.txt is a file. Give a folder."),
        (["rows.txt", "-o", "out", "--budget", "much"], "A budget is an amount in US dollars"),
        (["rows.txt", "-o", "out", "--concurrency", "0"], "Invalid value for '--concurrency'"),
    ],
)
def test_what_cannot_be_a_batch_is_refused(rows, emulator, args, message):
    rows("a", name="rows.txt")
    result = lemon("batch", *args, input="")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("lemon: ")
    assert message in result.stderr
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["batch", "nowhere.csv", "-o", "out"], 2, "'nowhere.csv' does not exist."),
        (["resume", "nowhere"], 2, "There is no batch in nowhere"),
        (["resume", "out"], 0, "1 of 1 row"),
    ],
)
def test_a_key_is_asked_for_only_where_there_is_work_for_it(rows, emulator, monkeypatch, args, code, said):
    lemon("batch", rows("a", name="rows.txt"), "-o", "out")
    Path("out/results.jsonl").unlink()
    monkeypatch.delenv("LEMONDATA_API_KEY")
    result = lemon(*args)
    assert result.exit_code == code
    assert said in result.stderr
    assert Path("out/results.jsonl").exists() == (code == 0)


def test_another_input_for_the_same_folder_is_refused(rows, emulator):
    lemon("batch", rows("a", name="rows.txt"), "-o", "out")
    result = lemon("batch", rows("b", name="rows.txt"), "-o", "out")
    assert result.exit_code == 2
    assert "The input is not the one this folder was started with" in result.stderr
    assert emulator.charges == 1


def test_a_missing_key_is_named_before_a_folder_is_made(rows, monkeypatch):
    monkeypatch.delenv("LEMONDATA_API_KEY")
    result = lemon("batch", rows("a", name="rows.txt"), "-o", "out")
    assert result.exit_code == 2
    assert result.stderr.startswith("lemon: No API key: set LEMONDATA_API_KEY.")
    assert not Path("out").exists()


def test_a_dry_run_counts_and_sends_nothing(rows, emulator, monkeypatch):
    monkeypatch.delenv("LEMONDATA_API_KEY")
    file = rows({"prompt": "a"}, {"prompt": "b", "model": "flux-pro", "n": 3})
    result = lemon("batch", file, "--dry-run", "-o", "out")
    assert (result.exit_code, result.stderr) == (0, "")
    counted, cost = result.stdout.split("The cost is ")
    assert counted == "2 rows for 4 images; all of them can be sent. Nothing was sent.\ndall-e-3  1\nflux-pro  1\n"
    assert cost.startswith(
        "about $0.145.\n  dall-e-3: $0.04 per image for size 1024x1024, quality standard (E, 2026-01, "
    )
    shown = json.loads(lemon("batch", file, "--dry-run", "--json").stdout)
    assert shown.pop("cost") == {"usd": "0.145", "about": True, "unknown": 0, "unknown_models": []}
    assert shown == {"rows": 2, "images": 4, "models": {"dall-e-3": 1, "flux-pro": 1}, "others": 0}
    assert emulator.requests == []
    assert not Path("out").exists()


def test_what_went_wrong_is_told_by_row_and_summed_up(rows, emulator):
    file = rows("a", "b [fault:task_failed]", "c [fault:drop_after]", name="rows.txt")
    result = lemon("batch", file, "-o", "out", *FAST)
    assert (result.exit_code, result.stdout) == (6, PATHS)
    told = result.stderr.splitlines()
    assert any(text.startswith("lemon: Row 2 failed: The task img_") for text in told)
    assert any(text.startswith("lemon: Row 3 is uncertain: The request was sent and its answer was") for text in told)
    assert told[-3] == "lemon: 1 of 3 rows saved (1 image), 1 failed, 1 uncertain."
    assert told[-2].startswith(
        "lemon: 1 may be billed, because the answers were lost. Look at your account. "
        "With a management token, `lemon reconcile -- out` does that. To send them again: "
    )
    assert told[-2].endswith(f" To send them again: lemon resume --resend-uncertain {REPEATED} -- out")
    assert told[-1] == (
        "lemon: 1 failed. A failed task may have been billed. To send them again all the same: "
        f"lemon resume --resend-failed {REPEATED} -- out"
    )


def test_uncertain_rows_are_sent_again_only_when_told_to(rows, emulator):
    lemon("batch", rows("a [fault:drop_after:1]", name="rows.txt"), "-o", "out")
    assert lemon("resume", "out").exit_code == 6
    assert emulator.charges == 1
    assert lemon("resume", "out", "--resend-uncertain").exit_code == 0
    assert emulator.charges == 2


def test_refused_rows_are_sent_again_only_when_told_to(rows, emulator):
    file = rows("a [fault:error_403:1]", "b", name="rows.txt")
    result = lemon("batch", file, "-o", "out")
    assert result.exit_code == 8
    assert result.stderr.splitlines()[-1] == (
        "lemon: 1 refused, and not billed. If the rows were not to blame, send them again: "
        "lemon resume --resend-refused -- out"
    )
    assert lemon("resume", "out").exit_code == 8
    assert lemon("batch", file, "-o", "out", "--resend-refused").exit_code == 0
    assert emulator.charges == 2


UNKNOWN = (
    "The API does not know the tasks of 1 paid row. It may with another key, or at another address: "
    f"lemon resume {REPEATED} -- out\nlemon: To give them up: lemon resume --drop-unknown {REPEATED} -- out"
)


def test_a_task_that_the_api_does_not_know_is_told_and_kept_until_it_is_given_up(rows, emulator):
    emulator.task_seconds = 60.0
    file = rows("a cat", name="rows.txt")
    lemon("batch", file, "-o", "out", "-m", "midjourney", "--deadline", "0.3", *FAST)
    emulator._jobs.clear()
    for _ in range(2):
        with instant():
            result = lemon("resume", "out", "--deadline", "30", *FAST)
        assert result.exit_code == 8  # so the loop of docs/batch.md ends
        assert "lemon: Row 1 is still waiting: The API does not know the task img_" in result.stderr
        assert result.stderr.endswith(f"lemon: {UNKNOWN}\n")
    shown = lemon("status", "out")
    assert shown.stderr == f"lemon: {UNKNOWN}\n"
    assert ["unknown", "1"] in [line.split() for line in shown.stdout.splitlines()]
    assert json.loads(lemon("status", "out", "--json").stdout)["unknown"] == 1
    assert lemon("status", "out", "--failed").stdout.startswith(
        'prompt,model,lemon.row,lemon.status,lemon.error\na cat,midjourney,1,waiting,"The API'
    )
    page = (Path("out") / "index.html").read_text("utf-8")
    assert f"lemon resume out {REPEATED} --drop-unknown" in page
    with instant():
        result = lemon("resume", "out", "--drop-unknown", *FAST)
    assert "lemon: Row 1 failed: The API does not know the task img_" in result.stderr
    assert json.loads(lemon("status", "out", "--json").stdout)["next"] is None
    assert emulator.charges == 1


def test_rows_that_went_wrong_alike_are_told_once(rows, monkeypatch):
    """Bug: twenty lines said the same, and what was different came after them and was not said."""
    monkeypatch.setattr("lemon_ext.cli._watch.TOLD", 2)
    each = ["[fault:task_failed]"] * 8 + ["[fault:error_403:1]"] * 2 + ["[fault:no_images]"]
    Path("rows.csv").write_text("id,prompt\n" + "".join(f"A{n},{n} {fault}\n" for n, fault in enumerate(each, 1)))
    result = lemon("batch", "rows.csv", "-o", "out", *FAST, "--concurrency", "1")
    told = result.stderr.splitlines()
    assert sum("failed: The task" in text for text in told) == 1
    (more,) = [text for text in told if re.match(r"lemon: 7 more failed like row \d \(A\d\): ", text)]
    assert len(re.findall(r"\d \(A\d\)", more)) == 6
    assert more.endswith(" and 2 more")
    assert any(re.match(r"lemon: 1 more was refused like row \d+ \(A\d+\): \d+ \(A\d+\)$", text) for text in told)
    assert told.count(f"lemon: Others went wrong in other ways. {Path('out/results.jsonl')} lists all of them.") == 1


def test_the_limit_of_images_stops_the_sending_and_tells_which_would_do(rows, emulator, server):
    """The same command again would meet the limit at once, so the exit code does not tell a loop to go on."""
    file = rows("a", "b", "c", name="rows.txt")
    result = lemon("batch", file, "-o", "out", "--max-images", "2", "--base-url", server.url, "-m", "dall-e-2")
    assert result.exit_code == 8
    assert emulator.images == 2
    told = result.stderr.splitlines()
    assert told[0] == "lemon: warning: Nothing more is sent: the next row would exceed 2 images."
    assert told[-2:] == [
        "lemon: 2 of 3 rows saved (2 images), 1 not sent.",
        (
            "lemon: 1 not sent, because of the limit. To send them, raise it: lemon resume --max-images 3 "
            f"--base-url {server.url} -- out"
        ),
    ]
    again = lemon("resume", "out", "--max-images", "2")
    assert (again.exit_code, "next:" in again.stderr, emulator.images) == (8, False, 2)
    unlimited = lemon("resume", "out")
    assert unlimited.exit_code == 0
    assert "The last run in out had a limit (--max-images 2), and this one has none." in unlimited.stderr
    assert emulator.images == 3


def test_what_was_free_does_not_go_on_where_it_is_billed(rows):
    result = lemon("batch", rows("a", "b", name="rows.txt"), "-o", "out", "--max-images", "1", "--emulator")
    assert result.stderr.splitlines()[-1].endswith(" raise it: lemon resume --max-images 2 --emulator -- out")


def test_running_tasks_beside_a_limit_are_worth_another_run(rows, emulator):
    emulator.task_seconds = 60.0
    file = rows("a", "b", name="rows.txt")
    options = ("-m", "midjourney", "--max-images", "1", "--deadline", "0.3")
    result = lemon("batch", file, "-o", "out", *options)
    assert result.exit_code == 7
    assert "  next: lemon resume --max-images 1 -- out" in result.stderr.splitlines()


@pytest.mark.parametrize(
    "option",
    [["--budget", "1"], ["--max-images", "1"], ["--resend-refused"], ["--concurrency", "3"], ["--also", "csv"]],
)
def test_an_option_of_batches_is_not_ignored_where_there_is_none(emulator, option):
    result = lemon("resume", *option)
    assert result.exit_code == 2
    assert f"{option[0]} goes with the folder of a batch: lemon resume DIR." in result.stderr
    assert emulator.requests == []


def test_status_counts_rows_and_names_the_next_command(rows):
    lemon("batch", rows("a", "b", name="rows.txt"), "-o", "out", "--max-images", "1")
    result = lemon("status", "out")
    raised = "lemon: 1 not sent, because of the limit. To send them, raise it: lemon resume --max-images 2 -- out\n"
    assert (result.exit_code, result.stderr) == (0, raised)
    assert [text.split() for text in result.stdout.splitlines()] == [
        ["total", "2"], ["unsent", "1"], ["submitting", "0"], ["waiting", "0"], ["unfetched", "0"], ["saved", "1"],
        ["failed", "0"], ["refused", "0"], ["uncertain", "0"], ["images", "1"],
    ]  # fmt: skip
    shown = json.loads(lemon("status", "out", "--json").stdout)
    assert (shown["total"], shown["saved"], shown["unsent"]) == (2, 1, 1)
    assert (shown["limited"], shown["next"]) == (True, None)


@pytest.mark.parametrize(
    ("given", "repeated"),
    [
        (["--max-images", "9"], "--max-images 9"),
        (["--budget", "5.00", "--allow-unknown-price"], "--budget 5.00 --allow-unknown-price"),
        (["--rpm", "200", "--concurrency", "3"], "--rpm 200 --concurrency 3"),
        (["--rpm", "1000", "--concurrency", "64"], ""),
        (["--poll-interval", "0.2", "--give-up-after", "8h"], "--poll-interval 0.2s --give-up-after 8h"),
        (["--no-prompt-metadata", "--allow-private-images"], "--no-prompt-metadata --allow-private-images"),
    ],
)
def test_whatever_names_the_next_command_repeats_what_the_run_kept_to(rows, emulator, given, repeated):
    emulator.task_seconds = 60.0
    file = rows("a", "b [fault:error_403]", name="rows.txt")
    ended = lemon("batch", file, "-o", "out", "-m", "midjourney", "--deadline", "0.3", *given).stderr
    command = " ".join(f"lemon resume {repeated} -- out".split())
    assert f"  next: {command}\n" in ended
    assert f"  next: {command}\n" in lemon("status", "out").stderr
    assert f"--resend-refused {repeated} -- out".replace("  ", " ") in lemon("status", "out").stderr
    page = Path("out/index.html").read_text("utf-8")
    assert f'"lemon resume out{" " if repeated else ""}{repeated}"' in page


def test_a_deadline_is_repeated_if_it_is_longer_than_the_usual_one(rows, emulator):
    """A shorter one passed while the tasks ran on: they are paid for, and the next run waits as long as usual."""
    emulator.inject("error_401")
    file = rows("a", name="rows.txt")
    assert "next: lemon resume --deadline 20m -- out\n" in lemon("batch", file, "-o", "out", "--deadline", "20m").stderr
    assert "next: lemon resume --deadline 20m -- out\n" in lemon("status", "out").stderr


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_what_is_not_sent_is_said_before_anything_is(emulator, more):
    """Bug: nothing told that a column `Groesse` is no size, until the pictures had come and were paid for."""
    Path("in.csv").write_text("SKU;Prompt;Groesse;Size\n1;a cat;512x512;\n2;a dog;;1024x1024\n")
    odd = "'Groesse' holds what 'size' takes, and is not sent; if it is meant so, call it size; if not, "
    told = "lemon: Columns that are sent: prompt, size; carried along and not sent: SKU, Groesse."
    result = lemon("batch", "in.csv", "-o", "out", "-m", "flux-pro", *more)
    assert result.stderr.splitlines()[:2] == [
        f"{told} No column holds ids: see --id-column.",
        f"lemon: warning: Line 2: {odd}--carry Groesse says so.",
    ]
    known = lemon("batch", "in.csv", "-o", "other", "-m", "flux-pro", "--id-column", "SKU", *more)
    assert known.stderr.splitlines()[0] == told.replace("SKU, ", "")
    Path("plain.csv").write_text("prompt,size\na cat,1024x1024\n")
    assert "carried" not in lemon("batch", "plain.csv", "-o", "plain", "-m", "flux-pro", *more).stderr


def test_the_title_of_the_gallery_is_given_with_the_batch(rows, emulator):
    """Bug: it was an option of `lemon gallery` alone, and a batch ended with the page of another title."""
    file = rows("a", name="rows.txt")
    page = Path("out/index.html")

    def title():
        return re.search("<title>(.*?)</title>", page.read_text("utf-8"))[1]

    assert lemon("batch", file, "-o", "out", "-m", "flux-pro", "--title", "Spring catalogue").exit_code == 0
    assert title() == "Spring catalogue"
    assert lemon("resume", "out").exit_code == 0
    assert title() == "Spring catalogue"
    assert lemon("resume", "out", "--title", "Summer").exit_code == 0
    assert title() == "Summer"
    assert lemon("batch", file, "-o", "out", "-m", "flux-pro", "--title", "").exit_code == 0
    assert title() == "out"


def test_an_id_stands_beside_the_number_of_its_row(emulator):
    """Bug: row 2 stands in line 3 of a table, and a list of products knows neither."""
    Path("in.csv").write_text("id,prompt\nA-1,a cat\nA-2,a dog [fault:error_403]\n")
    assert "lemon: Row 2 (A-2) was refused: HTTP 403" in lemon("batch", "in.csv", "-o", "out", "-m", "flux-pro").stderr


def test_after_a_budget_nothing_goes_on_without_one(rows):
    file = rows(*("cat", "dog", "cow"), name="rows.txt")
    lemon("batch", file, "-o", "out", "-m", "flux-pro", "--budget", "0.05")
    told = lemon("status", "out").stderr
    assert told.startswith(
        "lemon: 2 not sent, because of the limit. To send them, raise it: lemon resume --budget 0.105 "
    )
    assert "next:" not in told
    page = Path("out/index.html").read_text("utf-8")
    assert '"lemon resume out --budget 0.05"' in page
    assert lemon("resume", "out", "--budget", "0.12").exit_code == 0


def test_a_wrong_key_ends_a_loop_and_no_row_is_called_waiting(rows):
    """Neither where nothing was sent yet, nor where tasks wait."""
    result = lemon("batch", rows("a [fault:error_401]", "b", name="rows.txt"), "-o", "out", "--concurrency", "1")
    assert result.exit_code == 3
    assert "lemon: Row 1 was not sent: HTTP 401" in result.stderr
    assert "still waiting" not in result.stderr
    assert result.stderr.endswith("lemon: The key was refused: another run needs another key.\n")
    assert "  next: lemon resume --concurrency 1 -- out\n" in result.stderr


def test_other_forms_of_the_results_are_written_again_without_being_asked_for(rows, emulator):
    """What is listed as written is of this run."""
    file = rows("a", "b [fault:error_403]", name="rows.txt")
    lemon("batch", file, "-o", "out", "--also", "csv")
    for command in (["resume", "out"], ["resume", "out", "--resend-refused"]):
        Path("out/results.csv").write_text("stale")
        assert f"{Path('out/results.csv')}\n" in lemon(*command).stdout
        assert Path("out/results.csv").read_text("utf-8-sig").startswith("row,id,status")


@pytest.mark.parametrize(
    ("args", "said", "code"),
    [
        (["--budget", "0.30"], "The budget of $0.30 covers it, and leaves $0.195.", 0),
        (["--budget", "0.105"], "The budget of $0.105 covers it, and leaves $0.00.", 0),
        (["--budget", "0.05"], "The budget of $0.05 does not cover it: $0.055 is missing.", 8),
        (["--max-images", "3"], "3 rows for 3 images", 0),
        (["--max-images", "1"], "--max-images 1 does not cover it: 2 images would not be sent.", 8),
    ],
)
def test_a_dry_run_says_whether_a_limit_covers_it(rows, emulator, args, said, code):
    """Bug: a script could not tell, because the exit code was 0 where the run's would be 8."""
    file = rows("a", "b", "c", name="rows.txt")
    dry = ("batch", file, "-o", "out", "-m", "flux-pro", "--dry-run", *args)
    result = lemon(*dry)
    assert (result.exit_code, emulator.requests) == (code, [])
    assert said in result.stdout
    assert lemon(*dry, "--json").exit_code == code


@pytest.mark.parametrize("command", [["batch", "rows.txt", "-o", "out"], ["generate", "a"]])
@pytest.mark.parametrize(("budget", "said"), [("much", "A budget is an amount"), ("0.01", "does not cover")])
def test_a_dry_run_refuses_a_budget_as_the_run_would(rows, emulator, command, budget, said):
    rows("a", name="rows.txt")
    for dry in ([], ["--dry-run"]):
        result = lemon(*command, "-m", "flux-pro", "--budget", budget, *dry)
        assert (result.exit_code, result.stdout, emulator.requests) == (2, "", [])
        assert said in result.stderr


def test_a_dry_run_counts_what_the_folder_has_spent(rows, emulator):
    file = rows("a", "b", "c", name="rows.txt")
    lemon("batch", file, "-o", "out", "-m", "flux-pro", "--budget", "0.05")
    dry = ("batch", file, "-o", "out", "-m", "flux-pro", "--dry-run")
    assert (
        "The budget of $0.10, of which $0.035 is spent, does not cover it: $0.005 is missing."
        in lemon(*dry, "--budget", "0.10").stdout
    )
    shown = json.loads(lemon(*dry, "--budget", "0.12", "--json").stdout)["budget"]
    assert shown == {"usd": "0.12", "spent": "0.035", "covers": True}
    assert "2 images would not be sent" in lemon(*dry, "--max-images", "1").stdout


def test_status_names_what_can_be_sent_again_as_the_run_did(rows):
    file = rows("a [fault:task_failed]", "b [fault:drop_after]", "c [fault:error_403]", name="rows.txt")
    ended = lemon("batch", file, "-o", "out", *FAST).stderr.splitlines()
    told = lemon("status", "out").stderr.splitlines()
    assert told == [text for text in ended if "lemon resume" in text]
    assert [text.split("lemon resume ")[1] for text in told] == [
        f"--resend-uncertain {REPEATED} -- out", f"--resend-refused {REPEATED} -- out",
        f"--resend-failed {REPEATED} -- out",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("limit", "named"),
    [
        (("--max-images", "2"), "--max-images 3"),
        (("--max-images", "9"), "--max-images 9"),
        (("--budget", "0.07"), "--budget 0.105"),
    ],
)
def test_what_can_be_sent_again_is_named_with_a_limit_that_has_room_for_it(rows, limit, named):
    """Bug: the command that was advised met the limit of the last run at once, and nothing was sent."""
    file = rows("a [fault:task_failed]", "b [fault:drop_after:1]", name="rows.txt")
    ended = lemon("batch", file, "-o", "out", *FAST, "-m", "flux-pro", *limit).stderr.splitlines()
    told = lemon("status", "out").stderr.splitlines()
    assert told == [text for text in ended if "lemon resume" in text]
    commands = [text.split("lemon resume --resend-")[1] for text in told]
    assert [text.partition(" --poll")[0] for text in commands] == [f"uncertain {named}", f"failed {named}"]
    sent = lemon("resume", "out", *commands[0].split()[1:3], "--resend-uncertain", *FAST)
    assert "limit" not in sent.stderr
    assert json.loads(lemon("status", "out", "--json").stdout)["saved"] == 1


def test_whoever_asks_about_a_lost_answer_is_told_where(rows):
    """Bug: the message said `lemon reconcile [DIR]`, and which folder that is had to be known."""
    told = lemon("batch", rows("a [fault:drop_after]", name="rows.txt"), "-o", "my cats", *FAST).stderr
    assert "It may have been accepted and billed: ask `lemon reconcile -- 'my cats'`, or look at your account" in told
    assert "DIR" not in told
    assert "`lemon reconcile DIR` (in Python: reconcile(folder))" in Path("my cats/results.jsonl").read_text()


def test_a_dry_run_in_a_begun_folder_counts_what_is_left(rows, emulator):
    file = rows("a", "b [fault:error_403]", "c", "d", name="rows.txt")
    lemon("batch", file, "-o", "out", "--max-images", "2", "--concurrency", "1", *FAST)
    before = (emulator.charges, sorted(path.name for path in Path("out").iterdir()))
    Path("out/journal.sqlite3").chmod(0o400)
    result = lemon("batch", file, "-o", "out", "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.startswith("1 row for 1 image left to send. 3 more in out are done or under way. Nothing was ")
    again = json.loads(lemon("batch", file, "-o", "out", "--dry-run", "--json", "--resend-refused").stdout)
    assert (again["rows"], again["others"]) == (2, 2)
    Path(file).write_text(Path(file).read_text() + "e\nf\n")
    more = lemon("batch", file, "-o", "out", "--dry-run").stdout
    assert more.startswith("3 rows for 3 images left to send. 3 more in out")
    Path(file).write_text("z\n" + Path(file).read_text())
    other = lemon("batch", file, "-o", "out", "--dry-run")
    assert (other.exit_code, "The input is not the one this folder was started with" in other.stderr) == (2, True)
    assert (emulator.charges, sorted(path.name for path in Path("out").iterdir())) == before


def test_a_dry_run_of_a_finished_folder_has_nothing_to_count(rows):
    file = rows("a", name="rows.txt")
    lemon("batch", file, "-o", "out")
    done = lemon("batch", file, "-o", "out", "--dry-run")
    assert done.stdout == "0 rows for 0 images left to send. 1 more in out are done or under way. Nothing was sent.\n"


def test_a_finished_folder_needs_no_key(rows, emulator, monkeypatch):
    """Finished is what another run does nothing for, also with rows that have failed, and may be billed."""
    lemon("batch", rows("a", "b [fault:task_failed]", name="rows.txt"), "-o", "out", *FAST)
    monkeypatch.delenv("LEMONDATA_API_KEY")
    asked = len(emulator.requests)
    Path("out/results.jsonl").unlink()
    result = lemon("resume", "out")
    assert (result.exit_code, result.stdout) == (8, PATHS)
    assert "1 failed." in result.stderr
    assert lemon("resume", "out", "--resend-failed").exit_code == 2  # that needs one
    assert len(emulator.requests) == asked


def test_a_page_of_somebody_else_is_not_shown_as_the_gallery(rows):
    Path("out").mkdir()
    Path("out/index.html").write_text("<h1>my page</h1>")
    result = lemon("batch", rows("a", name="rows.txt"), "-o", "out")
    assert (result.exit_code, result.stdout) == (0, f"{Path('out/results.jsonl')}\n")
    assert "is not a gallery of this program, so it stays as it is" in result.stderr
    assert Path("out/index.html").read_text() == "<h1>my page</h1>"


def test_status_says_when_a_process_is_working_there(rows):
    lemon("batch", rows("a", "b", name="rows.txt"), "-o", "out", "--max-images", "1")
    with SqliteJournal.open(Path("out")):
        result = lemon("status", "out")
        told = r"lemon: A process is working there, \d+ a minute, about (\d+ h )?(\d+ min )?\d+ (s|min) left\.\n"
        assert re.fullmatch(told, result.stderr)
        shown = json.loads(lemon("status", "out", "--json").stdout)
        assert (shown["working"], shown["next"]) == (True, None)
    assert json.loads(lemon("status", "out", "--json").stdout)["working"] is False


@pytest.mark.parametrize("command", ["resume", "status", "gallery"])
def test_a_folder_without_a_batch_is_refused(emulator, command):
    result = lemon(command, "nowhere")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("lemon: There is no batch in nowhere")


def test_the_gallery_is_made_again(rows):
    lemon("batch", rows("a", name="rows.txt"), "-o", "out")
    for name in ("index.html", "results.jsonl"):
        Path("out", name).unlink()
    assert lemon("gallery", "out").stdout == f"{Path('out/index.html')}\n"
    assert Path("out/index.html").stat().st_size > 1000


def test_ctrl_c_keeps_everything_and_resume_pays_nothing_twice(rows, emulator):
    emulator.task_seconds = 60.0
    file = rows(*(f"cat {n}" for n in range(8)), name="rows.txt")
    with ctrl_c(when=lambda: emulator.charges == 8):
        result = lemon("batch", file, "-o", "out", "-m", "midjourney")
    assert (result.exit_code, result.stdout) == (130, PATHS)
    first, *rest = result.stderr.splitlines()
    assert re.fullmatch(
        r"lemon: warning: Stopping(: \d answers? (is|are) waited for)?\. Ctrl-C again ends at once\.", first
    )
    assert rest == [
        "lemon: Interrupted. 0 of 8 rows saved (0 images), 8 waiting.",
        "  next: lemon resume -- out",
    ]
    for job in emulator._jobs.values():
        job.plan.seconds = 0.0
    assert lemon("resume", "out", *FAST).exit_code == 0
    assert emulator.charges == 8


def test_what_breaks_a_batch_in_the_middle_leaves_the_command_to_go_on_with(rows, monkeypatch):
    def break_off(*args, on_progress, **options):
        on_progress(Progress(1, unsent=1))
        raise JournalError("The disk is full.")
        yield

    lemon("batch", rows("a", name="rows.txt"), "-o", "out", "--max-images", "0")
    monkeypatch.setattr("lemon_ext.batch.run_batch", break_off)
    result = lemon("resume", "out", "--json")
    assert result.exit_code == 7
    assert result.stderr == "lemon: The disk is full.\n  next: lemon resume -- out\n"
    assert json.loads(result.stdout)["next"] == "lemon resume -- out"


def test_without_a_terminal_a_line_now_and_then_says_how_far_it_is(rows, monkeypatch):
    monkeypatch.setattr("lemon_ext.cli._watch.QUIET", 0.0)
    told = lemon("batch", rows("a", "b", name="rows.txt"), "-o", "out", *FAST).stderr
    assert "lemon: 0 of 2 rows done, " in told
    assert "lemon: 2 of 2 rows done, 2 saved, " in told


def test_on_a_terminal_a_bar_is_drawn(rows, terminal):
    result = lemon("batch", rows("a", "b [fault:task_failed]", name="rows.txt"), "-o", "out", *FAST)
    assert result.stdout == PATHS
    assert "2/2" in result.stderr
    assert "1 saved" in result.stderr
    assert "Row 2 failed: The task img_" in result.stderr


# ---- words ----


def test_how_far_it_is_in_one_line():
    progress = Progress(
        300, unsent=94, submitting=4, waiting=60, saved=140, failed=2, images=150, per_minute=142.4, left_seconds=67.2
    )
    assert str(progress) == (
        "142 of 300 rows done, 140 saved, 2 failed, 4 being sent, 60 waiting, 94 not sent, 142 a minute, "
        "about 1 min left"
    )
    assert summary(progress) == ("140 of 300 rows saved (150 images), 2 failed, 4 being sent, 60 waiting, 94 not sent.")
    assert str(Progress(3)) == "3 of 3 rows done"
