"""Sources of two research sets beside each other, as presets mix them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from fg3d_builder.captures.opening import open_source
from fg3d_builder.config import SourceConfig
from fg3d_builder.geometry.camera import intrinsics_matrix
from tests.captures.layouts.scan_writers import (
    bumpy_head,
    colour_ramp,
    seen_head,
    write_frgc,
    write_vrml,
)


def test_captures_of_two_sets(tmp_path: Path) -> None:
    camera = intrinsics_matrix(610.0, 610.0, 63.2, 48.1)
    points, rgb = seen_head(96, 128, camera, 900.0)
    write_frgc(tmp_path / "frgc", "04201d302", "04201d303", True, points, rgb)
    write_vrml(tmp_path / "bu/F0001/F0001_HA04WH_F3D.wrl", bumpy_head(), "F0001_HA04WH_F3D.bmp")
    Image.fromarray(colour_ramp()).save(tmp_path / "bu/F0001/F0001_HA04WH_F3D.bmp")
    captures = []
    for kind, folder in (("frgc", "frgc"), ("bu3dfe", "bu")):
        size = (96, 128)
        source = open_source(
            SourceConfig(kind=kind, path=str(tmp_path / folder), image_size=size, focal_px=400.0)
        )
        captures += [source.load(entry) for entry in source.entries()]
    first, second = captures
    assert [c.source for c in captures] == ["frgc", "bu3dfe"]
    assert [c.subject_id for c in captures] == ["04201", "F0001"]
    assert [c.expression for c in captures] == ["unlabelled", "happiness-4"]
    np.testing.assert_allclose(first.depth_mm, points[..., 2], atol=4e-5)
    # The camera looks at the middle of the scan, 550 mm away.
    z = bumpy_head().vertices[:, 2]
    middle = (z.max() + z.min()) / 2.0
    nearest = 550.0 + middle - z.max()
    np.testing.assert_allclose(np.nanmin(second.depth_mm), nearest, atol=1.0)
