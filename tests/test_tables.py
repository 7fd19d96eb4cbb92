"""Tables as people have them: what their columns are, every format, and what cannot be a table, said plainly.

The files have the shapes of published ones (PartiPrompts, geneval, DrawBench, VBench, DiffusionDB); the texts are ours.
"""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lemon_ext import LemonWarning
from lemon_ext.rows import RowsError, read_rows

calamine = pytest.importorskip("python_calamine", reason="the extra 'tables' is not installed")


def written(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path, **how: Any) -> list[tuple[str | None, dict[str, Any], dict[str, Any]]]:
    return [(row.id, dict(row), row.extra) for row in read_rows(path, **how)]


def refused(path: Path, **how: Any) -> str:
    with pytest.raises(RowsError) as caught:
        read(path, **how)
    return str(caught.value)


PARTI = (
    "Prompt\tCategory\tChallenge\tNote\n"
    'a sign that says "Open"\tArtifacts\tWriting\t\n'
    '"Hello", said the cat\tAnimals\tWriting\tbegins with a quote\n'
    '"big cat"\tAnimals\tBasic\t\n'
    '"a dog, ""Rex""\nby a lake"\tAnimals\tBasic\tas Excel writes it\n'
    '"unclosed\tAnimals\tBasic\t\n'
)
GENEVAL = (
    '{"tag": "counting", "include": [{"class": "cat", "count": 2}], "exclude": [], "prompt": "two cats"}\n'
    '{"tag": "colors", "include": [{"class": "dog"}], "prompt": "a red dog"}\n'
)
VBENCH = json.dumps(
    [{"prompt_en": "a cat\nthat sleeps", "dimension": ["color", "style"]}, {"prompt_en": "a dog", "dimension": []}],
    indent=4,
)
OPENAI = (
    '{"custom_id": "r-1", "method": "POST", "url": "/v1/images/generations",'
    ' "body": {"model": "flux-pro", "prompt": "a cat", "n": 2}}\n'
)


