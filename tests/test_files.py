"""Files: whole or not at all, under the right name, in the right folder, and never through a link."""

from __future__ import annotations

import os
import stat
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lemon_ext import DownloadError
from lemon_ext._files import Buffer, PartFile, file_stem, put_aside, remove_stale_parts, write_whole
from tests.pictures import PNG


@pytest.mark.parametrize(
    ("prompt", "stem"),
    [
        ("A white cat", "a-white-cat"),
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\Windows\\system32", "c-windows-system32"),
        ("con", "image"),
        ("COM¹", "image"),
        ("  ...  ", "image"),
        ("", "image"),
        (None, "image"),
        ("하얀 고양이", "하얀-고양이"),
        # Bug: the vowels of Hindi, and accents as macOS writes them, cut words into letters.
        ("हिन्दी भाषा", "हिन्दी-भाषा"),
        ("cafe\u0301 \u0301 a\ufe0f 😀❤️", "café-a"),
        ("İstanbul", "i\u0307stanbul"),
        ("x" * 300, "x" * 48),
        ("a\x00b/c", "a-b-c"),
        ("img_0f9a12bc34de", "img_0f9a12bc34de"),
    ],
)
def test_names_cannot_leave_the_folder(prompt, stem):
    assert file_stem(prompt) == stem
    assert len(file_stem("고양이" * 100).encode()) <= 48
    assert file_stem("word " * 200_000) == "word-word-word-word-word-word-word-word-word"


@pytest.mark.parametrize(
    ("prompt", "stem"),
    [
        ("a photograph of a lighthouse at dusk, with gulls", "a-photograph-of-a-lighthouse-at-dusk-with-gulls"),
        ("a photograph of a lighthouse at dusk, with gulls around", "a-photograph-of-a-lighthouse-at-dusk-with-gulls"),
        ("a photograph of a lighthouse at midnight, with seagulls", "a-photograph-of-a-lighthouse-at-midnight-with"),
        ("x" * 47 + " y", "x" * 47),
        ("x" * 48 + " y", "x" * 48),
        ("x" * 49 + " y", "x" * 48),
        ("해" * 20, "해" * 16),
    ],
)
def test_names_are_cut_at_the_end_of_a_word(prompt, stem):
    assert file_stem(prompt) == stem


@pytest.mark.parametrize("there", [True, False])
def test_a_suffix_that_is_corrected_replaces_no_other_file(tmp_path, there):
    """-o hero.jpg --overwrite, and a PNG comes: hero.png was not named, and stays."""
    for name in ("hero.jpg", "hero.png")[: 1 + there]:
        (tmp_path / name).write_bytes(b"mine")
    with PartFile(tmp_path / "hero.jpg") as part:
        part.write(PNG)
        path = part.place("a-cat", ".png", overwrite=True)
    assert path == tmp_path / ("hero-2.png" if there else "hero.png")
    assert path.read_bytes() == PNG
    assert (tmp_path / "hero.jpg").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("given", "name"), [("hero.png", "hero.png"), ("hero", "hero.png"), ("hero.v2", "hero.v2.png")]
)
def test_the_name_that_was_given_is_replaced(tmp_path, given, name):
    (tmp_path / name).write_bytes(b"mine")
    with PartFile(tmp_path / given) as part:
        part.write(PNG)
        assert part.place("a-cat", ".png", overwrite=True) == tmp_path / name
    assert (tmp_path / name).read_bytes() == PNG


def put(path, stem="", data=PNG, **options):
    with PartFile(path, 10_000) as part:
        part.write(data)
        return part.place(stem, ".png", **options)


def test_a_file_is_put_together_anew_before_it_gets_its_name(tmp_path):
    with PartFile(tmp_path / "cat") as part:
        part.write(PNG)
        part.change(lambda file: [b"before", (0, 4), b"between", (4, len(PNG))])
        assert len(list(tmp_path.iterdir())) == 1
        part.change(lambda file: None)
        path = part.place("", ".png")
    assert path.read_bytes() == b"before" + PNG[:4] + b"between" + PNG[4:]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the limit on a file's size stands for a full disk")
