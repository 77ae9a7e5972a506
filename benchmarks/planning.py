"""How long a build lists, plans and starts tasks, apart from what these compute.

`python -m benchmarks.planning --captures 20000` lists as many captures as a large data set has.
They are as real as listing them needs, and their complete build is made up: products, facts and
pictures have the right names and heads, and are small. Times are measured of whole builds:

* of ``fg3d build`` with nothing to do,
* with the note gone that it is complete, so that every file is looked at,
* with one capture added: all that comes before the first image is computed. The build then ends
  with errors, since the made-up products cannot be read;
* from nothing, with one and with two workers, where every task is planned and started as always,
  and then makes its files up. Who gives parts to whom is drawn in earnest.

`--ms-per-sample` says which share the last is of a build whose samples cost so much.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from argparse import SUPPRESS
from pathlib import Path
from typing import Any

import numpy as np

from fg3d_builder.facemodel.storage import SCHEMA as MODEL_SCHEMA
from fg3d_builder.files.atomic import point_link
from fg3d_builder.files.hashes import sha256
from fg3d_builder.files.products import SCHEMA as PRODUCT_SCHEMA
from fg3d_builder.files.products import SUFFIX
from fg3d_builder.files.sealed import sealed_sha256
from fg3d_builder.files.sealed_object import with_seal
from fg3d_builder.shards.manifest import MANIFEST_SCHEMA
from fg3d_builder.shards.schema import SCHEMA as SHARD_SCHEMA
from fg3d_builder.tasks import BuildFG3D, report_tasks
from fg3d_builder.tasks.chunk_tasks import ChunkTask, PrepareModel, Register, StageTask
from fg3d_builder.tasks.dataset_tasks import DrawDonors, TransformShapes, WriteManifest, WriteShard
from fg3d_builder.tasks.report_tasks import DrawAugmentation, DrawSheets
from fg3d_builder.tasks.running import run_tasks
from fg3d_builder.transform.donors import DonorFace

PRESET = """
name = "planning"
chunk_size = 10
[[sources]]
kind = "folder"
path = "captures"
"""

FILES = ("color.png", "depth.png")


SAMPLES_PER_CAPTURE = 474_000 / 13_000
"""Of the paper's training set, roughly: each capture has four new shapes, all of them turned."""


def main() -> None:
    """Make the build up, measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captures", type=int, default=20_000)
    parser.add_argument("--ms-per-sample", type=float, default=60.0, help="of a core, all in all")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path, default=Path("build/bench/planning.json"))
    parser.add_argument("--make-up", nargs=3, metavar=("PRESET", "OUT", "WORKERS"), help=SUPPRESS)
    options = parser.parse_args()
    if options.make_up:
        preset, out, workers = options.make_up
        made_up_build(Path(preset), Path(out), int(workers))
        return
    with tempfile.TemporaryDirectory(prefix="planning-") as name:
        folder = Path(name)
        preset = listed(folder, options.captures)
        figures: dict[str, Any] = {"captures": options.captures}
        words = [sys.executable, "-m", "benchmarks.planning", "--make-up", str(preset)]
        for workers in options.workers:
            out = folder / f"out-{workers}"
            took = timed([*words, str(out), str(workers)], 0)
            share = took / (options.captures * SAMPLES_PER_CAPTURE * options.ms_per_sample / 1e3)
            figures |= {f"all_tasks_{workers}_s": took, f"all_tasks_{workers}_percent": 100 * share}
        figures["chunks"] = len(list((out / "work").glob(f"captures-*/*{SUFFIX}")))
        next((out / "work").glob("complete-*.json")).unlink()
        figures["looked_at_s"] = build(preset, out, 0)
        figures["nothing_to_do_s"] = build(preset, out, 0)
        describe(folder / "captures/new-0", "new")
        figures["one_more_s"] = build(preset, out, 1)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures["memory_mib"] = usage.ru_maxrss / 1024
    for name, value in figures.items():
        print(f"{name}: {value:.2f}" if isinstance(value, float) else f"{name}: {value}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(figures, indent=1))


def build(preset: Path, out: Path, status: int) -> float:
    """Run ``fg3d build`` on one core; return the seconds of processor that it took."""
    words = ["build", str(preset), "--out", str(out)]
    return timed([sys.executable, "-m", "fg3d_builder.cli", *words], status)


def timed(command: list[str], status: int) -> float:
    """Run a command; return the seconds of processor that it and its processes took.

    Raises
    ------
    RuntimeError
        It ends with another status.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != status:
        raise RuntimeError(f"exit status {done.returncode}: {done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{took:.1f} s of one core, {time.perf_counter() - began:.1f} s by the clock", flush=True)
    return took


def listed(folder: Path, count: int) -> Path:
    """Write captures of four to a subject as far as listing looks at them; return the preset."""
    for number in range(count):
        describe(folder / f"captures/s{number // 4:05d}-{number % 4}", f"s{number // 4:05d}")
    preset = folder / "planning.toml"
    preset.write_text(PRESET)
    return preset


