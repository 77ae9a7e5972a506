"""Turned views against truly turned heads, beside face profiling; and their time.

`python -m benchmarks.fullview --data ../shared/data` turns frontal captures of textured heads, of
scans and of synthetic heads, renders the same heads truly turned, and compares the whole head,
the face, and what surrounds it. A turned view moves camera and not head, so the light turns with
the head in the truth as well. The sven frame 056 is turned to the poses of frames 044 and 072 and
compared with them. At a turn of 0 the photograph itself, resampled, stands beside the views.
Writes build/bench/fullview.json and, with --pictures, sheets. docs/benchmarks.md says what the
figures mean and on which heads nothing may be tuned.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timings import machine
from benchmarks.turned_heads import (
    OTHERS,
    REPORTED,
    REPORTED_HEADS,
    SCANS,
    SVEN,
    SYNTHETIC,
    Frontal,
    Frontals,
)
from benchmarks.turned_regions import (
    FIGURES,
    compare,
    face_pixels,
    head_pixels,
    overhang,
    regions,
    sheet_pixels,
)
from benchmarks.turning import turnable, turned
from fg3d_builder.config import FaceModelConfig
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.files.atomic import write_bytes, write_json
from fg3d_builder.files.encoding import encode_jpeg, encode_png
from fg3d_builder.fullview.augment import FACE_PROFILING, FULL_VIEW
from fg3d_builder.fullview.views import CAPTURED, Turn, ViewCamera, view_camera
from fg3d_builder.geometry.crop import crop_around, crop_image
from fg3d_builder.heads.library import get_model
from fg3d_builder.records import Array, Capture, Pose, Registration

TURNS = ((0.0, 0.0), (0.0, 15.0), (0.0, 30.0), (0.0, 45.0), (0.0, -45.0), (15.0, 0.0), (-25.0, 0.0))
HEAD_TURNS = ((0.0, 0.0), (0.0, 30.0), (0.0, 45.0), (0.0, -45.0), (-25.0, 0.0))
"""(pitch, yaw) in degrees, added to the captured pose."""

MARGIN, SIZE = 1.25, 256
PHOTOGRAPH, REFERENCE = "photograph", "reference"
METHODS = (FULL_VIEW, FACE_PROFILING, PHOTOGRAPH, REFERENCE)
KINDS = (REPORTED, OTHERS, SCANS, SYNTHETIC, SVEN)

Row = dict[str, Any]


def camera_of(model: FaceModel, frontal: Frontal, pitch: float, yaw: float) -> ViewCamera:
    """Return the camera of a capture's view, as a build places it."""
    turn = Turn(pitch, yaw, pitch, yaw)
    intrinsics = frontal.capture.intrinsics
    return view_camera(model, frontal.registration, frontal.initial, intrinsics, turn, MARGIN, SIZE)


def rows_of(
    model: FaceModel,
    frontals: Frontals,
    chosen: Iterable[Frontal],
    turns: Sequence[tuple[float, float]],
    with_reference: bool,
    folder: Path | None,
) -> Iterator[Row]:
    """Turn captures by every method and compare with the truth; a row per picture and region."""
    for frontal in chosen:
        strips = []
        prepared = {
            method: turnable(model, frontal.capture, frontal.registration, method)
            for method in (FULL_VIEW, FACE_PROFILING)
        }
        for pitch, yaw in turns:
            camera = camera_of(model, frontal, pitch, yaw)
            truth = frontals.picture(frontal, camera)
            head = head_pixels(truth.rgb)
            face = face_pixels(model, frontal.registration, camera)
            masks = regions(head, face, truth.exposed)
            sheet = overhang(sheet_pixels(model, frontal.registration, camera), head)
            pictures: dict[str, Array] = {}
            extra: dict[str, Row] = {}
            for method, ready in prepared.items():
                view = turned(ready, camera)
                pictures[method] = view.rgb
                extra[method] = {"ms": view.ms, "drawn_overhang": overhang(view.face, head)}
            if pitch == yaw == 0.0:
                photo = crop_image(frontal.capture.rgb, camera.px_crop_from_px, SIZE)
                pictures[PHOTOGRAPH] = photo
            if with_reference:
                pictures[REFERENCE] = frontals.reference(frontal, camera)
            for method, rgb in pictures.items():
                for region, figures in compare(rgb, truth.rgb, masks).items():
                    yield {
                        "kind": frontal.kind,
                        "capture": frontal.capture.capture_id,
                        "turn": f"{pitch:+.0f} {yaw:+.0f}",
                        "method": method,
                        "region": region,
                        "overhang": sheet,
                        **extra.get(method, {}),
                        **figures,
                    }
            marks = np.stack([masks[name] for name in ("head", "face", "exposed")])
            mask = np.repeat((80 * marks.sum(axis=0))[..., None], 3, axis=2)
            shown = [pictures[m] for m in METHODS if m in pictures and m != PHOTOGRAPH]
            strips.append(np.vstack([truth.rgb, *shown, mask.astype(np.uint8)]))
        if folder is not None:
            name = f"{frontal.kind}-{frontal.capture.capture_id}.png".replace(" ", "-")
            write_bytes(folder / name, encode_png(np.hstack(strips)))
        print(f"{frontal.kind}: {frontal.capture.capture_id}", flush=True)


