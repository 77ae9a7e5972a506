"""SHA-256 of bytes and of files."""

from __future__ import annotations

from pathlib import Path

from fg3d_builder.files.hashes import file_sha256, sha256


def test_a_file_s_hash_is_that_of_its_bytes(tmp_path: Path) -> None:
    # FIPS 180-2, appendix B.1.
    wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(b"abc") == wanted
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_sha256(tmp_path / "abc") == wanted
    long = bytes(range(256)) * 5000  # more than one block
    (tmp_path / "long").write_bytes(long)
    assert file_sha256(tmp_path / "long") == sha256(long)