def describe(capture: Path, subject: str) -> None:
    """Write one capture."""
    capture.mkdir(parents=True)
    (capture / "capture.json").write_text(json.dumps({"subject": subject}))
    for name in FILES:
        (capture / name).write_bytes(b"image")


def made_up_build(preset: Path, out: Path, workers: int) -> None:
    """Build with tasks that make their files up; all around them is as in any build."""
    instead: list[tuple[Any, Any]] = [
        (PrepareModel, make_model),
        (StageTask, make_product),
        (TransformShapes, make_views_and_shapes),
        (WriteShard, make_shard),
        (DrawSheets, make_sheets),
        (DrawAugmentation, make_counts),
    ]
    for kind, made_up in instead:
        kind.run = made_up
    others: list[tuple[Any, str, Any]] = [
        (WriteManifest, "describe", make_manifest),
        (DrawDonors, "_face", make_face),
        (report_tasks, "render_pages", make_pages),
        (ChunkTask, "preload", load_nothing),
    ]
    for holder, name, made_up in others:
        setattr(holder, name, made_up)
    task = BuildFG3D(preset=str(preset), out=str(out))
    if not run_tasks([task], workers):
        raise RuntimeError("the build is not complete")


def load_nothing(task: ChunkTask) -> None:
    """Leave the model alone: as one that cannot be read it would be made again for ever."""


def make_views_and_shapes(task: TransformShapes) -> None:
    """Write what `make_product` does, and the views where they are missing."""
    views = task.stage_task("views")
    if not views.complete():
        make_product(views)
    make_product(task)


def make_model(task: PrepareModel) -> None:
    """Write a model that nothing can be computed with."""
    put(task.layout.facemodel, sealed(MODEL_SCHEMA))


def make_product(task: StageTask) -> None:
    """Write a product that cannot be read, and facts of it."""
    chunk = task.content()
    cost = {"processor_s": 1.0, "wall_s": 1.0, "peak_mb": 1.0}
    facts: dict[str, Any] = {"failures": [], "seconds": {}, "members": [], "cost": cost}
    if isinstance(task, Register):
        facts["members"] = [
            {
                "capture_id": entry.capture_id,
                "subject_id": entry.subject_id,
                "chunk": chunk.name,
                "neutral": True,
                "quality": 1.0,
                "reason": "",
            }
            for entry in chunk.entries
        ]
    put(task.path(), sealed(PRODUCT_SCHEMA))
    put_json(task.facts_path(), facts)


def make_face(_task: DrawDonors, capture_id: str, _chunk: str) -> DonorFace:
    """Return a face of one vertex."""
    return DonorFace(capture_id, np.zeros((1, 3)), np.zeros(1), np.zeros(1))


def make_sheets(task: DrawSheets) -> None:
    """Write the captures' pictures and their rows of the report."""
    spreads: dict[str, Any] = {"surface_mm": {}, "truth_mm": {}, "truth_surface_mm": {}}
    rows, drawn = [], task.drawn_here()
    for name in task.content().capture_ids:
        picture = task.layout.report_picture(name) if name in drawn else ""
        if picture:
            put(task.layout.report / picture, b"picture")
        files = {"picture": picture, "thumbnail": "", "mesh": ""}
        rows.append({"capture_id": name, **files, **spreads})
    put_json(task.made_file(), rows)


def make_counts(task: DrawAugmentation) -> None:
    """Write that no samples were counted."""
    numbers = {"sets": 0, "samples": 0, "projected": 0, "painted": 0.0}
    about = {"counts": {"views": numbers, "transform": numbers}, "sheets": []}
    put_json(task.made_file(), about)


def make_shard(task: WriteShard) -> None:
    """Write a shard without samples."""
    put(task.made_file(), sealed(SHARD_SCHEMA))


def make_manifest(task: WriteManifest) -> None:
    """Write a manifest as far as a build looks at it."""
    files = [task.folder() / name for name in task.plan()]
    shards = [
        {"file": f.name, "sha256": sha256(f.read_bytes()), "bytes": f.stat().st_size} for f in files
    ]
    put(task.made_file(), json.dumps(manifest(shards)).encode())
    point_link(task.layout.dataset_link, task.folder().name)


def make_pages(_content: object) -> dict[str, str]:
    """Return a page without content."""
    return {"index.html": ""}


def manifest(shards: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a manifest's content, sealed."""
    return with_seal(
        {
            "schema": MANIFEST_SCHEMA,
            "shards": shards,
            "files": [],
            "failures": [],
            "rejected": [],
            "augmentation_failures": [],
            "splits": {split: {"samples": 1} for split in ("train", "test")},
        }
    )


def sealed(schema: str) -> bytes:
    """Return a sealed file with nothing in it."""
    body = b"nothing"
    return f"{schema} sha256={sha256(body)} bytes={len(body)}\n".encode().ljust(512, b"\0") + body


def put_json(path: Path, value: Any) -> None:
    """Write sealed JSON, without waiting for the disk."""
    seal = sealed_sha256(path.name, value, path.parent.name)
    put(path, json.dumps({"sha256": seal, "content": value}).encode())


def put(path: Path, data: bytes) -> None:
    """Write a file, without waiting for the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


if __name__ == "__main__":
    main()
