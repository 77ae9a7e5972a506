"""Does the quality tell bad registrations from good ones, and how far off they are?

`python -m benchmarks.quality` registers what the score was not calibrated on: synthetic captures
of other subjects, as they are and spoilt, the other half of the textured heads, and the real
captures. It says how well the score separates what the truth calls bad (AUC, precision and recall
at the threshold), with failures of each kind judged by a model that was calibrated without that
kind. `--calibrate` registers training subjects, half of the heads and the real captures with both
models instead and writes the score's model into the package; docs/benchmarks.md says how.
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
    folds_of,
    held_out_scores,
    labels,
    rates,
    scores,
    threshold_for,
)
from benchmarks.quality_rows import head_jobs, real_jobs, rows_of, synthetic_jobs
from benchmarks.timings import machine
from fg3d_builder.config import ReviewConfig
from fg3d_builder.files.atomic import read_json, replacing, write_bytes, write_json
from fg3d_builder.heads.library import default_model
from fg3d_builder.records import Array, QualityFigures
from fg3d_builder.registration.feature_albedo import TEMPLATE_FILE, template_table
from fg3d_builder.registration.image_agreement import feature_vertices
from fg3d_builder.registration.quality import (
    CALIBRATION_FILE,
    SURFACE_LIMIT_MM,
    VERTEX_LIMIT_MM,
    QualityModel,
    calibrated_model,
    model_from,
)

TRAINING_SEED, REPORTED_SEED = 31_400, 7_400
MODELS = ("default", "ict")
SENSITIVITY = ((0.75, 2.5), (SURFACE_LIMIT_MM, VERTEX_LIMIT_MM), (1.5, 5.0))
GOOD_REJECTED = 0.03
"""Of plainly good registrations of synthetic or spoilt captures, within the strictest limits of
`SENSITIVITY`, what the threshold may reject; of real captures and heads as they are: none."""

MARGIN = 0.3
"""The threshold is at this part of the lowest quality of good heads and real captures: there are
few of them, and heads that took no part have been found at half of it."""

KIND_FOLDS, SUBJECT_FOLDS = 6, 8
FOLDS_FILE = Path(__file__).with_name("quality_folds.json")
"""Models that were calibrated without some kinds of failure, by these kinds."""

UNSEEN_STRENGTH, UNSEEN = 0.32, ("depth unit wrong", "focal length wrong")
"""Units and focal lengths that are off by less than 8 %, twice what adults differ by: no figure
of a single face can tell, so the AUC is given without them as well."""

AS_IT_IS = "as it is"
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
    bad = labels(rows)
    subject = folds_of(rows, lambda row: row["capture"].rsplit("-", 1)[0], SUBJECT_FOLDS)
    held_out = held_out_scores(rows, bad, subject)
    model = fit_model(rows, bad)
    threshold = threshold_of(rows, held_out, scores(model, rows))
    table = {
        "made_by": command,
        "limits_mm": {"surface": SURFACE_LIMIT_MM, "vertex": VERTEX_LIMIT_MM},
        "training": {"rows": len(rows), "bad": int(bad.sum()), "sets": _counts(rows)},
        "min_quality": threshold,
        "model": model_table(model),
    }
    write_json(CALIBRATION_FILE, table)
    write_json(FOLDS_FILE, kind_folds(rows))
    write_template()
    print(f"{len(rows)} registrations, {bad.sum()} bad")
    print(f"AUC on held-out training subjects: {auc(held_out, bad):.3f}")
    print(_rates_line(held_out, bad, threshold))
    print(f"{'':18s} ordinary  mm per unit: vertices  surface")
    for name in ("level", "power"):
        pair = [getattr(kind, name) for kind in (model.vertex, model.surface)]
        print(f"{name:18s} {'':19s} {pair[0]:12.2f} {pair[1]:8.2f}")
    print(f"{'floor, mm':18s} {'':19s} {model.vertex.floor_mm:12.2f} {model.surface.floor_mm:8.2f}")
    for name, ordinary in model.ordinary.items():
        weights = [kind.weights.get(name, 0.0) for kind in (model.vertex, model.surface)]
        print(f"{name:18s} {ordinary:8.3f} {weights[0]:22.2f} {weights[1]:8.2f}")
    print(f"written to {CALIBRATION_FILE.name}; the default of review.min_quality: {threshold}")


def write_template() -> None:
    """Write what the features of the embedded model look like, for models that do not know it."""
    model = default_model()
    around = np.unique(np.concatenate(list(feature_vertices(model).values())))
    table = json.dumps(template_table(model, around), separators=(",", ":"))
    write_bytes(TEMPLATE_FILE, f"{table}\n".encode())


def threshold_of(rows: Sequence[Row], held_out: Array, score: Array) -> float:
    """Return the highest threshold that loses hardly any good ones, see `GOOD_REJECTED`.

    Captures and heads as they are stand for what people have: none of these may be lost.
    """
    synthetic = np.array([row["set"] == "synthetic" for row in rows])
    as_it_is = np.array([row.get("failure", AS_IT_IS) == AS_IT_IS for row in rows])
    doubtful = labels(rows, *SENSITIVITY[0])
    spoilt = synthetic | ~as_it_is
    threshold = threshold_for(held_out[spoilt], doubtful[spoilt], GOOD_REJECTED)
    real = score[~synthetic & as_it_is & ~doubtful] * MARGIN
    if len(real):
        threshold = min(threshold, float(np.floor(100 * real.min()) / 100))
    return threshold


def kind_folds(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Fit a model without each group of kinds of failure; whole captures stay in all of them."""
    kinds = sorted({row["failure"] for row in rows} - {AS_IT_IS})
    folds = []
    for k in range(KIND_FOLDS):
        left_out = kinds[k::KIND_FOLDS]
        rest = [row for row in rows if row["failure"] not in left_out]
        folds.append({"kinds": left_out, "model": model_table(fit_model(rest, labels(rest)))})
    return folds


