"""How long the pages of a large build's report take to write, and how large they are.

::

    python -m benchmarks.report_pages --captures 10000 --out /tmp/pages

Rows, failures and pictures are made up; the pages are those of any build. Open ``index.html`` of
the folder to look at them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.made_build import SEXES_STATED
from fg3d_builder.files.encoding import encode_jpeg
from fg3d_builder.records import Failure
from fg3d_builder.report.page import DRAWN, ReportContent, render_pages
from fg3d_builder.report.page_set import pages_belong_to, write_pages

EXPRESSIONS = ("neutral", "smile", "mouth open", "frown", "eyes closed")
CODES = ("no_face", "no_depth", "unreadable_image", "far_from_landmarks")
OF_A_SUBJECT, FAILED, SEED = 10, 0.03, 19
DOUBTS = ("Hair covers part of the forehead.", "The face is unusually large.", "Few depth pixels.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captures", type=int, default=10_000)
    parser.add_argument("--out", type=Path, help="folder to keep the pages in")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments.out or Path(folder), arguments.captures)


def measure(folder: Path, captures: int) -> None:
    """Write the pages, and print what they took."""
    content = made_up(captures)
    began = time.process_time()
    pages = render_pages(content)
    rendered = time.process_time()
    clock = time.perf_counter()
    write_pages(folder, "made-up", pages)
    written = time.process_time()
    whole = time.perf_counter()
    assert pages_belong_to(folder, "made-up")
    checked = time.perf_counter()
    sizes = {name: (folder / name).stat().st_size for name in pages}
    largest = max((name for name in pages if name.endswith(".html")), key=lambda n: sizes[n])
    print(f"{len(pages)} files of {captures:,} captures, {sum(sizes.values()) / 1e6:.1f} MB")
    print(f"rendered: {rendered - began:.2f} s of processor")
    print(f"written: {written - rendered:.2f} s of processor, {whole - clock:.2f} s by the clock")
    print(f"checked: {checked - whole:.2f} s by the clock")
    print(f"largest page: {largest}, {sizes[largest] / 1e3:.0f} kB")
    print(f"first page: {sizes['index.html'] / 1e3:.0f} kB")
    print(f"search: {sizes['search-index.js'] / 1e3:.0f} kB")
    draw_pictures(folder, content)


def made_up(captures: int) -> ReportContent:
    """Return rows as a build of so many captures would have."""
    rng = np.random.default_rng(SEED)
    failed = int(FAILED * captures)
    names = [f"s{n // OF_A_SUBJECT:04d}-{n % OF_A_SUBJECT}" for n in range(captures)]
    rows = [made_row(rng, name) for name in names[failed:]]
    lowest = sorted(rows, key=lambda row: (row["quality"], row["capture_id"]))[:DRAWN]
    for row in lowest:
        row["picture"] = f"pictures/{row['capture_id']}.jpg"
        row["mesh"] = f"meshes/{row['capture_id']}.glb"
    failures = [
        Failure(name, name.split("-")[0], "landmarks", CODES[n % len(CODES)], "Made up.")
        for n, name in enumerate(names[:failed])
    ]
    return ReportContent("made up", manifest(rows), rows, failures)


def made_row(rng: np.random.Generator, name: str) -> dict[str, Any]:
    """Return one capture's figures, see `report.figures.capture_figures`."""
    error = float(rng.lognormal(0.0, 0.5))
    quality = float(1 / (1 + (error / 2.5) ** 4))
    median = float(rng.lognormal(-1.2, 0.3))
    doubts = [{"figure": "size", "error_mm": error, "sentence": str(rng.choice(DOUBTS))}]
    return {
        "capture_id": name,
        "subject_id": name.split("-")[0],
        "source": "folder",
        "expression": str(rng.choice(EXPRESSIONS)),
        "sex": SEXES_STATED[sum(name.split("-")[0].encode()) % 3],
        "quality": quality,
        "predicted_error_mm": error,
        "predicted_surface_mm": error / 2,
        "coverage": float(rng.beta(20, 2)),
        "doubts": doubts if quality < 0.8 else [],
        "converged": quality > 0.05,
        "iterations": 20,
        "landmark_error_px": float(rng.lognormal(0.3, 0.3)),
        "surface_mm": {"mean": 1.2 * median, "median": median, "p95": 4 * median},
        "truth_mm": {},
        "truth_surface_mm": {},
        "pose_deg": [float(rng.normal(0, 12)), float(rng.normal(0, 22)), float(rng.normal(0, 5))],
        "distance_mm": float(rng.normal(650, 90)),
        "skin_ita_deg": float(rng.normal(30, 20)),
        "seconds": {"captures": 0.1, "landmarks": 0.1, "fitting": 0.4, "registration": 0.8},
        "picture": "",
        "thumbnail": f"pictures/thumbnail~{name}.jpg",
        "mesh": "",
    }


def manifest(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return as much of a manifest as the pages read."""
    rejected = [
        {
            **{key: row[key] for key in ("capture_id", "subject_id", "quality")},
            "code": "low_quality",
            "message": f"quality {row['quality']:.3f} < 0.3",
        }
        for row in rows
        if row["quality"] < 0.3
    ]
    subjects = sorted({row["subject_id"] for row in rows})
    train = subjects[len(subjects) // 5 :]
    splits = {"train": train, "test": subjects[: len(subjects) // 5]}
    return {
        "content_sha256": "0" * 64,
        "facemodel": {"name": "made up", "licence": "CC0", "topology_hash": "00"},
        "splits": {k: {"subjects": v, "samples": 10 * len(v)} for k, v in splits.items()},
        "rejected": rejected,
        "accepted": [],
        "config": {"review": {"min_quality": 0.3}},
    }


def draw_pictures(folder: Path, content: ReportContent) -> None:
    """Write a picture for each capture, so that a browser has as much to load as in a build."""
    shade = np.linspace(60, 200, 226)[None, :, None]
    for number, row in enumerate(content.rows):
        picture = np.broadcast_to(shade + number % 50, (112, 226, 3)).astype(np.uint8)
        data = encode_jpeg(np.ascontiguousarray(picture), 80)
        for name in (row["thumbnail"], row["picture"], row["mesh"]):
            if name:
                put(folder / name, data)


def put(path: Path, data: bytes) -> None:
    """Write a file without waiting for the disk: there are ten thousand."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


if __name__ == "__main__":
    main()
