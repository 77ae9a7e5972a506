from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_shards
from toy_models import toy_model
from toy_shards import write_toy_shards

from fg3d_builder.commands.models_learn import add_learn_arguments, run_learn
from fg3d_builder.facemodel.learning.learn import LearningOptions
from fg3d_builder.facemodel.storage import load_model
from fg3d_builder.fullview.texture_fit import TextureFit
from fg3d_builder.pipeline import learning
from fg3d_builder.pipeline.learning import (
    DatasetLearning,
    Skins,
    as_registered,
    captured_samples,
    learn_from_dataset,
    learnt_licence,
)
from fg3d_builder.rendering.shading import linear_from_srgb
from fg3d_builder.shards.reader import ShardReader
from fg3d_builder.shards.sample import STORED

WITH_COARSE = (*STORED, "coarse_obj_mm")
GIVEN = LearningOptions(modes=6, prior_subjects=3.0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    write_toy_shards(folder, train=8, test=3, size=160)
    return folder


def test_captured_samples_are_listed_by_subject(dataset: Path) -> None:
    members = captured_samples({split: ShardReader(dataset, split) for split in ("train", "test")})
    assert [m.subject_id for m in members] == [
        *(f"test{i}" for i in range(3)),
        *(f"train{i}" for i in range(8)),
    ]
    assert members[0].places == (("test", 0),)
    assert members[0].licences == ("CC0",)


def test_shapes_of_a_dataset_are_learnt_and_nothing_is_random(dataset: Path) -> None:
    wanted = DatasetLearning(GIVEN, texture=False)
    one, other = (learn_from_dataset(dataset, wanted) for _ in range(2))
    assert one.captures == 8
    assert one.model.topology_hash == one.old.topology_hash
    assert np.array_equal(one.model.id_basis, other.model.id_basis)
    assert np.array_equal(one.model.albedo_mean, one.old.albedo_mean)
    every = learn_from_dataset(dataset, DatasetLearning(GIVEN, False, ("train", "test")))
    assert len(every.identities.subjects) == 11


def test_the_picture_and_the_camera_of_a_sample_fit_its_face(dataset: Path) -> None:
    reader = ShardReader(dataset, "train", fields=WITH_COARSE)
    capture, registration = as_registered(reader.model, reader[0])
    known = np.isfinite(capture.depth_mm)
    assert 0.05 < known.mean() < 0.9
    pixels = registration.vertices_cam_mm @ capture.intrinsics.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    # Where the camera saw a vertex, depth is the vertex's own.
    seen = registration.visible & (np.abs(reader.model.mean[:, 0]) < 30)
    column, row = np.rint(pixels[seen]).astype(int).T
    off = capture.depth_mm[row, column] - registration.vertices_cam_mm[seen, 2]
    assert np.nanmedian(np.abs(off)) < 1.0


def test_paint_on_the_faces_is_learnt_as_albedo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Strong stripes would be taken for something before the face.
    strong = toy_shards.paint
    monkeypatch.setattr(toy_shards, "paint", lambda points: 0.55 + 0.25 * (strong(points) - 0.5))
    write_toy_shards(tmp_path, train=4, test=1, size=160)
    reader = ShardReader(tmp_path, "train", fields=WITH_COARSE)
    skins = Skins(reader.model)
    for index in range(4):
        skins.look(f"s{index}", reader[index])
    found = skins.identities()
    assert not skins.failures
    known = found.confidence.min(axis=0) > 0.5
    assert known.sum() > 300
    true = linear_from_srgb(np.rint(255 * toy_shards.paint(reader.model.mean)).astype(np.uint8))
    # Slow changes of colour may be the light's: the fit shares them out.
    for channel in range(3):
        pair = found.values.mean(axis=0)[known, channel], true[known, channel]
        assert np.corrcoef(*pair)[0, 1] > 0.75


def test_images_without_skin_are_said_and_two_subjects_are_too_few(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = ShardReader(dataset, "train", fields=WITH_COARSE)
    skins = Skins(reader.model)
    skins.look("s0", reader[0])
    skins.look("s1", reader[1])
    whole = learning.fit_texture

    def unseen(*known: Any) -> TextureFit:
        fit = whole(*known)
        return dataclasses.replace(fit, trust=np.zeros_like(fit.trust))

    monkeypatch.setattr(learning, "fit_texture", unseen)
    skins.look("s2", reader[2])
    assert skins.failures == [f"{reader[2]['capture_id']}: its image shows no skin"]
    with pytest.raises(ValueError, match=r"3 subjects at least, the images of 2 .*--no-texture"):
        skins.identities()


def test_a_licence_is_as_narrow_as_its_narrowest_part() -> None:
    model = toy_model()
    assert learnt_licence({"CC0"}, model, 3, 4).startswith("CC0 (learnt from 4 captures of 3")
    mixed = learnt_licence({"CC0", "research only"}, model, 3, 4)
    assert mixed.startswith("research only; CC0 (")
    assert learnt_licence({""}, model, 3, 4).startswith("unknown licence; CC0")


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    add_learn_arguments(parser)
    return run_learn(parser.parse_args(words))


def test_the_command_writes_model_measures_and_picture(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, measures = tmp_path / "learnt.h5", tmp_path / "learnt.json"
    words = ["--modes", "4", "--prior", "2", "--no-texture", "--folds", "2"]
    assert run(str(dataset), "--out", str(out), "--measures", str(measures), *words) == 0
    assert len(load_model(out).id_sd) == 4
    table = json.loads(measures.read_text())
    assert table["modes"] == [1, 2, 3, 4]
    assert table["folds"] == 2
    assert np.all(np.diff(table["compactness_mm"]) >= 0)
    assert measures.with_suffix(".png").stat().st_size > 10_000
    text = capsys.readouterr().out
    assert "8 captures of 8 subjects" in text
    assert "generalisation" in text


def test_what_cannot_be_learnt_is_refused_in_a_sentence(tmp_path: Path) -> None:
    write_toy_shards(tmp_path, train=1, test=1)
    with pytest.raises(ValueError, match="3 subjects at least"):
        run(str(tmp_path), "--out", str(tmp_path / "x.h5"), "--no-texture")
    with pytest.raises(FileNotFoundError, match="no dataset at"):
        run(str(tmp_path / "none"), "--out", str(tmp_path / "x.h5"))
