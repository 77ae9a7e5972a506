"""Binary archives of cereal: numbers, texts, lists, matrices, and lengths that are not believed."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest

from fg3d_builder.files.cereal_archive import CerealArchive

NUMBERS = np.arange(6, dtype="<f4").reshape(2, 3)


def archive(*parts: bytes) -> CerealArchive:
    return CerealArchive(b"".join(parts), "model.bin")


def test_what_is_in_an_archive() -> None:
    found = archive(
        struct.pack("<I", 4),
        b"\x01",
        struct.pack("<Q", 5) + "größ".encode()[:5],
        struct.pack("<Q", 2) + np.arange(6, dtype="<i4").tobytes(),
        struct.pack("<ii", 2, 3) + NUMBERS.T.tobytes(),
        struct.pack("<iiiB", 2, 3, 6, 1) + NUMBERS.astype("<f8").tobytes(),
        struct.pack("<iiiB", 0, 0, 0, 1),
    )
    assert found.number("<I", "version") == 4
    assert found.flag("none")
    assert found.text("name") == "grö�"
    np.testing.assert_array_equal(found.rows("list", "<i4", 3), np.arange(6).reshape(2, 3))
    assert found.eigen_shape("matrix") == (2, 3)
    np.testing.assert_array_equal(found.eigen_matrix("matrix"), NUMBERS)
    np.testing.assert_array_equal(found.opencv_matrix("matrix"), NUMBERS)
    assert found.opencv_matrix("matrix").size == 0
    assert found.left == 0


@pytest.mark.parametrize(
    ("data", "read", "problem"),
    [
        (b"abc", lambda a: a.number("<I", "x"), "ends 1 bytes early"),
        (b"\x02", lambda a: a.flag("x"), "expected 0 or 1, found 2"),
        (struct.pack("<Q", 2**63), lambda a: a.text("x"), "a text of"),
        (struct.pack("<Q", 9) + b"a", lambda a: a.text("x"), "ends 8 bytes early"),
        (struct.pack("<Q", 2**62), lambda a: a.rows("x", "<f8", 2), "declares"),
        (struct.pack("<Q", 2), lambda a: a.length("x", 8), "declares 2 items, 0 bytes"),
        (struct.pack("<ii", -1, 1), lambda a: a.eigen_matrix("x"), "-1 rows"),
        (struct.pack("<ii", 2**31 - 1, 2**31 - 1), lambda a: a.eigen_matrix("x"), "a matrix of"),
        (struct.pack("<ii", 9, 9), lambda a: a.eigen_matrix("x"), "ends 324 bytes early"),
        (struct.pack("<iii", 2, 2, 3), lambda a: a.opencv_matrix("x"), "OpenCV's type 3"),
    ],
)
def test_lengths_are_not_believed(
    data: bytes, read: Callable[[CerealArchive], object], problem: str
) -> None:
    with pytest.raises(ValueError, match=rf"^model\.bin: field 'x': .*{problem}"):
        read(CerealArchive(data, "model.bin"))
