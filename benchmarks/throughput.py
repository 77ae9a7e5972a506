"""What a sample costs: seconds of a core by stage, memory of a worker, bytes; and what 474,000 do.

`python -m benchmarks.throughput` builds a small preset, or the one that is named, with one and with
two workers; `--build FOLDER` looks at a build that is there. Printed and written to
build/bench/throughput.json:

* milliseconds of a core for each sample of the dataset, by stage, as the manifest states them, and
  what no task accounts for: listing, planning, starting processes;
* the most memory of any process of the build, seen from outside four times a second, in each tenth
  of the run; and how much the peaks of a stage's tasks rise from one to the last, by their facts;
* bytes a sample, of the dataset and apart from it of stage products and report;
* hours of two cores and gigabytes for 474,000 training samples.

The projection takes apart what is done once for each capture, for each turned view of one, for each
sample of a new shape, and for each sample. It assumes captures, views and shapes in the proportion
of the training split that was built, and costs in proportion to their numbers.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil

from benchmarks.timings import machine
from fg3d_builder.layout import CHUNK_STAGES
from fg3d_builder.shards.manifest import read_manifest
from fg3d_builder.shards.schema import CAPTURED

PAPER_SAMPLES = 474_000
CORES = 2

SMALL = """
name = "throughput"
chunk_size = 10
max_failure_rate = 0.2
[[sources]]
kind = "synthetic"
subjects = 6
captures_per_subject = 2
seed = 300
image_size = [640, 480]
sensor = { kind = "structured_light", seed = 1 }
[transform]
shapes_per_capture = 4
[shards]
samples_per_shard = 64
test_fraction = 0.01
split_salt = "subjects-200"
"""
"""Six training subjects are as few as can take parts from each other."""

LOOKS_PER_S = 4.0
TENTHS = 10
PRODUCTS = ("facemodel", *CHUNK_STAGES, "donors", "transform")

PER_CAPTURE = ("captures", "landmarks", "fitting", "registration", "donors", "sheets", "counts")
PER_SAMPLE = ("shards", "manifest")
ONCE = ("facemodel", "examples")
"""Kinds of work whose amount the number of samples does not change."""


@dataclass(frozen=True)
class Amounts:
    """Numbers of what is built.

    captures: in the dataset.
    turned: samples of registered shapes that are turned.
    shaped: samples of new shapes, turned or not.
    shapes: registered and new ones.
    """

    captures: int
    turned: int
    shaped: int
    shapes: int

    @property
    def samples(self) -> int:
        """All samples."""
        return self.captures + self.turned + self.shaped

    def of(self, samples: int) -> Amounts:
        """Return the amounts of so many samples in the same proportion."""
        factor = samples / self.samples
        captures, turned, shapes = (
            round(factor * number) for number in (self.captures, self.turned, self.shapes)
        )
        return Amounts(captures, turned, samples - captures - turned, shapes)


@dataclass(frozen=True)
class Run:
    """A build as its process was seen from outside.

    wall_s, processor_s: of all of its processes.
    peak_mb: most resident memory of any of them at once, 10^6 bytes.
    tenths_mb: the same in each tenth of the run.
    """

    workers: int
    wall_s: float
    processor_s: float
    peak_mb: float
    tenths_mb: tuple[float, ...]


def main() -> None:
    """Build, look, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset", nargs="?", type=Path, help="preset to build; a small one if none")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--build", type=Path, help="folder of a complete build to look at instead")
    parser.add_argument("--out", type=Path, default=Path("build/bench/throughput.json"))
    options = parser.parse_args()
    if options.build is not None:
        found = [looked_at(options.build)]
    else:
        with tempfile.TemporaryDirectory(prefix="throughput-") as name:
            preset = options.preset or Path(name) / "throughput.toml"
            if options.preset is None:
                preset.write_text(SMALL)
            found = [built(preset, Path(name) / f"out-{n}", n) for n in options.workers]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"machine": machine(), "builds": found}, indent=1))


def built(preset: Path, out: Path, workers: int) -> dict[str, Any]:
    """Build a preset from nothing; return and print what it cost."""
    command = [sys.executable, "-m", "fg3d_builder.cli", "build", str(preset)]
    run = watched([*command, "--out", str(out), "--workers", str(workers)], workers)
    return looked_at(out, run)