def unseen_scores(rows: Sequence[Row], score: Array) -> Array:
    """Return scores of models that know nothing of the kinds of the rows' failures.

    Rows as they are keep their `score`.
    """
    found = score.copy()
    names = np.array([row["failure"] for row in rows])
    for fold in read_json(FOLDS_FILE):
        mine = np.flatnonzero(np.isin(names, fold["kinds"]))
        found[mine] = scores(model_from(fold["model"]), [rows[i] for i in mine.tolist()])
    return found


def model_table(model: QualityModel) -> dict[str, Any]:
    """Return a model as JSON values, as `model_from` reads them."""

    def rounded(values: dict[str, float]) -> dict[str, float]:
        return {name: round(value, 5) for name, value in values.items()}

    errors = {
        kind: {
            "floor_mm": round(one.floor_mm, 4),
            "weights": rounded(one.weights),
            "level": round(one.level, 5),
            "power": round(one.power, 5),
        }
        for kind, one in (("vertex", model.vertex), ("surface", model.surface))
    }
    curve = {"offset": round(model.offset, 4), "slope": round(model.slope, 4)}
    return {"ordinary": rounded(model.ordinary), **errors, **curve}


def report(name: str, rows: list[Row], model: QualityModel) -> Row:
    """Print how the score does with one face model; return the figures."""
    threshold = ReviewConfig().min_quality
    early = Counter(row["code"] for row in rows if "code" in row)
    found: Row = {"threshold": threshold, "failed_early": dict(early)}
    synthetic = [row for row in measured(rows) if row["set"] == "synthetic"]
    score = scores(model, synthetic)
    unseen, bad = unseen_scores(synthetic, score), labels(synthetic)
    print(f"\n{name}: {len(synthetic)} synthetic registrations, {bad.sum()} bad")
    print(f"  recorded as failures before: {dict(early)}")
    print(f"  AUC {auc(score, bad):.3f}\n  {_rates_line(score, bad, threshold)}")
    print(f"  of kinds not calibrated on: AUC {auc(unseen, bad):.3f}")
    print(f"  {_rates_line(unseen, bad, threshold)}")
    telling = np.array([not _is_unseen(row) for row in synthetic])
    told = auc(unseen[telling], bad[telling])
    print(f"  the same without units and focal lengths off by less than 8 %: AUC {told:.3f}")
    found |= {"registrations": len(synthetic), "bad": int(bad.sum()), "auc": auc(score, bad)}
    found |= {"auc_unseen_kinds": auc(unseen, bad), "auc_unseen_telling": told}
    found |= rates(unseen, bad, threshold)
    sensitivity = []
    for surface, vertex in SENSITIVITY:
        other = labels(synthetic, surface, vertex)
        value = auc(unseen, other)
        sensitivity.append({"surface_mm": surface, "vertex_mm": vertex, "auc": value})
        print(f"  bad above {surface} / {vertex} mm: {other.sum()} bad, AUC {value:.3f}")
    _print_calibration(unseen, bad)
    _print_failures(synthetic, unseen, bad, threshold)
    found |= _errors(synthetic, model)
    found |= _others(measured(rows), model, threshold)
    # JSON has no "not a number": nothing bad, or nothing rejected.
    found = {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in found.items()}
    return found | {"sensitivity": sensitivity}


