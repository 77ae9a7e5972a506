"""What a build's captures are like, as charts: errors and quality, poses, distances, people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fg3d_builder.report.charts import (
    Chart,
    Histogram,
    counts_map,
    histogram,
    histogram_svg,
    map_svg,
)

Rows = Sequence[Mapping[str, Any]]

POSE_STEP_DEG = 10.0
MOST_TALLIED = 12
"""Largest number of rows of a tally; the rest is summed up."""

CONTRADICTORY = "(captures contradict each other)"

SKIN_BORDERS_DEG = (-30.0, 10.0, 28.0, 41.0, 55.0)
SKIN_NAMES = ("dark", "brown", "tan", "intermediate", "light", "very light")
"""Classes of the individual typology angle after Del Bino and Bernerd (2013)."""


def error_charts(rows: Rows, min_quality: float) -> list[Chart]:
    """Return the histograms of quality and errors."""
    quality = [row["quality"] for row in rows]
    measured = [_percent(row["coverage"]) for row in rows]
    limit = [(min_quality, f"left out below {min_quality:g}")]
    charts = [
        Chart(
            "Quality",
            histogram_svg(histogram(quality, 0.0, 1.0, 20), "quality, 0 to 1", marks=limit),
            _median_note(quality, "") + " Most captures should stand at the right end.",
        ),
        _chart(
            "Distance of the registration to the depth",
            [row["surface_mm"].get("median") for row in rows],
            "median distance of a capture, mm",
            "mm",
            "A few tenths of a millimetre is the noise of a good sensor.",
        ),
        _chart(
            "The largest twentieth of these distances",
            [row["surface_mm"].get("p95") for row in rows],
            "95th percentile of a capture's distances, mm",
            "mm",
            "A long tail: hair, glasses or hands that the registration took for skin.",
        ),
        _chart(
            "Predicted mean error",
            [row["predicted_error_mm"] for row in rows],
            "predicted error of the visible face, mm",
            "mm",
            "Of vertices, also along the surface; what quality is judged by.",
        ),
        Chart(
            "Face measured",
            histogram_svg(histogram(measured, 0.0, 100.0, 20), "share of the visible face, %"),
            _median_note(measured, "%") + " Unmeasured parts come from the 3DMM.",
        ),
        _chart(
            "Edges to landmarks",
            [row["landmark_error_px"] for row in rows],
            "root mean square distance, px",
            "px",
            "Grows with the size of the image.",
        ),
    ]
    truth = [row["truth_mm"].get("registration", {}).get("mean") for row in rows]
    if any(value is not None for value in truth):
        note = "Known for synthetic captures only."
        charts.append(_chart("Mean error to the truth", truth, "mean vertex error, mm", "mm", note))
    return charts


def coverage_charts(rows: Rows) -> list[Chart]:
    """Return the charts of poses, distances and skin tones."""
    poses = np.array([row["pose_deg"] for row in rows], dtype=np.float64).reshape(-1, 3)
    pitch, yaw = poses[:, 0], poses[:, 1]
    x, y, counts = counts_map(yaw, pitch, POSE_STEP_DEG, 180.0)
    charts = [
        Chart(
            "Poses",
            map_svg(x, y, counts, "yaw, degrees", "pitch, degrees", "captures"),
            _spread_note(yaw, "yaw") + " " + _spread_note(pitch, "pitch"),
        ),
        _pose_chart("Yaw", yaw, "yaw, degrees; above 0: to the subject's left"),
        _pose_chart("Pitch", pitch, "pitch, degrees; above 0: looks up"),
        _chart(
            "Distance of the camera",
            [row["distance_mm"] for row in rows],
            "median depth of the face, mm",
            "mm",
            "Sensors have a distance at which they measure best.",
        ),
    ]
    skin = [row["skin_ita_deg"] for row in rows]
    if any(value is not None for value in skin):
        charts.append(
            Chart(
                "Skin tone in the photos",
                histogram_svg(histogram(skin, bins=30), "individual typology angle, degrees"),
                f"{_skin_note(skin)} Measured from the photos: light and exposure count in it.",
            )
        )
    return charts


@dataclass(frozen=True)
class Tally:
    """How often names occur.

    Attributes
    ----------
    title, head, counted : str
        Of the whole, and of its columns of names and counts.
    rows : list of tuple
        Name, count, and its share of the largest count.
    """

    title: str
    head: str
    counted: str
    rows: list[tuple[str, int, float]]


def tallies(rows: Rows) -> list[Tally]:
    """Count sources, expressions and, where any capture states it, the sex of subjects."""
    found = [
        Tally("Sources", "source", "captures", tally(row["source"] for row in rows)),
        Tally("Expressions", "expression", "captures", tally(row["expression"] for row in rows)),
    ]
    if any(row["sex"] for row in rows):
        head, of_each = "as captures state it", _sex_of_subjects(rows)
        found.append(Tally("Sex", head, "captures", tally(row["sex"] for row in rows)))
        found.append(Tally("Sex of subjects", head, "subjects", tally(of_each.values())))
    return found


def _sex_of_subjects(rows: Rows) -> dict[str, str]:
    """Return what the captures of each subject say together, by the subject's id."""
    stated: dict[str, set[str]] = {}
    for row in rows:
        stated.setdefault(row["subject_id"], set()).update({row["sex"]} - {""})
    return {
        subject: CONTRADICTORY if len(said) > 1 else "".join(said)
        for subject, said in stated.items()
    }


