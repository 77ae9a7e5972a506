"""Further pictures of a JPEG, as another program's writer lists them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.drill.portrait_files import jpeg
from fg3d_builder.files.jpeg_parts import further_pictures, xmp_of

GREYS = (10, 100, 200)


def several() -> bytes:
    """A file of three pictures by Pillow."""
    data = io.BytesIO()
    first, *others = (Image.fromarray(np.full((8, 8, 3), grey, np.uint8)) for grey in GREYS)
    first.save(data, "MPO", save_all=True, append_images=others)
    return data.getvalue()


def test_pictures_of_another_writer_are_found() -> None:
    pictures = further_pictures(several())
    means = [np.array(Image.open(io.BytesIO(one))).mean() for one in pictures]
    assert means == pytest.approx(GREYS[1:], abs=1)


def test_an_ordinary_jpeg_has_none() -> None:
    data = jpeg(np.zeros((8, 8, 3), np.uint8))
    assert further_pictures(data) == []
    assert xmp_of(data) == b""
    assert further_pictures(b"") == []
    assert further_pictures(b"\xff\xd8\xff") == []


def test_xmp_of_another_writer() -> None:
    data = io.BytesIO()
    Image.new("RGB", (8, 8)).save(data, "JPEG", xmp=b"<x:xmpmeta/>")
    assert xmp_of(data.getvalue()) == b"<x:xmpmeta/>"


def test_a_file_that_was_cut_off_is_named() -> None:
    with pytest.raises(ValueError, match="not in the file"):
        further_pictures(several()[:-1000])


def test_a_damaged_index_is_named() -> None:
    data = several()
    at = data.index(b"MPF\0") + 4
    with pytest.raises(ValueError, match="byte order"):
        further_pictures(data[:at] + b"XX" + data[at + 2 :])
    with pytest.raises(ValueError, match="damaged index"):
        further_pictures(data[: at + 4] + b"\xff" * 8 + data[at + 12 :])