def _errors(rows: Sequence[Row], model: QualityModel) -> Row:
    """Compare predicted with true errors: median ratio, and how much of its scatter is left."""
    judged = [model.judge(QualityFigures(**row["figures"])) for row in rows]
    pairs = [[j.vertex_mm, r["vertex_mm"]] for j, r in zip(judged, rows, strict=True)]
    predicted, true = np.log(np.array(pairs).T)
    off = predicted - true
    correlation = float(np.corrcoef(predicted, true)[0, 1])
    factor = float(np.exp(np.median(np.abs(off - np.median(off)))))
    print(
        f"  predicted over true vertex error: median {np.exp(np.median(off)):.2f}, half of them "
        f"within a factor of {factor:.2f} of it, correlation of logarithms {correlation:.2f}"
    )
    return {"error_ratio": float(np.exp(np.median(off))), "error_correlation": correlation}


def _others(rows: Sequence[Row], model: QualityModel, threshold: float) -> Row:
    """Print and return what becomes of the heads and the real captures as they are."""
    found: Row = {}
    for kind in ("heads", "real"):
        mine = [row for row in rows if row["set"] == kind and row["failure"] == AS_IT_IS]
        if not mine:
            continue
        score = scores(model, mine)
        rejected = [r["capture"] for r, s in zip(mine, score, strict=True) if s < threshold]
        found |= {kind: len(mine), f"{kind}_rejected": rejected}
        print(f"  {kind}: {len(rejected)} of {len(mine)} rejected {rejected}")
        for row, value in sorted(zip(mine, score, strict=True), key=lambda pair: pair[1]):
            judged = model.judge(QualityFigures(**row["figures"]))
            print(
                f"    {row['capture']:32s} {value:.3f}  predicted {judged.vertex_mm:.2f} mm, "
                f"surface {judged.surface_mm:.2f}; covered {row['coverage']:.0%}"
            )
    return found


def _is_unseen(row: Row) -> bool:
    return row["failure"] in UNSEEN and row["strength"] < UNSEEN_STRENGTH


def _counts(rows: Iterable[Row]) -> dict[str, int]:
    return dict(Counter(row["set"] for row in rows))


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


def main() -> None:
    """Run what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    parser.add_argument("--calibrate", action="store_true", help="fit the score's model anew")
    parser.add_argument("--model", choices=MODELS, help="only this face model")
    parser.add_argument("--subjects", type=int, default=0, help="of each sensor; 3 or 2")
    parser.add_argument("--cases", type=int, default=8, help="failures of each capture")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--reuse", action="store_true", help="take rows of an earlier run")
    a = parser.parse_args()
    seed, subjects = (TRAINING_SEED, 3) if a.calibrate else (REPORTED_SEED, 2)
    subjects = a.subjects or subjects
    names = [n for n in MODELS if a.model in (None, n) and (n == "default" or a.data.is_dir())]
    rows = {}
    for name in names:
        jobs = synthetic_jobs(name, a.data, seed, subjects, a.cases, narrow=a.calibrate)
        jobs += head_jobs(name, a.data, seed, calibration=a.calibrate)
        jobs += real_jobs(name, a.data)
        path = a.out / f"quality-{name}-{seed}.jsonl"
        rows[name] = kept_rows(path, rows_of(jobs, a.workers), a.reuse)
    if a.calibrate:
        command = f"python -m benchmarks.quality --calibrate --subjects {subjects}"
        only = f" --model {a.model}" if a.model else ""
        pooled = [row for name in names for row in measured(rows[name])]
        calibrate(pooled, f"{command} --cases {a.cases}{only}")
        return
    score = calibrated_model()
    results = {name: report(name, rows[name], score) for name in names}
    write_json(a.out / "quality.json", {"machine": machine(), "models": results})


if __name__ == "__main__":
    main()
