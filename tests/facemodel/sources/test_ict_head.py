"""ICT-FaceKit as one head: from all modes in one file, and from OBJ files, the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.facemodel.ict import HEAD_VERTICES, read_ict
from fg3d_builder.facemodel.sources.known import read_source

pytestmark = pytest.mark.data


def test_it_is_the_head_that_the_special_importer_reads(shared_data: Path) -> None:
    whole, known = read_source(shared_data / "ict_facekit"), read_ict(shared_data / "ict_facekit")
    assert whole.layout == "ict"
    np.testing.assert_allclose(whole.mean[: len(known.neutral)], known.neutral, atol=1e-4)
    np.testing.assert_allclose(
        whole.id_basis[: len(known.neutral)], np.moveaxis(known.identity, 0, 2), atol=1e-4
    )
    assert whole.landmarks68 is not None
    points = known.neutral[known.landmarks68]
    np.testing.assert_allclose(whole.mean[whole.landmarks68], points, atol=1e-4)
    eyes = whole.groups["eyes"]
    np.testing.assert_allclose(whole.mean[eyes], known.eyeballs, atol=1e-4)
    assert "millimet" not in whole.unit_said


def test_obj_files_are_read_whole(shared_data: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "FaceXModel"
    shutil.copytree(shared_data / "ict_facekit" / "FaceXModel", checkout)
    of_objs, of_modes = read_source(checkout), read_source(shared_data / "ict_facekit")
    assert len(of_objs.mean) == 26719
    np.testing.assert_allclose(
        of_objs.mean[:HEAD_VERTICES], of_modes.mean[:HEAD_VERTICES], atol=1e-3
    )
    count = of_objs.id_basis.shape[2]
    assert count == 3
    np.testing.assert_allclose(
        of_objs.id_basis[:HEAD_VERTICES], of_modes.id_basis[:HEAD_VERTICES, :, :3], atol=2e-3
    )
    assert of_objs.exp_names == ("jawOpen", "mouthSmile_L", "mouthSmile_R")
    assert {name: len(index) > 0 for name, index in of_objs.groups.items()} == {
        "mouth_interior": True,
        "teeth": True,
        "eyes": True,
    }
    # Chart coordinates belong to the same corners in both.
    row = np.flatnonzero((of_objs.polygons[: len(of_modes.polygons)] == of_modes.polygons).all(1))
    assert len(row) > 5000
    assert of_objs.uv is not None
    assert of_modes.uv is not None
    np.testing.assert_allclose(of_objs.uv[row], of_modes.uv[row], atol=1e-4)


def test_what_is_missing_is_named(shared_data: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "FaceXModel"
    shutil.copytree(shared_data / "ict_facekit" / "FaceXModel", checkout)
    (checkout / "identity001.obj").write_text("v 0 0 0\n")
    with pytest.raises(ValueError, match=r"identity001\.obj"):
        read_source(checkout)
    (checkout / "vertex_indices.json").unlink()
    with pytest.raises(ValueError, match=r"vertex_indices\.json"):
        read_source(checkout, "ict")