def looked_at(folder: Path, run: Run | None = None) -> dict[str, Any]:
    """Return and print what a build has cost."""
    dataset = (folder / "dataset").resolve()
    manifest = read_manifest(dataset)
    rows = {row["stage"]: row for row in manifest["costs"]}
    everything, trained = amounts(dataset, ("train", "test")), amounts(dataset, ("train",))
    stages = stage_table(rows, everything.samples, None if run is None else run.processor_s)
    sizes = dataset_bytes(dataset), product_bytes(folder)
    found = {
        "run": None if run is None else asdict(run),
        "amounts": asdict(everything) | {"samples": everything.samples},
        "stages": stages,
        "memory_growth_mb": growth_mb(folder),
        "dataset_bytes": sizes[0],
        "product_bytes": sizes[1],
        "projection": projection(stages, everything, trained.of(PAPER_SAMPLES), *sizes),
    }
    show(found)
    return found


def watched(command: Sequence[str], workers: int) -> Run:
    """Run a command and look at the memory of its processes meanwhile.

    Raises
    ------
    RuntimeError
        It failed.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    seen: list[tuple[float, float]] = []
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        while process.poll() is None:
            seen.append((time.perf_counter() - began, largest_mb(process.pid)))
            time.sleep(1.0 / LOOKS_PER_S)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"exit status {process.returncode}: {said.read()[-2000:]}")
    wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    tenth = [min(int(TENTHS * when / wall_s), TENTHS - 1) for when, _ in seen]
    tenths = [
        max((mb for (_, mb), t in zip(seen, tenth, strict=True) if t == i), default=0.0)
        for i in range(TENTHS)
    ]
    return Run(workers, wall_s, processor_s, max(tenths), tuple(tenths))


def largest_mb(pid: int) -> float:
    """Resident memory of the largest of a process and all those below it, 10^6 bytes."""
    found = [0.0]
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                found.append(process.memory_info().rss / 1e6)
    return max(found)


def amounts(dataset: Path, splits: Iterable[str]) -> Amounts:
    """Count what the shards of some splits hold."""
    counts = np.zeros(4, dtype=int)
    for path in sorted(p for split in splits for p in dataset.glob(f"{split}-*.h5")):
        with h5py.File(path, "r") as file:
            captured = file["shapes/shape_source"].asstr()[()] == CAPTURED
            of_capture = captured[file["samples/shape_index"][()]]
            captures, all_captured = len(file["captures/capture_id"]), int(of_capture.sum())
            counts += [captures, all_captured - captures, (~of_capture).sum(), len(captured)]
    return Amounts(*counts.tolist())


def stage_table(
    rows: Mapping[str, Mapping[str, Any]], samples: int, processor_s: float | None
) -> dict[str, dict[str, Any]]:
    """Return milliseconds of a core, by stage; of what no task accounts for where it is known."""
    table = {
        stage: {
            "ms_per_sample": 1e3 * (row["processor_s_per_sample"] or 0.0),
            "unknown": row["unknown"],
            "captures": row["captures"],
            "peak_mb": row["peak_mb"],
        }
        for stage, row in rows.items()
    }
    if processor_s is not None:
        rest = processor_s - sum(row["processor_s"] for row in rows.values())
        about = {"unknown": 0, "captures": 0, "peak_mb": None}
        table["outside tasks"] = {"ms_per_sample": 1e3 * rest / samples, **about}
    return table


def growth_mb(folder: Path) -> float | None:
    """How much the peaks of a stage's tasks rise from the first task to the last, 10^6 bytes.

    The slope of one straight line through all tasks, each against the mean of its stage, times the
    time of the stage's tasks. The facts tell peaks, and their files when the tasks ended.
    """
    times, peaks, spans = [], [], []
    for stage in (*CHUNK_STAGES, "transform"):
        found = []
        for file in folder.glob(f"work/{stage}-*/*.json"):
            cost = json.loads(file.read_text())["content"].get("cost")
            if cost is not None and cost["peak_mb"] is not None:
                found.append((file.stat().st_mtime, cost["peak_mb"]))
        if len(found) > 2:
            when, peak = np.array(sorted(found)).T
            times.append(when - when.mean())
            peaks.append(peak - peak.mean())
            spans.append(np.ptp(when))
    if not times or np.ptp(np.concatenate(times)) == 0.0:
        return None
    when, peak = np.concatenate(times), np.concatenate(peaks)
    return float(when @ peak / (when @ when) * np.mean(spans))


def dataset_bytes(dataset: Path) -> dict[str, int]:
    """Bytes of the shards' images, of their shapes and of the rest; and of the files beside."""
    found = dict.fromkeys(("images", "shapes", "rest", "beside"), 0)
    for path in (p for p in dataset.iterdir() if p.is_file()):
        size = path.stat().st_size
        if not path.name.startswith(("train-", "test-")):
            found["beside"] += size
            continue
        with h5py.File(path, "r") as file:
            images = file["samples/image_bytes"].id.get_storage_size()
            shapes = sum(column.id.get_storage_size() for column in file["shapes"].values())
        found["images"] += images
        found["shapes"] += shapes
        found["rest"] += size - images - shapes
    return found


