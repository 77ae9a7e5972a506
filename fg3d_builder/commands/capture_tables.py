"""Lines and tables of captures, before and after they were looked at."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from fg3d_builder.captures import CaptureEntry
from fg3d_builder.captures.inspection import Inspected
from fg3d_builder.config import SourceConfig
from fg3d_builder.wording import counted

_ENTRY = "{:40} {:20} {:14} {:28} {:>6}"
_INSPECTED = "{:40} {:20} {:>11} {:>6} {:>7} {:>8} {:>5} {:>6}  {}"
_FIGURES = (
    "width_mm",
    "distance_mm",
    "extent_px",
    "pitch_deg",
    "yaw_deg",
    "noise_mm",
    "depth_share",
)


def entry_line(entry: CaptureEntry | None) -> str:
    """Return a line of the listing; the heading for none."""
    if entry is None:
        return _ENTRY.format("capture", "subject", "expression", "sequence", "frame")
    frame = str(entry.frame) if entry.sequence else ""
    words = (entry.capture_id, entry.subject_id or "?", entry.expression or "?", entry.sequence)
    return _ENTRY.format(*words, frame).rstrip()


def entry_rows(
    pairs: Iterable[tuple[SourceConfig, Sequence[CaptureEntry]]],
) -> Iterator[tuple[object, ...]]:
    """Yield the rows of the listing as a table."""
    yield ("capture", "kind", "subject", "expression", "sequence", "frame", "location")
    for source, entries in pairs:
        for e in entries:
            frame = e.frame if e.sequence else ""
            yield (
                e.capture_id,
                source.kind,
                e.subject_id,
                e.expression,
                e.sequence,
                frame,
                e.location,
            )


def told_entries(entries: Sequence[CaptureEntry]) -> str:
    """Say how many captures of whom there are."""
    people = {entry.subject_id for entry in entries if entry.subject_id}
    sequences = {entry.sequence for entry in entries if entry.sequence}
    text = f"{counted(len(entries), 'capture')} of {counted(len(people), 'subject')}"
    return f"{text} in {counted(len(sequences), 'sequence')}" if sequences else text


def inspected_line(one: Inspected | None) -> str:
    """Return a line about a capture that was looked at; the heading for none."""
    if one is None:
        columns = ("capture", "subject", "size", "depth", "face", "distance", "yaw", "noise")
        return _INSPECTED.format(*columns, "reason")
    size = f"{one.width} x {one.height}" if one.width else ""
    depth = f"{one.depth_coverage:.0%}" if one.width else ""
    face = one.face
    figures = ["", "", "", ""]
    if face is not None:
        figures = [
            _figure(face.width_mm, "{:.0f} mm"),
            _figure(face.distance_mm, "{:.0f} mm"),
            _figure(face.yaw_deg, "{:.0f}"),
            _figure(face.noise_mm, "{:.2f}"),
        ]
    reason = f"{one.error.code}: {one.error.message}" if one.error else ""
    subject = one.entry.subject_id or "?"
    line = _INSPECTED.format(one.entry.capture_id, subject, size, depth, *figures, reason)
    return line.rstrip()


def figure_rows(
    looked: Iterable[tuple[SourceConfig, Sequence[Inspected]]],
) -> Iterator[tuple[object, ...]]:
    """Yield the rows of all figures as a table."""
    yield (
        "capture",
        "kind",
        "subject",
        "expression",
        "sex",
        "width",
        "height",
        "depth_coverage",
        *(f"face_{name}" for name in _FIGURES),
        "code",
        "reason",
    )
    for source, inspected in looked:
        for one in inspected:
            entry, face = one.entry, one.face
            figures = [""] * len(_FIGURES)
            if face is not None:
                figures = [_figure(getattr(face, name), "{:.4g}") for name in _FIGURES]
            reason = (one.error.code, one.error.message) if one.error else ("", "")
            yield (
                entry.capture_id,
                source.kind,
                entry.subject_id,
                one.expression,
                one.sex,
                one.width or "",
                one.height or "",
                f"{one.depth_coverage:.4g}" if one.width else "",
                *figures,
                *reason,
            )


def _figure(value: float, form: str) -> str:
    return form.format(value) if math.isfinite(value) else ""
