"""The HTML page of a build; links to its pictures are relative."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from fg3d_builder.layout import STAGES
from fg3d_builder.records import Failure
from fg3d_builder.report.figures import overall

SHOWN = 200
"""Largest number of contact sheets of a kind on the page, for the browser's sake."""

DRAWN = 1000
"""Largest number of captures that have a contact sheet, those of the lowest quality: a sheet takes
a tenth of a second and 250 kB, and nobody looks at ten thousand."""

_FIGURES = (
    ("surface to depth: registration", "surface_mm", ""),
    ("vertex to truth: 3DMM fit, landmarks alone (aligned)", "truth_mm", "landmark_fit"),
    ("vertex to truth: 3DMM fit, landmarks and depth", "truth_mm", "coarse_fit"),
    ("vertex to truth: registration", "truth_mm", "registration"),
    ("surface to truth: 3DMM fit, landmarks alone (aligned)", "truth_surface_mm", "landmark_fit"),
    ("surface to truth: 3DMM fit, landmarks and depth", "truth_surface_mm", "coarse_fit"),
    ("surface to truth: registration", "truth_surface_mm", "registration"),
)


def render_page(
    name: str,
    page_digest: str,
    manifest: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    failures: Sequence[Failure],
    warnings: Sequence[str],
    augmentation: Sequence[Mapping[str, Any]] = (),
    not_augmented: Sequence[Failure] = (),
) -> str:
    """Return the page as text.

    Parameters
    ----------
    name : str
        Name of the build.
    page_digest : str
        Written into the page's head, so that a page is known to belong to its dataset.
    manifest : mapping
        The dataset's manifest, which lists the registrations that are left out.
    rows : sequence of mappings
        `capture_figures`, each with ``picture``: a path relative to the page, empty where there is
        no contact sheet.
    failures : sequence of Failure
        With `Failure.picture` relative to the page.
    warnings : sequence of str
    augmentation : sequence of mappings
        One per chunk: ``counts`` by kind of sample, and ``sheets``, each with the capture's id,
        its kind and its picture.
    not_augmented : sequence of Failure
        What could not be turned or transformed; pictures as for `failures`.
    """
    rejected = {row["capture_id"]: row for row in manifest["rejected"]}
    kept = [row for row in rows if row["capture_id"] not in rejected]
    figures = [(label, overall(kept, key, part)) for label, key, part in _FIGURES]
    pictured = [row for row in rows if row["picture"]]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["figure"] = _figure
    template = environment.from_string(
        (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    )
    return template.render(
        name=name,
        digest=page_digest,
        content=manifest["content_sha256"],
        model=manifest["facemodel"],
        splits=manifest["splits"],
        captures=len(rows) + len(failures),
        rows=rows,
        shown=sorted(pictured, key=lambda row: (row["quality"], row["capture_id"]))[:SHOWN],
        pictured=len(pictured),
        rejected=rejected,
        accepted=frozenset(manifest["accepted"]),
        min_quality=manifest["config"]["review"]["min_quality"],
        failures=failures,
        codes=Counter(failure.code for failure in failures).most_common(),
        warnings=warnings,
        figures=[(label, values) for label, values in figures if values],
        stages=[stage for stage in STAGES if rows and stage in rows[0]["seconds"]],
        seconds=_mean_seconds(rows),
        augmentation=augmentation_figures([part["counts"] for part in augmentation]),
        sheets=[sheet for part in augmentation for sheet in part["sheets"]],
        not_augmented=not_augmented,
        most=SHOWN,
        augmentation_codes=Counter(failure.code for failure in not_augmented).most_common(),
    )


def augmentation_figures(
    counts: Sequence[Mapping[str, Mapping[str, float]]],
) -> dict[str, dict[str, float]]:
    """Sum the counts of chunks up; kinds without a sample are left out.

    Parameters
    ----------
    counts : sequence of mappings
        By kind: ``sets`` (captures turned, or shapes made), ``samples``, ``projected`` of them,
        and ``painted``, the sum of their shares.

    Returns
    -------
    dict
        By kind: ``sets``, ``samples``, and as shares of the samples ``projected`` and
        ``painted``.
    """
    found: dict[str, dict[str, float]] = {}
    for kind in sorted({kind for part in counts for kind in part}, reverse=True):
        total = {
            key: sum(part[kind][key] for part in counts)
            for key in ("sets", "samples", "projected", "painted")
        }
        if total["samples"]:
            shares = {key: total[key] / total["samples"] for key in ("projected", "painted")}
            found[kind] = {**total, **shares}
    return found


def page_belongs_to(page: Path, page_digest: str) -> bool:
    """Tell whether a page has this identity."""
    try:
        with page.open(encoding="utf-8") as file:
            head = file.read(600)
    except OSError:
        return False
    return f'name="fg3d-report" content="{page_digest}"' in head


def _mean_seconds(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    if not rows:
        return {}
    return {
        stage: float(np.mean([row["seconds"].get(stage, 0.0) for row in rows]))
        for stage in rows[0]["seconds"]
    }


def _figure(values: Mapping[str, float], key: str) -> str:
    return f"{values[key]:.2f}" if values else "-"
