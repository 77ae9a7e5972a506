"""A build whose files are damaged is repaired by running it again, to the same bytes."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from toy_build import write_toy_build

from fg3d_builder.cli import main
from fg3d_builder.files.sealed import DAMAGED_SUFFIX
from fg3d_builder.files.sealed_object import with_seal
from fg3d_builder.shards.manifest import missing_files
from fg3d_builder.shards.verify import verify_dataset

RUNS = 3
"""So often a person may have to type the command."""

KINDS = (
    *("config-*.json", "index-*.json", "verdicts-*.json", "decisions-*.json", "plan-*.json"),
    *(
        "draws-*.json",
        "donors-*.product",
        "facemodel-*.h5",
        "captures-*/*.product",
        "landmarks-*/*.product",
    ),
    *(
        "fitting-*/*.product",
        "registration-*/*.product",
        "views-*/*.product",
        "transform-*/*.product",
    ),
    *("captures-*/*.json", "registration-*/*.json", "transform-*/*.json"),
    *("report-*/*.json", "augmentation-report-*/*.json", "complete-*.json"),
)
"""Files of the work folder, one of each."""


LACKING = (
    ("train-00000.h5", "gone"),
    *((name, how) for name in ("topology.h5", "facemodel.h5") for how in ("cut", "gone")),
    *(("manifest.json", how) for how in ("cut", "gone")),
)


def build(preset: Path, out: Path) -> bool:
    """Build in a process of its own, which remembers nothing; return whether all is there."""
    child = multiprocessing.get_context("fork").Process(target=_build, args=(preset, out))
    child.start()
    child.join()
    return child.exitcode == 0 and not missing_files(out / "dataset")


def _build(preset: Path, out: Path) -> None:
    sys.exit(main(["build", str(preset), "--out", str(out)]))


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a preset, and an undisturbed build of it in ``undisturbed``."""
    folder = tmp_path_factory.mktemp("toy")
    preset = write_toy_build(folder, subjects=2)
    assert build(preset, folder / "undisturbed")
    return folder


@pytest.fixture
def out(toy: Path, tmp_path: Path) -> Path:
    """A copy of that build."""
    without = shutil.ignore_patterns("build.lock")  # it names this process
    shutil.copytree(toy / "undisturbed", tmp_path / "out", symlinks=True, ignore=without)
    return tmp_path / "out"


def products(out: Path) -> dict[str, bytes]:
    """All files that tell neither how long something took nor where the build is."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        timed = name.startswith("work/") and path.with_suffix(".product").is_file()
        left_out = timed or name.startswith(
            (
                *("work/report-", "work/timings-", "work/costs/", "work/complete-"),
                *("work/begun-", "report/index", "report/pages", "build.lock"),
            )
        )
        if path.is_file() and not left_out and not name.endswith(DAMAGED_SUFFIX):
            manifest = path.name == "manifest.json"
            found[name] = _without_costs(path) if manifest else path.read_bytes()
    return found


def _without_costs(manifest: Path) -> bytes:
    table = {**json.loads(manifest.read_text()), "costs": []}
    return json.dumps(with_seal(table)).encode()


def repaired(toy: Path, out: Path, damaged: Path | None = None) -> None:
    """Run the build until it is complete; everything is then as it was.

    But for a `damaged` file that nothing had to read: it may stand there as it is.
    """
    assert any(build(toy / "toy.toml", out) for _ in range(RUNS))
    assert verify_dataset(out / "dataset").problems == ()
    found, wanted = products(out), products(toy / "undisturbed")
    if damaged is not None and not damaged.with_name(damaged.name + DAMAGED_SUFFIX).is_file():
        for files in (found, wanted):
            files.pop(str(damaged.relative_to(out)), None)
    assert found == wanted


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "gone":
        path.unlink()
        return
    if how == "flip":
        data[int(np.random.default_rng(len(data)).integers(len(data) // 3, len(data)))] ^= 8
    path.write_bytes(data if how == "flip" else data[: len(data) // 2])


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("train-00000.h5", "cut"),
        *(pytest.param(*which, marks=pytest.mark.slow) for which in LACKING),
    ],
)
def test_a_build_sees_what_a_dataset_lacks(toy: Path, out: Path, name: str, how: str) -> None:
    damage((out / "dataset" / name), how)
    assert missing_files(out / "dataset") == [name]
    repaired(toy, out)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train-00000.h5", "topology.h5", "facemodel.h5"])
def test_what_verify_says_repairs_the_dataset(toy: Path, out: Path, name: str) -> None:
    path = (out / "dataset" / name).resolve()
    damage(path, "flip")
    report = verify_dataset(out / "dataset")
    assert [line.split(":")[0] for line in report.problems] == [name]
    (sentence,) = report.repair
    assert f"`rm {path}`, then run `fg3d build" in sentence
    path.unlink()
    repaired(toy, out)


def test_a_shard_damaged_before_the_manifest_was_written_is_not_believed(
    toy: Path, out: Path
) -> None:
    (out / "dataset/manifest.json").unlink()
    path = (out / "dataset/train-00000.h5").resolve()
    damage(path, "flip")
    repaired(toy, out)
    assert path.with_name(path.name + DAMAGED_SUFFIX).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["flip", "cut"])
@pytest.mark.parametrize("pattern", KINDS)
def test_every_file_of_the_work_folder(toy: Path, out: Path, pattern: str, how: str) -> None:
    path = min((out / "work").glob(pattern))
    damage(path, how)
    # The dataset is not complete, and one shard has to be made again: all of this is read.
    (out / "dataset/manifest.json").unlink()
    (out / "dataset/train-00000.h5").unlink()
    repaired(toy, out, path)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["flip", "cut"])
def test_all_of_the_work_folder_at_once(toy: Path, out: Path, how: str) -> None:
    for path in (out / "work").rglob("*"):
        if path.is_file():
            damage(path, how)
    (out / "dataset/manifest.json").unlink()
    assert any(build(toy / "toy.toml", out) for _ in range(12))
    repaired(toy, out)