def tally(names: Iterable[str]) -> list[tuple[str, int, float]]:
    """Count names, the most frequent first, those beyond `MOST_TALLIED` together."""
    counts = Counter(name or "(not stated)" for name in names)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ranked if len(ranked) <= MOST_TALLIED else ranked[: MOST_TALLIED - 1]
    rest = ranked[len(shown) :]
    if rest:
        shown = [*shown, (f"{len(rest)} others", sum(count for _, count in rest))]
    most = max((count for _, count in shown), default=1)
    return [(name, count, count / most) for name, count in shown]


def skin_class(ita_deg: float) -> str:
    """Name the class of an individual typology angle; a border belongs to the darker class."""
    return SKIN_NAMES[int(np.searchsorted(SKIN_BORDERS_DEG, ita_deg, side="left"))]


def _chart(title: str, values: Sequence[float | None], x_label: str, unit: str, note: str) -> Chart:
    found = histogram(values)
    known = [value for value in values if value is not None]
    marks = [(float(np.median(known)), "median")] if known else []
    text = f"{_median_note(values, unit)} {note}{_unknown_note(found)}"
    return Chart(title, histogram_svg(found, x_label, marks=marks), text)


def _pose_chart(title: str, values: Any, x_label: str) -> Chart:
    found = histogram([float(value) for value in values], bins=30)
    return Chart(title, histogram_svg(found, x_label), _spread_note(values, title.lower()))


def _median_note(values: Sequence[float | None], unit: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "Not known for any capture."
    return f"Median {np.median(known):.3g}{' ' + unit if unit else ''}."


def _unknown_note(found: Histogram) -> str:
    if not found.unknown:
        return ""
    return f" Not known for {found.unknown:,} of {found.total:,} captures."


def _spread_note(values: Any, name: str) -> str:
    if not len(values):
        return ""
    low, high = np.percentile(values, (5, 95))
    return f"Nine in ten captures have a {name} of {low:+.0f} to {high:+.0f} degrees."


def _skin_note(values: Sequence[float | None]) -> str:
    counts = Counter(skin_class(value) for value in values if value is not None)
    known = [f"{name} {counts[name]:,}" for name in reversed(SKIN_NAMES) if counts[name]]
    return f"By class: {', '.join(known)}."


def _percent(share: float | None) -> float | None:
    return None if share is None else 100.0 * share
