"""The file for a GPU box, unpacked and run as it would be there, with nothing but torch's side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from toy_models import toy_model
from toy_shards import write_toy_shards

from fg3d_builder.cli import main
from fg3d_builder.facemodel.storage import load_model
from fg3d_builder.fgnet.packing import code_files, pack, unpack
from fg3d_builder.fgnet.trained import load_trained
from fg3d_builder.files.sealed_object import write_sealed_object
from fg3d_builder.shards.manifest import read_manifest

ABSENT = (
    *("numba", "open3d", "luigi", "anny", "mediapipe", "trimesh", "PIL", "matplotlib", "jinja2"),
    *("sksparse", "skimage", "face_alignment", "tensorboard", "tqdm", "pandas", "tomli_w"),
)
SITE = f"import sys\nsys.modules.update(dict.fromkeys({ABSENT!r}))\n"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed") / "dataset-1"
    folder.mkdir()
    write_toy_shards(folder, train=3, test=2)
    link = folder.with_name("dataset")
    link.symlink_to(folder.name)
    return link


def test_a_pack_holds_the_dataset_the_code_and_nothing_else(dataset: Path, tmp_path: Path) -> None:
    (dataset / "notes.txt").write_text("mine")
    tar = tmp_path / "pack.tar"
    assert main(["pack", str(dataset), "--out", str(tar), "--preset", "tiny"]) == 0
    with tarfile.open(tar) as packed:
        names = set(packed.getnames())
        assert all(member.isfile() for member in packed)
    (dataset / "notes.txt").unlink()
    data = {name.split("/", 2)[2] for name in names if name.startswith("fg3d-pack/dataset/")}
    wanted = {"train-00000.h5", "test-00000.h5", "facemodel.h5", "topology.h5", "manifest.json"}
    assert data == wanted
    assert len(names) == len(wanted) + len(list(code_files())) + 1


def test_a_model_that_may_not_be_copied_is_named_by_path(dataset: Path, tmp_path: Path) -> None:
    own = tmp_path / "data"
    own.mkdir()
    write_toy_shards(own, train=1, test=1)
    manifest = read_manifest(own)
    manifest["facemodel"]["file"] = ""
    manifest["files"] = [f for f in manifest["files"] if f["file"] != "facemodel.h5"]
    write_sealed_object(own / "manifest.json", manifest)
    model = (own / "facemodel.h5").rename(tmp_path / "mine.h5")
    arguments = ["pack", str(own), "--out", str(tmp_path / "pack.tar")]
    assert main(arguments) == 2
    assert not (tmp_path / "pack.tar").exists()
    assert main([*arguments, "--facemodel", str(model)]) == 0
    with tarfile.open(tmp_path / "pack.tar") as packed:
        packed.extractall(tmp_path / "box", filter="data")
    assert "model=(--facemodel facemodel.h5)" in (tmp_path / "box/fg3d-pack/run.sh").read_text()
    assert load_model(tmp_path / "box/fg3d-pack/facemodel.h5").name == toy_model().name
    with pytest.raises(ValueError, match="not the face model file"):
        pack(own, tmp_path / "pack.tar", "tiny", facemodel=own / "topology.h5")


def test_results_that_would_write_elsewhere_are_refused(tmp_path: Path) -> None:
    note = tmp_path / "note"
    note.write_text("x")
    for name in ("out/../../evil", "elsewhere/file"):
        with tarfile.open(tmp_path / "results.tar", "w") as tar:
            tar.add(note, name)
        with pytest.raises(ValueError, match="alone"):
            unpack(tmp_path / "results.tar", tmp_path / "into")
    assert not (tmp_path / "into").exists()
    note.rename(tmp_path / "other.tar")
    assert main(["unpack", str(tmp_path / "other.tar"), "--out", str(tmp_path / "into")]) == 2


STUB = """\
#!/usr/bin/env bash
# In place of Python: says what it is asked for; devices differ.
echo "asked: $*"
case "$*" in *" parity "*) exit "$PARITY_STATUS" ;; esac
"""


@pytest.mark.parametrize(
    ("parity_status", "anyway", "goes_on"),
    [("0", "0", True), ("1", "0", False), ("1", "1", True), ("2", "1", False)],
)
def test_a_device_that_differs_trains_only_on_request(
    dataset: Path, tmp_path: Path, parity_status: str, anyway: str, goes_on: bool
) -> None:
    pack(dataset, tmp_path / "pack.tar", "tiny", epochs=1)
    with tarfile.open(tmp_path / "pack.tar") as packed:
        packed.extractall(tmp_path, filter="data")
    stub = tmp_path / "stub"
    stub.write_text(STUB)
    stub.chmod(0o755)
    environment = {
        **os.environ,
        **{"PYTHON": str(stub), "PARITY_STATUS": parity_status, "ANYWAY": anyway},
        **{"DEVICE": "cpu", "MICRO_BATCH": "3"},
    }
    ran = subprocess.run(
        [str(tmp_path / "fg3d-pack" / "run.sh")],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ("benchmarks.training dataset" in ran.stdout) == goes_on
    assert ("--micro-batch 3" in ran.stdout) == goes_on
    assert ("ANYWAY=1 ./run.sh goes on" in ran.stderr) == (parity_status == "1" and anyway == "0")
    if not goes_on:
        assert ran.returncode == int(parity_status)


@pytest.mark.slow
def test_a_pack_trains_with_torch_alone_and_comes_back(dataset: Path, tmp_path: Path) -> None:
    tar = tmp_path / "pack.tar"
    pack(dataset, tar, "tiny", epochs=1)
    with tarfile.open(tar) as packed:
        packed.extractall(tmp_path, filter="data")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "PYTHONPATH": str(tmp_path / "site"),
        **{"DEVICE": "cpu", "BATCH": "2", "MICRO_BATCH": "1", "ROUNDS": "1"},
        "OMP_NUM_THREADS": "1",
    }
    box = tmp_path / "fg3d-pack"
    ran = subprocess.run(
        [str(box / "run.sh"), "--view-set", "3"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    into = tmp_path / "results"
    written = {path.relative_to(into).as_posix() for path in unpack(box / "results.tar", into)}
    assert {
        *("summary.md", "parity.json", "parity-trained.json", "throughput.json", "training.log"),
        *("training/checkpoint.pt", "training/trained-on.json", "training/facemodel.h5"),
        *("training/assessment-test/assessment.md", "training/curves.png"),
    } <= written
    page = (into / "summary.md").read_text()
    for figure in ("samples/s", "474000 samples x 45 epochs", "1 epochs took", "3DMM fit"):
        assert figure in page
    parity = json.loads((into / "parity.json").read_text())
    assert parity["float32_max_mm"] == 0.0  # the device is the CPU itself
    assert 0.05 < parity["answer_rms_mm"] < 20.0
    import torch

    trained = load_trained(into / "training" / "checkpoint.pt", torch.device("cpu"))
    assert trained.config.network.view_set == "3"
