from __future__ import annotations

from pathlib import Path

import numpy as np

from fg3d_builder.captures import list_captures, open_source
from fg3d_builder.captures.folder import write_capture
from fg3d_builder.config import SourceConfig
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.records import Capture


def test_listing_shows_what_is_good_and_why_the_rest_is_not(tmp_path: Path) -> None:
    depth = np.full((6, 8), 500.0, np.float32)
    depth[:3] = np.nan
    rgb = np.zeros((6, 8, 3), np.uint8)
    capture = Capture("x", "anna", "folder", rgb, depth, intrinsics_matrix(9, 9, 4, 3))
    for name in ("good", "cut", "odd"):
        write_capture(tmp_path / name, capture)
    file = tmp_path / "cut" / "color.png"
    file.write_bytes(file.read_bytes()[:-20])
    (tmp_path / "odd" / "capture.json").write_text('{"subject": "bert"}')
    lines = list(list_captures(open_source(SourceConfig(kind="folder", path=str(tmp_path)))))
    cut, good, odd = lines
    assert [line.entry.capture_id for line in lines] == ["cut", "good", "odd"]
    assert [line.entry.subject_id for line in lines] == ["anna", "anna", "bert"]
    assert good.error is None
    assert (good.width, good.height, good.depth_coverage) == (8, 6, 0.5)
    assert cut.error is not None
    assert cut.error.code == "unreadable_image"
    assert str(file) in cut.error.message
    assert odd.error is not None
    assert odd.error.code == "missing_field"
    assert "'intrinsics'" in odd.error.message
