"""Arrays are read from archives by name, whole or in blocks, and believed no further."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.errors import CaptureError
from fg3d_builder.files import npy_streams
from fg3d_builder.files.npy_streams import opened_npy, opened_npz

NUMBERS = np.random.default_rng(1).normal(size=(7, 3, 2)).astype(np.float32)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    objects = np.array([{"a": 1}], dtype=object)
    file = tmp_path / "model.npz"
    names = np.array(["jaw", "brow"])
    np.savez_compressed(
        file, numbers=NUMBERS, fortran=np.asfortranarray(NUMBERS), objects=objects, names=names
    )
    return file


def test_arrays_by_name(archive: Path) -> None:
    with opened_npz(archive, "bad") as found:
        assert set(found.names) == {"numbers", "fortran", "objects", "names"}
        np.testing.assert_array_equal(found.array("numbers"), NUMBERS)
        np.testing.assert_array_equal(found.array("fortran"), NUMBERS)
        assert list(found.array("names")) == ["jaw", "brow"]
        for name, problem in (("objects", "Python objects"), ("gone", "not in it")):
            with pytest.raises(CaptureError, match=rf"model\.npz: field '{name}': .*{problem}"):
                found.array(name)


def test_blocks(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npy_streams, "BLOCK_BYTES", 2 * 3 * 2 * 4)
    with opened_npz(archive, "bad") as found:
        with found.stream("numbers") as stream:
            assert stream.shape == (7, 3, 2)
            blocks = list(stream.blocks())
        assert [(first, len(block)) for first, block in blocks] == [(0, 2), (2, 2), (4, 2), (6, 1)]
        np.testing.assert_array_equal(np.concatenate([b for _, b in blocks]), NUMBERS)
        with found.stream("fortran") as stream, pytest.raises(CaptureError, match="in one piece"):
            list(stream.blocks())
        with found.stream("fortran") as stream:
            blocks = list(stream.reversed_axes().blocks())
        np.testing.assert_array_equal(np.concatenate([b for _, b in blocks]), NUMBERS.T)
    np.save(tmp_path / "core.npy", NUMBERS)
    with opened_npy(tmp_path / "core.npy", "bad") as stream:
        np.testing.assert_array_equal(np.concatenate([b for _, b in stream.blocks()]), NUMBERS)


def test_damage_is_named(archive: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "core.npy", NUMBERS)
    core = tmp_path / "core.npy"
    data = core.read_bytes()
    core.write_bytes(data[:-1])
    with (
        pytest.raises(CaptureError, match=r"core\.npy: declares 168 bytes"),
        opened_npy(core, "bad"),
    ):
        pass
    core.write_bytes(data.replace(b"(7, 3, 2)", b"(7777777)"))
    with pytest.raises(CaptureError, match=r"core\.npy"), opened_npy(core, "b"):
        pass
    whole = archive.read_bytes()
    for length in range(0, len(whole), 41):
        archive.write_bytes(whole[:length])
        with pytest.raises(CaptureError, match=r"model\.npz"), opened_npz(archive, "b") as found:
            found.array("numbers")
    changed = bytearray(whole)
    changed[whole.index(b"numbers.npy") + 60] ^= 0x55
    archive.write_bytes(bytes(changed))
    with pytest.raises(CaptureError, match=r"model\.npz"), opened_npz(archive, "b") as found:
        found.array("numbers")
