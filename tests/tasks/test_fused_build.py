"""A build that fuses: one shape a subject, and the same bytes whatever runs it."""

from __future__ import annotations

import logging
from pathlib import Path

import luigi
import numpy as np
import pytest
from toy_build import write_toy_build

from fg3d_builder.layout import BuildLayout
from fg3d_builder.records import Registration
from fg3d_builder.tasks import BuildFG3D
from fg3d_builder.tasks.base import stage_product
from fg3d_builder.tasks.chunks import read_index


def build(preset: Path, out: Path, workers: int = 1) -> bool:
    luigi.configuration.get_config().set("core", "no_configure_logging", "true")
    logging.getLogger("luigi-interface").setLevel(logging.CRITICAL)
    luigi.task_register.Register.clear_instance_cache()  # as in a process of its own
    task = BuildFG3D(preset=str(preset), out=str(out))
    result = luigi.build([task], local_scheduler=True, detailed_summary=True, workers=workers)
    return result.status == luigi.LuigiStatusCode.SUCCESS


def registrations(out: Path) -> dict[str, Registration]:
    (file,) = (out / "work").glob("config-*.json")
    layout = BuildLayout.frozen(out, file.stem.removeprefix("config-"))
    found: dict[str, Registration] = {}
    for chunk in read_index(layout.index).chunks:
        found |= stage_product(layout, "registration", chunk.name).records
    return found


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subjects that keep their expression, three captures of each."""
    folder = tmp_path_factory.mktemp("fused")
    return write_toy_build(folder, subjects=2, captures=3, more="fuse = true", still=True)


@pytest.fixture(scope="module")
def out(preset: Path) -> Path:
    assert build(preset, preset.parent / "out")
    return preset.parent / "out"


def test_captures_of_a_subject_share_their_shape(out: Path) -> None:
    found = registrations(out)
    assert len(found) == 6
    for subject in ("s0", "s1"):
        own = [found[f"{subject}-{number}"] for number in range(3)]
        assert [r.fusion.captures if r.fusion else 0 for r in own] == [3, 3, 3]
        for registration in own:
            np.testing.assert_array_equal(registration.shape_obj_mm, own[0].shape_obj_mm)
            again = registration.pose.cam_from_obj(registration.shape_obj_mm)
            # Both are stored in single precision.
            np.testing.assert_allclose(again, registration.vertices_cam_mm, atol=1e-3)
    assert np.abs(found["s0-0"].shape_obj_mm - found["s1-0"].shape_obj_mm).max() > 1.0


def test_workers_make_the_same_bytes(preset: Path, out: Path) -> None:
    other = preset.parent / "other"
    assert build(preset, other, workers=2)
    names = [p.name for p in sorted((out / "dataset").glob("*.h5"))]
    assert names
    for name in names:
        assert (other / "dataset" / name).read_bytes() == (out / "dataset" / name).read_bytes()
