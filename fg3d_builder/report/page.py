"""The pages of a build's report; all links are relative, none leaves the folder."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote

import numpy as np

from fg3d_builder.layout import STAGES
from fg3d_builder.records import Failure
from fg3d_builder.registration.quality import AS_LIKELY_BAD
from fg3d_builder.report.coverage import coverage_charts, error_charts, tallies
from fg3d_builder.report.figures import overall
from fg3d_builder.report.page_set import INDEX
from fg3d_builder.report.pictures import MAX_ERROR_MM
from fg3d_builder.report.templating import TEMPLATES, rendered, script_data

DRAWN = 1000
"""Largest number of captures that have a contact sheet and a mesh, those of the lowest quality:
they take a tenth of a second and half a megabyte, and nobody looks at ten thousand."""

CAPTURES_ON_PAGE, SUBJECTS_ON_PAGE, FAILURES_ON_PAGE, SHEETS_ON_PAGE = 100, 200, 50, 8
WORST_SHOWN, MOST_DOUBTS = 12, 10
SEARCH_PAGE, SEARCH_INDEX = "search.html", "search-index.js"

_FIGURES = (
    ("surface to depth: registration", "surface_mm", ""),
    ("vertex to truth: 3DMM fit, landmarks alone (aligned)", "truth_mm", "landmark_fit"),
    ("vertex to truth: 3DMM fit, landmarks and depth", "truth_mm", "coarse_fit"),
    ("vertex to truth: registration", "truth_mm", "registration"),
    ("surface to truth: 3DMM fit, landmarks alone (aligned)", "truth_surface_mm", "landmark_fit"),
    ("surface to truth: 3DMM fit, landmarks and depth", "truth_surface_mm", "coarse_fit"),
    ("surface to truth: registration", "truth_surface_mm", "registration"),
)

_SHEETS = {
    "turned": (
        "Turned views",
        "Each view by both methods, of one capture of a chunk. Masks: the face is green where the "
        "photo shows it and red where it is painted; the head around it light blue where depth was "
        "measured and orange where it was not; the background grey, dark blue beyond the photo.",
    ),
    "transformed": ("New faces", "New shapes under an old photo, of one capture of a chunk."),
}


@dataclass(frozen=True)
class ReportContent:
    """What the pages of a build are made of.

    Attributes
    ----------
    name : str
        Name of the build.
    manifest : mapping
        The dataset's manifest, which lists the registrations that are left out.
    rows : sequence of mappings
        `capture_figures`, each with ``picture`` and ``mesh`` (empty where there is none) and
        ``thumbnail``: paths relative to the pages.
    failures : sequence of Failure
        With `Failure.picture` relative to the pages.
    warnings : sequence of str
    augmentation : sequence of mappings
        One per chunk: ``counts`` by kind of sample, and ``sheets``, each with the capture's id,
        its kind (``"turned"`` or ``"transformed"``) and its picture.
    not_augmented : sequence of Failure
        What could not be turned or transformed; pictures as for `failures`.
    costs : sequence of mappings
        Rows of `shards.costs.cost_table`.
    """

    name: str
    manifest: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    failures: Sequence[Failure]
    warnings: Sequence[str] = ()
    augmentation: Sequence[Mapping[str, Any]] = ()
    not_augmented: Sequence[Failure] = ()
    costs: Sequence[Mapping[str, Any]] = ()


def render_pages(content: ReportContent) -> dict[str, str]:
    """Return all pages of a build's report, and their scripts, by file name."""
    return _Pages(content).all()


