"""What a person wants to know when a build ends, in a few lines of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fg3d_builder.records import Failure
from fg3d_builder.report.figures import overall
from fg3d_builder.review.decisions import Rejection
from fg3d_builder.shards.split import rule_of
from fg3d_builder.wording import counted, some_of

_NAMED = 3
"""Captures that the line of a reason names."""

_TRUTH_LINES = (
    ("3DMM from landmarks (aligned)", "landmark_fit"),
    ("3DMM from landmarks and depth", "coarse_fit"),
    ("registration", "registration"),
)


def summary_lines(
    name: str,
    captures: int,
    rows: Sequence[dict[str, Any]],
    failures: Sequence[Failure],
    manifest: dict[str, Any],
    dataset: Path,
    review_list: Path,
) -> list[str]:
    """Return what became of the captures, how accurate the kept ones are, and the samples.

    Parameters
    ----------
    name : str
        Name of the build.
    captures : int
        Number of captures that went in.
    rows : sequence of `report.figures.capture_figures`
        One for every registered capture.
    failures : sequence of Failure
    manifest : dict
        The manifest of the dataset.
    dataset, review_list : Path
        Where they are.
    """
    lines = [f"{name}: {len(rows)} of {captures} captures registered"]
    if failures:
        lines.append(f"failed: {code_counts(failures)}")
    rejected = [Rejection(**row) for row in manifest["rejected"]]
    if rejected:
        lines.append(f"left out: {code_counts(rejected)}; see {review_list}")
    left_out = {rejection.capture_id for rejection in rejected}
    kept = [row for row in rows if row["capture_id"] not in left_out]
    surface = overall(kept, "surface_mm")
    if surface:
        text = "mean {mean:.2f}, median {median:.2f}, 95 % {p95:.2f} mm"
        lines.append(f"distance to depth, reliable face: {text.format(**surface)}")
    for label, part in _TRUTH_LINES:
        vertex, across = (overall(kept, key, part) for key in ("truth_mm", "truth_surface_mm"))
        if vertex:
            means = f"{vertex['mean']:.2f} mm, across the surface {across['mean']:.2f} mm"
            lines.append(f"mean error to truth, {label}: {means}")
    augmented = manifest["augmentation_failures"]
    if augmented:
        lines.append(f"not augmented: {code_counts([Failure(**row) for row in augmented])}")
    counts = [f"{part['samples']} {split}" for split, part in manifest["splits"].items()]
    lines.append(f"dataset: {dataset} ({', '.join(counts)} samples)")
    return [*lines, *split_warnings(manifest)]


def code_counts(found: Sequence[Failure] | Sequence[Rejection]) -> str:
    """Return ``"2 no_face, 1 no_depth"``, most frequent first."""
    codes = Counter(item.code for item in found).most_common()
    return ", ".join(f"{count} {code}" for code, count in codes)


def reason_lines(what: str, found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each reason, the most frequent first.

    It says what the reason's only capture says, or names the first of several.

    Parameters
    ----------
    what : str
        Begins each line.
    found : sequence of mapping
        Rows of failures or rejections in a manifest.
    """
    by_code: dict[str, list[Mapping[str, Any]]] = {}
    for one in found:
        by_code.setdefault(one["code"], []).append(one)
    for code, rows in sorted(by_code.items(), key=lambda item: -len(item[1])):
        if len(rows) == 1:
            yield f"{what}: {rows[0]['capture_id']}: {code}: {rows[0]['message']}"
        else:
            names = [row["capture_id"] for row in rows]
            yield f"{what}: {len(rows):,} {code}: {some_of(names, _NAMED)}"


def split_warnings(manifest: dict[str, Any]) -> list[str]:
    """Say which split of a build's dataset is empty, and why.

    Either no subject falls into it, or none of those who do has a capture that was kept.
    """
    rule = rule_of(manifest)
    assert rule is not None  # of a merged dataset alone
    lost = {row["subject_id"] for row in (*manifest["failures"], *manifest["rejected"])}
    kept = {name for part in manifest["splits"].values() for name in part["subjects"]}
    warnings = []
    for split, part in manifest["splits"].items():
        if part["samples"]:
            continue
        people = sum(rule.of(name) == split for name in lost)
        if people:
            whose = f"no capture of its {counted(people, 'subject')} was kept"
            warnings.append(f"the {split} split is empty: {whose}")
        else:
            warnings.append(rule.why_nobody(split, len(kept | lost)))
    return warnings