@pytest.mark.parametrize(
    ("name", "content", "how", "rows"),
    [
        (
            "PartiPrompts.tsv",
            PARTI,
            {},
            [
                (None, {"prompt": 'a sign that says "Open"'}, {"Category": "Artifacts", "Challenge": "Writing"}),
                (
                    None,
                    {"prompt": '"Hello", said the cat'},
                    {"Category": "Animals", "Challenge": "Writing", "Note": "begins with a quote"},
                ),
                (None, {"prompt": '"big cat"'}, {"Category": "Animals", "Challenge": "Basic"}),
                (
                    None,
                    {"prompt": 'a dog, "Rex"\nby a lake'},
                    {"Category": "Animals", "Challenge": "Basic", "Note": "as Excel writes it"},
                ),
                (None, {"prompt": '"unclosed'}, {"Category": "Animals", "Challenge": "Basic"}),
            ],
        ),
        (
            "evaluation_metadata.jsonl",
            GENEVAL,
            {},
            [
                (
                    None,
                    {"prompt": "two cats"},
                    {"tag": "counting", "include": [{"class": "cat", "count": 2}], "exclude": []},
                ),
                (None, {"prompt": "a red dog"}, {"tag": "colors", "include": [{"class": "dog"}]}),
            ],
        ),
        (
            "generation_prompts.txt",
            "two cats\n# 1 fan\n",
            {},
            [(None, {"prompt": "two cats"}, {}), (None, {"prompt": "# 1 fan"}, {})],
        ),
        ("generation_prompts.txt", "two cats\n# 1 fan\n", {"comments": True}, [(None, {"prompt": "two cats"}, {})]),
        (
            "DrawBench.csv",
            'Prompts,Category\n"A red cat, and a blue dog.",Colors\n',
            {"prompt_column": "prompts"},
            [(None, {"prompt": "A red cat, and a blue dog."}, {"Category": "Colors"})],
        ),
        (
            "VBench_full_info.json",
            VBENCH,
            {"prompt_column": "prompt_en"},
            [
                (None, {"prompt": "a cat\nthat sleeps"}, {"dimension": ["color", "style"]}),
                (None, {"prompt": "a dog"}, {"dimension": []}),
            ],
        ),
        ("batch.jsonl", OPENAI, {}, [("r-1", {"model": "flux-pro", "prompt": "a cat", "n": 2}, {})]),
        ("list.jsonl", '["a", {"prompt": "b"}]', {}, [(None, {"prompt": "a"}, {}), (None, {"prompt": "b"}, {})]),
        # A column is not split where the header has one.
        ("one.csv", "prompt\na cat, black, 5\n", {}, [(None, {"prompt": "a cat, black, 5"}, {})]),
        ("excel.csv", "sep=;\r\nPrompt;n;id\r\na, b; 2 ;7\r\n", {}, [("7", {"prompt": "a, b", "n": 2}, {})]),
        (
            "pandas.csv",
            ",prompt,note\n0, a cat , x \n1,b,\n",
            {},
            [(None, {"prompt": " a cat "}, {"note": "x"}), (None, {"prompt": "b"}, {})],
        ),
        ("again.csv", "Unnamed: 0,prompt\n0,a\n", {}, [(None, {"prompt": "a"}, {})]),
        (
            "a.csv",
            "title,prompt,prompt_nsfw,user_name\nt,a,0.1,u\n",
            {},
            [(None, {"prompt": "a"}, {"title": "t", "prompt_nsfw": "0.1", "user_name": "u"})],
        ),
        (
            "a.csv",
            "SKU,prompt,sise\nS 1,a,big\n",
            {"id_column": "SKU", "carry": ["sise"]},
            [("S 1", {"prompt": "a"}, {"sise": "big"})],
        ),
        (
            "a.jsonl",
            '{"PROMPT": "a", "size": "1024x1024", "n": null, "note": null}',
            {"carry": "size"},
            [(None, {"prompt": "a"}, {"size": "1024x1024"})],
        ),
        ("a.csv", "prompt,Prompts,size,sises\na,b,,c\n", {}, [(None, {"prompt": "a"}, {"Prompts": "b", "sises": "c"})]),
    ],
)
def test_files_as_they_are_published_and_saved(tmp_path, name, content, how, rows):
    assert read(written(tmp_path, name, content), **how) == rows


