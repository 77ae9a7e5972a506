"""The way from a capture to its registration: its steps, and that there is no other way."""

from __future__ import annotations

import ast
import dataclasses
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from toy_build import build_model, toy_capture

from fg3d_builder.config import BuildConfig, LandmarkConfig, RegistrationConfig, StiffnessLevel
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fitting.appearance import settled_landmarks
from fg3d_builder.pipeline import register
from fg3d_builder.pipeline.register import fit_face, register_capture, register_face
from fg3d_builder.records import Capture, Landmarks
from fg3d_builder.rendering.depth_surface import DepthSurface

PROJECT = Path(__file__).resolve().parents[2]
STEPS = {
    "fit_capture": "fg3d_builder.fitting",
    "settled_landmarks": "fg3d_builder.fitting",
    "register": "fg3d_builder.registration",
}
"""The functions that only `pipeline.register` calls, and the packages that define them."""

OWN_FOLDERS = (
    "fg3d_builder/fitting",
    "fg3d_builder/registration",
    "tests/fitting",
    "tests/registration",
    "tests/pipeline/test_register_capture.py",
)
"""Where these functions are defined and tested by themselves."""

CONFIG = BuildConfig(
    landmarks=LandmarkConfig(detector="annotation"),
    registration=RegistrationConfig(levels=(StiffnessLevel(50.0, 5.0, 2),)),
)


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return build_model()


@pytest.fixture(scope="module")
def capture(model: FaceModel) -> Capture:
    return toy_capture(model, 0, 0)


def sources() -> Iterator[tuple[str, str]]:
    """Path in the project and Python code of every module and notebook."""
    for folder in ("fg3d_builder", "benchmarks", "docs", "tests"):
        for path in sorted((PROJECT / folder).rglob("*.py")):
            yield path.relative_to(PROJECT).as_posix(), path.read_text(encoding="utf-8")
    for path in sorted((PROJECT / "docs").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        yield path.relative_to(PROJECT).as_posix(), "\n".join(code)


def imported_steps(code: str) -> set[str]:
    """Names of the steps that a module gets hold of, by their own names or another one."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if node.module.startswith(STEPS.get(alias.name, "/")):
                    found.add(alias.name)
    return found


def test_fit_settle_and_register_are_called_in_one_place() -> None:
    callers = {
        path: imported_steps(code)
        for path, code in sources()
        if not path.startswith(OWN_FOLDERS) and imported_steps(code)
    }
    assert callers == {"fg3d_builder/pipeline/register.py": set(STEPS)}


def test_the_whole_way_is_its_steps(model: FaceModel, capture: Capture) -> None:
    found = register_capture(model, capture, CONFIG)
    assert capture.landmarks is not None
    assert np.array_equal(found.landmarks.points_px, capture.landmarks.points_px)
    coarse = fit_face(model, capture, found.landmarks, CONFIG.fit)
    assert np.array_equal(found.coarse.shape_obj_mm, coarse.shape_obj_mm)
    alone = register_face(model, capture, found.landmarks, coarse, CONFIG.registration)
    assert np.array_equal(found.registration.shape_obj_mm, alone.shape_obj_mm)


def test_the_registration_gets_settled_landmarks(
    model: FaceModel, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    landmarks = capture.landmarks
    assert landmarks is not None
    coarse = fit_face(model, capture, landmarks, CONFIG.fit)
    trusted = dataclasses.replace(coarse, appearance_trust=0.5)
    wanted = settled_landmarks(model, landmarks, trusted, capture.intrinsics)
    assert np.abs(wanted.points_px - landmarks.points_px).max() > 1e-3
    seen: list[Landmarks] = []
    monkeypatch.setattr(
        register, "register", lambda model, capture, points, *rest: seen.append(points)
    )
    register_capture(model, capture, CONFIG, landmarks=landmarks, coarse=trusted)
    assert np.array_equal(seen[0].points_px, wanted.points_px)


def test_only_steps_that_are_necessary_are_run(model: FaceModel, capture: Capture) -> None:
    ticks = itertools.count()
    found = register_capture(model, capture, CONFIG, clock=lambda: next(ticks))
    assert found.seconds == dict.fromkeys(("landmarks", "surface", "fitting", "registration"), 1)
    again = register_capture(
        model,
        capture,
        CONFIG,
        landmarks=found.landmarks,
        surface=DepthSurface.from_depth(capture.depth_mm, capture.intrinsics),
        coarse=found.coarse,
    )
    assert set(again.seconds) == {"registration"}
    assert np.array_equal(again.registration.shape_obj_mm, found.registration.shape_obj_mm)


def test_a_face_without_depth_is_refused(model: FaceModel, capture: Capture) -> None:
    blind = dataclasses.replace(capture, depth_mm=np.full_like(capture.depth_mm, np.nan))
    with pytest.raises(CaptureError, match="depth") as caught:
        register_capture(model, blind, CONFIG, landmarks=capture.landmarks)
    assert caught.value.code == "no_depth_on_face"
