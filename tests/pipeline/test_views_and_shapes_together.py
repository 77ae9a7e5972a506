"""Views and new shapes of a capture that is prepared once for both are those made apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from test_solver_choice import LEVELS, chunk_of, donor_faces
from toy_build import build_model

from fg3d_builder.config import (
    BuildConfig,
    FullViewConfig,
    LandmarkConfig,
    RegistrationConfig,
    ShardConfig,
)
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.products import write_product
from fg3d_builder.fullview.source import FACE_PROFILING, FULL_VIEW
from fg3d_builder.pipeline import augmentation
from fg3d_builder.pipeline.augmentation import (
    ChunkInput,
    make_transforms,
    make_views,
    make_views_and_transforms,
)
from fg3d_builder.pipeline.each_capture import StageResult
from fg3d_builder.transform.donors import DONATED_PARTS

DRAWS = {"s0-0": [[dict.fromkeys(DONATED_PARTS, "s1-0")]] * 2}
"""Two shapes of the first capture; the second gets none."""


def config_of(method: str) -> BuildConfig:
    return BuildConfig(
        landmarks=LandmarkConfig(detector="annotation"),
        registration=RegistrationConfig(levels=LEVELS),
        fullview=FullViewConfig(method=method, yaw_steps_deg=(30.0,), pitch_steps_deg=()),
        shards=ShardConfig(image_size=64),
    )


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return build_model()


@pytest.fixture(scope="module")
def chunk(model: FaceModel) -> ChunkInput:
    return chunk_of(model, config_of(FULL_VIEW))


def apart(model: FaceModel, chunk: ChunkInput, config: BuildConfig) -> Sequence[StageResult[Any]]:
    shapes = make_transforms(model, chunk, DRAWS, donor_faces(chunk), config)
    return make_views(model, chunk, config), shapes


def products(folder: Path, results: Sequence[StageResult[Any]]) -> list[bytes]:
    """What the products of both stages hold, to the byte."""
    folder.mkdir()
    found = []
    for stage, result in zip(("views", "transform"), results, strict=True):
        path = folder / f"{stage}.product"
        write_product(path, stage, "digest", result.records, result.failures)
        found.append(path.read_bytes())
    return found


@pytest.mark.parametrize("method", [FULL_VIEW, FACE_PROFILING])
def test_the_products_are_those_made_apart(
    model: FaceModel, chunk: ChunkInput, tmp_path: Path, method: str
) -> None:
    config = config_of(method)
    faces = donor_faces(chunk)
    together = make_views_and_transforms(model, chunk, DRAWS, faces, config)
    assert [list(result.records) for result in together] == [
        ["s0-0", "s1-0"],
        ["s0-0.transform-0", "s0-0.transform-1"],
    ]
    wanted = products(tmp_path / "apart", apart(model, chunk, config))
    assert products(tmp_path / "together", together) == wanted


def test_a_capture_is_prepared_once_and_with_its_views(
    model: FaceModel, chunk: ChunkInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, str, bool]] = []
    inside = False

    @contextmanager
    def at_views() -> Iterator[None]:
        nonlocal inside
        inside = True
        yield
        inside = False

    def noted(name: str, make: Any) -> Any:
        def note(model: FaceModel, capture: Any, *others: Any) -> Any:
            made.append((name, capture.capture_id, inside))
            return make(model, capture, *others)

        return note

    for name in ("fit_texture", "image_mesh"):
        monkeypatch.setattr(augmentation, name, noted(name, getattr(augmentation, name)))
    of = augmentation.HeadLayers.of
    monkeypatch.setattr(augmentation.HeadLayers, "of", noted("head", of))
    config, faces = config_of(FULL_VIEW), donor_faces(chunk)
    make_views_and_transforms(model, chunk, DRAWS, faces, config, at_views)
    parts = ("fit_texture", "image_mesh", "head")
    assert made == [(part, name, True) for name in ("s0-0", "s1-0") for part in parts]


def test_what_cannot_be_prepared_fails_in_both_stages(
    model: FaceModel, chunk: ChunkInput, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = augmentation.image_mesh

    def failing(model: FaceModel, capture: Any, *others: Any) -> Any:
        if capture.capture_id == "s0-0":
            raise CaptureError("no_outline", "the outline does not close")
        return make(model, capture, *others)

    monkeypatch.setattr(augmentation, "image_mesh", failing)
    config, faces = config_of(FULL_VIEW), donor_faces(chunk)
    together = make_views_and_transforms(model, chunk, DRAWS, faces, config)
    failed = [[(f.capture_id, f.stage, f.code) for f in r.failures] for r in together]
    assert failed == [
        [("s0-0", "views", "no_outline")],
        [(f"s0-0.transform-{i}", "transform", "no_outline") for i in range(2)],
    ]
    wanted = products(tmp_path / "apart", apart(model, chunk, config))
    assert products(tmp_path / "together", together) == wanted
