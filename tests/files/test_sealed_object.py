"""Objects whose seal is a member: plain JSON to others, checked by our readers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fg3d_builder.files.sealed_object import SEAL, read_object, read_sealed_object, with_seal
from fg3d_builder.files.sealed_object import write_sealed_object as write

VALUE = {"schema": "s-1", "names": ["ä", "b"], "size": 1.25}


def test_what_was_written_comes_back_and_is_plain_json(tmp_path: Path) -> None:
    write(tmp_path / "x.json", VALUE)
    plain = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    assert {name: plain[name] for name in VALUE} == VALUE
    assert read_sealed_object(tmp_path / "x.json", "s-1") == plain
    assert with_seal(plain) == plain


def test_a_changed_value_is_noticed_and_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write(path, VALUE)
    path.write_text(path.read_text(encoding="utf-8").replace("1.25", "1.26"), encoding="utf-8")
    for read in (read_object, read_sealed_object):
        with pytest.raises(ValueError, match=r"x\.json: its content does not fit its seal"):
            read(path)
    assert path.is_file()


def test_layout_is_free(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(with_seal(VALUE), indent=7), encoding="utf-8")
    assert read_sealed_object(path)["size"] == 1.25


def test_without_a_seal(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(VALUE), encoding="utf-8")
    assert read_object(path) == VALUE
    with pytest.raises(ValueError, match=f"has no '{SEAL}'"):
        read_sealed_object(path)
    with pytest.raises(ValueError, match="schema is 's-1', this version reads 's-2'"):
        read_sealed_object(path, "s-2")


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000, '{"a": NaN}', "\x00"])
def test_no_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"x\.json"):
        read_object(tmp_path / "x.json")
