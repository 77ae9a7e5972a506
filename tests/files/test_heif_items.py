"""What lies beside the picture in a HEIF file."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.drill.portrait_files import portrait_heic
from fg3d_builder.files.heif_items import heif_depth

pillow_heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
RGB = np.zeros((64, 48, 3), np.uint8)
LEVELS = np.zeros((32, 24), np.uint8)


def test_depth_its_description_and_turns_are_found() -> None:
    for turns in range(4):
        found = heif_depth(portrait_heic(RGB, LEVELS, b"<about/>", turns))
        assert found is not None
        assert (found.xmp, found.quarter_turns, found.mirrored) == (b"<about/>", turns, False)
    found = heif_depth(portrait_heic(RGB, LEVELS, b"<about/>", 1, mirrored=True))
    assert found is not None
    assert found.mirrored


def test_an_ordinary_picture_has_none() -> None:
    data = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(RGB)).save(data)
    assert heif_depth(data.getvalue()) is None


def test_depth_without_description_counts_as_none() -> None:
    data = portrait_heic(RGB, LEVELS, b"<about/>")
    assert heif_depth(data.replace(b"cdsc", b"cdsx")) is None
    assert heif_depth(data.replace(b"auxid:2", b"auxid:1")) is None


def test_damage_is_named() -> None:
    data = portrait_heic(RGB, LEVELS, b"<about/>", 1)
    with pytest.raises(ValueError, match="no box 'meta'"):
        heif_depth(b"")
    with pytest.raises(ValueError, match="longer than what it is in"):
        heif_depth(data[:200])
    with pytest.raises(ValueError, match="no box 'pitm'"):
        heif_depth(data.replace(b"pitm", b"pitn"))
    at = data.rindex(b"irot")
    with pytest.raises(ValueError, match="turned differently"):
        heif_depth(data[: at + 4] + b"\2" + data[at + 5 :])