class _Pages:
    """Knows which page shows what; makes them."""

    def __init__(self, content: ReportContent) -> None:
        self.content = content
        self.rows = sorted(content.rows, key=_worst_first)
        self.rejected = {row["capture_id"]: row for row in content.manifest["rejected"]}
        self.accepted = frozenset(content.manifest["accepted"])
        self.capture_pages = _names("captures", len(self.rows), CAPTURES_ON_PAGE)
        self.reasons = _Reasons("failures", content.failures)
        self.lost = _Reasons("not-augmented", content.not_augmented)
        sheets = [sheet for part in content.augmentation for sheet in part["sheets"]]
        self.sheets = {kind: [s for s in sheets if s["kind"] == kind] for kind in _SHEETS}
        self.sheet_pages = {
            kind: _names(kind, len(found), SHEETS_ON_PAGE) for kind, found in self.sheets.items()
        }
        self.subjects = self._subjects()
        self.subject_pages = _names("subjects", len(self.subjects), SUBJECTS_ON_PAGE)

    @cached_property
    def where(self) -> dict[str, str]:
        """Links to the captures, by their ids."""
        found = {
            row["capture_id"]: _anchored(
                self.capture_pages[number // CAPTURES_ON_PAGE], row["capture_id"]
            )
            for number, row in enumerate(self.rows)
        }
        return {**self.reasons.where, **found}

    def all(self) -> dict[str, str]:
        """Return all pages."""
        pages: dict[str, str] = {}
        for made in (
            self._capture_pages(),
            self._subject_pages(),
            self._failure_pages(self.reasons, "Captures that failed", "captures"),
            self._failure_pages(self.lost, "Not turned or transformed", "cases"),
            self._sheet_pages(),
            self._search(),
        ):
            pages.update(made)
        pages[INDEX] = self._index()
        return pages

    def _page(self, template: str, here: str, title: str, **values: Any) -> str:
        return rendered(
            template,
            brand=self.content.name,
            title=f"{self.content.name}: {title}",
            navigation=self._navigation(),
            here=here,
            **values,
        )

    def _navigation(self) -> list[tuple[str, str, int | None]]:
        entries: list[tuple[str, str, int | None]] = [("Overview", INDEX, None)]
        if self.rows:
            entries.append(("Captures", self.capture_pages[0], len(self.rows)))
        entries.append(("Subjects", self.subject_pages[0], len(self.subjects)))
        if self.content.failures:
            first = self.reasons.table()[0][3]
            entries.append(("Failures", first, len(self.content.failures)))
        for kind, (label, _) in _SHEETS.items():
            if self.sheets[kind]:
                entries.append((label, self.sheet_pages[kind][0], len(self.sheets[kind])))
        return [*entries, ("Search", SEARCH_PAGE, None)]

    def _index(self) -> str:
        content, manifest = self.content, self.content.manifest
        kept = [row for row in self.rows if row["capture_id"] not in self.rejected]
        accuracy = [(label, overall(kept, key, part)) for label, key, part in _FIGURES]
        messages = self._messages()
        augmentation = augmentation_figures([part["counts"] for part in content.augmentation])
        limit = manifest["config"]["review"]["min_quality"]
        left_out = Counter(row["code"] for row in manifest["rejected"]).most_common()
        accuracy = [(label, values) for label, values in accuracy if values]
        doubts = Counter(row["doubts"][0]["sentence"] for row in self.rows if row["doubts"])
        what_went_wrong = bool(content.failures or content.not_augmented or doubts or left_out)
        parts = (
            ("Warnings", "warnings", messages),
            ("Look at these first", "first", kept),
            ("What went wrong", "failures", what_went_wrong),
            ("Accuracy", "accuracy", accuracy),
            ("Histograms", "histograms", self.rows),
            ("Coverage", "coverage", self.rows),
            ("Turned views and new faces", "augmentation", augmentation),
            ("What it took", "costs", True),
        )
        return self._page(
            "index.html",
            INDEX,
            "build report",
            contents=[(label, anchor) for label, anchor, there in parts if there],
            content=manifest["content_sha256"],
            model=manifest["facemodel"],
            splits=manifest["splits"],
            captures=len(self.rows) + len(content.failures),
            registered=len(self.rows),
            failed=len(content.failures),
            rejected_count=len(self.rejected),
            not_converged=sum(not row["converged"] for row in self.rows),
            messages=messages,
            worst=kept[:WORST_SHOWN],
            where=self.where,
            max_error_mm=f"{MAX_ERROR_MM:g}",
            first_page=self.capture_pages[0] if self.rows else INDEX,
            page_count=len(self.capture_pages),
            reasons=self.reasons.table(),
            doubts=doubts.most_common(MOST_DOUBTS),
            left_out=left_out,
            lost=self.lost.table(),
            accuracy=accuracy,
            charts=error_charts(self.rows, limit) if self.rows else [],
            coverage=coverage_charts(self.rows) if self.rows else [],
            tallies=tallies(self.rows),
            augmentation=augmentation,
            not_augmented=len(content.not_augmented),
            sheet_pages=[
                (_SHEETS[kind][0], self.sheet_pages[kind][0], len(found))
                for kind, found in self.sheets.items()
                if found
            ],
            stages=[s for s in STAGES if self.rows and s in self.rows[0]["seconds"]],
            seconds=_mean_seconds(self.rows),
            costs=content.costs,
        )

    def _messages(self) -> list[tuple[str, str]]:
        """What a person should know before using the dataset, in words, each with a link."""
        content, count = self.content, len(self.rows) + len(self.content.failures)
        found = [(warning, "") for warning in content.warnings]
        if content.failures:
            code, _, most, href = self.reasons.table()[0]
            share = f"{len(content.failures):,} of {count:,} captures failed"
            found.append(
                (
                    f"{share} ({len(content.failures) / count:.1%}), most often {code}: {most:,}.",
                    href,
                )
            )
        left_out = [row for row in self.rows if row["capture_id"] in self.rejected]
        if left_out:
            share = f"{len(left_out):,} of {len(self.rows):,} registrations are left out"
            found.append((f"{share} of the dataset.", self.where[left_out[0]["capture_id"]]))
        loose = [
            r for r in self.rows if not r["converged"] and r["capture_id"] not in self.rejected
        ]
        if loose:
            kept = len(self.rows) - len(left_out)
            text = f"{len(loose):,} of {kept:,} registrations in the dataset did not converge."
            found.append((text, self.where[loose[0]["capture_id"]]))
        lost = [
            place
            for place, one in enumerate(self.subjects)
            if one["known"] and one["registered"] == one["left_out"]
        ]
        if lost:
            names = ", ".join(self.subjects[place]["subject"] for place in lost[:5])
            more = " and others" if len(lost) > 5 else ""
            text = f"Subjects without a capture in the dataset, {len(lost):,}: {names}{more}."
            found.append((text, self.subject_pages[lost[0] // SUBJECTS_ON_PAGE]))
        if content.not_augmented:
            code, _, most, href = self.lost.table()[0]
            text = f"Views and new faces that could not be made, {len(content.not_augmented):,}"
            found.append((f"{text}: most often {code}, {most:,}.", href))
        return found

    def _capture_pages(self) -> Iterator[tuple[str, str]]:
        pictured = sum(bool(row["picture"]) for row in self.rows)
        numbered = [{**row, "place": place} for place, row in enumerate(self.rows, start=1)]
        limit = self.content.manifest["config"]["review"]["min_quality"]
        for number, part in enumerate(_cut(numbered, CAPTURES_ON_PAGE)):
            yield (
                self.capture_pages[number],
                self._page(
                    "captures.html",
                    self.capture_pages[0],
                    f"captures, page {number + 1}",
                    rows=part,
                    number=number,
                    pages=self.capture_pages,
                    total=len(self.rows),
                    pictured=pictured,
                    rejected=self.rejected,
                    accepted=self.accepted,
                    min_quality=limit,
                    as_likely_bad=AS_LIKELY_BAD,
                    with_truth=any(row["truth_mm"] for row in self.rows),
                ),
            )

    def _subjects(self) -> list[dict[str, Any]]:
        """Sum the captures up by subject, the one with the worst registration first."""
        splits = {
            subject: split
            for split, part in self.content.manifest["splits"].items()
            for subject in part["subjects"]
        }
        rows: dict[str, list[Mapping[str, Any]]] = {}
        failed: dict[str, list[Failure]] = {}
        for row in self.rows:
            rows.setdefault(row["subject_id"], []).append(row)
        for failure in self.content.failures:
            failed.setdefault(failure.subject_id, []).append(failure)
        found = []
        for subject in rows.keys() | failed.keys():
            own, bad = rows.get(subject, []), failed.get(subject, [])
            worst = own[0]["capture_id"] if own else bad[0].capture_id
            found.append(
                {
                    "subject": subject or "(not known)",
                    "known": bool(subject),
                    "split": splits.get(subject, ""),
                    "captures": len(own) + len(bad),
                    "registered": len(own),
                    "failed": len(bad),
                    "left_out": sum(row["capture_id"] in self.rejected for row in own),
                    "lowest": _least(row["quality"] for row in own),
                    "median": _median(row["quality"] for row in own),
                    "surface": _mean(row["surface_mm"].get("median") for row in own),
                    "worst": worst,
                    "href": self.where[worst],
                }
            )
        return sorted(found, key=lambda one: (_or_nothing(one["lowest"]), one["subject"]))

    def _subject_pages(self) -> Iterator[tuple[str, str]]:
        for number, part in enumerate(_cut(self.subjects, SUBJECTS_ON_PAGE)):
            name = self.subject_pages[number]
            values = {"rows": part, "number": number, "pages": self.subject_pages}
            title = f"subjects, page {number + 1}"
            yield name, self._page("subjects.html", self.subject_pages[0], title, **values)

    def _failure_pages(
        self, reasons: _Reasons, heading: str, what: str
    ) -> Iterator[tuple[str, str]]:
        table = reasons.table()
        first = table[0][3] if table and reasons is self.reasons else ""
        for reason, found in reasons.found.items():
            pages = reasons.pages[reason]
            others = [line for line in table if line[:2] != reason]
            for number, part in enumerate(_cut(found, FAILURES_ON_PAGE)):
                values = {"failures": part, "number": number, "pages": pages, "total": len(found)}
                values |= {"heading": heading, "what": what, "code": reason[0], "others": others}
                title = f"{reason[0]}, page {number + 1}"
                yield pages[number], self._page("failures.html", first, title, **values)

    def _sheet_pages(self) -> Iterator[tuple[str, str]]:
        for kind, (heading, about) in _SHEETS.items():
            pages = self.sheet_pages[kind]
            for number, part in enumerate(_cut(self.sheets[kind], SHEETS_ON_PAGE)):
                shown = [{**s, "href": self.where.get(s["capture_id"], "")} for s in part]
                values = {"sheets": shown, "number": number, "pages": pages}
                title = f"{heading.lower()}, page {number + 1}"
                yield (
                    pages[number],
                    self._page(
                        "sheets.html", pages[0], title, heading=heading, about=about, **values
                    ),
                )

    def _search(self) -> Iterator[tuple[str, str]]:
        listed = [
            [
                *(row[key] for key in ("capture_id", "subject_id", "expression", "source")),
                round(row["quality"], 4) if _is_known(row["quality"]) else None,
                self._state(row["capture_id"]),
                " ".join(doubt["sentence"] for doubt in row["doubts"][:1]),
                self.where[row["capture_id"]].split("#")[0],
            ]
            for row in self.rows
        ]
        listed += [
            [f.capture_id, f.subject_id, "", "", None, "failed", f.code, page.split("#")[0]]
            for f in self.content.failures
            for page in [self.where[f.capture_id]]
        ]
        states = sorted({line[5] for line in listed})
        values = {"total": len(listed), "states": states}
        yield SEARCH_PAGE, self._page("search.html", SEARCH_PAGE, "search", **values)
        yield SEARCH_INDEX, script_data("FG3D_CAPTURES", listed)
        yield "search.js", (TEMPLATES / "search.js").read_text(encoding="utf-8")

    def _state(self, capture_id: str) -> str:
        if capture_id in self.rejected:
            return "left out"
        return "accepted by hand" if capture_id in self.accepted else "in"


class _Reasons:
    """Failures by reason and stage, the most frequent reason first, and their pages."""

    def __init__(self, kind: str, failures: Sequence[Failure]) -> None:
        counts = Counter((failure.code, failure.stage) for failure in failures)
        ranked = sorted(counts, key=lambda reason: (-counts[reason], reason))
        self.found = {
            reason: [f for f in failures if (f.code, f.stage) == reason] for reason in ranked
        }
        self.pages = {
            (code, stage): _names(
                f"{kind}-{_plain(stage)}-{_plain(code)}", counts[code, stage], FAILURES_ON_PAGE
            )
            for code, stage in ranked
        }

    @cached_property
    def where(self) -> dict[str, str]:
        """Links to the failures, by the captures' ids."""
        return {
            failure.capture_id: _anchored(
                self.pages[reason][number // FAILURES_ON_PAGE], failure.capture_id
            )
            for reason, failures in self.found.items()
            for number, failure in enumerate(failures)
        }

    def table(self) -> list[tuple[str, str, int, str]]:
        """Reason, stage, count and first page of each."""
        return [
            (code, stage, len(found), self.pages[code, stage][0])
            for (code, stage), found in self.found.items()
        ]


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


def _worst_first(row: Mapping[str, Any]) -> tuple[bool, float, float, str]:
    """What has no quality first, then the lowest; of equals the larger predicted error."""
    quality, error = row["quality"], row["predicted_error_mm"]
    known = _is_known(quality)
    return known, quality if known else 0.0, -(error or 0.0), row["capture_id"]


def _names(kind: str, count: int, on_page: int) -> list[str]:
    """Name the pages that a list needs, at least one; the names sort as the pages do."""
    pages = max(1, -(-count // on_page))
    return [f"{kind}-{number:04d}.html" for number in range(1, pages + 1)]


def _cut(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _anchored(page: str, capture_id: str) -> str:
    return f"{page}#{quote(capture_id)}"


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text)


def _is_known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _known(values: Iterator[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def _least(values: Iterator[float | None]) -> float | None:
    return min(_known(values), default=None)


def _median(values: Iterator[float | None]) -> float | None:
    known = _known(values)
    return float(np.median(known)) if known else None


def _mean(values: Iterator[float | None]) -> float | None:
    known = _known(values)
    return float(np.mean(known)) if known else None


def _or_nothing(quality: float | None) -> float:
    return -1.0 if quality is None else quality


def _mean_seconds(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    if not rows:
        return {}
    return {
        stage: float(np.mean([row["seconds"].get(stage, 0.0) for row in rows]))
        for stage in rows[0]["seconds"]
    }
