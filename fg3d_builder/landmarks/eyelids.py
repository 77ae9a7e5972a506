"""Whether each eye of a face is closed: the image decides, since detectors do not.

A detector's lids stay a few millimetres apart on a closed eye, and follow the other eye in a wink.
What it cannot invent is an eye between them: a dark iris amid brighter white, and white that is
less red than skin. A closed eye shows skin there, with one dark line through it.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from fg3d_builder.landmarks.edges import IBUG, MEDIAPIPE
from fg3d_builder.landmarks.eye_strip import EyeStrip, LidPairs, eye_strip, lid_pairs
from fg3d_builder.landmarks.lid_seam import find_seam
from fg3d_builder.records import Array, Capture, Landmarks
from fg3d_builder.rendering.image_samples import has_colour

IRIS_RADIUS = 0.15
"""Of the part that surely is iris, in eye widths: 4.5 mm of 6."""

FLANK = 0.22, 0.4
"""From where to where white is looked for, from the middle of the iris and of the eye."""

LEAST_HALF_HEIGHT = 0.06
"""Half of the height that is looked at, however close together the detected lids are."""

WEIGHTS, OFFSET = (-9.5, -13.7, -2.3), 6.8
"""Logistic regression of closed eyes (less than 0.5 mm of eye in sight, against more than 1.2) by
`benchmarks.eyelids` on synthetic faces alone, in dark, hazy and half-size pictures too."""

MIN_SHADOW, NARROW = 2.0, 0.16
"""Between lids that are detected wider apart than the latter, a closed eye must show the shadow of
its seam: without it the eye is not closed but covered."""


class EyeEvidence(NamedTuple):
    """What tells an open eye from a closed one; all are larger for open eyes.

    Attributes
    ----------
    iris : float
        Logarithm of how much brighter the flanks of a disc of an iris' size are than the disc, at
        the place along the eye where that is most.
    white : float
        Logarithm of how much less red, against green, these flanks are than the lids.
    opening : float
        Mean distance of the detected lids, in eye widths.
    """

    iris: float
    white: float
    opening: float

    def closed(self) -> float:
        """Return the probability that the eye is closed."""
        score = OFFSET + float(np.dot(WEIGHTS, self))
        return float(1.0 / (1.0 + np.exp(-np.clip(score, -50.0, 50.0))))


class Eyelids(NamedTuple):
    """The lids of one eye.

    Attributes
    ----------
    pairs : LidPairs
    closed : float
        Probability; 0 where the image does not show the eye or something covers it.
    seam_px : (k, 2) float64 or None
        The line on which the lids of a closed eye meet, and a little of its continuation.
    """

    pairs: LidPairs
    closed: float
    seam_px: Array | None = None

    @property
    def is_closed(self) -> bool:
        """Whether the eye counts as closed."""
        return self.seam_px is not None

    def on_seam(self, points_px: Array) -> Array:
        """Return the points of a closed eye's seam that are nearest to (m, 2) points."""
        if self.seam_px is None:
            raise ValueError("an open eye has no seam")
        distance = np.linalg.norm(points_px[:, None] - self.seam_px, axis=2)
        return np.asarray(self.seam_px[distance.argmin(axis=1)])


def look_at_eyelids(capture: Capture, landmarks: Landmarks) -> tuple[Eyelids, ...]:
    """Decide for the right and the left eye whether it is closed, and if so, where lids meet.

    Returns
    -------
    tuple of Eyelids
        Right, left; nothing for a scheme of landmarks whose lids are not known, and where the face
        has no colours: bare geometry shows no iris, open or closed.
    """
    if landmarks.scheme not in (MEDIAPIPE, IBUG) or not has_colour(_face(capture, landmarks)):
        return ()
    return tuple(_look(capture, landmarks, pairs) for pairs in lid_pairs(landmarks.scheme))


def with_lids_closed(landmarks: Landmarks, eyes: tuple[Eyelids, ...]) -> Landmarks:
    """Return the landmarks with the lid points of closed eyes, in pairs, on their seams."""
    points, confidence = landmarks.points_px.astype(np.float64), landmarks.confidence.copy()
    for eye in eyes:
        if eye.seam_px is not None:
            upper, lower, corners = eye.pairs.upper, eye.pairs.lower, list(eye.pairs.corners)
            points[upper] = points[lower] = eye.on_seam(0.5 * (points[upper] + points[lower]))
            points[corners] = eye.on_seam(points[corners])
            # The detector was not sure of a lid edge that is not there; the image shows the seam.
            both = np.concatenate([upper, lower])
            confidence[both] = np.where(confidence[both] > 0, 1.0, 0.0)
    return dataclasses.replace(landmarks, points_px=points, confidence=confidence)


def eye_evidence(strip: EyeStrip) -> EyeEvidence:
    """Compare what is between the detected lids with what an eye shows."""
    x, y = np.meshgrid(strip.x, strip.y)
    height = y - 0.5 * (strip.upper + strip.lower)
    half = np.maximum(0.5 * (strip.lower - strip.upper), LEAST_HALF_HEIGHT)
    brightness = np.log(strip.colour.mean(axis=2) + 0.01)
    redness = np.log(strip.colour[..., 0] + 0.01) - np.log(strip.colour[..., 1] + 0.01)
    near, far = FLANK
    inside = (np.abs(height) < 0.8 * half) & (np.abs(x) < far)
    beyond = np.abs(height) - half
    skin = (beyond > 0.08) & (beyond < 0.2) & (np.abs(x) < far)
    best, flanks = -np.inf, inside
    for centre in np.linspace(-0.2, 0.2, 17):
        disc = inside & ((x - centre) ** 2 + height**2 < IRIS_RADIUS**2)
        beside = inside & (np.abs(x - centre) > near)
        sides = [side for side in (beside & (x < centre), beside & (x > centre)) if side.sum() > 20]
        if not (disc.any() and sides):
            continue
        contrast = float(np.mean([brightness[side].mean() for side in sides]))
        contrast -= float(brightness[disc].mean())
        if contrast > best:
            best, flanks = contrast, beside
    white = float(np.median(redness[skin]) - np.median(redness[flanks]))
    middle = np.abs(strip.x) < 0.3
    opening = float((strip.lower - strip.upper)[middle].mean())
    return EyeEvidence(best, white, opening)


def _face(capture: Capture, landmarks: Landmarks) -> Array:
    """Cut the face out of the image, by its landmarks."""
    points = landmarks.points_px[landmarks.confidence > 0]
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return capture.rgb[:0]
    low = np.maximum(np.floor(points.min(axis=0)).astype(int), 0)
    high = np.maximum(np.ceil(points.max(axis=0)).astype(int), 0)
    return capture.rgb[low[1] : high[1] + 1, low[0] : high[0] + 1]


def _look(capture: Capture, landmarks: Landmarks, pairs: LidPairs) -> Eyelids:
    strip = eye_strip(capture.rgb, capture.depth_mm, landmarks, pairs)
    if strip is None:
        return Eyelids(pairs, 0.0)
    evidence = eye_evidence(strip)
    closed = evidence.closed()
    if closed < 0.5:
        return Eyelids(pairs, closed)
    seam = find_seam(strip)
    if evidence.opening > NARROW and seam.shadow < MIN_SHADOW:
        return Eyelids(pairs, 0.0)
    return Eyelids(pairs, closed, strip.px(strip.x, seam.y))
