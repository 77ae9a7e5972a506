"""The front door: models are made once, kept under what they are made of, and read back."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.config import FaceModelConfig
from fg3d_builder.facemodel import embedding
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.storage import save_model
from fg3d_builder.heads import library
from fg3d_builder.heads.cache import (
    build_once,
    code_digest,
    modules_behind,
    read_or_build,
)
from fg3d_builder.landmarks.edges import MEDIAPIPE


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, toy_model: FaceModel) -> list[str]:
    """Stand-ins for slow imports and detections; their calls are listed."""
    found: list[str] = []

    def imported(path: str) -> tuple[FaceModel, None]:
        found.append("import")
        return toy_model, None

    def embedded(model: FaceModel) -> FaceModel:
        found.append("embed")
        marks = model.embeddings["ibug68"]
        return dataclasses.replace(model, embeddings={"ibug68": marks, MEDIAPIPE: marks})

    monkeypatch.setattr(library, "import_ict_head", imported)
    monkeypatch.setattr(embedding, "with_embeddings", embedded)
    monkeypatch.setenv("FG3D_CACHE", str(tmp_path / "cache"))
    return found


@pytest.fixture
def ict(tmp_path: Path) -> FaceModelConfig:
    """A folder with the names of an ICT-FaceKit checkout."""
    folder = tmp_path / "FaceXModel"
    folder.mkdir()
    for name in ("generic_neutral_mesh.obj", "identity000.obj", "jawOpen.obj"):
        (folder / name).write_text("v 0 0 0\n")
    (folder / "vertex_indices.json").write_text("{}")
    return FaceModelConfig("ict", str(folder))


def test_an_imported_model_is_made_once_and_kept(
    calls: list[str], ict: FaceModelConfig, tmp_path: Path
) -> None:
    first, second = library.get_model(ict), library.get_model(ict)
    assert calls == ["import", "embed"]
    assert np.array_equal(first.id_basis, second.id_basis)
    assert MEDIAPIPE in first.embeddings
    # A damaged cache file is built anew.
    (kept,) = (tmp_path / "cache").glob("ict-*.h5")
    kept.write_bytes(kept.read_bytes()[:1000])
    assert MEDIAPIPE in library.get_model(ict).embeddings
    assert calls == ["import", "embed"] * 2


def test_a_model_file_without_embedding_gets_one_and_stays_as_it_is(
    calls: list[str], toy_model: FaceModel, tmp_path: Path
) -> None:
    save_model(toy_model, tmp_path / "mine.h5")
    before = (tmp_path / "mine.h5").read_bytes()
    mine = library.get_model(FaceModelConfig(str(tmp_path / "mine.h5")))
    assert MEDIAPIPE in mine.embeddings
    assert (tmp_path / "mine.h5").read_bytes() == before
    save_model(mine, tmp_path / "full.h5")
    library.get_model(FaceModelConfig(str(tmp_path / "full.h5")))
    assert calls == ["embed"]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    for reads in (library.get_model, library.model_identity):
        with pytest.raises(ValueError, match="'path'"):
            reads(FaceModelConfig("ict"))
        with pytest.raises(FileNotFoundError, match=r"none\.h5"):
            reads(FaceModelConfig(str(tmp_path / "none.h5")))


def touch(file: Path) -> None:
    """Make a file look changed a minute ago."""
    now = file.stat().st_mtime_ns
    os.utime(file, ns=(now, now - 60_000_000_000))


def use_version(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(library.metadata, "version", lambda package: version)


def test_identity_of_an_ict_folder_follows_content_and_detector(
    ict: FaceModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = library.model_identity(ict)
    mode = Path(ict.path) / "jawOpen.obj"
    touch(mode)
    assert library.model_identity(ict) == first
    mode.write_text("v 0 0 1\n")
    changed = library.model_identity(ict)
    (Path(ict.path) / "mouthClose.obj").write_text("v 0 0 0\n")
    added = library.model_identity(ict)
    use_version(monkeypatch, "99")
    assert len({first, changed, added, library.model_identity(ict)}) == 4


def test_identity_of_a_model_file_follows_its_content(
    toy_model: FaceModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    marks = toy_model.embeddings["ibug68"]
    for name, embeddings in (("bare", {}), ("full", {MEDIAPIPE: marks})):
        file = tmp_path / f"{name}.h5"
        model = dataclasses.replace(toy_model, embeddings=embeddings, edge_points={})
        save_model(model, file)
        first = library.model_identity(FaceModelConfig(str(file)))
        touch(file)
        assert library.model_identity(FaceModelConfig(str(file))) == first
        with monkeypatch.context() as patch:
            use_version(patch, "99")
            # The detector takes part only where the file lacks its points.
            other = library.model_identity(FaceModelConfig(str(file))) != first
            assert other == (name == "bare")
        save_model(dataclasses.replace(model, mean=model.mean + 1), file)
        assert library.model_identity(FaceModelConfig(str(file))) != first


def test_identity_of_the_default_model_follows_recipe_data_and_detector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [library.model_identity(FaceModelConfig())]
    assert library.model_identity(FaceModelConfig()) == found[0]
    recipe = library.load_recipe()
    recipe["population"]["subjects"] += 1
    monkeypatch.setattr(library, "load_recipe", lambda: recipe)
    found.append(library.model_identity(FaceModelConfig()))
    monkeypatch.setattr(library.MakeHumanData, "version", staticmethod(lambda: "99"))
    found.append(library.model_identity(FaceModelConfig()))
    use_version(monkeypatch, "99")
    found.append(library.model_identity(FaceModelConfig()))
    assert len(set(found)) == 4


def test_all_modules_that_take_part_are_found() -> None:
    heads = set(modules_behind(["heads/population"]))
    assert {"heads/control", "facemodel/patches", "files/obj_reader"} <= heads
    assert "heads/default" not in heads
    default = set(modules_behind(["heads/default"]))
    # The detector is imported inside a function.
    assert heads | {"facemodel/chart", "landmarks/mediapipe_detector"} <= default
    # A module that is imported by its name from its folder.
    assert "facemodel/regions" in modules_behind(["facemodel/arrays"])
    assert not {"heads/library", "heads/cache", "rendering/rasterizer"} & default


def test_code_counts_but_not_its_texts(tmp_path: Path) -> None:
    versions = {
        "plain": "def f(x):\n    return x + 1\n",
        "prose": '"""A module."""\n# Adds.\ndef f(x):\n    """Add one."""\n    return (x\n  + 1)\n',
        "changed": "def f(x):\n    return x + 2\n",
    }
    digests = {}
    for name, text in versions.items():
        (tmp_path / f"{name}.py").write_text(text)
        digests[name] = code_digest(tmp_path / f"{name}.py")
    assert digests["plain"] == digests["prose"] != digests["changed"]


def _build_slowly(path: Path) -> None:
    with open(str(path) + ".count", "a") as file:
        file.write("x")
    path.write_text("complete")


def _want(path: Path) -> None:
    build_once(path, _build_slowly)


def test_a_file_is_built_once_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "thing.h5"
    workers = [multiprocessing.Process(target=_want, args=(path,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert path.read_text() == "complete"
    counts = list(tmp_path.glob("*.count"))
    assert sum(len(c.read_text()) for c in counts) == 1


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def broken(path: Path) -> None:
        path.write_text("half")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        read_or_build(tmp_path / "thing.h5", Path.read_text, broken)
    assert not [p for p in tmp_path.iterdir() if not p.name.endswith(".lock")]