def product_bytes(folder: Path) -> dict[str, int]:
    """Bytes of the products and facts of each stage, of the report, and of all other work."""
    found = {stage: 0 for stage in PRODUCTS}
    for stage in PRODUCTS:
        found[stage] = sum(map(below, folder.glob(f"work/{stage}-*")))
    found["other"] = below(folder / "work") - sum(found.values())
    found["report"] = below(folder / "report")
    return found


def below(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(file.stat().st_size for file in files)


def projection(
    stages: Mapping[str, Mapping[str, Any]],
    built: Amounts,
    wanted: Amounts,
    dataset: Mapping[str, int],
    products: Mapping[str, int],
) -> dict[str, Any]:
    """Return what other amounts would cost, from what those cost that were built.

    Hours are of `CORES` cores that have nothing else to do.
    """
    core_s = {name: row["ms_per_sample"] * built.samples / 1e3 for name, row in stages.items()}

    def scaled(names: Iterable[str], was: int, will: int) -> float:
        return sum(core_s.get(name, 0.0) for name in names) * (will / was if was else 0.0)

    parts_s = {
        "captures": scaled(PER_CAPTURE, built.captures, wanted.captures),
        "turned views": scaled(["views"], built.turned, wanted.turned),
        "new shapes": scaled(["transform"], built.shaped, wanted.shaped),
        "shards": scaled(PER_SAMPLE, built.samples, wanted.samples),
        "outside tasks": scaled(["outside tasks"], built.samples, wanted.samples),
        "once": scaled(ONCE, 1, 1),
    }
    by_capture = sum(products[s] for s in ("captures", "landmarks", "fitting", "registration"))
    gigabytes = {
        "images": dataset["images"] * wanted.samples / built.samples / 1e9,
        "shapes": dataset["shapes"] * wanted.shapes / built.shapes / 1e9,
        "rest": dataset["rest"] * wanted.samples / built.samples / 1e9,
        "products of captures": by_capture * wanted.captures / built.captures / 1e9,
        "products of views": products["views"] * wanted.turned / max(built.turned, 1) / 1e9,
        "products of new shapes": products["transform"]
        * (wanted.shaped / max(built.shaped, 1) / 1e9),
        "report": products["report"] * wanted.captures / built.captures / 1e9,
    }
    return {
        "amounts": asdict(wanted) | {"samples": wanted.samples},
        "hours": {name: s / 3600 / CORES for name, s in parts_s.items()},
        "hours_in_all": sum(parts_s.values()) / 3600 / CORES,
        "gigabytes": gigabytes,
        "dataset_gigabytes": sum(gigabytes[name] for name in ("images", "shapes", "rest")),
    }


def show(found: Mapping[str, Any]) -> None:
    """Print the tables."""
    run, numbers = found["run"], found["amounts"]
    print(f"\n{numbers['captures']} captures, {numbers['samples']} samples", end="")
    if run is not None:
        print(f", {run['workers']} workers: {run['wall_s']:.0f} s by the clock", end="")
    print("\n\n| stage | ms of a core a sample | peak MB | unknown captures |\n|---|---|---|---|")
    for stage, row in found["stages"].items():
        peak = "" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}"
        print(f"| {stage} | {row['ms_per_sample']:.2f} | {peak} | {row['unknown'] or ''} |")
    total = sum(row["ms_per_sample"] for row in found["stages"].values())
    print(f"| all | {total:.2f} | | |\n")
    if run is not None:
        tenths = " ".join(f"{mb:.0f}" for mb in run["tenths_mb"])
        print(f"memory of the largest process: {run['peak_mb']:.0f} MB; by tenths {tenths}")
    if found["memory_growth_mb"] is not None:
        print(f"peaks of a stage's tasks, from first to last: {found['memory_growth_mb']:+.0f} MB")
    for name in ("dataset_bytes", "product_bytes"):
        parts = found[name]
        each = ", ".join(f"{k} {v / numbers['samples'] / 1e3:.2f}" for k, v in parts.items())
        sum_kb = sum(parts.values()) / numbers["samples"] / 1e3
        print(f"{name.removesuffix('_bytes')}, kB a sample: {sum_kb:.1f} ({each})")
    told = found["projection"]
    about = told["amounts"]
    print(
        f"{about['samples']} samples of {about['captures']} captures, {about['turned']} turned "
        f"views and {about['shaped']} samples of new shapes: {told['hours_in_all']:.1f} h on "
        f"{CORES} cores, {told['dataset_gigabytes']:.1f} GB"
    )
    for unit in ("hours", "gigabytes"):
        print(f"{unit}: " + ", ".join(f"{k} {v:.2f}" for k, v in told[unit].items()))


if __name__ == "__main__":
    main()
