"""A build of any number of captures, on disk as a real one is, in seconds and without faces.

Index, facts, the report's figures and the products of registrations have the names, seals and
fields of real ones. The arrays in the products have four vertices: who lists captures reads none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np

from fg3d_builder.captures import CaptureEntry
from fg3d_builder.config import BuildConfig, SourceConfig
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.files.products import write_product
from fg3d_builder.files.sealed import write_sealed_json
from fg3d_builder.layout import CHUNK_STAGES, BuildLayout
from fg3d_builder.pipeline.dataset import Member
from fg3d_builder.records import (
    Array,
    Failure,
    IterationRecord,
    Pose,
    QualityFigures,
    Registration,
)
from fg3d_builder.tasks.chunks import Chunk, Index, write_index
from fg3d_builder.tasks.facts import Facts, write_facts

CODES = (("captures", "no_depth"), ("landmarks", "no_face"), ("registration", "far_from_depth"))
"""Stage and code of the captures that fail."""

FAILED_SHARE, CHUNK = 0.03, 4
EXPRESSIONS = ("neutral", "smile", "mouth-open")
SEXES_STATED = ("female", "male", "")


def write_made_build(root: Path, captures: int, reported: bool = True) -> BuildLayout:
    """Write a build of some captures in two sources; return its paths.

    Parameters
    ----------
    root : Path
    captures : int
    reported : bool
        Whether the report's figures are there; a build that is still running has none.
    """
    sources = (
        SourceConfig(kind="folder", path=str(root / "studio")),
        SourceConfig(kind="folder", path=str(root / "phones")),
    )
    layout = BuildLayout(root, BuildConfig(name="made", sources=sources), "made")
    layout.freeze()
    rng = np.random.default_rng(captures)
    chunks = []
    with patch("os.fsync"):  # tens of thousands of files need not outlive a power cut
        for first in range(0, captures, CHUNK):
            number = first // CHUNK
            ids = [_capture_id(i) for i in range(first, min(first + CHUNK, captures))]
            entries = tuple(CaptureEntry(name, _subject(name), f"studio/{name}") for name in ids)
            chunk = Chunk(f"chunk-{number:012b}-{number:012x}", number % 2, entries, tuple(ids))
            chunks.append(chunk)
            _write_chunk(layout, chunk, rng, reported)
    write_index(layout.index, Index(tuple(chunks)))
    return layout


def _capture_id(number: int) -> str:
    return f"subject-{number // 10:04d}-{number % 10}"


def _subject(capture_id: str) -> str:
    return capture_id.rsplit("-", 1)[0]


def _write_chunk(
    layout: BuildLayout, chunk: Chunk, rng: np.random.Generator, reported: bool
) -> None:
    failures: dict[str, list[Failure]] = {stage: [] for stage in CHUNK_STAGES}
    registrations = {}
    for name in chunk.capture_ids:
        if rng.uniform() < FAILED_SHARE:
            stage, code = CODES[rng.integers(len(CODES))]
            picture = layout.failure_picture(stage, name)
            message = f"{code.replace('_', ' ')} in the picture"
            failures[stage].append(Failure(name, _subject(name), stage, code, message, picture))
            write_bytes(layout.stage_folder(stage) / picture, _FAILURE)
        else:
            registrations[name] = _registration(rng)
    members = [
        Member(name, _subject(name), chunk.name, name.endswith("0"), found.quality, _reason(found))
        for name, found in registrations.items()
    ]
    for stage in CHUNK_STAGES:
        seconds = dict.fromkeys(registrations, 1.0)
        of_stage = members if stage == "registration" else []
        facts = Facts(failures[stage], of_stage, seconds)
        write_facts(layout.facts(stage, chunk.name), facts)
    product = layout.product("registration", chunk.name)
    digest = layout.stage_digest("registration")
    write_product(product, "registration", digest, registrations, failures["registration"])
    if reported:
        rows = _rows(registrations)
        file = layout.report_rows(chunk.name, "0123456789ab")
        write_sealed_json(file, rows, file.parent.name)


def _registration(rng: np.random.Generator) -> Registration:
    quality = float(np.clip(1.05 - rng.exponential(0.15), 0.0, 1.0))
    zero = np.zeros((4, 3))
    history = tuple(IterationRecord(i // 4, 50.0, 9_000, 0.5, 1.0, 0.1) for i in range(20))
    figures = QualityFigures(*rng.uniform(size=len(dataclasses.fields(QualityFigures))).tolist())
    return Registration(
        topology_hash="made",
        vertices_cam_mm=zero,
        pose=Pose(1.0, np.eye(3), np.array([0.0, 0.0, 600.0])),
        shape_obj_mm=zero,
        coarse_obj_mm=zero,
        alpha_id=np.zeros(60),
        alpha_exp=np.zeros(40),
        visible=np.ones(4, bool),
        confidence=np.ones(4),
        surface_error_mm=np.zeros(4),
        landmark_error_px=1.0,
        quality=quality,
        converged=bool(rng.uniform() < 0.98),
        history=history,
        predicted_error_mm=float(0.8 + 4.0 * (1.0 - quality) + rng.uniform(0, 0.4)),
        predicted_surface_mm=0.5,
        coverage=float(rng.uniform(0.6, 1.0)),
        quality_figures=figures,
    )


def _reason(found: Registration) -> str:
    return "The mesh is stretched or crumpled." if found.quality < 0.7 else ""


def _rows(registrations: dict[str, Registration]) -> Sequence[dict[str, object]]:
    """As `report.figures.capture_figures` gives them."""
    return [
        {
            "capture_id": name,
            "subject_id": _subject(name),
            "source": "folder",
            "expression": EXPRESSIONS[int(name[-1]) % 3],
            "sex": SEXES_STATED[int(_subject(name)[-1]) % 3],
            "quality": found.quality,
            "depth": None,
            "predicted_error_mm": found.predicted_error_mm,
            "predicted_surface_mm": found.predicted_surface_mm,
            "coverage": found.coverage,
            "doubts": [],
            "fusion": None,
            "converged": found.converged,
            "iterations": len(found.history),
            "landmark_error_px": 1.0,
            "delta_rms_mm": 1.0,
            "surface_mm": {"mean": 0.3, "median": 0.2, "p95": 0.9},
            "truth_mm": {},
            "truth_surface_mm": {},
            "seconds": {stage: 1.0 for stage in CHUNK_STAGES},
            "picture": "",
        }
        for name, found in registrations.items()
    ]


def _failure_picture() -> Array:
    picture = np.full((120, 320, 3), 230, np.uint8)
    cv2.putText(picture, "no face", (90, 70), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (120, 40, 40), 2)
    return picture


_FAILURE = encode_png(_failure_picture())
