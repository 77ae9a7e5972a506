from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fg3d_builder.fitting.robust_alignment import align_robust
from fg3d_builder.records import Pose


@pytest.mark.parametrize("fix_scale", [False, True])
def test_robust_alignment_ignores_a_third_of_wrong_points(fix_scale: bool) -> None:
    rng = np.random.default_rng(7)
    rotation = Rotation.from_rotvec(rng.normal(size=3)).as_matrix()
    truth = Pose(1.0 if fix_scale else 0.8, rotation, rng.normal(size=3) * 300)
    source = rng.normal(size=(90, 3)) * 50
    target = truth.cam_from_obj(source) + rng.normal(size=(90, 3)) * 0.3
    target[:30] += rng.uniform(30, 100, (30, 3))  # All to one side: a biased third.
    found = align_robust(source, target, fix_scale=fix_scale)
    turned = Rotation.from_matrix(found.rotation.T @ truth.rotation)
    assert np.degrees(turned.magnitude()) < 0.15
    np.testing.assert_allclose(found.translation_mm, truth.translation_mm, atol=0.2)
    assert found.scale == pytest.approx(truth.scale, rel=2e-3)