@pytest.mark.parametrize(
    ("name", "content", "how", "said"),
    [
        (
            "a.csv",
            "prompt,sise\na,1\n",
            {},
            "'sise' is no parameter; did you mean 'size'? To carry it along instead: --carry sise",
        ),
        ("a.csv", "prompt,modle\na,1\n", {}, "'modle' is no parameter; did you mean 'model'?"),
        ("a.jsonl", '{"prompt": "a", "sise": "b"}', {}, "line 1: 'sise' is no parameter; did you mean 'size'?"),
        ("a.csv", "prompt,title\na,1\n", {"strict_columns": True}, "'title' is no parameter"),
        (
            "a.csv",
            "Prompts,n\na,1\n",
            {},
            "there is no column 'prompt'; to take 'Prompts' for it: --prompt-column Prompts",
        ),
        (
            "a.json",
            VBENCH,
            {},
            "lines 2, 9: there is no column 'prompt'; to take 'prompt_en' for it: --prompt-column prompt_en",
        ),
        ("a.csv", "negative_prompt_id,Caption text\na,1\n", {}, '--prompt-column "Caption text"'),
        (
            "a.csv",
            "prompt,n\na,1\n",
            {"prompt_column": "text"},
            "there is no column 'text', which --prompt-column asks for; there are 'prompt', 'n'",
        ),
        ("a.csv", "prompt,n\na,1\n", {"id_column": "sku"}, "there is no column 'sku', which --id-column asks for"),
        ("a.csv", "prompt,Prompt\na,b\n", {}, "'prompt' and 'Prompt' are both 'prompt'"),
        ("a.csv", "prompt,note,note\na,b,c\n", {}, "the column 'note' is there twice"),
        ("a.csv", "prompt,,note\na,b,c\n", {}, "line 2: a cell stands in a column without a name"),
        ("a.csv", "prompt,n\na,a white cat\n", {}, "line 2: n must be a whole number."),  # not repeated: a prompt
        (
            "a.csv",
            "prompt,n\na,1.5\nb,x\n",
            {},
            "line 2: n must be a whole number, not '1.5'\n  - line 3: n must be a whole number, not 'x'",
        ),
        ("a.csv", "id,prompt\na/b,x\n", {}, "line 2: id holds '/', and an id stands in file names"),
        ("a.csv", f"id,prompt\n{'x' * 300},x\n", {}, "line 2: id is longer than 100 characters or 150 bytes"),
        ("a.csv", "id,prompt\n ,x\n", {}, "line 2: id is empty, and every row needs an id"),
        (
            "a.csv",
            "prompt,n\n" + "a,x\n" * 2000,
            {},
            "has 2,000 faults:\n  - lines 2, 3, 4, 5, 6 and 1,995 more: n must be a whole number",
        ),
        ("a.json", '[{"prompt": "a"}, 7]', {}, "line 1: must be an object or a string, not a number"),
        ("a.json", '[{"prompt": "a"} {"prompt": "b"}]', {}, "line 1: is no JSON list: ',' is missing"),
        ("a.json", '[\n"a"\n]\n"b"', {}, "line 4: is no JSON list: it goes on"),
        ("a.json", '["a",\n"b', {}, "line 2: is not valid JSON"),
        ("a.json", b'["a",\n"caf\xe9"]', {}, "line 2: is not UTF-8 but, it seems, Windows-1252"),
        (
            "a.jsonl",
            OPENAI.replace("generations", "edits"),
            {},
            "line 1: is not for the generation of images, by its url",
        ),
        ("a.jsonl", OPENAI.replace('"n": 2', '"hat": 2'), {}, "line 1: 'hat' is no parameter"),
        ("a.jsonl", OPENAI.replace("r-1", "r/1"), {}, "line 1: custom_id holds '/'"),
        ("a.csv", b"\xd0\xcf\x11\xe0" + b"\0" * 600, {}, "is an old or an encrypted Excel file"),
        (
            "a.xlsx",
            b"\xd0\xcf\x11\xe0" + b"\0" * 600,
            {},
            "is encrypted, or of an old Excel. Save it as .xlsx, without a password",
        ),
        ("a.xlsx", b"PK\x03\x04nonsense", {}, "is no spreadsheet that can be read"),
    ],
)
def test_what_cannot_be_read_is_said_plainly(tmp_path, name, content, how, said):
    message = refused(written(tmp_path, name, content), **how)
    assert said in message
    assert "Nothing was sent" in message


def test_a_list_of_any_length_streams_with_its_lines(tmp_path):
    prompts = [f"cat {number} " + "ü" * (number % 70_000) for number in range(0, 200_000, 1999)]
    path = written(tmp_path, "a.json", json.dumps([{"prompt": one} for one in prompts], indent=1, ensure_ascii=False))
    rows = list(read_rows(path))
    assert [row["prompt"] for row in rows] == prompts
    assert [row.line for row in rows] == [2 + 3 * index for index in range(len(prompts))]


# ---- spreadsheets: small ones, written here ----

SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
LINKS = "http://schemas.openxmlformats.org/package/2006/relationships"
STYLES = '<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs>'
REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def text(cell: str, value: str) -> str:
    return f'<c r="{cell}" t="inlineStr"><is><t xml:space="preserve">{value}</t></is></c>'


HEADER = f"<row r='1'>{text('A1', 'Prompt')}{text('B1', 'n')}{text('C1', 'when')}{text('D1', 'price')}</row>"
CELLS = "<c r='B2'><v>2</v></c><c r='C2' s='1'><v>45293</v></c><c r='D2'><v>1.5</v></c>"
FIRST = f"<row r='2'>{text('A2', ' a cat ')}{CELLS}</row>"


