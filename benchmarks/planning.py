"""How long a build plans that has nothing, or next to nothing, to do.

`python -m benchmarks.planning --captures 20000` lists as many captures as a large data set has.
They are as real as listing them needs, and their complete build is made up: products, facts and
pictures have the right names and heads, and are small. Three times are measured, each of a whole
``fg3d build``:

* with nothing to do,
* with the note gone that it is complete, so that every file is looked at,
* with one capture added: all that comes before the first image is computed. The build then ends
  with errors, since the made-up products cannot be read.

There are no new shapes: who gives parts to whom takes a time of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fg3d_builder.facemodel.storage import SCHEMA as MODEL_SCHEMA
from fg3d_builder.files.hashes import sha256
from fg3d_builder.files.locks import release
from fg3d_builder.files.products import SCHEMA as PRODUCT_SCHEMA
from fg3d_builder.files.sealed import sealed_sha256
from fg3d_builder.files.sealed_object import with_seal
from fg3d_builder.layout import CHUNK_STAGES, BuildLayout
from fg3d_builder.shards.manifest import MANIFEST_SCHEMA
from fg3d_builder.shards.schema import SCHEMA as SHARD_SCHEMA
from fg3d_builder.tasks import BuildFG3D
from fg3d_builder.tasks.chunks import Index
from fg3d_builder.tasks.dataset_tasks import DecideReview, DrawDonors, PlanShards
from fg3d_builder.tasks.report_tasks import WriteReport

PRESET = """
name = "planning"
[transform]
shapes_per_capture = 0
[[sources]]
kind = "folder"
path = "captures"
"""

FILES = ("color.png", "depth.png")


def main() -> None:
    """Make the build up, measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captures", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=Path("build/bench/planning.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="planning-") as name:
        folder = Path(name)
        preset = listed(folder, options.captures)
        task = BuildFG3D(preset=str(preset), out=str(folder / "out"))
        pretend(task.report, task.index)
        release(task.layout.lock, os.getpid())  # for the builds that are measured
        figures: dict[str, Any] = {"captures": options.captures}
        figures["chunks"] = len(task.index.chunks)
        figures["looked_at_s"] = build(preset, folder / "out", 0)
        figures["nothing_to_do_s"] = build(preset, folder / "out", 0)
        describe(folder / "captures/new-0", "new")
        figures["one_more_s"] = build(preset, folder / "out", 1)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures["memory_mib"] = usage.ru_maxrss / 1024
    for name, value in figures.items():
        print(f"{name}: {value:.1f}" if isinstance(value, float) else f"{name}: {value}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(figures, indent=1))


def build(preset: Path, out: Path, status: int) -> float:
    """Run ``fg3d build`` on one core; return the seconds of processor that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = ["build", str(preset), "--out", str(out)]
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "fg3d_builder.cli", *words],
        capture_output=True,
        text=True,
        check=False,
    )
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


def pretend(report: WriteReport, index: Index) -> None:
    """Write what a complete build of the captures has written."""
    layout = report.layout
    put(layout.facemodel, sealed(MODEL_SCHEMA))
    product = sealed(PRODUCT_SCHEMA)
    nothing: dict[str, Any] = {"failures": [], "seconds": {}, "members": []}
    for chunk in index.chunks:
        members = [
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
        for stage in CHUNK_STAGES:
            put(layout.product(stage, chunk.name), product)
            known = members if stage == "registration" else []
            put_json(layout.facts(stage, chunk.name), {**nothing, "members": known})
    for task in (DecideReview, PlanShards, DrawDonors):
        report.whole(task).run()
    for sheets in report.sheets():
        shown = sheets.drawn_here()
        names = sheets.content().capture_ids
        put_json(sheets.rows_file(), [row_of(layout, name, name in shown) for name in names])
    for shapes in report.transforms():
        put(shapes.path(), product)
        put_json(shapes.facts_path(), nothing)
    for counts in report.augmentation():
        numbers = {"sets": 0, "samples": 0, "projected": 0, "painted": 0.0}
        about = {"counts": {"views": numbers, "transform": numbers}, "sheets": []}
        put_json(counts.rows_file(), about)
    shards = [pretend_shard(report.folder() / name) for name in report.plan()]
    put(report.folder() / "manifest.json", json.dumps(manifest(shards)).encode())
    layout.dataset_link.symlink_to(report.folder().name)
    page = f'<meta name="fg3d-report" content="{report.page_digest()}">'
    put(layout.report_page, page.encode())


def row_of(layout: BuildLayout, capture_id: str, drawn: bool) -> dict[str, Any]:
    """Write a capture's picture, if it has one; return its row of the report."""
    picture = layout.report_picture(capture_id) if drawn else ""
    if picture:
        put(layout.report / picture, b"picture")
    spreads: dict[str, Any] = {"surface_mm": {}, "truth_mm": {}, "truth_surface_mm": {}}
    return {"capture_id": capture_id, "picture": picture, **spreads}


def pretend_shard(path: Path) -> dict[str, Any]:
    """Write a shard without samples; return its entry in the manifest."""
    data = sealed(SHARD_SCHEMA)
    put(path, data)
    return {"file": path.name, "sha256": sha256(data), "bytes": len(data)}


def manifest(shards: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a manifest as far as a build looks at it."""
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
