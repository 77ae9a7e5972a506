"""HDF5 files that name other files are refused; our own pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from fg3d_builder.files.foreign_hdf5 import refuse_links


def _external_link(file: h5py.File, other: str) -> None:
    file["group/x"] = h5py.ExternalLink(other, "/secret")


def _soft_link(file: h5py.File, _other: str) -> None:
    file["group/x"] = h5py.SoftLink("/group")


def _external_storage(file: h5py.File, other: str) -> None:
    file.create_dataset("group/x", (4,), "<f4", external=[(other, 0, 16)])


def _virtual(file: h5py.File, other: str) -> None:
    layout = h5py.VirtualLayout((4,), "<f4")
    layout[:] = h5py.VirtualSource(other, "secret", (4,))
    file.create_virtual_dataset("group/x", layout)


def _circle(file: h5py.File, _other: str) -> None:
    file["group/x"] = file["group"]


@pytest.mark.parametrize("make", [_external_link, _soft_link, _external_storage, _virtual, _circle])
def test_what_leads_elsewhere_is_refused(
    make: Callable[[h5py.File, str], None], tmp_path: Path
) -> None:
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["secret"] = np.zeros(4, "<f4")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("group")
        make(file, str(other))
    with (
        h5py.File(tmp_path / "x.h5", "r") as file,
        pytest.raises(ValueError, match=r"x\.h5: /group/x"),
    ):
        refuse_links(file, "x.h5")


def test_a_plain_file_passes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a/b/c"] = np.arange(3)
        file["a/d"] = file["a/b/c"]  # a second name of data in the same file
    with h5py.File(tmp_path / "x.h5", "r") as file:
        refuse_links(file, "x.h5")
