"""Files with a seal: what was written comes back, and no change goes unnoticed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from fg3d_builder.files.hashes import sha256
from fg3d_builder.files.sealed import (
    BLOCK,
    DamagedFileError,
    check_sealed,
    has_full_length,
    read_sealed,
    read_sealed_as,
    read_sealed_json,
    sealed_sha256,
    set_aside,
    write_sealed,
    write_sealed_json,
)

VALUE = {"b": [1, 2.5, None], "a": {"ä": "x"}}
_TWICE = json.dumps({"sha256": sealed_sha256("y.json", {"a": 1}), "content": {"a": 1}}).replace(
    '"a": 1', '"a": 2, "a": 1'
)
"""The seal fits what Python takes of it."""
_NAN = '{"sha256": "", "content": NaN}'


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    write_sealed(tmp_path / "x", "kind-1", b"content")
    assert read_sealed(tmp_path / "x", "kind-1")[BLOCK:] == b"content"
    assert has_full_length(tmp_path / "x", "kind-1")
    write_sealed_json(tmp_path / "y.json", VALUE)
    assert read_sealed_json(tmp_path / "y.json") == VALUE


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_sealed(path, "kind-1", b"content")
    whole = path.read_bytes()
    text_end = whole.index(b"\n")
    for place in [*range(text_end), *range(BLOCK, len(whole))]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(DamagedFileError):
            read_sealed(path, "kind-1")


def test_every_changed_character_of_json_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "y.json"
    write_sealed_json(path, VALUE)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            assert read_sealed_json(path) == VALUE
        except DamagedFileError:
            assert not path.exists()


def test_a_sound_file_of_another_name_or_folder_is_refused(tmp_path: Path) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    write_sealed_json(one, VALUE)
    other.write_bytes(one.read_bytes())
    with pytest.raises(DamagedFileError, match="name"):
        read_sealed_json(other)
    write_sealed_json(one, VALUE, "work")
    assert read_sealed_json(one, "work") == VALUE
    with pytest.raises(DamagedFileError, match="name"):
        read_sealed_json(one, "elsewhere")


def test_what_cannot_be_made_of_a_sound_file_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "y.json"
    write_sealed_json(path, {"a": 1})
    assert read_sealed_as(path, lambda table: table["a"]) == 1
    with pytest.raises(DamagedFileError, match=r"y\.json.*not what this version writes.*'b'"):
        read_sealed_as(path, lambda table: table["b"])
    assert not path.exists()


@pytest.mark.parametrize("length", [0, 1, BLOCK - 1, BLOCK, BLOCK + 3])
def test_a_file_cut_short_is_set_aside(tmp_path: Path, length: int) -> None:
    path = tmp_path / "x"
    write_sealed(path, "kind-1", b"content")
    path.write_bytes(path.read_bytes()[:length])
    assert not has_full_length(path, "kind-1")
    with pytest.raises(DamagedFileError, match="set aside") as caught:
        read_sealed(path, "kind-1")
    assert caught.value.path == path
    assert not path.exists()
    assert path.with_name("x.damaged").exists()


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    write_sealed(tmp_path / "x", "kind-1", b"content")
    assert not has_full_length(tmp_path / "x", "kind-2")
    with pytest.raises(DamagedFileError, match="no seal of 'kind-2'"):
        read_sealed(tmp_path / "x", "kind-2")


@pytest.mark.parametrize("text", ["", "{", "[1]", json.dumps(VALUE), "[" * 100_000, _NAN, _TWICE])
def test_json_without_a_seal_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "y.json").write_text(text, encoding="utf-8")
    with pytest.raises(DamagedFileError):
        read_sealed_json(tmp_path / "y.json")
    assert not (tmp_path / "y.json").exists()


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "bytes": ("sha256", lambda path: read_sealed(path, "kind-1")),
    "large": ("hashlib.sha256", lambda path: check_sealed(path, "kind-1")),
    "json": ("sha256", read_sealed_json),
}
"""With the name of what computes the seal."""


@pytest.mark.parametrize("kind", READERS)
def test_what_another_process_has_made_again_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """It was read damaged; while its seal was computed, another has set it aside and made it."""
    path, (computes, read) = tmp_path / "x.json", READERS[kind]

    def write() -> None:
        if kind == "json":
            write_sealed_json(path, VALUE)
        else:
            write_sealed(path, "kind-1", b"content: x")

    def meanwhile(*data: bytes) -> object:
        monkeypatch.undo()
        set_aside(path)
        write()
        return sha256(*data) if computes == "sha256" else hashlib.sha256(*data)

    write()
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"x", b"y"))
    monkeypatch.setattr(f"fg3d_builder.files.sealed.{computes}", meanwhile)
    with pytest.raises(DamagedFileError):
        read(path)
    assert path.read_bytes() == whole


def test_what_cannot_be_set_aside_is_named_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"damaged")

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(DamagedFileError, match=r"no seal.*cannot be set aside: Permission denied"):
        read_sealed(path, "kind-1")
    assert path.is_file()


def test_the_error_survives_a_process_boundary(tmp_path: Path) -> None:
    error = pickle.loads(pickle.dumps(DamagedFileError(tmp_path / "x", "cut short")))
    assert error.path == tmp_path / "x"
    assert "cut short" in str(error)
    kept = pickle.loads(pickle.dumps(DamagedFileError(tmp_path / "x", "cut short", "no room")))
    assert str(kept).endswith("cannot be set aside: no room")