def xlsx(folder: Path, **sheets: str) -> Path:
    """Write a spreadsheet with these sheets: each a name and the XML of its rows, and of what follows them."""
    path = folder / "a.xlsx"
    named = list(enumerate(sheets, 1))
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{LINKS}">'
        f'<Relationship Id="r1" Type="{REL}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{SHEET}" xmlns:r="{REL}"><sheets>'
        + "".join(f'<sheet name="{name}" sheetId="{i}" r:id="r{i}"/>' for i, name in named)
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{LINKS}">'
        + "".join(f'<Relationship Id="r{i}" Type="{REL}/worksheet" Target="worksheets/s{i}.xml"/>' for i, _ in named)
        + f'<Relationship Id="r0" Type="{REL}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{SHEET}">{STYLES}</styleSheet>',
        **{
            f"xl/worksheets/s{i}.xml": f'<worksheet xmlns="{SHEET}">{sheets[name] or "<sheetData/>"}</worksheet>'
            for i, name in named
        },
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def data(*rows: str) -> str:
    return f"<sheetData>{''.join(rows)}</sheetData>"


GOOD = data(HEADER, FIRST)


def test_a_spreadsheet_is_read_with_its_kinds(tmp_path):
    cat = (None, {"prompt": " a cat ", "n": 2}, {"when": "2024-01-02", "price": 1.5})
    formula = data(HEADER, f"<row r='3'>{text('A3', 'b')}<c r='D3'><f>1+1</f><v>2</v></c></row>")
    assert read(xlsx(tmp_path, Prompts=GOOD, Empty="")) == [cat]
    assert read(xlsx(tmp_path, Notes=data(HEADER.replace("Prompt", "Hat")), Prompts=GOOD), sheet="Prompts") == [cat]
    path = xlsx(tmp_path, Prompts=formula)
    assert [(row.line, dict(row), row.extra) for row in read_rows(path)] == [(3, {"prompt": "b"}, {"price": 2})]
    with path.open("rb") as file:
        assert len(list(read_rows("-", format="xlsx", stdin=file))) == 1


@pytest.mark.parametrize(
    ("sheets", "how", "said"),
    [
        ({"A": GOOD, "B": GOOD}, {}, "has 2 sheets. Say which with --sheet: 'A', 'B'"),
        ({"A": GOOD}, {"sheet": "C"}, "has no sheet 'C'. Its sheets: 'A'"),
        (
            {"A": f'{GOOD}<mergeCells count="1"><mergeCell ref="A2:A3"/></mergeCells>'},
            {},
            "has merged cells in 'A' (A2:A3)",
        ),
        (
            {"A": data(HEADER, f"<row r='2'>{text('A2', 'x')}<c r=\"B2\"><f>C1+1</f></c></row>")},
            {},
            "the formula in B2 has no value in the file. Open it in Excel or LibreOffice and save it there",
        ),
        (
            {"A": data(HEADER, f'<row r=\'2\'>{text("A2", "x")}<c r="B2" t="e"><v>#N/A</v></c></row>')},
            {},
            "B2 holds an error value such as #N/A",
        ),
        (
            {"A": data(HEADER.replace("when", "size"), FIRST)},
            {},
            "line 2: size is a date or a time; format the column as text",
        ),
        (
            {"A": data(HEADER, FIRST.replace("<v>2</v>", "<v>1.5</v>"))},
            {},
            "line 2: n must be a whole number, not '1.5'",
        ),
        ({"A": ""}, {}, "holds no prompts"),
        (
            {"A": data(f"<row r='1'>{text('A1', 'Our shop')}</row>", FIRST)},
            {},
            "Take away what stands above them, a title for example, or say which column it is with --prompt-column.",
        ),
        (
            {
                "A": data(
                    f"<row r='1'>{text('A1', 'prompt')}</row>", f"<row r='2'>{text('A2', 'x')}{text('B2', 'y')}</row>"
                )
            },
            {},
            "line 2: has 2 cells, the header has 1; name every column.",
        ),
        (
            {"A": data(f"<row r='1'>{text('A1', 'Text')}{text('B1', 'Shelf no.')}</row>", FIRST)},
            {"prompt_column": "p"},
            "there is no column 'p', which --prompt-column asks for; there are 'Text', ....",
        ),
    ],
)
def test_what_a_spreadsheet_has_and_a_table_has_not_is_refused(tmp_path, sheets, how, said):
    assert said in refused(xlsx(tmp_path, **sheets), **how)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ('<c r="D2"><f>B2*1.19</f></c>', "the formula in D2 has no value in the file. Open it in Excel or LibreOffice"),
        (
            '<c r="D2" t="e"><v>#N/A</v></c>',
            "D2 holds an error value such as #N/A. It is carried along as an empty cell",
        ),
    ],
)
def test_a_column_that_is_not_sent_may_have_no_values(tmp_path, cell, said):
    """Bug: a price without a value, as openpyxl writes one, kept every prompt of the sheet from being sent."""
    rows = data(HEADER, f"<row r='2'>{text('A2', 'x')}{cell}</row>", f"<row r='3'>{text('A3', 'y')}</row>")
    with pytest.warns(LemonWarning, match=said):
        found = list(read_rows(xlsx(tmp_path, A=rows)))
    assert [(dict(row), row.extra) for row in found] == [({"prompt": "x"}, {}), ({"prompt": "y"}, {})]
    assert said.partition(". ")[0] in refused(xlsx(tmp_path, A=rows.replace("price", "id")))


