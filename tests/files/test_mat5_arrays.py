"""MATLAB files of version 5: the same arrays as SciPy reads, and a sentence for what is damaged."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from fg3d_builder.files.mat5_arrays import read_mat5

LIMIT = 1 << 26


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {
        "single": rng.normal(size=(300, 7)).astype(np.float32),
        "double": rng.normal(size=(4, 1)),
        "whole": np.arange(30.0).reshape(10, 3) - 7,
        "tiny": np.array([[3]], np.uint8),
        "flags": rng.random((5, 4)) > 0.5,
        "cube": rng.integers(-9, 9, (2, 3, 4)).astype(np.int16),
        "long": np.array([[2**40, -1]]),
        "none": np.zeros((0, 3)),
    }


@pytest.mark.parametrize("packed", [False, True])
def test_the_same_as_scipy_reads(tmp_path: Path, packed: bool) -> None:
    file = tmp_path / "a.mat"
    written = arrays()
    others = {"text": "hello", "cells": np.array([1, "x"], object), "record": {"a": 1.0}}
    savemat(file, {**others, **written}, do_compression=packed)
    wanted = loadmat(file)
    found = read_mat5(file, [*written, "absent"], LIMIT)
    assert sorted(found) == sorted(written)
    for name, array in found.items():
        assert array.dtype == wanted[name].dtype, name
        np.testing.assert_array_equal(array, wanted[name])


def test_numbers_that_matlab_stored_in_a_smaller_type_and_the_other_way_round(
    tmp_path: Path,
) -> None:
    def element(kind: int, data: bytes) -> bytes:
        return struct.pack(">II", kind, len(data)) + data + b"\x00" * (-len(data) % 8)

    body = element(6, struct.pack(">II", 6, 0)) + element(5, struct.pack(">ii", 3, 2))
    body += element(1, b"tl") + element(4, np.array([1, 2, 3, 65535, 5, 6], ">u2").tobytes())
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    (tmp_path / "a.mat").write_bytes(head + element(14, body))
    found = read_mat5(tmp_path / "a.mat", ["tl"], LIMIT)["tl"]
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [[1, 65535], [2, 5], [3, 6]])
    np.testing.assert_array_equal(found, loadmat(tmp_path / "a.mat")["tl"])


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_is_cut_short_is_refused_wherever(tmp_path: Path, packed: bool) -> None:
    file = tmp_path / "a.mat"
    savemat(file, {"double": np.random.default_rng(0).normal(size=(40, 3))}, do_compression=packed)
    data = file.read_bytes()
    for length in range(0, len(data), 7):
        file.write_bytes(data[:length])
        if length == 128:
            assert read_mat5(file, ["double"], LIMIT) == {}
            continue
        with pytest.raises(ValueError, match=r"a\.mat: "):
            read_mat5(file, ["double"], LIMIT)


def test_a_packed_array_is_held_against_its_sum(tmp_path: Path) -> None:
    file = tmp_path / "a.mat"
    savemat(file, {"double": np.random.default_rng(0).normal(size=(40, 3))}, do_compression=True)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"a\.mat: .*damaged"):
        read_mat5(file, ["double"], LIMIT)


def test_memory_that_a_file_declares_is_not_taken(tmp_path: Path) -> None:
    file = tmp_path / "a.mat"
    savemat(file, {"double": np.zeros((40, 3))})
    data = file.read_bytes()
    shape = data.index(struct.pack("<ii", 40, 3))
    file.write_bytes(data[:shape] + struct.pack("<ii", 2**31 - 1, 3) + data[shape + 8 :])
    tracemalloc.start()
    with pytest.raises(ValueError, match="variable 'double' is damaged: shape"):
        read_mat5(file, ["double"], LIMIT)
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_empty_arrays_of_lengths_beyond_any_memory(tmp_path: Path) -> None:
    file = tmp_path / "a.mat"
    savemat(file, {"none": np.zeros((7, 5, 3, 0))})
    data, most = file.read_bytes(), 2**31 - 1
    shape = data.index(struct.pack("<4i", 7, 5, 3, 0))
    file.write_bytes(data[:shape] + struct.pack("<4i", most, most, most, 0) + data[shape + 16 :])
    with pytest.raises(ValueError, match=r"a\.mat: variable 'none' is damaged: shape"):
        read_mat5(file, ["none"], LIMIT)


def test_what_is_not_read_is_said(tmp_path: Path) -> None:
    file = tmp_path / "a.mat"
    cells = {"c": np.array([1, "x"], object), "s": {"a": 1.0}, "z": np.array([[1j]]), "t": "text"}
    savemat(file, cells)
    for name, words in (("c", "a cell array"), ("s", "a struct"), ("z", "complex"), ("t", "text")):
        with pytest.raises(ValueError, match=rf"variable '{name}' is damaged: .*{words}"):
            read_mat5(file, [name], LIMIT)
    with pytest.raises(ValueError, match="at most 0 MB"):
        read_mat5(file, ["c"], 100)
    with pytest.raises(ValueError, match="file not found"):
        read_mat5(tmp_path / "b.mat", ["c"], 100)
    savemat(file, {"c": np.zeros((2, 2))}, format="4")
    with pytest.raises(ValueError, match="no MATLAB file of version 5"):
        read_mat5(file, ["c"], LIMIT)
    file.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x00" * 400)
    with pytest.raises(ValueError, match=r"version 7\.3"):
        read_mat5(file, ["c"], LIMIT)
