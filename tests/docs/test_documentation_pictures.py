"""The documentation's pictures are small, and one that cannot be made is named with the reason."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from docs import make_pictures
from docs.make_pictures import ALL, LARGEST_BYTES, PICTURES, coded
from fg3d_builder.files.encoding import encode_jpeg


@pytest.mark.parametrize("name", ALL)
def test_every_picture_is_there_and_small(name: str) -> None:
    file = PICTURES / f"{name}{ALL[name].suffix}"
    assert 0 < file.stat().st_size <= LARGEST_BYTES


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_picture_is_coded_to_look_the_same(suffix: str) -> None:
    random = np.random.default_rng(0)
    smooth = cv2.resize(random.integers(0, 256, (6, 8, 3), np.uint8), (640, 480))
    found = cv2.imdecode(np.frombuffer(coded(smooth, suffix), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(found[..., ::-1].astype(int) - smooth).mean() < 2.0


def test_a_photograph_loses_quality_until_it_fits() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (700, 1400, 3), np.uint8)
    grain = cv2.GaussianBlur(noise, (0, 0), 1.6)
    assert len(encode_jpeg(grain, 88)) > LARGEST_BYTES
    assert len(coded(grain, ".jpg")) <= LARGEST_BYTES


def test_a_picture_that_cannot_fit_is_refused() -> None:
    noise = np.random.default_rng(2).integers(0, 256, (1400, 1400, 3), np.uint8)
    for suffix in (".jpg", ".png"):
        with pytest.raises(ValueError, match="bytes, more than"):
            coded(noise, suffix)


def test_what_is_left_out_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(make_pictures, "DATA", tmp_path / "none")
    monkeypatch.setattr(make_pictures, "BENCH", tmp_path / "none")
    monkeypatch.setattr(sys, "argv", ["make_pictures", "imported", "quality"])
    with pytest.raises(SystemExit) as ended:
        make_pictures.main()
    assert ended.value.code == 1
    told = capsys.readouterr().out
    assert f"left out imported: there is no real data in {tmp_path / 'none'}" in told
    assert "left out quality: needs what `python -m benchmarks.quality` writes" in told


def test_an_unknown_picture_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["make_pictures", "nothing"])
    with pytest.raises(SystemExit) as ended:
        make_pictures.main()
    assert ended.value.code == 2