# ---- Parquet ----


def parquet(folder: Path, **columns: Any) -> Path:
    pa = pytest.importorskip("pyarrow", reason="the extra 'parquet' is not installed: pip install 'lemon-ext[parquet]'")
    from pyarrow.parquet import write_table

    write_table(pa.table(columns), folder / "metadata.parquet", row_group_size=2)
    return folder / "metadata.parquet"


def test_a_parquet_file_of_generations_is_read(tmp_path):
    path = parquet(
        tmp_path,
        image_name=["a.png", "b.png", "c.png"],
        prompt=["a cat", "a dog", None],
        part_id=[1, 1, 2],
        size=["1024x1024", None, None],
        cfg=[7.5, float("nan"), 7.0],
        user_name=["x", "y", "z"],
        timestamp=[datetime(2024, 1, 2, 3, 4, tzinfo=UTC)] * 3,
        tags=[["a"], [], None],
    )
    rows = list(read_rows(path, carry=["size"], id_column="image_name"))
    assert [(row.line, row.id, dict(row)) for row in rows] == [
        (1, "a.png", {"prompt": "a cat"}), (2, "b.png", {"prompt": "a dog"}), (3, "c.png", {}),
    ]  # fmt: skip
    assert rows[0].extra == {
        "part_id": 1, "size": "1024x1024", "cfg": 7.5, "user_name": "x", "timestamp": "2024-01-02T03:04:00+00:00",
        "tags": ["a"],
    }  # fmt: skip
    assert rows[1].extra == {
        "part_id": 1, "user_name": "y", "timestamp": "2024-01-02T03:04:00+00:00", "tags": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"caption": ["a"]}, "there is no column 'prompt'; to take 'caption' for it: --prompt-column caption"),
        ({"prompt": [["a"]]}, "line 1: prompt is a list, and has to be one value"),
        ({"prompt": [{"en": "a"}]}, "line 1: prompt is an object, and has to be one value"),
        ({"prompt": ["a"], "image": [{"bytes": b"x"}]}, "holds binary data in the column 'image'"),
    ],
)
def test_what_a_parquet_file_lacks_or_nests_is_said(tmp_path, columns, said):
    assert said in refused(parquet(tmp_path, **columns))
    assert "is no Parquet file that can be read" in refused(written(tmp_path, "b.parquet", b"PAR1 nonsense PAR1"))
