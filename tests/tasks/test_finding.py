"""Where a preset is built: in folders that follow what its face model is made of."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fg3d_builder.config import BuildConfig, FaceModelConfig
from fg3d_builder.heads.makehuman import MakeHumanData
from fg3d_builder.tasks.chunk_tasks import PrepareModel
from fg3d_builder.tasks.finding import layout_of
from fg3d_builder.tasks.naming import what


def test_a_changed_ict_folder_is_another_face_model(tmp_path: Path) -> None:
    (tmp_path / "all_modes.npz").write_bytes(b"one")
    config = BuildConfig(facemodel=FaceModelConfig("ict", str(tmp_path)))
    before = layout_of(config, tmp_path / "out")
    assert layout_of(config, tmp_path / "out") == before
    (tmp_path / "all_modes.npz").write_bytes(b"another")
    after = layout_of(config, tmp_path / "out")
    assert after.facemodel != before.facemodel
    assert after.stage_folder("fitting") != before.stage_folder("fitting")
    assert after.stage_folder("captures") == before.stage_folder("captures")


def test_another_release_of_anny_is_another_face_model(monkeypatch: pytest.MonkeyPatch) -> None:
    config = dataclasses.replace(BuildConfig(), name="x")
    before = layout_of(config)
    assert before.root == Path("build/x").resolve()
    monkeypatch.setattr(MakeHumanData, "version", staticmethod(lambda: "99"))
    assert layout_of(config).facemodel != before.facemodel


def test_a_model_that_changes_during_a_build_stops_it(tmp_path: Path) -> None:
    (tmp_path / "all_modes.npz").write_bytes(b"one")
    config = BuildConfig(facemodel=FaceModelConfig("ict", str(tmp_path)))
    layout = layout_of(config, tmp_path / "out")
    layout.freeze()
    (tmp_path / "all_modes.npz").write_bytes(b"another")
    task = PrepareModel(root=str(layout.root), config=layout.config_digest)
    with pytest.raises(RuntimeError, match="changed meanwhile"):
        task.run()
    assert what(task) == "the face model"