def sven_rows(model: FaceModel, frames: Iterable[Frontal], folder: Path | None) -> Iterator[Row]:
    """Turn sven-056 to the real poses of sven-044 and sven-072."""
    by_name = {f.capture.capture_id: f for f in frames}
    base = by_name["sven-056"]
    registration = base.registration
    strips = []
    for name in ("sven-044", "sven-072"):
        other = by_name[name]
        camera = camera_of_frame(model, registration.pose, other.registration, other.capture)
        real = crop_image(other.capture.rgb, camera.px_crop_from_px, SIZE)
        own = dataclasses.replace(camera, rotation=np.eye(3), translation_mm=np.zeros(3))
        face = face_pixels(model, registration, camera)
        face &= face_pixels(model, other.registration, own)
        strip = [real]
        for method in (FULL_VIEW, FACE_PROFILING):
            view = turned(turnable(model, base.capture, registration, method), camera)
            # The frames' exposures differ: one gain per channel, from what both frames show.
            common = face & ~view.unseen
            gain = real[common].mean(axis=0) / np.maximum(view.rgb[common].mean(axis=0), 1.0)
            leveled = np.clip(view.rgb * gain, 0, 255).astype(np.uint8)
            strip.append(leveled)
            masks = {"face": face, "exposed": face & view.unseen}
            row = {"kind": SVEN, "capture": name, "turn": "real", "method": method}
            for region, figures in compare(leveled, real, masks).items():
                yield {**row, "region": region, "ms": view.ms, **figures}
        strips.append(np.vstack(strip))
    if folder is not None:
        write_bytes(folder / "sven.png", encode_png(np.hstack(strips)))


def camera_of_frame(
    model: FaceModel, from_pose: Pose, registration: Registration, frame: Capture
) -> ViewCamera:
    """The camera of another frame of the same head, seen from the first frame's."""
    rotation = registration.pose.rotation @ from_pose.rotation.T
    shift = registration.pose.translation_mm - rotation @ from_pose.translation_mm
    points = registration.vertices_cam_mm[model.reliable]
    to_crop = crop_around(points, frame.intrinsics, MARGIN, SIZE)
    pose = registration.pose
    return ViewCamera(CAPTURED, rotation, shift, to_crop, to_crop @ frame.intrinsics, SIZE, pose)


