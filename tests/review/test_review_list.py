"""The review list: what a person wrote is never lost, and what is malformed is named."""

from __future__ import annotations

import codecs
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fg3d_builder.errors import ConfigError
from fg3d_builder.review.review_list import (
    ACCEPT,
    AUTO,
    REJECT,
    VERDICTS,
    ReviewList,
    is_kept,
    parse_review_list,
    read_review_list,
    update_review_list,
)

EDITED = """\
# first the ones from Monday

capture_id,verdict,quality,note
b-2,reject,0.912,"hair, and a hand"
# not sure about this one
a-1 , Accept ,0.100
c-3,auto,0.500,
d-4,reject
"""


def parsed(text: str) -> ReviewList:
    return parse_review_list(text, "review.csv")


def test_what_a_person_writes_is_understood() -> None:
    entries = parsed(EDITED).entries
    assert list(entries) == ["b-2", "a-1", "c-3", "d-4"]
    assert [e.verdict for e in entries.values()] == [REJECT, ACCEPT, AUTO, REJECT]
    assert [e.quality for e in entries.values()] == ["0.912", "0.100", "0.500", ""]
    assert entries["b-2"].note == "hair, and a hand"


def test_a_build_adds_new_captures_and_keeps_every_line(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    path.write_text(EDITED, encoding="utf-8")
    qualities = {"a-1": 0.1, "b-2": 0.912, "c-3": 0.25, "x-2": 0.8, "x-1": 0.7, "x-3": 0.7}
    update_review_list(path, lambda old: old.with_qualities(qualities))
    lines = path.read_text(encoding="utf-8").splitlines()
    expected = [*EDITED.splitlines(), "x-1,auto,0.700,", "x-3,auto,0.700,", "x-2,auto,0.800,"]
    expected[6] = "c-3,auto,0.250,"  # the one line whose quality is another now
    assert lines == expected
    before = path.stat().st_mtime_ns
    update_review_list(path, lambda old: old.with_qualities(qualities))
    assert path.stat().st_mtime_ns == before
    assert [p.name for p in tmp_path.iterdir()] == ["review.csv"]


def test_verdicts_by_command_keep_notes_unless_told(tmp_path: Path) -> None:
    old = parsed(EDITED)
    new = old.with_verdicts(["b-2", "c-3"], ACCEPT)
    assert new.entries["b-2"].note == "hair, and a hand"
    assert parsed("\n".join(new.lines)).entries == new.entries
    assert [a for a, b in zip(old.lines, new.lines, strict=True) if a == b] == [
        old.lines[i] for i in (0, 1, 2, 4, 5, 7)
    ]
    assert old.with_verdicts(["c-3"], REJECT, 'a "note", odd').entries["c-3"].note == (
        'a "note", odd'
    )
    with pytest.raises(ConfigError, match="not in the review list: nobody"):
        old.with_verdicts(["nobody"], REJECT)


def test_a_list_that_is_not_there_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "new" / "review.csv"
    assert read_review_list(path).entries == {}
    update_review_list(path, lambda old: old.with_qualities({"a": 1.0}))
    assert path.read_text(encoding="utf-8").splitlines()[-2:] == [
        "capture_id,verdict,quality,note",
        "a,auto,1.000,",
    ]
    for text in ("", "\n", "# only a comment\n"):
        path.write_text(text, encoding="utf-8")
        update_review_list(path, lambda old: old.with_qualities({"a": 1.0}))
        assert list(read_review_list(path).entries) == ["a"]
        assert text.strip() in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a,perhaps,0.5,", "verdict 'perhaps'; known are auto, accept, reject"),
        ("a,auto,1.5,", "quality 1.5 is not between 0 and 1"),
        ("a,auto,good,", "could not convert string to float"),
        ("a,auto,nan,", "quality nan is not between"),
        ("a,auto,0.5,hair, hand", "a note with a comma needs double quotes"),
        ("a b,auto,0.5,", "'a b' is no capture id"),
        (",auto,0.5,", "'' is no capture id"),
        ("b-2,auto,0.5,", "capture 'b-2' is in line 4 already"),
        ('a,auto,0.5,"open', "unexpected end of data"),
        ("a;auto;0.5;", "'a;auto;0.5;' is no capture id"),
    ],
)
def test_malformed_lines_are_named(line: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    path.write_text(EDITED + line + "\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        update_review_list(path, lambda old: old.with_qualities({"z": 0.5}))
    assert f"{path}:9: " in str(caught.value)
    assert problem in str(caught.value)
    assert path.read_text(encoding="utf-8") == EDITED + line + "\n"  # nothing is lost


def test_the_header_is_asked_for_and_all_bad_lines_are_told() -> None:
    with pytest.raises(ConfigError, match=r"review\.csv:1: the first line has to be capture_id"):
        parsed("a,auto,0.5,\n")
    head = "capture_id,verdict,quality,note\n"
    with pytest.raises(ConfigError) as caught:
        parsed(head + "".join(f"c{i},maybe\n" for i in range(8)))
    told = str(caught.value).splitlines()
    assert [line.split(": ")[0] for line in told[:5]] == [f"review.csv:{i}" for i in range(2, 7)]
    assert told[5] == "and 3 more"


def test_windows_files_stay_windows_files(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    path.write_bytes(codecs.BOM_UTF8 + EDITED.replace("\n", "\r\n").encode())
    update_review_list(path, lambda old: old.with_qualities({"z": 0.5}))
    data = path.read_bytes()
    assert data == codecs.BOM_UTF8 + (EDITED + "z,auto,0.500,\n").replace("\n", "\r\n").encode()
    path.write_bytes("capture_id,verdict,quality,note\na,auto,0.5,käse".encode("latin-1"))
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        read_review_list(path)


def test_an_edit_that_comes_in_between_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    path.write_text(EDITED, encoding="utf-8")
    edits = ["c-3,reject,0.500,saved meanwhile\n"]

    def change(old: ReviewList) -> ReviewList:
        if edits:  # an editor saves while the build thinks
            path.write_text(EDITED.replace("c-3,auto,0.500,\n", edits.pop()), encoding="utf-8")
        return old.with_qualities({"z": 0.5})

    update_review_list(path, change)
    entries = read_review_list(path).entries
    assert entries["c-3"].note == "saved meanwhile"
    assert entries["z"].verdict == AUTO


names = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=8)
notes = st.text(st.characters(codec="utf-8"))


@given(st.dictionaries(names, st.tuples(st.sampled_from(VERDICTS), notes)), st.floats(0, 1))
def test_any_note_survives_the_file(table: dict[str, tuple[str, str]], quality: float) -> None:
    content = ReviewList.empty().with_qualities(dict.fromkeys(table, quality))
    for name, (verdict, note) in table.items():
        content = content.with_verdicts([name], verdict, note)
    again = parsed("\n".join(content.lines))
    assert again == content
    one_line = {n: (v, " ".join(note.split())) for n, (v, note) in table.items()}
    assert {n: (e.verdict, e.note) for n, e in again.entries.items()} == one_line


def test_who_is_kept() -> None:
    assert is_kept(AUTO, 0.3, 0.3)
    assert not is_kept(AUTO, 0.29, 0.3)
    assert not is_kept(AUTO, float("nan"), 0.0)
    assert is_kept(ACCEPT, 0.0, 0.3)
    assert not is_kept(REJECT, 1.0, 0.3)
