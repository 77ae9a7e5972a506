"""Does the quality score tell bad registrations from good ones?

`python -m benchmarks.quality` spoils synthetic captures of subjects that nothing was tuned on,
registers them, and says how well the score separates what the truth calls bad (AUC, precision
and recall at the threshold); then it counts what it rejects of the real captures, which are
all good. `--calibrate` registers training subjects with both models instead and writes the
score's model into the package; docs/benchmarks.md says how.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality_fit import (
    auc,
    fit_model,
    held_out_scores,
    labels,
    rates,
    scores,
    threshold_for,
)
from benchmarks.quality_rows import real_rows, synthetic_rows
from benchmarks.timings import machine
from fg3d_builder.config import FaceModelConfig, ReviewConfig
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.files.atomic import replacing, write_json
from fg3d_builder.heads.library import get_model
from fg3d_builder.records import Array
from fg3d_builder.registration.quality import CALIBRATION_FILE, QualityModel, calibrated_model

TRAINING_SEED, REPORTED_SEED = 31_400, 7_400
MODELS = ("default", "ict")

SURFACE_LIMIT_MM, VERTEX_LIMIT_MM = 1.0, 3.5
"""Mean error over the visible reliable face above either of which a registration is bad. A
surface that is a millimetre off shows another person; vertices of good registrations, whose
landmarks come from a detector, are 1.3 to 2.5 mm off their place along smooth skin."""

SENSITIVITY = ((0.75, 2.5), (SURFACE_LIMIT_MM, VERTEX_LIMIT_MM), (1.5, 5.0))
GOOD_REJECTED = 0.02
"""Of good registrations, what the recommended threshold may reject."""

BINS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)

Row = dict[str, Any]


def kept_rows(path: Path, make: Iterable[Row], reuse: bool) -> list[Row]:
    """Return rows by way of a file of JSON lines, which is there once all are made."""
    if not (reuse and path.is_file()):
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            for row in make:
                file.write(json.dumps(row) + "\n")
                file.flush()
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def measured(rows: Iterable[Row]) -> list[Row]:
    """Return the rows that were registered."""
    return [row for row in rows if "figures" in row]


def calibrate(rows: list[Row], command: str) -> None:
    """Fit the score's model to training rows and write it into the package."""
    bad = labels(rows, SURFACE_LIMIT_MM, VERTEX_LIMIT_MM)
    held_out = held_out_scores(rows, bad)
    threshold = threshold_for(held_out, bad, GOOD_REJECTED)
    model = fit_model(rows, bad)
    figures = {n: [round(model.ordinary[n], 6), round(w, 4)] for n, w in model.weights.items()}
    table = {
        "made_by": command,
        "limits_mm": {"surface": SURFACE_LIMIT_MM, "vertex": VERTEX_LIMIT_MM},
        "training": {"rows": len(rows), "bad": int(bad.sum())},
        "min_quality": threshold,
        "model": {"offset": round(model.offset, 4), "figures": figures},
    }
    write_json(CALIBRATION_FILE, table)
    print(f"{len(rows)} registrations, {bad.sum()} bad")
    print(f"AUC on held-out training subjects: {auc(held_out, bad):.3f}")
    print(_rates_line(held_out, bad, threshold))
    for name, (ordinary, weight) in figures.items():
        print(f"  {name:22s} ordinary {ordinary:9.4f}   weight {weight:6.2f}")
    print(f"written to {CALIBRATION_FILE.name}; the default of review.min_quality: {threshold}")


def report(name: str, rows: list[Row], real: list[Row], model: QualityModel) -> Row:
    """Print how the score does with one face model; return the figures."""
    threshold = ReviewConfig().min_quality
    early = Counter(row["code"] for row in rows if "code" in row)
    known = measured(rows)
    score = scores(model, known)
    bad = labels(known, SURFACE_LIMIT_MM, VERTEX_LIMIT_MM)
    print(f"\n{name}: {len(known)} registrations, {bad.sum()} bad")
    print(f"  recorded as failures before: {dict(early)}")
    print(f"  AUC {auc(score, bad):.3f}\n  {_rates_line(score, bad, threshold)}")
    sensitivity = []
    for surface, vertex in SENSITIVITY:
        other = labels(known, surface, vertex)
        value = auc(score, other)
        sensitivity.append({"surface_mm": surface, "vertex_mm": vertex, "auc": value})
        print(f"  bad above {surface} / {vertex} mm: {other.sum()} bad, AUC {value:.3f}")
    _print_calibration(score, bad)
    _print_failures(known, score, bad, threshold)
    result: Row = {"registrations": len(known), "bad": int(bad.sum()), "auc": auc(score, bad)}
    result |= {"threshold": threshold, **rates(score, bad, threshold)}
    # JSON has no "not a number": nothing bad, or nothing rejected.
    result = {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in result.items()}
    result |= {"sensitivity": sensitivity, "failed_early": dict(early)}
    if real:
        of_real = scores(model, real)
        rejected = [r["capture"] for r, s in zip(real, of_real, strict=True) if s < threshold]
        result |= {"real": len(real), "real_rejected": rejected}
        print(f"  real captures: {len(rejected)} of {len(real)} rejected {rejected}")
        for row, value in sorted(zip(real, of_real, strict=True), key=lambda pair: pair[1]):
            print(f"    {row['capture']:32s} {value:.3f}")
    return result


