"""Rows from files: what can be read is read, what cannot is named with its line, and nothing is guessed."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from lemon_ext.errors import LemonError
from lemon_ext.rows import Row, RowsError, read_rows

SPREAD = "begins JSON that goes on over several lines; each line must hold one whole object"
WINDOWS = (
    "is not UTF-8 but, it seems, Windows-1252 (cp1252); save the file as UTF-8, in Excel as 'CSV UTF-8', "
    "or say so: --encoding cp1252"
)
SIZES = "'sizes' is no parameter; did you mean 'size'? To carry it along instead: --carry sizes"
TWO = "'prompt' and 'Prompt' are both 'prompt'; leave one out, or carry it along with --carry"
NO_PROMPT = (
    "there is no column 'prompt'; say which column it is with --prompt-column, or with --header-row which line names "
    "the columns. For one prompt a line: --format txt"
)


def read(tmp_path: Path, name: str, content: bytes | str) -> list[tuple[int, dict[str, Any]]]:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [(row.line, dict(row)) for row in read_rows(path)]


def faults(tmp_path: Path, name: str, content: bytes | str) -> list[str]:
    with pytest.raises(RowsError) as caught:
        read(tmp_path, name, content)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("a.txt", "a cat\n\n  a dog  \n", [(1, {"prompt": "a cat"}), (3, {"prompt": "a dog"})]),
        ("a.txt", "a cat\r\na dog", [(1, {"prompt": "a cat"}), (2, {"prompt": "a dog"})]),
        ("a.txt", "prompt\n", [(1, {"prompt": "prompt"})]),
        ("a.txt", "one\u2028line\n", [(1, {"prompt": "one\u2028line"})]),
        ("a.txt", b"\xef\xbb\xbfa cat\n", [(1, {"prompt": "a cat"})]),
        ("a.jsonl", '{"prompt": "a", "n": 2}\n\n"b"\n', [(1, {"prompt": "a", "n": 2}), (3, {"prompt": "b"})]),
        ("a.jsonl", b'\xef\xbb\xbf{"prompt": "a"}\r\n', [(1, {"prompt": "a"})]),
        ("a.jsonl", '{"prompt": "a", "size": null}', [(1, {"prompt": "a"})]),
        ("a.jsonl", '{"prompt": "\\ud83d\\ude00"}', [(1, {"prompt": "\U0001f600"})]),
        ("a.jsonl", '{"prompt": "a", "extra_body": {"seed": 1}}', [(1, {"prompt": "a", "extra_body": {"seed": 1}})]),
        ("a.csv", "prompt,n,size\na cat,2,\n", [(2, {"prompt": "a cat", "n": 2})]),
        ("a.csv", b"\xef\xbb\xbfprompt;n\r\na, cat;2\r\n", [(2, {"prompt": "a, cat", "n": 2})]),
        ("a.csv", "prompt\tn\na cat\t2\n", [(2, {"prompt": "a cat", "n": 2})]),
        (
            "a.csv",
            'prompt,n\n"a\n""big""\ncat",2\na dog,1\n',
            [(2, {"prompt": 'a\n"big"\ncat', "n": 2}), (5, {"prompt": "a dog", "n": 1})],
        ),
        ("a.csv", 'prompt\n5" disk\n', [(2, {"prompt": '5" disk'})]),
        ("a.csv", "prompt,,\na cat,,,,\n,,\n\n", [(2, {"prompt": "a cat"})]),
        ("a.csv", "\nprompt,n\nshort row\n", [(3, {"prompt": "short row"})]),
        ("a.csv", 'prompt,extra_body\na,"{""seed"": 1}"\n', [(2, {"prompt": "a", "extra_body": {"seed": 1}})]),
    ],
)
def test_reads(tmp_path: Path, name: str, content: bytes | str, rows: list[tuple[int, dict[str, Any]]]) -> None:
    assert read(tmp_path, name, content) == rows


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ('{"prompt": "a"}\n', [{"prompt": "a"}]),
        ('"a"\n', [{"prompt": "a"}]),
        ("\n\nprompt,n\na,1\n", [{"prompt": "a", "n": 1}]),
        ("prompt\na\n", [{"prompt": "a"}]),
        ('"prompt","n"\n"a","1"\n', [{"prompt": "a", "n": 1}]),
        ("a cat, a prompt, a dog\n", [{"prompt": "a cat, a prompt, a dog"}]),
        ('"Hi", said the cat\n', [{"prompt": '"Hi", said the cat'}]),
    ],
)
def test_standard_input_is_told_by_its_first_line(content: str, rows: list[dict[str, Any]]) -> None:
    assert list(read_rows("-", stdin=io.BytesIO(content.encode()))) == rows


def test_a_given_format_wins_over_suffix_and_first_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('{"prompt": "a"}\n')
    assert list(read_rows(path, format="jsonl")) == [{"prompt": "a"}]
    assert list(read_rows("-", format="txt", stdin=io.BytesIO(b"prompt\n"))) == [{"prompt": "prompt"}]
    with pytest.raises(
        ValueError, match="format must be one of jsonl, json, csv, tsv, txt, xlsx, ods, parquet, not 'xml'"
    ):
        list(read_rows(path, format="xml"))  # type: ignore[arg-type]


COMMA = "w must be a number, not '{}', with a point and not a comma for the fraction"
KINDS = {
    "prompt": {"type": "string"}, "w": {"type": "number"}, "f": {"type": "boolean"}, "l": {"type": "array"},
    "whole": {"type": "array", "items": {"type": "integer"}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("https://x.example/a.png", ["https://x.example/a.png"]),
        ('"https://x.example/a.png?b=1,2;3"', ["https://x.example/a.png?b=1,2;3"]),
        ('"[""https://x.example/a.png"",""b""]"', ["https://x.example/a.png", "b"]),
        ("https://x.example/1.png https://x.example/2.png", None),
        ('"https://x.example/1.png,https://x.example/2.png"', None),
        ("https://x.example/1.png;https://x.example/2.png", None),
        ("a b", None),
    ],
)
def test_a_cell_of_a_list_holds_one_item_or_a_json_list(tmp_path, monkeypatch, cell, value):
    """Several addresses in one text would be one wrong address to the API."""
    for module in ("cells", "columns"):
        monkeypatch.setattr(f"lemon_ext.batch.{module}.PARAMETERS", KINDS)
    content = f"prompt,l,whole\na,{cell},7\n"
    if value is not None:
        assert read(tmp_path, "a.csv", content) == [(2, {"prompt": "a", "l": value, "whole": [7]})]
    else:
        said = 'line 2: l must be one item without blanks, or a JSON list, for example ["a", "b"]'
        assert faults(tmp_path, "a.csv", content) == [said]


def test_csv_cells_become_what_the_parameter_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("cells", "columns"):
        monkeypatch.setattr(f"lemon_ext.batch.{module}.PARAMETERS", KINDS)
    content = 'prompt,w,f,l\n007, 1.5e1 ,TRUE,"[""x"", 1]"\na,.5,0,\n'
    assert read(tmp_path, "a.csv", content) == [
        (2, {"prompt": "007", "w": 15.0, "f": True, "l": ["x", 1]}),
        (3, {"prompt": "a", "w": 0.5, "f": False}),
    ]
    assert faults(tmp_path, "a.csv", 'prompt,w,f,l\na,"1,5",,\nb,nan,yes,{}\nc,,,[\n') == [
        f"line 2: {COMMA.format('1,5')}",
        (
            f"line 3: {COMMA.format('nan')}; f must be true or false, not 'yes'; "
            'l must be a JSON list, for example ["a", "b"]'
        ),
        f"line 4: l {SPREAD}",
    ]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", b"a\ncaf\xe9\nb\n", [f"line 2: {WINDOWS}"]),
        ("a.csv", b"pr\xe9mpt\na\n", [f"line 1: {WINDOWS}"]),
        ("a.csv", b"prompt\ncaf\xe9\n", [f"line 2: {WINDOWS}"]),
        ("a", b"caf\xe9\nb\n", [f"line 1: {WINDOWS}"]),
        (
            "a.txt",
            b"a\0b\n",
            ["line 1: holds a NUL byte; if the file is UTF-16, save it as UTF-8, or say so: --encoding utf-16"],
        ),
        (
            "a.csv",
            b"prompt\na\0b\n",
            ["line 2: holds a NUL byte; if the file is UTF-16, save it as UTF-8, or say so: --encoding utf-16"],
        ),
        ("a.txt", "a\rb\rc", ["line 1: holds a carriage return; save the file with LF or CRLF line ends"]),
        ("a.csv", "prompt\ra\r", ["line 1: holds a carriage return; save the file with LF or CRLF line ends"]),
        (
            "a.jsonl",
            '"a"\n{"prompt" "b"}\n7\n[]\nnull\n',
            [
                "line 2: is not valid JSON (Expecting ':' delimiter, at character 11)",
                "line 3: must be an object or a string, not a number",
                "line 4: must be an object or a string, not a list",
                "line 5: must be an object or a string, not null",
            ],
        ),
        ("a.json", '[\n"a"\n', ["line 3: ends before its list does"]),
        ("a.jsonl", '{"prompt": "a", "sizes": "1x1"}', [f"line 1: {SIZES}"]),
        ("a.jsonl", '{"prompt": "a", "Prompt": "b"}', [f"line 1: {TWO}"]),
        ("a.jsonl", '{"prompt": "a", "extra_body": []}', ["line 1: extra_body must be a JSON object"]),
        ("a.jsonl", '{"prompt": "a", "n": 1, "n": 2}', ["line 1: has the key 'n' twice"]),
        ("a.jsonl", '{"prompt": "a", "n": NaN}', ["line 1: holds NaN, which JSON does not have"]),
        ("a.jsonl", '{"prompt": "\\ud83d"}', ["line 1: holds half a character (a lone surrogate such as \\ud83d)"]),
        ("a.jsonl", "[" * 100_000, ["line 1: is nested too deeply"]),
        ("a.jsonl", '{"n": ' + "9" * 5000 + "}", ["line 1: holds a number with too many digits"]),
        ("a.csv", "prompt,sizes\na,1\n", [f"line 1: {SIZES}"]),
        ("a.csv", "prompt,n,n\na,1,2\n", ["line 1: the column 'n' is there twice"]),
        (
            "a.csv",
            "n\n1\n",
            [f"line 1: {NO_PROMPT}"],
        ),
        (
            "a.csv",
            "prompt,n\na cat, black,1\nb,1\nc,2.5\n",
            [
                "line 2: has 3 cells, the header has 2; put quotes around a cell that holds the separator",
                "line 4: n must be a whole number, not '2.5'",
            ],
        ),
        (
            "a.csv",
            'prompt\n"a" cat\nb\n',
            ['line 2: has text after a closing quote; write a quote inside a quoted cell twice ("")'],
        ),
        ("a.csv", 'prompt\n"a cat\nb\n', ["line 2: opens a quote that is never closed"]),
        (
            "a.csv",
            'prompt\n"a\n' + "b" * 200_000,
            ["line 2: has a cell of more than 131,072 characters; a quote may not be closed, or else use JSON Lines"],
        ),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, name: str, content: bytes | str, expected: list[str]) -> None:
    assert faults(tmp_path, name, content) == expected


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("a.csv", "cp1252"),
        ("a.csv", "utf-16"),
        ("a.csv", "utf-8"),
        ("a.tsv", "latin-1"),
        ("a.txt", "cp1252"),
        ("a.json", "cp1252"),
    ],
)
def test_a_text_file_may_have_another_encoding(tmp_path: Path, name: str, encoding: str) -> None:
    """Bug: what Excel saves as CSV in Germany had to be saved again, or recoded with another program."""
    text = {
        "a.csv": "sep=;\r\nSKU;Prompt\r\nMÖ-1;weiße Schüssel\r\n",
        "a.tsv": "SKU\tPrompt\r\nMÖ-1\tweiße Schüssel\r\n",
        "a.txt": "weiße Schüssel\r\n",
        "a.json": '["weiße Schüssel"]',
    }[name]
    (tmp_path / name).write_bytes(text.encode(encoding))
    assert list(read_rows(tmp_path / name, encoding=encoding)) == [{"prompt": "weiße Schüssel"}]
    stdin = io.BytesIO(text.encode(encoding))
    assert list(read_rows("-", stdin=stdin, encoding=encoding)) == [{"prompt": "weiße Schüssel"}]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_utf_16_is_known_by_its_mark(tmp_path: Path, name: str, encoding: str) -> None:
    """Bug: what Excel calls "Unicode text" had to be saved once more."""
    text = "\ufeff" * (encoding == "utf-16-be") + "SKU\tPrompt\r\nMÖ-1\tweiße Schüssel\r\n"
    (tmp_path / name).write_bytes(text.encode(encoding))
    assert list(read_rows(tmp_path / name)) == [{"prompt": "weiße Schüssel"}]
    assert list(read_rows("-", stdin=io.BytesIO(text.encode(encoding)), format="tsv")) == [{"prompt": "weiße Schüssel"}]
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    with pytest.raises(RowsError, match=r"may be a table \(tsv\), or text with one prompt a line. Say what it is"):
        list(read_rows(tmp_path / "a.txt"))


def test_an_encoding_that_does_not_fit_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"prompt\na \x81 cat\n")
    with pytest.raises(RowsError, match=r"a\.csv is no text in cp1252\. Nothing was sent\."):
        list(read_rows(tmp_path / "a.csv", encoding="cp1252"))
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(RowsError, match=r"a\.xlsx is no text, so it has no encoding such as cp1252\."):
        list(read_rows(tmp_path / "a.xlsx", encoding="cp1252"))
    for unknown in ("cp12525", "base64"):
        with pytest.raises(ValueError, match=f"there is no encoding '{unknown}'; such as cp1252"):
            list(read_rows(tmp_path / "a.csv", encoding=unknown))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no prompts."),
        (b"\n \r\n\t\n", "holds no prompts."),
        (b"\xef\xbb\xbf", "holds no prompts."),
        ("a cat".encode("utf-32"), "is UTF-32 text. Save it as UTF-8, or say so: --encoding utf-32. Nothing was sent."),
        (
            b"PK\x03\x04...",
            "is a spreadsheet or another zip file. Name it .xlsx or .ods, or export it as CSV. Nothing was sent.",
        ),
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl", "a"])
def test_a_file_without_rows_says_what_it_is(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(RowsError) as caught:
        read(tmp_path, name, content)
    assert str(caught.value) == f"{tmp_path / name} {message}"
    assert caught.value.faults == []


def test_a_csv_with_a_header_alone_holds_no_prompts(tmp_path: Path) -> None:
    with pytest.raises(RowsError, match="holds no prompts"):
        read(tmp_path, "a.csv", "prompt,n\n")


def test_good_rows_come_first_and_all_faults_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('"a"\n{\n"b"\nnull\n')
    rows = read_rows(path)
    assert [next(rows), next(rows)] == [{"prompt": "a"}, {"prompt": "b"}]
    with pytest.raises(RowsError) as caught:
        next(rows)
    assert str(caught.value) == (
        f"Nothing was sent. {path} has 2 faults:\n"
        f"  - line 2: {SPREAD}\n"
        "  - line 4: must be an object or a string, not null"
    )
    assert isinstance(caught.value, LemonError)
    assert isinstance(caught.value, ValueError)
    assert pickle.loads(pickle.dumps(caught.value)).faults == caught.value.faults


def test_many_faults_are_all_kept_and_the_message_stays_short(tmp_path: Path) -> None:
    with pytest.raises(RowsError) as caught:
        read(tmp_path, "a.jsonl", "7\n" * 1000)
    assert len(caught.value.faults) == 1000
    assert str(caught.value).endswith(
        "has 1,000 faults:\n  - lines 1, 2, 3, 4, 5 and 995 more: must be an object or a string, not a number"
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "my secret idea\nanother secret\n"),
        ("a.csv", 'prompt\n"my secret" idea\n'),
        ("a.csv", "prompt,n\na,my secret\n"),
        ("a.jsonl", '{"my secret idea": 1}\n{"prompt": "my secret}\n'),
        ("a.jsonl", '{"my secret idea": 1, "my secret idea": 2}\n'),
        ("a.txt", b"my secret\xff idea\n"),
    ],
)
def test_no_message_repeats_a_prompt(tmp_path: Path, name: str, content: bytes | str) -> None:
    with pytest.raises(RowsError) as caught:
        read(tmp_path, name, content)
    assert "secret" not in str(caught.value)
    assert caught.value.faults


def test_a_prompt_of_a_megabyte_is_read_and_an_endless_line_is_not(tmp_path: Path) -> None:
    assert len(read(tmp_path, "a.jsonl", json.dumps("x" * 2**20))[0][1]["prompt"]) == 2**20
    assert len(read(tmp_path, "a.txt", "x" * 2**20)[0][1]["prompt"]) == 2**20
    assert faults(tmp_path, "a.txt", b"x" * (2**24 + 5) + b"\ny\n") == ["line 1: is longer than 16 MiB"]


class Endless(io.RawIOBase):
    """A file that never ends."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        text = b"a cat\n" * 100
        buffer[: len(text)] = text
        return len(text)


def test_rows_stream() -> None:
    rows = read_rows("-", stdin=io.BufferedReader(Endless()))
    assert [next(rows).line for _ in range(1000)] == list(range(1, 1001))


def test_what_cannot_be_opened_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        next(read_rows(tmp_path / "none.txt"))
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(OSError, match=r"folder\.txt"):
        next(read_rows(tmp_path / "folder.txt"))


def test_a_row_is_a_dict_that_keeps_its_line() -> None:
    row = pickle.loads(pickle.dumps(Row({"prompt": "a"}, 7)))
    assert (row, row.line) == ({"prompt": "a"}, 7)


def test_columns_in_capitals_and_whole_numbers_with_a_point_are_understood(tmp_path):
    (tmp_path / "in.csv").write_text("Prompt,MODEL,N\na cat,flux-pro,2.0\na dog,,\n")
    assert list(read_rows(tmp_path / "in.csv")) == [
        {"prompt": "a cat", "model": "flux-pro", "n": 2},
        {"prompt": "a dog"},
    ]
