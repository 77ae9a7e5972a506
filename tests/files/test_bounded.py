"""Files of unknown origin: read where they are what they say, refused by a sentence else."""

from __future__ import annotations

import io
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from bad_captures import npy_header

from fg3d_builder.errors import CaptureError
from fg3d_builder.files.bounded import (
    file_within,
    read_json_object,
    read_npy,
    read_npz,
    read_regular,
)
from fg3d_builder.files.hdf5_checks import check_declared


def npz(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


def saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back(tmp_path: Path, order: str) -> None:
    rng = np.random.default_rng(0)
    for kind in ("<f4", ">f8", "<u2", "i1"):
        array = np.asarray(100 * rng.random((5, 7)), dtype=kind, order=order)  # type: ignore[call-overload]
        np.save(tmp_path / "a.npy", array)
        found = read_npy(tmp_path / "a.npy", "bad")
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)
    names = np.array(["jaw", "smile"])
    np.savez(tmp_path / "a.npz", array=array, names=names)
    np.savez_compressed(tmp_path / "b.npz", array=array, names=names)
    for name in ("a.npz", "b.npz"):
        archive = read_npz(tmp_path / name, "bad")
        np.testing.assert_array_equal(archive["array"], array)
        assert archive["names"].tolist() == ["jaw", "smile"]


@pytest.mark.parametrize(
    "member",
    [
        npy_header("'<f8'", "(1000000, 1000000)"),
        npy_header("'<f8'", "(1000, 1000)") + bytes(100),
        npy_header("'<f8'", "(4294967296, 4294967296, 0)"),
        saved(np.array([{}], dtype=object)),
        b"no array",
    ],
)
def test_archives_are_held_against_what_is_there(tmp_path: Path, member: bytes) -> None:
    file = npz(tmp_path / "a.npz", good=saved(np.ones(3)), bad=member)
    tracemalloc.start()
    with pytest.raises(CaptureError, match=r"a\.npz: bad\.npy"):
        read_npz(file, "bad_model")
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_empty_arrays_of_lengths_beyond_any_memory(tmp_path: Path) -> None:
    file = tmp_path / "a.npy"
    file.write_bytes(npy_header("'<f8'", "(4294967296, 4294967296, 4, 0)"))
    with pytest.raises(CaptureError, match=r"a\.npy: no npy file, or a damaged one .*shape"):
        read_npy(file, "bad_array")


def test_damaged_archives_are_named(tmp_path: Path) -> None:
    file = npz(tmp_path / "a.npz", one=saved(np.random.default_rng(0).random(900)))
    data = file.read_bytes()
    for broken in (data[:100], b"", data[:300] + b"\xff" * 8 + data[308:]):
        file.write_bytes(broken)
        with pytest.raises(CaptureError, match=r"a\.npz") as caught:
            read_npz(file, "bad_model")
        assert caught.value.code == "bad_model"


def test_only_regular_files_of_a_size(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_regular(tmp_path / "a", "bad", 5) == b"12345"
    with pytest.raises(CaptureError, match="at most"):
        read_regular(tmp_path / "a", "bad", 4)
    os.mkfifo(tmp_path / "pipe")
    for name, code, words in (
        ("pipe", "bad", "named pipe"),
        (".", "bad", "a folder"),
        ("gone", "missing_file", "not found"),
        ("a/b", "missing_file", "not found"),
        ("n" * 300, "bad", "too long"),
        ("zero\0", "bad", "no file"),
        ("\ud800", "bad", "no file"),
    ):
        with pytest.raises(CaptureError, match=words) as caught:
            read_regular(tmp_path / name, "bad", 9)
        assert caught.value.code == code


def test_json_of_windows_editors_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n')
    assert read_json_object(tmp_path / "a.json") == {"a": 1}


def test_files_within_a_folder(tmp_path: Path) -> None:
    (tmp_path / "in/sub").mkdir(parents=True)
    for name in ("a.png", "sub/a.png", "sub\\a.png", "./a.png", "with blank.png", "a..png"):
        found = file_within(tmp_path / "in", name, "mesh.mtl")
        assert found == tmp_path / "in" / name.replace("\\", "/")
    (tmp_path / "in/loop").symlink_to("loop")
    for name in ("../a.png", "sub/../../a.png", "/a.png", "C:/a.png", "\\\\host\\share\\a.png"):
        with pytest.raises(CaptureError, match=r"mesh\.mtl names the file") as caught:
            file_within(tmp_path / "in", name, "mesh.mtl")
        assert caught.value.code == "outside_folder"
    for name in ("", "  ", "a\0b", "a\nb"):
        with pytest.raises(CaptureError, match="no file name"):
            file_within(tmp_path / "in", name, "mesh.mtl")


def _external_link(file: h5py.File) -> None:
    file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")


def _soft_link(file: h5py.File) -> None:
    file["again"] = h5py.SoftLink("/good")


def _external_data(file: h5py.File) -> None:
    file.create_dataset("a", (9,), "u1", external=[("/etc/passwd", 0, 9)])


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((9,), "f8")
    layout[:] = h5py.VirtualSource("/elsewhere.h5", "a", (9,))
    file.create_virtual_dataset("a", layout)


def _huge(file: h5py.File) -> None:
    file.create_dataset("a", (10**6, 10**6), "f8", chunks=(100, 100), compression="gzip")


def _never_written(file: h5py.File) -> None:
    file.create_dataset("a", (10**9,), "f8")


def _circle(file: h5py.File) -> None:
    group = file.create_group("a")
    group["b"] = group


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_external_link, "link to another place"),
        (_soft_link, "link to another place"),
        (_external_data, "another file"),
        (_virtual, "another file"),
        (_huge, "declares"),
        (_never_written, "declares"),
        (_circle, "circle"),
    ],
)
def test_hdf5_files_that_lead_elsewhere_or_declare_too_much(
    tmp_path: Path, spoil: Callable[[h5py.File], None], words: str
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["good"] = np.arange(9.0)
        zeros = np.zeros((500, 500))
        file.create_dataset("g/packed", data=zeros, chunks=(500, 500), compression="gzip")
        file["words"] = "text"
    with h5py.File(tmp_path / "a.h5", "r") as file:
        check_declared(file, "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        spoil(file)
    with (
        h5py.File(tmp_path / "a.h5", "r") as file,
        pytest.raises(ValueError, match=words) as caught,
    ):
        check_declared(file, "a.h5")
    assert "a.h5" in str(caught.value)