def timings(model: FaceModel, frontal: Frontal) -> dict[str, float]:
    """Milliseconds of processor time per stage, median of five rounds, one thread."""
    laps: dict[str, list[float]] = {}
    cameras = [camera_of(model, frontal, *turn) for turn in TURNS]
    for _ in range(6):
        ready = turnable(model, frontal.capture, frontal.registration, FULL_VIEW)
        for stage, ms in ready.once_ms.items():
            laps.setdefault(stage, []).append(ms)
        for camera in cameras:
            view = turned(ready, camera)
            laps.setdefault("view: render and inpaint", []).append(view.ms)
            start = time.process_time()
            encode_jpeg(view.rgb)
            laps.setdefault("view: encode", []).append(1e3 * (time.process_time() - start))
    # The first of the six rounds warms up.
    median = {stage: float(np.median(ms[len(ms) // 6 :])) for stage, ms in laps.items()}
    once = sum(v for k, v in median.items() if not k.startswith("view"))
    each = sum(v for k, v in median.items() if k.startswith("view"))
    return {**median, "whole augmented sample, 8 views": each + once / 8}


def total(rows: Sequence[Row]) -> list[Row]:
    """Return the means over captures by kind, turn, region and method; NaN counts as missing."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("kind", "turn", "region", "method"))
        groups.setdefault(key, []).append(row)
    found = []
    for key, mine in groups.items():
        means: Row = dict(zip(("kind", "turn", "region", "method"), key, strict=True))
        for name in (*FIGURES, "overhang", "drawn_overhang", "ms"):
            values = [row[name] for row in mine if np.isfinite(row.get(name, np.nan))]
            means[name] = float(np.mean(values)) if values else None
        found.append({**means, "captures": len(mine)})
    return found


def table(means: Sequence[Row]) -> list[str]:
    """One line per kind, turn and region; PSNR, SSIM and ms of every method."""
    methods = [m for m in METHODS if any(row["method"] == m for row in means)]
    lines = [f"{'':36s}" + "".join(f"{m:>22s}" for m in methods) + "  overhang, drawn %"]
    lines.append(f"{'':36s}" + len(methods) * f"{'PSNR':>9s}{'SSIM':>7s}{'ms':>6s}")
    by_place: dict[tuple[str, str, str], dict[str, Row]] = {}
    for row in means:
        place = (row["kind"], row["turn"], row["region"])
        by_place.setdefault(place, {})[row["method"]] = row
    for (kind, turn, region), mine in by_place.items():
        cells = []
        for method in methods:
            row = mine.get(method, {})
            figures = (("psnr_db", "9.2f"), ("ssim", "7.3f"), ("ms", "6.0f"))
            cells.append(
                "".join(
                    format(row[name], spec) if row.get(name) is not None else int(spec[0]) * " "
                    for name, spec in figures
                )
            )
        ours = mine[FULL_VIEW]
        over = [ours["overhang"], ours["drawn_overhang"]]
        ends = "".join(f"{100 * v:8.2f}" if v is not None else 8 * " " for v in over)
        lines.append(f"{kind:12s}{turn:>8s}  {region:14s}" + "".join(cells) + ends)
    return lines


def beside_photograph(rows: Sequence[Row]) -> list[Row]:
    """Return by kind and region how far views at a turn of 0 are from the photograph.

    ``mean_db`` and ``least_db``: PSNR of the full view less that of the photograph resampled, both
    against the truth, over captures.
    """
    decibels: dict[tuple[str, ...], dict[str, float]] = {}
    for row in rows:
        place = (row["kind"], row["region"], row["capture"], row["turn"])
        decibels.setdefault(place, {})[row["method"]] = row["psnr_db"]
    gains: dict[tuple[str, str], list[float]] = {}
    for (kind, region, *_), mine in decibels.items():
        if PHOTOGRAPH in mine and np.isfinite([mine[FULL_VIEW], mine[PHOTOGRAPH]]).all():
            gains.setdefault((kind, region), []).append(mine[FULL_VIEW] - mine[PHOTOGRAPH])
    return [
        {"kind": kind, "region": region, "mean_db": float(np.mean(g)), "least_db": min(g)}
        for (kind, region), g in gains.items()
    ]


def chosen_heads(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Return what ``--heads`` means: a number of heads, a set's name, or names.

    Parameters
    ----------
    names : sequence of str
        All heads, sorted.
    wanted : sequence of str
        Empty takes all; ``reported`` and ``others`` a set; a number so many of the first.

    Raises
    ------
    ValueError
        A head that is not there.
    """
    if not wanted or list(wanted) == ["all"]:
        return list(names)
    if list(wanted) == ["reported"]:
        return [name for name in names if name in REPORTED_HEADS]
    if list(wanted) == ["others"]:
        return [name for name in names if name not in REPORTED_HEADS]
    if len(wanted) == 1 and wanted[0].isdigit():
        return list(names[: int(wanted[0])])
    unknown = set(wanted) - set(names)
    if unknown:
        raise ValueError(f"no heads named {', '.join(sorted(unknown))}")
    return list(wanted)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--subjects", type=int, default=6, help="synthetic heads")
    parser.add_argument("--seed", type=int, default=7_000, help="of the synthetic heads")
    sets = ("heads", SCANS, SYNTHETIC, SVEN)
    parser.add_argument("--only", nargs="+", choices=sets, default=sets)
    parser.add_argument(
        "--heads", nargs="*", default=[], help="names, a number, 'reported' or 'others'"
    )
    parser.add_argument("--reference", action="store_true", help="what turned views can reach")
    parser.add_argument("--out", type=Path, default=Path("build/bench/fullview.json"))
    parser.add_argument("--pictures", type=Path, default=None)
    a = parser.parse_args()
    model = get_model(FaceModelConfig())
    frontals = Frontals(model, a.data)
    rows: list[Row] = []
    times: dict[str, float] = {}

    def take(chosen: Iterable[Frontal], turns: Sequence[tuple[float, float]]) -> None:
        rows.extend(rows_of(model, frontals, chosen, turns, a.reference, a.pictures))

    if "heads" in a.only and a.data.is_dir():
        take(frontals.heads(chosen_heads(frontals.head_names(), a.heads)), HEAD_TURNS)
    if SCANS in a.only and a.data.is_dir():
        take(frontals.scans(), TURNS)
    if SYNTHETIC in a.only:
        take(frontals.synthetic(a.subjects, a.seed), TURNS)
        times = timings(model, next(frontals.synthetic(1, a.seed)))
    if SVEN in a.only and a.data.is_dir():
        rows.extend(sven_rows(model, frontals.sven(), a.pictures))
    means = total(rows)
    print("\n".join(table(means)))
    still = beside_photograph(rows)
    for row in still:
        print(
            f"turn of 0, full view less photograph: {row['kind']}, {row['region']}: "
            f"{row['mean_db']:+.2f} dB, least of a capture {row['least_db']:+.2f}"
        )
    for stage, value in times.items():
        print(f"{stage:34s} {value:8.1f} ms")
    finite = [
        {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in row.items()}
        for row in rows
    ]
    result = {"machine": machine(), "failed": frontals.failed, "total": means, "rows": finite}
    write_json(a.out, result | {"beside_photograph": still, "median_ms": times})


if __name__ == "__main__":
    main()
