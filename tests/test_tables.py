"""Tables as people have them: what their columns are, every format, and what cannot be a table, said plainly.

The files have the shapes of published ones (PartiPrompts, geneval, DrawBench, VBench, DiffusionDB); the texts are ours.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lemon_ext import LemonWarning
from lemon_ext.batch import plan_batch
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
        # Bug: a prompt that nobody sees was sent.
        ("a.csv", "\u200bprompt,n\na,1\n\u200b,\n\u00a0\ufeff,\n", {}, [(None, {"prompt": "a", "n": 1}, {})]),
        ("again.csv", "Unnamed: 0,prompt\n0,a\n", {}, [(None, {"prompt": "a"}, {})]),
        # Bug: half of the text was the prompt where blanks stand after the separators.
        (
            "blanks.csv",
            'id, prompt, note\n1, "a cat, white", x\n2, a dog, "y"\n',
            {},
            [("1", {"prompt": "a cat, white"}, {"note": "x"}), ("2", {"prompt": "a dog"}, {"note": "y"})],
        ),
        # Bug: pandas writes 2.0 for 2 where other rows have none, and that was refused.
        (
            "pandas.jsonl",
            '{"prompt": "a", "n": 2.0}\n{"prompt": "b", "n": null}',
            {},
            [(None, {"prompt": "a", "n": 2}, {}), (None, {"prompt": "b"}, {})],
        ),
        (
            "batch.jsonl",
            OPENAI.replace('"custom_id": "r-1", ', '"team": "x", '),
            {},
            [(None, {"model": "flux-pro", "prompt": "a cat", "n": 2}, {"team": "x"})],
        ),
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
        (
            "a.csv",
            "prompt,size,image_size,model_name,n images,user_name\na,1024x1024,512x512,SD 1.5,200,u\n",
            {},
            [
                (
                    None,
                    {"prompt": "a", "size": "1024x1024"},
                    {"image_size": "512x512", "model_name": "SD 1.5", "n images": "200", "user_name": "u"},
                )
            ],
        ),
        (
            "a.csv",
            "prompt,model_name\na,midjourney\n",
            {"carry": "model_name"},
            [(None, {"prompt": "a"}, {"model_name": "midjourney"})],
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
            "line 1: is for another endpoint (/v1/images/edits); a batch sends images/generations, so take such",
        ),
        ("a.jsonl", OPENAI.replace('"n": 2', '"hat": 2'), {}, "line 1: 'hat' is no parameter"),
        ("a.jsonl", OPENAI.replace("r-1", "r/1"), {}, "line 1: custom_id holds '/'"),
        # Bug: a size beside the body was left out silently.
        (
            "a.jsonl",
            OPENAI.replace('"custom_id"', '"size": "1x1", "custom_id"'),
            {},
            "line 1: 'size' stands beside the body, where nothing is sent; put it into it",
        ),
        # Bug: in tables that were put together, the names of the columns were a prompt.
        ("a.csv", "prompt\na\nprompt\nb\n", {}, "line 3: names the columns again; take it away"),
        ("a.csv", "prompt,n\na,1\n\ufeffprompt,n \nb,1\n", {}, "line 3: names the columns again; take it away"),
        ("a.csv", "prompt,size:\na,1\n", {}, "line 1: 'size:' is no parameter; did you mean 'size'?"),
        ("a.csv", 'id,prompt,note\n1, "a cat, white"\n', {}, "line 2: has a blank before a quote"),
        # Bug: what Excel writes for a formula without a value was sent as a prompt.
        ("a.csv", "prompt,n\n#NAME?,1\n#BEZUG!,1\n", {}, "lines 2, 3: prompt is an error value such as #N/A"),
        ("a.csv", "id,prompt\ncom1.x,a\n", {}, "line 2: id is a name that Windows keeps for devices"),
        ("a.csv", b"\xd0\xcf\x11\xe0" + b"\0" * 600, {}, "is an old or an encrypted Excel file"),
        ("a.feather", b"ARROW1\0\0\xff", {}, "is an Arrow or a Feather file. Save it as Parquet"),
        ("a.jsonl.zst", b"\x28\xb5\x2f\xfd\0", {}, "is compressed with zstd. Unpack it first"),
        ("a.xls", b"<html><table>", {}, "is a web page or XML. Save it as .xlsx or CSV"),
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


TSV = "may be a table (tsv), or text with one prompt a line. Say what it is: --format tsv or --format txt."


@pytest.mark.parametrize(
    ("name", "content", "how", "said"),
    [
        ("a.txt", "prompt\tn\na cat\t2\n", {}, TSV),
        ("a.txt", "Text\tn\na cat\t2\n", {}, TSV),
        ("a.txt", "prompt,n\na cat,2\n", {}, "may be a table (csv)"),
        ("a.txt", '{"prompt": "a cat", "n": 2}\n', {}, "may be a table (jsonl)"),
        ("a.txt", '[\n{"prompt": "a cat"}]\n', {}, "may be a table (json)"),
        ("-", "Text\tn\na cat\t2\n", {}, TSV),
        ("-", "SKU,Prompts\n1,a cat\n", {}, "there is no column 'prompt'; to take 'Prompts' for it"),
        (
            "a.txt",
            "a cat\n",
            {"prompt_column": "caption"},
            "has no column 'caption'. If it is a table, say so: --format csv",
        ),
        ("-", "a cat\n", {"id_column": "SKU"}, "has no column 'SKU'"),
        (
            "a.yaml",
            "- prompt: a cat\n  n: 2\n",
            {},
            "has a suffix that does not tell its format. Say it, such as --format txt",
        ),
    ],
)
def test_the_lines_of_a_table_are_not_sent_as_prompts(tmp_path, name, content, how, said):
    """Bug: of a table named .txt, as Excel saves one, or of one in standard input whose prompts have another name, each
    line was a prompt, and paid for.
    """
    path = written(tmp_path, name if name != "-" else "a", content)
    with path.open("rb") as file, pytest.raises(RowsError) as caught:
        list(read_rows(name if name == "-" else path, stdin=file, **how))
    assert said in str(caught.value)
    if not how:
        assert len(read(path, format="txt")) == content.count("\n")


@pytest.mark.parametrize(
    ("content", "how", "row"),
    [
        ("SKU,Prompt,Image size\n1,a cat,x\n", {}, ("a cat", {"SKU": "1", "Image size": "x"})),
        ("SKU;caption\n1;a cat\n", {"prompt_column": "Caption"}, ("a cat", {"SKU": "1"})),
        ("{red|blue} cat\n", {}, ("{red|blue} cat", {})),
        ("[photo] cat\n", {}, ("[photo] cat", {})),
    ],
)
def test_a_table_in_standard_input_is_told_by_its_columns(tmp_path, content, how, row):
    with written(tmp_path, "a", content).open("rb") as file:
        assert [(one["prompt"], one.extra) for one in read_rows("-", stdin=file, **how)] == [row]


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
            "say which column it is with --prompt-column, or with --header-row which line names the columns.",
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


HIDDEN = "line 3: hidden by a filter or by hand, and would be sent; show it, or leave it out: --skip-hidden"


def test_rows_that_nobody_sees_are_not_sent(tmp_path):
    """Bug: the rows that a filter hides were sent with those that it shows."""
    shown = [HEADER, FIRST, f"<row r='4'>{text('A4', 'c')}</row>"]
    row = f'<row r="3" spans="1:4" hidden="1">{text("A3", "b")}</row>'
    assert refused(xlsx(tmp_path, A=data(*shown[:2], row, shown[2]))).endswith(f"a.xlsx, {HIDDEN}.")
    assert len(read(xlsx(tmp_path, A=data(*shown[:2], '<row r="3" hidden="1"/>', shown[2])))) == 2
    found = read_rows(xlsx(tmp_path, A=data(*shown[:2], row, shown[2])), skip_hidden=True)
    assert [(one.line, one["prompt"]) for one in found] == [(2, " a cat "), (4, "c")]
    path = written(tmp_path, "a.csv", "prompt\na\n")
    assert "is no spreadsheet (csv), so no row is hidden; leave out --skip-hidden" in refused(path, skip_hidden=True)


def ods(folder: Path, **sheets: str) -> Path:
    """Write an OpenDocument spreadsheet with these sheets: each a name and the XML of its rows."""
    path = folder / "a.ods"
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    tables = "".join(f'<table:table table:name="{name}">{rows}</table:table>' for name, rows in sheets.items())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr(
            "content.xml",
            f"<office:document-content {spaces}><office:body><office:spreadsheet>{tables}</office:spreadsheet>"
            "</office:body></office:document-content>",
        )
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
    return path


def ods_row(prompt: str, attributes: str = "") -> str:
    cell = f'<table:table-cell office:value-type="string"><text:p>{prompt}</text:p></table:table-cell>'
    return f"<table:table-row {attributes}>{cell}</table:table-row>"


def test_rows_that_nobody_sees_are_not_sent_from_libreoffice(tmp_path):
    rows = [ods_row("prompt"), ods_row("a"), ods_row("b", 'table:visibility="filter"'), ods_row("c")]
    end = '<table:table-row table:number-rows-repeated="1048000" table:visibility="collapse"/>'
    found = refused(ods(tmp_path, Notes="".join([ods_row("x")] * 3), Prompts="".join(rows)), sheet="Prompts")
    assert found.endswith(f"a.ods, {HIDDEN}.")
    assert len(read(ods(tmp_path, Prompts="".join(rows)), skip_hidden=True)) == 2
    assert len(read(ods(tmp_path, Prompts="".join([*rows[:2], end])))) == 1


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


# ---- a title above the names of the columns ----

TITLE = "Spring, Stand 12.11."
ABOVE = [[TITLE], [], ["SKU", "Prompt", "", "size"], ["0007", "ein Kätzchen", "", "1024x1024"], ["0008", "ein Bär"]]
NAMED = [
    (None, {"prompt": "ein Kätzchen", "size": "1024x1024"}, {"SKU": "0007"}),
    (None, {"prompt": "ein Bär"}, {"SKU": "0008"}),
]


def xlsx_rows(rows: list[list[str]], more: str = "") -> str:
    """Return the XML of a sheet of an .xlsx file."""
    lines = []
    for number, row in enumerate(rows, 1):
        cells = "".join(text(f"{'ABCDEFGH'[place]}{number}", cell) for place, cell in enumerate(row) if cell)
        lines.append(f'<row r="{number}">{cells}</row>')
    return data(*lines) + more


def open_sheet(rows: list[list[str]], spans: Mapping[tuple[int, int], str] | None = None) -> str:
    """Return the XML of a sheet of an .ods file. ``spans`` are attributes of cells, by row and place from 0."""
    lines, marks = "", spans or {}
    for number, row in enumerate(rows):
        cells = ""
        for place, cell in enumerate(row):
            what = f'office:value-type="string" {marks.get((number, place), "")}'
            held = f"<table:table-cell {what}><text:p>{cell}</text:p></table:table-cell>"
            cells += held if cell else "<table:table-cell/>"
        lines += f"<table:table-row>{cells or '<table:table-cell/>'}</table:table-row>"
    return lines


def as_file(folder: Path, kind: str, rows: list[list[str]]) -> Path:
    if kind == "xlsx":
        return xlsx(folder, A=xlsx_rows(rows))
    if kind == "ods":
        return ods(folder, Empty="", A=open_sheet(rows))
    separator = {"csv": ";", "tsv": "\t"}[kind]
    return written(folder, f"a.{kind}", "".join(f"{separator.join(row)}\r\n" for row in rows))


@pytest.mark.parametrize("kind", ["xlsx", "ods", "csv", "tsv"])
def test_the_line_that_names_the_columns_is_found_and_can_be_given(tmp_path, kind):
    """Bug: a title above the table had to be removed by hand."""
    path = as_file(tmp_path, kind, ABOVE)
    assert refused(path) == (
        f"Nothing was sent. {path}, line 1: there is no column 'prompt'; line 3 seems to name the columns: "
        "--header-row 3."
    )
    assert read(path, header_row=3) == NAMED
    assert [row.line for row in read_rows(path, header_row=3)] == [4, 5]
    assert refused(path, header_row=2).endswith("has nothing in line 2, which --header-row names. Nothing was sent.")
    assert "has nothing in line 9, which --header-row names" in refused(path, header_row=9)
    for names, said in (
        (["SKU", "Prompts"], "line 3 seems to name the columns: --header-row 3 --prompt-column Prompts."),
        (["SKU", "Motiv"], "if line 3 names the columns: --header-row 3 --prompt-column NAME."),
    ):
        path = as_file(tmp_path, kind, [["Spring"], [], names, ["0007", "ein Kätzchen"]])
        assert refused(path) == f"Nothing was sent. {path}, line 1: there is no column 'prompt'; {said}"
    assert "no column 'Motiv'; line 3 seems to name the columns: --header-row 3." in refused(
        path, prompt_column="Motiv"
    )
    assert read(path, header_row=3, prompt_column="Motiv") == [(None, {"prompt": "ein Kätzchen"}, {"SKU": "0007"})]


def test_what_separates_the_cells_is_told_by_the_line_of_their_names(tmp_path):
    title = "A title, with commas, and more\n\n"
    assert read(written(tmp_path, "a.csv", f"{title}prompt;n\na, b;2\n"), header_row=3) == [
        (None, {"prompt": "a, b", "n": 2}, {})
    ]
    path = written(tmp_path, "a.csv", f"sep=;\n{title}prompt;note\na;b,c\n")
    assert read(path, header_row=4) == [(None, {"prompt": "a"}, {"note": "b,c"})]
    assert read(written(tmp_path, "a.tsv", '"prompt"\t"note"\n"a"\t"b"\n')) == [(None, {"prompt": "a"}, {"note": "b"})]


@pytest.mark.parametrize("row", [0, -1, True, "3"])
def test_a_line_of_names_is_counted_from_one(tmp_path, row):
    with pytest.raises(ValueError, match=f"header_row must be a line, counted from 1, and not {row!r}"):
        list(read_rows(as_file(tmp_path, "xlsx", ABOVE), header_row=row))


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.txt"])
def test_a_line_of_names_is_asked_for_where_there_is_none(tmp_path, name):
    path = written(tmp_path, name, '["a"]' if name == "a.json" else '"a"\n')
    assert "is no table whose columns a line names" in refused(path, header_row=1)


MERGED = [["Spring"], ["SKU", "Prompt", "Notes", ""], ["7", "a cat", "old", "new"], ["8", "a dog", "", ""]]


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
def test_cells_that_are_merged_in_the_names_name_all_their_columns(tmp_path, kind):
    """Bug: a merged cell anywhere, in a title as well, kept a spreadsheet from being read. In .ods none was noticed."""
    if kind == "xlsx":
        above = '<mergeCells><mergeCell ref="A1:D1"/><mergeCell ref="C2:D2"/></mergeCells>'
        path = xlsx(tmp_path, A=xlsx_rows(MERGED, above))
    else:
        spans = {(0, 0): 'table:number-columns-spanned="4"', (1, 2): 'table:number-columns-spanned="2"'}
        path = ods(tmp_path, Empty="", A=open_sheet(MERGED, spans))
    assert "--header-row 2" in refused(path)
    assert read(path, header_row=2) == [
        (None, {"prompt": "a cat"}, {"SKU": "7", "Notes": "old", "Notes 2": "new"}),
        (None, {"prompt": "a dog"}, {"SKU": "8"}),
    ]
    if kind == "xlsx":
        path = xlsx(tmp_path, A=xlsx_rows(MERGED, '<mergeCells><mergeCell ref="C3:C4"/></mergeCells>'))
    else:
        path = ods(tmp_path, A=open_sheet(MERGED, {(2, 2): 'table:number-rows-spanned="2"'}))
    assert "line 3: has merged cells in 'A' (C3:C4); unmerge them: each row is a prompt" in refused(path, header_row=2)


def test_a_name_may_stand_in_a_cell_that_is_merged_downwards(tmp_path):
    rows = [["SKU", "Prompt"], ["", "", "size"], ["7", "a cat", "1024x1024"]]
    path = xlsx(
        tmp_path, A=xlsx_rows(rows, '<mergeCells><mergeCell ref="A1:A2"/><mergeCell ref="B1:B2"/></mergeCells>')
    )
    assert read(path, header_row=2) == [(None, {"prompt": "a cat", "size": "1024x1024"}, {"SKU": "7"})]


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


def test_the_index_of_a_data_frame_is_left_out_wherever_it_stands(tmp_path):
    """Bug: pandas writes it last into a Parquet file, and it was carried along."""
    assert read(parquet(tmp_path, prompt=["a"], __index_level_0__=[7])) == [(None, {"prompt": "a"}, {})]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"caption": ["a"]}, "there is no column 'prompt'; to take 'caption' for it: --prompt-column caption"),
        (
            {"motif": ["a"]},
            "there is no column 'prompt'; say which column it is with --prompt-column.",
        ),  # it has no lines
        ({"prompt": [["a"]]}, "line 1: prompt is a list, and has to be one value"),
        ({"prompt": [{"en": "a"}]}, "line 1: prompt is an object, and has to be one value"),
        ({"prompt": ["a"], "image": [{"bytes": b"x"}]}, "holds binary data in the column 'image'"),
    ],
)
def test_what_a_parquet_file_lacks_or_nests_is_said(tmp_path, columns, said):
    assert said in refused(parquet(tmp_path, **columns))
    assert "is no Parquet file that can be read" in refused(written(tmp_path, "b.parquet", b"PAR1 nonsense PAR1"))


@pytest.mark.parametrize(
    ("content", "how", "told"),
    [
        ("prompt,Size (px)\na,1024x1024\n", {}, "Line 2: a column holds what 'size' takes, and is not sent"),
        ("prompt;Größe\na;1024x1024\nb;512x512\n", {}, "Lines 2, 3: a column holds what 'size' takes"),
        ("prompt,model_name\na,SD 1.5\nb,Midjourney\n", {}, "Line 3: 'model_name' holds what 'model' takes"),
        ("prompt,n images\na,200\nb,2\n", {}, "Line 3: a column holds what 'n' takes"),
        ('{"prompt": "a", "image_style": "vivid"}', {}, "Line 1: 'image_style' holds what 'style' takes"),
        ("prompt,model_name\na,midjourney\n", {"defaults": {"model": "midjourney"}}, None),
        ("prompt,model_name\na,midjourney\n", {"grid": {"model": ["midjourney", "flux-pro"]}}, None),
        ("prompt,model_name\na,midjourney\n", {"carry": ["model_name"]}, None),
        ("prompt,size,image_size\na,1024x1024,512x512\n", {}, None),
        ("prompt,user_name,title,prompt_nsfw\na,u,t,0.5\n", {}, None),
    ],
)
@pytest.mark.parametrize("from_file", [True, False])
def test_a_carried_cell_that_was_probably_meant_for_a_parameter_is_a_warning(
    tmp_path, recwarn, content, how, told, from_file
):
    """Bug: nothing was said of it, and the picture was another one, paid for."""
    how = dict(how)
    carry = how.pop("carry", [])
    path = written(tmp_path, "a.jsonl" if content.startswith("{") else "a.csv", content)
    rows = list(read_rows(path, carry=carry))
    if not from_file:
        rows, told = [{**row, **row.extra} for row in rows], told and told.replace("Line", "Row")
        told = told and re.sub(r"\d", lambda found: str(int(found[0]) - (path.suffix == ".csv")), told)
    plan_batch(rows, **how, **({} if from_file else {"carry": carry}))
    messages = [str(one.message) for one in recwarn.list if one.category is LemonWarning]
    assert len(messages) == (told is not None)
    assert all(one.startswith(told) for one in messages)
