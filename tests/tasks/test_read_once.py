"""Files that are read once per process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.tasks.read_once import ReadOnce


def test_a_file_is_read_again_only_when_another_is_in_its_place(tmp_path: Path) -> None:
    seen: list[Path] = []

    def read(path: Path) -> bytes:
        seen.append(path)
        return path.read_bytes()

    once, path = ReadOnce(read), tmp_path / "a"
    write_bytes(path, b"one")
    assert [once(path), once(path)] == [b"one", b"one"]
    time = path.stat().st_mtime_ns
    write_bytes(path, b"two")
    os.utime(path, ns=(time, time))
    assert [once(path), once(path)] == [b"two", b"two"]
    assert len(seen) == 2
    path.unlink()
    with pytest.raises(FileNotFoundError):
        once(path)


def test_only_a_few_are_kept(tmp_path: Path) -> None:
    count = {"read": 0}

    def read(path: Path) -> str:
        count["read"] += 1
        return path.name

    once = ReadOnce(read, kept=2)
    for name in "abc":
        (tmp_path / name).write_text(name)
    assert [once(tmp_path / name) for name in "abcbca"] == list("abcbca")
    assert count["read"] == 4


def test_as_much_is_kept_as_there_is_room_for(tmp_path: Path) -> None:
    seen: list[str] = []

    def read(path: Path, about: str) -> str:
        seen.append(path.name + about)
        return path.read_text()

    once = ReadOnce(read, kept=10, size=len)
    for name, length in (("a", 4), ("b", 5), ("c", 3), ("whole", 11)):
        (tmp_path / name).write_text(length * name[0])
    for name in ("a", "b", "a", "c", "a", "b", "whole"):
        once(tmp_path / name, "!")
    # "c" takes the place of "b", which was not asked for as long as "a"; so does "b" later.
    assert seen == ["a!", "b!", "c!", "b!", "whole!"]
    assert not once.knows(tmp_path / "whole", "!")
    assert once.knows(tmp_path / "b", "!")
    once(tmp_path / "b", "?")
    assert seen[-1] == "b?"
