"""The figures of a capture in words, as a person reads them."""

from __future__ import annotations

import math

from fg3d_builder.browser.listing import REGISTERED, ListedCapture
from fg3d_builder.browser.records import Registered
from fg3d_builder.browser.verdicts import Judged
from fg3d_builder.geometry.pose import angles_from_rotation
from fg3d_builder.registration import quality
from fg3d_builder.report.figures import spread
from fg3d_builder.review.decisions import Verdict
from fg3d_builder.review.review_list import AUTO


def figure(value: float, digits: int = 2) -> str:
    """Write a figure; one that is not known as a dash."""
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def percent(value: float) -> str:
    """Write a share."""
    return "-" if math.isnan(value) else f"{100 * value:.0f} %"


def verdict(given: Verdict) -> str:
    """Say what a person decided, with the note."""
    said = "not judged" if given.verdict == AUTO else f"{given.verdict}ed"
    return f"{said}, with the note: {given.note}" if given.note else said


def place(listed: ListedCapture, judged: Judged, min_quality: float) -> str:
    """Say what the next build does with a capture, and why."""
    if listed.state != REGISTERED:
        return "has no registration"
    by_hand = judged.verdict.verdict != AUTO
    if by_hand:
        why = f"{judged.verdict.verdict}ed by hand"
    elif math.isnan(listed.quality):
        why = "its quality is not known"
    else:
        sign = "≥" if judged.kept else "<"
        why = f"quality {listed.quality:.3f} {sign} {min_quality:g}"
    said = f"{'in' if judged.kept else 'left out'}: {why}"
    return f"{said}; build again to obey" if judged.changes else said


def about(found: Registered) -> list[tuple[str, str]]:
    """Return what is known of a registration: name of the figure, and the figure in words."""
    registration, capture = found.registration, found.capture
    pitch, yaw, roll = angles_from_rotation(registration.pose.rotation)
    region = registration.visible & found.model.reliable
    distances = spread(registration.surface_error_mm[region])
    height, width = capture.rgb.shape[:2]
    rows = [
        ("predicted error", _predicted(registration.predicted_error_mm, "mean of the vertices")),
        ("", _predicted(registration.predicted_surface_mm, "across the surface")),
        ("reliable face to depth", _spread_words(distances)),
        ("face measured", percent(_or_nan(registration.coverage))),
        ("edges to detected", f"{registration.landmark_error_px:.2f} px"),
        ("solver", _solver(registration.converged, len(registration.history))),
        ("head", f"pitch {pitch:.0f}°, yaw {yaw:.0f}°, roll {roll:.0f}°"),
        ("distance", f"{registration.vertices_cam_mm[:, 2].mean() / 10:.0f} cm from the camera"),
        ("picture", f"{width} x {height} pixels"),
        ("licence", capture.licence),
    ]
    sampling, fusion = registration.depth_sampling, registration.fusion
    if sampling is not None and sampling.kind != "measured":
        factors = f"{sampling.factor_x:.3g} x {sampling.factor_y:.3g}"
        rows.append(("depth", f"{sampling.kind} by {factors}"))
    if fusion is not None and fusion.captures > 1:
        rows.append(("shape", f"shared by {fusion.captures} captures of the subject"))
    return rows


def doubts(found: Registered) -> list[str]:
    """Return what speaks against a registration, the worst first."""
    figures = found.registration.quality_figures
    return [] if figures is None else [doubt.sentence for doubt in quality.quality_doubts(figures)]


def weightiest(found: Registered) -> str:
    """Name the figures that the predicted error owes most to; empty where they are not known."""
    figures = found.registration.quality_figures
    return "" if figures is None else quality.weightiest(figures)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _predicted(value: float | None, what: str) -> str:
    return f"{figure(_or_nan(value))} mm, {what}"


def _spread_words(values: dict[str, float]) -> str:
    if not values:
        return "nothing was measured"
    return "median {median:.2f}, mean {mean:.2f}, 95 % {p95:.2f} mm".format(**values)


def _solver(converged: bool, iterations: int) -> str:
    said = "came to rest" if converged else "did NOT come to rest"
    return f"{said} after {iterations} iterations"
