"""Every file is taken for what it is, and for nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.facemodel.sources.known import LAYOUTS, layout_of, read_source
from tests.facemodel.sources.model_writers_eos import write_surrey
from tests.facemodel.sources.model_writers_flame import (
    write_flame,
    write_flame_masks,
    write_flame_texture,
)
from tests.facemodel.sources.model_writers_npz import (
    write_arrays,
    write_facescape,
    write_facescape_folder,
    write_gnm,
)
from tests.facemodel.sources.toy_head import toy_head


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    """Files and folders, by the kind that they are; ``""`` for none."""
    head, base = toy_head(), tmp_path_factory.mktemp("models")
    made = {
        name: base / name for name in ("pickle", "archive", "gnm", "sfm", "npz", "core", "ours")
    }
    for folder in made.values():
        folder.mkdir()
    image = np.zeros((8, 8, 3))
    flame = write_flame(head, made["pickle"] / "female_model.pkl", single=True)
    return {
        flame: "flame",
        made["pickle"]: "flame",
        write_flame_masks(head, made["pickle"]): "",
        write_flame_texture(head, made["pickle"], image, image[..., None]): "",
        write_flame(head, made["archive"] / "flame2023_Open.npz"): "flame",
        write_gnm(head, made["gnm"] / "gnm_head.npz"): "gnm",
        made["gnm"]: "gnm",
        write_surrey(head, made["sfm"]): "surrey",
        made["sfm"]: "surrey",
        made["sfm"] / "expression_blendshapes_768.bin": "",
        write_facescape(head, made["npz"] / "facescape_bm_v1.6_847_50_52_id.npz"): "facescape",
        write_facescape_folder(head, made["core"]): "facescape",
        made["core"] / "factors_id_847_7_52.npy": "",
        write_arrays(head, made["ours"] / "ours.npz"): "arrays",
        made["ours"]: "",
        base: "",
    }


def test_files_are_told_apart(files: dict[Path, str]) -> None:
    for path, kind in files.items():
        fitting = [layout.name for layout in LAYOUTS if layout.files(path)]
        assert fitting == ([kind] if kind else []), path
        if kind:
            assert layout_of(path).name == kind
            assert layout_of(path).files(path)[0].is_file()
        else:
            with pytest.raises(ValueError, match="holds no face model of a known kind"):
                layout_of(path)


def test_endings_in_capitals(tmp_path: Path) -> None:
    head = toy_head()
    for kind, made in {
        "flame": write_flame(head, tmp_path / "generic_model.pkl"),
        "gnm": write_gnm(head, tmp_path / "gnm_head.npz"),
        "surrey": write_surrey(head, tmp_path),
        "facescape": write_facescape(head, tmp_path / "facescape_bm_v1.6_847_50_52_id.npz"),
        "arrays": write_arrays(head, tmp_path / "ours.npz"),
    }.items():
        file = made.rename(made.with_suffix(made.suffix.upper()))
        assert layout_of(file).name == kind
        assert read_source(file).layout == kind


def test_every_kind_has_a_page_and_a_title() -> None:
    pages = Path(__file__).resolve().parents[3] / "docs" / "facemodels"
    names = [layout.name for layout in LAYOUTS]
    assert len(set(names)) == len(names)
    for layout in LAYOUTS:
        assert (pages / layout.page).is_file(), layout.page
        assert layout.title.isprintable()
        assert len(layout.title) < 80


@pytest.mark.parametrize("content", [b"", b"\x00" * 99, b"PK\x03\x04" + bytes(40), b"\x80\x02."])
@pytest.mark.parametrize("name", ["a.npz", "sfm_shape_3448.bin", "gnm_head.npz", "core_1.npy"])
def test_looking_raises_nothing(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.npz").mkdir()
    for layout in LAYOUTS:
        for path in (tmp_path / name, tmp_path, tmp_path / "gone", tmp_path / "folder.npz"):
            layout.files(path)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("bfm2009", "01_MorphableModel.mat"),
        ("3ddfa", "Model_Shape.mat"),
        ("3ddfa-v2", "bfm_noneck_v3.pkl"),
        ("ict", "generic_neutral_mesh.obj"),
        ("gnm", "gnm_head.npz"),
        ("surrey", "sfm_shape"),
        ("facescape", "core_847_50_52.npy"),
    ],
)
def test_a_folder_without_the_model_says_what_is_missing(
    tmp_path: Path, kind: str, name: str
) -> None:
    with pytest.raises(ValueError, match=name):
        read_source(tmp_path, kind)


def test_what_is_no_hdf5_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "model.h5").write_text("something else")
    for kind in ("bfm2017", "bfm2019"):
        with pytest.raises(ValueError, match=r"model\.h5: no HDF5 file"):
            read_source(tmp_path / "model.h5", kind)