def _rates_line(score: Array, bad: Array, threshold: float) -> str:
    found = rates(score, bad, threshold)
    return (
        f"below {threshold}: precision {found['precision']:.2f}, recall {found['recall']:.2f}, "
        f"good ones rejected {found['good_rejected']:.3f}"
    )


def _print_calibration(score: Array, bad: Array) -> None:
    """Share of good registrations by score, good and bad ones counting the same in sum."""
    weight = np.where(bad, 0.5 / max(bad.sum(), 1), 0.5 / max((~bad).sum(), 1))
    print("  score        count  share good")
    for low, high in pairwise(BINS):
        inside = (score >= low) & ((score < high) | (high == BINS[-1]))
        if inside.any():
            good = weight[inside & ~bad].sum() / weight[inside].sum()
            print(f"  {low:.1f} - {high:.1f}   {inside.sum():6d}  {good:10.2f}")


def _print_failures(rows: Sequence[Row], score: Array, bad: Array, threshold: float) -> None:
    print(f"  {'failure':28s} count   bad  of these  good  of these  surface  vertex mm")
    print(f"  {'':28s}                rejected        rejected   (medians)")
    names = np.array([row["failure"] for row in rows])
    for name in sorted(set(names.tolist())):
        of = names == name
        out = of & (score < threshold)
        middle = [np.median([rows[i][k] for i in np.flatnonzero(of).tolist()]) for k in _ERRORS]
        print(
            f"  {name:28s} {of.sum():5d} {(of & bad).sum():5d} {(out & bad).sum():9d} "
            f"{(of & ~bad).sum():5d} {(out & ~bad).sum():9d}  {middle[0]:7.2f}  {middle[1]:6.2f}"
        )


_ERRORS = ("surface_mm", "vertex_mm")


def _model(name: str, data: Path) -> FaceModel:
    path = str(data / "ict_facekit") if name == "ict" else ""
    return get_model(FaceModelConfig(name, path))


def main() -> None:
    """Run what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    parser.add_argument("--calibrate", action="store_true", help="fit the score's model anew")
    parser.add_argument("--model", choices=MODELS, help="only this face model")
    parser.add_argument("--subjects", type=int, default=0, help="of each sensor; 3 or 2")
    parser.add_argument("--cases", type=int, default=8, help="failures of each capture")
    parser.add_argument("--reuse", action="store_true", help="take rows of an earlier run")
    a = parser.parse_args()
    seed, subjects = (TRAINING_SEED, 3) if a.calibrate else (REPORTED_SEED, 2)
    subjects = a.subjects or subjects
    embedded = get_model(FaceModelConfig())
    names = [n for n in MODELS if a.model in (None, n) and (n == "default" or a.data.is_dir())]
    rows, real = {}, {}
    for name in names:
        model = _model(name, a.data)
        made = synthetic_rows(model, embedded, seed, subjects, a.cases, narrow=a.calibrate)
        rows[name] = kept_rows(a.out / f"quality-{name}-{seed}.jsonl", made, a.reuse)
        if not a.calibrate and a.data.is_dir():
            path = a.out / f"quality-{name}-real.jsonl"
            real[name] = kept_rows(path, real_rows(model, a.data), a.reuse)
    if a.calibrate:
        command = f"python -m benchmarks.quality --calibrate --subjects {subjects}"
        only = f" --model {a.model}" if a.model else ""
        pooled = [row for name in names for row in measured(rows[name])]
        calibrate(pooled, f"{command} --cases {a.cases}{only}")
        return
    score = calibrated_model()
    results = {name: report(name, rows[name], real.get(name, []), score) for name in names}
    write_json(a.out / "quality.json", {"machine": machine(), "models": results})


if __name__ == "__main__":
    main()
