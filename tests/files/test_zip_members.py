"""Members of zip archives, within limits and with right sums."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.zip_members import member_bytes, opened_zip


def read(path: Path, name: str = "a", limit: int = 1000) -> bytes:
    with opened_zip(path, "bad_zip") as archive:
        return member_bytes(archive, name, limit, path, "bad_zip")


def write(path: Path, data: bytes, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a", data)
    return path


@pytest.mark.parametrize("data", [b"", b"x", b"ab" * 500])
def test_members_come_back(tmp_path: Path, data: bytes) -> None:
    assert read(write(tmp_path / "a.zip", data)) == data


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", b"ab" * 500, zipfile.ZIP_STORED)
    for name, limit, text in (("b", 1000, "'b' is not in it"), ("a", 999, "'a' has 1000 bytes")):
        with pytest.raises(CaptureError, match=text):
            read(path, name, limit)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"abab", b"abac", 1))
    with pytest.raises(CaptureError, match=r"a\.zip: 'a': no zip archive, or a damaged one"):
        read(path)
    path.write_bytes(data[:500])
    with pytest.raises(CaptureError, match=r"a\.zip: no zip archive") as caught:
        read(path)
    assert caught.value.code == "bad_zip"
    with pytest.raises(CaptureError, match="not found") as caught:
        read(tmp_path / "b.zip")
    assert caught.value.code == "missing_file"


def test_a_declared_size_that_is_not_there(tmp_path: Path) -> None:
    """The directory declares fewer bytes than are packed: no more are unpacked."""
    path = write(tmp_path / "a.zip", bytes(100_000))
    size = (100_000).to_bytes(4, "little")
    data = path.read_bytes()
    assert data.count(size) == 2
    path.write_bytes(data.replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(CaptureError, match="damaged"):
        read(path)


def test_a_password(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", b"abc")
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(CaptureError, match="password required"):
        read(path)