def test_where_there_is_no_space_for_a_change_the_file_stays_as_it_is(tmp_path, limited):
    with PartFile(tmp_path / "cat") as part:
        part.write(PNG)
        with limited(RLIMIT_FSIZE=len(PNG) + 10):
            part.change(lambda file: [b"x" * 100_000, (0, len(PNG))])
        with limited(RLIMIT_NOFILE=3):
            part.change(lambda file: [b"x", (0, len(PNG))])
        path = part.place("", ".png")
    assert path.read_bytes() == PNG
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_system_without_hard_links_is_served_too(tmp_path, monkeypatch):
    def link(source, target):
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", link)
    for name in ("image.png", "image-2.png"):
        assert put(tmp_path, "image") == tmp_path / name
    with pytest.raises(FileExistsError):
        put(tmp_path / "image")
    monkeypatch.setattr(Path, "replace", link)
    with pytest.raises(PermissionError):
        put(tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image-2.png", "image.png"]


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path):
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "cat.png").symlink_to(tmp_path / "mine")
    with pytest.raises(FileExistsError):
        put(tmp_path / "cat")
    put(tmp_path / "cat", overwrite=True)
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert (tmp_path / "cat.png").read_bytes() == PNG


def test_what_a_crash_left_is_removed_and_what_is_being_written_is_not(tmp_path):
    for name in (".0123456789abcdef.part", ".hidden.part", "0123456789abcdef.part", "mine.png"):
        (tmp_path / name).write_bytes(b"x")
    with PartFile(tmp_path / "cat", 10_000) as part:
        part.write(PNG)
        remove_stale_parts(tmp_path)
        part.place("", ".png")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".hidden.part", "0123456789abcdef.part", "cat.png", "mine.png"]


def test_many_saving_in_one_folder_lose_nothing(tmp_path):
    with ThreadPoolExecutor(8) as threads:
        paths = list(threads.map(lambda number: put(tmp_path, "cat", PNG + bytes([number])), range(40)))
    assert len(set(paths)) == 40
    assert [path.read_bytes()[-1] for path in paths] == list(range(40))


def test_data_that_is_no_whole_picture_gets_a_name_that_says_so(tmp_path):
    (tmp_path / "cat.png").write_bytes(b"mine")
    for name in ("cat.damaged.png", "cat.damaged-2.png"):
        assert put(tmp_path / "cat.png", remark=".damaged") == tmp_path / name
    assert put(tmp_path / "cat", remark=".damaged", overwrite=True) == tmp_path / "cat.damaged.png"
    assert put(tmp_path, "dog", remark=".damaged") == tmp_path / "dog.damaged.png"
    assert (tmp_path / "cat.png").read_bytes() == b"mine"


def test_a_text_is_written_whole_and_never_through_a_link(tmp_path):
    (tmp_path / "mine").write_text("mine")
    for name in ("results.jsonl", "index.html"):
        (tmp_path / name).symlink_to(tmp_path / "mine")
    write_whole(tmp_path / "results.jsonl", ["one\n", "두 번째\n", "half \ud83d\n"])
    write_whole(tmp_path / "index.html", "<p>")

    def broken():
        yield "half"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_whole(tmp_path / "results.jsonl", broken())
    assert (tmp_path / "results.jsonl").read_text(encoding="utf-8") == "one\n두 번째\nhalf ?\n"
    assert not (tmp_path / "results.jsonl").is_symlink()
    assert (tmp_path / "mine").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", "mine", "results.jsonl"]


def test_the_only_copy_is_put_aside_where_there_is_a_place(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    path = put_aside([PNG[:9], PNG[9:]], "cat", ".png")
    assert path is not None
    assert path.parent.parent == home
    assert (path.name, path.read_bytes()) == ("cat.png", PNG)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    def missing(**options):
        raise FileNotFoundError

    monkeypatch.setattr(tempfile, "mkdtemp", missing)
    assert put_aside([PNG], "cat", ".png") is None


def test_a_buffer_and_a_file_have_their_limit(tmp_path):
    for target in (Buffer(10), PartFile(tmp_path / "cat", 10)):
        with target, pytest.raises(DownloadError, match="max_bytes"):
            target.write(PNG)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_said(tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    for path in (tmp_path / "file" / "cat.png", f"{tmp_path / 'file'}/"):
        with pytest.raises(NotADirectoryError):
            PartFile(path)
