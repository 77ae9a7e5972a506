"""At which resolution a depth image was measured, if it was enlarged since.

Phones measure depth with a fraction of their photos' pixels and hand it out enlarged. Enlarged
depth has more pixels than information: its noise looks smooth, and steps between repeated
samples look like relief. Both kinds of enlargement leave a trace that repeats with the factor:

* *Repeated* samples (nearest neighbour): depth changes between blocks of columns, and never
  within one. Coarse steps of a sensor alone look different: on a curved face they change in
  every column somewhere.
* *Interpolated* samples: between two samples depth is smooth, and at the samples it bends. So
  differences are largest there (Gallagher 2005), and a line in the spectrum of their mean by
  column tells the factor. It is believed if the samples, interpolated again, are the image. Below
  a factor of two such depth is left as it is: sampling it again would lose more than it gains.

A factor counts when both axes show one. A wall that is tilted about one axis has evenly spaced
steps of rounding along the other alone.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import cv2
import numpy as np

from fg3d_builder.records import Array

MIN_REPEATED = 1.2
"""Smaller factors are not worth another grid: nine of ten pixels are samples of their own."""

MIN_SAMPLES = 12
"""An axis with fewer samples shows no regularity."""

_LINES = 256
"""So many rows tell enough about the columns."""

_WITHIN = 0.05
"""Columns in which depth changes so much less often than at the liveliest are within a block."""

_LINE = 12.0
"""Height of a spectral line over the median of the spectrum: twice what was found on depth as
measured, and half of what the weakest enlargement (cubic, of a smooth sensor's depth) leaves."""

_GLANCE_PX, _MIDDLE_PX = 256, 512
_MIN_REBUILT = 20
"""Samples along each axis of that; of fewer, outlines are the most of it."""


_AUDIBLE, _ROUNDED, _CURVED = 0.3, 0.6, 0.3
"""Limits of `_rebuilding_error`: noise of the samples in steps of rounding; median difference,
half of a step for two roundings, and a share of the noise for curves between samples."""

_OWN = 3.0
"""Noise of pixels two apart over that of neighbours: below two where depth was measured, also by
sensors that smooth, and above six where it was interpolated by two. Rounding is one as well."""

_PRECISION = 2e-6
"""Relative differences that single precision leaves, several times over."""

_SHORT = 4.0
"""Over larger factors, a curve between two samples is straight within a pixel of them."""

_MAX_PERIOD_PX = 24.0
_PADDING = 8


class AxisSampling(NamedTuple):
    """Samples along one axis of an image: sample j is at pixel ``first + j * factor``.

    Attributes
    ----------
    kind : str
        ``"repeated"``, ``"interpolated"`` or ``"scattered"``.
    factor : float
        Pixels per sample.
    first : float
        Pixel of a sample, in [0, factor).
    """

    kind: str
    factor: float
    first: float

    def pixels(self, length: int) -> Array:
        """Return the (s,) pixels of all samples on an axis of this length."""
        count = int((length - 1 - self.first) // self.factor) + 1
        return self.first + self.factor * np.arange(count)


def enlargement(depth_mm: Array) -> tuple[AxisSampling, AxisSampling] | None:
    """Recognise depth that was enlarged, by its own values.

    Parameters
    ----------
    depth_mm : (H, W) float
        NaN where there is none. Neither bridged nor smoothed; a part of an image serves as
        well as the whole.

    Returns
    -------
    along_x, along_y : AxisSampling
        None where the depth is as it was measured.
    """
    depth = np.asarray(depth_mm, dtype=np.float32)
    if min(depth.shape) < 2 * MIN_SAMPLES:
        return None
    height, width = depth.shape
    by_column = depth[:: 1 + height // _LINES]
    by_row = np.ascontiguousarray(depth[:, :: 1 + width // _LINES].T)
    along_x, along_y = _repeated(by_column), _repeated(by_row)
    if along_x is not None and along_y is not None:
        return along_x, along_y
    if _is_measured(depth):
        return None
    across = _interpolated(by_column)
    pairs = list(itertools.product(across, _interpolated(by_row))) if across else []
    off = [_rebuilding_error(depth, *pair) for pair in pairs]
    # Lines at 1/5 and 2/5 are those of factors 5 and 5/2 alike: the largest that holds is taken.
    good = [pair for pair, error in zip(pairs, off, strict=True) if error <= 1.2 * min(off)]
    good = [] if min(off, default=np.inf) == np.inf else good
    return max(good, key=lambda pair: pair[0].factor * pair[1].factor, default=None)


def samples_of(depth_mm: Array, along_x: AxisSampling, along_y: AxisSampling) -> Array:
    """Return the samples (h, w) that an image (H, W) was enlarged from."""
    return _samples(_samples(depth_mm.T, along_y).T, along_x)


def scattering(depth_mm: Array) -> tuple[AxisSampling, AxisSampling] | None:
    """Recognise depth that forward projection scattered over a finer grid: more gaps than depth.

    Returns
    -------
    along_x, along_y : AxisSampling
        Square blocks that hold about one measurement each, at the mean place that these have in
        them; None where most pixels of the surface are known.
    """
    known = np.isfinite(depth_mm).astype(np.uint8)
    surface = cv2.morphologyEx(known, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    share = int(np.count_nonzero(known)) / max(int(np.count_nonzero(surface)), 1)
    side = int(1 / np.sqrt(share) + 0.25) if share > 0 else 1
    if side < 2:
        return None
    along_x, along_y = (
        AxisSampling(
            "scattered", float(side), float(np.average(np.arange(len(n)) % side, weights=n))
        )
        for n in (known.sum(axis=0), known.sum(axis=1))
    )
    return along_x, along_y


def block_means(depth_mm: Array, side: int, max_step_mm: float, least_known: float = 0.5) -> Array:
    """Average inverse depth over square blocks of pixels that show one surface.

    Parameters
    ----------
    depth_mm : (H, W) float
        NaN where there is none.
    side : int
        Pixels; what is left over on the right and below is cut off.
    max_step_mm : float
        Blocks with a larger range of depths have a step in them, and get no depth.
    least_known : float
        Nor do blocks of which a smaller share is known.
    """
    height, width = (n // side for n in depth_mm.shape)
    cut = depth_mm[: height * side, : width * side].reshape(height, side, width, side)
    known = np.isfinite(cut)
    count = known.sum(axis=(1, 3))
    inverse = np.where(known, 1.0 / np.where(known, cut, 1.0), 0.0).sum(axis=(1, 3))
    low = np.where(known, cut, np.inf).min(axis=(1, 3))
    high = np.where(known, cut, -np.inf).max(axis=(1, 3))
    enough = count >= max(1.0, least_known * side**2)
    with np.errstate(invalid="ignore"):
        good = enough & (high - low <= max_step_mm)
    return np.where(good, count / np.where(good, inverse, 1.0), np.nan)


def _samples(depth: Array, axis: AxisSampling) -> Array:
    """Take the samples along x."""
    width = depth.shape[1]
    px = axis.pixels(width)
    if axis.kind == "repeated":
        return np.ascontiguousarray(depth[:, np.rint(px).astype(int)])
    left = np.clip(np.floor(px).astype(int), 0, width - 2)
    beyond = (px - left).astype(depth.dtype)
    here, there = depth[:, left], depth[:, left + 1]
    between = here + beyond * (there - here)
    # Both sides of a sample are lines that meet in it, of two pixels or more each.
    from_left = here + beyond * (here - depth[:, np.maximum(left - 1, 0)])
    from_right = there - (1 - beyond) * (depth[:, np.minimum(left + 2, width - 1)] - there)
    corner = 0.5 * (from_left + from_right)
    off, gain = _median(np.abs(from_left - from_right)), _median(np.abs(corner - between))
    if axis.factor < _SHORT and off > gain:
        # Curves, as cubic interpolation draws them, do not.
        return between
    one = np.where(np.isfinite(from_left), from_left, from_right)
    return np.asarray(np.where(np.isfinite(corner), corner, one))


def _median(values: Array) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else 0.0


def _repeated(depth: Array) -> AxisSampling | None:
    """Blocks of columns with one value, of a length that repeats."""
    with np.errstate(invalid="ignore"):
        step = np.diff(depth, axis=1)
    known = np.isfinite(step)
    pairs = known.sum(axis=0)
    rate = np.count_nonzero(known & (step != 0), axis=0) / np.maximum(pairs, 1)
    rate[pairs < MIN_SAMPLES] = 0.0
    lively = np.sort(rate)[-MIN_SAMPLES:]
    edge = np.flatnonzero(rate > _WITHIN * lively[0]) + 0.5
    if lively[0] == 0 or len(edge) < MIN_SAMPLES:
        return None
    gap = np.diff(edge)
    one = max(2.0, 1.5 * float(np.median(gap)))
    factor = float(gap[gap <= one].mean())
    # Where nothing changes, as before a wall, several blocks look like one.
    number = np.concatenate([[0], np.cumsum(np.where(gap <= one, 1, np.rint(gap / factor)))])
    factor, first = (float(value) for value in np.polyfit(number, edge, 1))
    # Blocks of 7 and 8 pixels in turn are within half a pixel of 7.5.
    off = np.abs(first + factor * number - edge)
    if factor < MIN_REPEATED or np.quantile(off, 0.9) > 0.6:
        return None
    # Where columns are missing, as after forward projection, nothing is known to be repeated.
    span = slice(int(edge[0]), int(edge[-1]))
    if np.mean(pairs[span] >= MIN_SAMPLES) < 0.5 * (1 + 1 / factor):
        return None
    return AxisSampling("repeated", factor, (first + factor / 2) % factor)


class _Wave(NamedTuple):
    """How the differences of some order vary along x.

    values : (k,) mean absolute difference by place over its running mean, less one.
    first : column at which the first value is centred.
    """

    values: Array
    first: float


def _is_measured(depth: Array) -> bool:
    """Whether neighbouring pixels plainly have noise of their own, about as those two apart.

    A quick answer for most captures, by the kernel of `depth_noise` in the middle of the image.
    """
    rows, columns = (_middle(n, _GLANCE_PX) for n in depth.shape)
    step = _rounding_step(depth)
    near, apart = (_median(np.abs(_mixed(depth[rows, columns], spacing))) for spacing in (1, 2))
    return apart > 6.0 * max(step, 1e-9) and apart < _OWN * near


def _middle(length: int, most: int) -> slice:
    start = max(0, (length - most) // 2)
    return slice(start, start + most)


def _mixed(depth: Array, spacing: int) -> Array:
    """Second differences along y of those along x."""
    return _differences(_differences(depth, 2, spacing, False).T, 2, spacing, False).T


def _rebuilding_error(depth: Array, along_x: AxisSampling, along_y: AxisSampling) -> float:
    """Median distance of the samples, interpolated again, from the image; infinite if too far.

    In the middle of the image. More than its rounding, and what curves differ from lines, is too
    far. Where the samples' own noise is below the rounding, nothing can be told, nor does it
    matter.
    """
    step = _rounding_step(depth)
    rows, columns = (_middle(n, _MIDDLE_PX) for n in depth.shape)
    middle = depth[rows, columns]
    axes = [
        axis._replace(first=(axis.first - part.start) % axis.factor)
        for axis, part in ((along_x, columns), (along_y, rows))
    ]
    samples = samples_of(middle, *axes)
    if min(samples.shape) < _MIN_REBUILT:
        return np.inf
    noise = _median(np.abs(_mixed(samples, 1))) / (0.6745 * 6.0)
    x, y = (
        (np.arange(n) - axis.first) / axis.factor
        for n, axis in zip(middle.shape[::-1], axes, strict=True)
    )
    rebuilt = _interpolate(_interpolate(samples, x).T, y).T
    # Where depth is the same all around, any samples give it.
    with np.errstate(invalid="ignore"):
        varied = np.zeros(middle.shape, dtype=bool)
        varied[:, 1:-1] = _differences(middle, 2, 1) > 0
        off = _median(np.abs(rebuilt - middle)[varied])
    holds = noise > _AUDIBLE * step and off < _ROUNDED * step + _CURVED * noise
    return off if holds else np.inf


def _interpolate(samples: Array, places: Array) -> Array:
    """Interpolate samples (h, w) linearly at (k,) places along x; NaN beyond them."""
    left = np.clip(np.floor(places).astype(int), 0, samples.shape[1] - 2)
    beyond = (places - left).astype(samples.dtype)
    beyond[(places < 0) | (places > samples.shape[1] - 1)] = np.nan
    return samples[:, left] + beyond * (samples[:, left + 1] - samples[:, left])


def _interpolated(depth: Array) -> list[AxisSampling]:
    """Distances at which columns with large differences repeat."""
    found: list[AxisSampling] = []
    least = _PRECISION * float(np.nanmedian(depth)) if np.isfinite(depth).any() else np.inf
    # The wider apart, the more a bend stands out from the rounding.
    for spacing in (1, 2, 4):
        wave = _wave(depth, least, 2, spacing)
        for frequency in [] if wave is None else _fundamentals(wave.values):
            known = any(abs(axis.factor * frequency - 1) < 0.01 for axis in found)
            if wave is not None and frequency < 0.5 / spacing and not known:
                found.append(_at_peaks(wave, frequency, 0.0))
    # At a factor of two every pixel is as far from a sample, and bends alike. The third
    # difference is zero at each sample and large between two.
    wave = _wave(depth, least, 3)
    if wave is not None and 0.5 in _fundamentals(wave.values, nyquist=True):
        found.append(_at_peaks(wave, 0.5, 1.0))
    return found


def _at_peaks(wave: _Wave, frequency: float, shift: float) -> AxisSampling:
    """Samples where the wave is highest, or `shift` pixels beside."""
    places = np.arange(len(wave.values))
    phase = np.angle(np.exp(-2j * np.pi * frequency * places) @ wave.values)
    peak = wave.first + shift - phase / (2 * np.pi * frequency)
    return AxisSampling("interpolated", 1 / frequency, float(peak % (1 / frequency)))


def _wave(depth: Array, least: float, order: int, spacing: int = 1) -> _Wave | None:
    """The wave of some differences; None where they are typically less than the `least`."""
    bend = _differences(depth, order, spacing)
    known = np.isfinite(bend)
    typical = _typical(bend[known]) if known.any() else 0.0
    # What the numbers cannot hold is no measurement: exact planes have such differences.
    if typical < least:
        return None
    # Steps from surface to surface tell nothing.
    used = known & (bend <= 8.0 * typical)
    count = used.sum(axis=0)
    columns = np.flatnonzero(count >= MIN_SAMPLES)
    if len(columns) < 2 * MIN_SAMPLES:
        return None
    inside = slice(columns[0], columns[-1] + 1)
    mean = np.where(used, bend, 0.0).sum(axis=0, dtype=np.float64) / np.maximum(count, 1)
    sure = (count >= MIN_SAMPLES)[inside]
    ones = np.ones(int(2 * _MAX_PERIOD_PX) + 1)
    near = np.convolve(sure.astype(np.float64), ones, mode="same")
    trend = np.convolve(mean[inside] * sure, ones, mode="same") / np.maximum(near, 1.0)
    values = np.where(sure & (trend > 0), mean[inside] / np.maximum(trend, 1e-12) - 1.0, 0.0)
    return _Wave(values, columns[0] + order * spacing / 2)


def _differences(depth: Array, order: int, spacing: int, absolute: bool = True) -> Array:
    """Return differences (H, W - order * spacing) between pixels that far apart along x."""
    found = depth
    with np.errstate(invalid="ignore"):
        for _ in range(order):
            found = found[:, spacing:] - found[:, :-spacing]
    return np.abs(found) if absolute else found


def _rounding_step(depth: Array) -> float:
    """Distance of neighbouring values that occur, 0 where there are too many to tell."""
    some = depth[:: 1 + len(depth) // 32]
    values = np.unique(some[np.isfinite(some)])
    return float(np.quantile(np.diff(values), 0.2)) if len(values) > 2 else 0.0


def _typical(differences: Array) -> float:
    """Mean of differences (k,), the largest tenth cut down; of every fourth, which will do."""
    differences = differences[::4]
    return float(np.mean(np.minimum(differences, np.quantile(differences, 0.9))))


def _fundamentals(values: Array, nyquist: bool = False) -> list[float]:
    """Frequencies of which the signal in values (k,) may be made, per place; often one.

    Of the lines in the spectrum, those whose multiples have nearly all of the best one's energy.
    Multiples beyond 1/2 show up mirrored below it.
    """
    size = _PADDING * len(values)
    height = np.abs(np.fft.rfft(values * np.hanning(len(values)), n=size))
    frequency = np.arange(len(height)) / size
    inside = frequency > max(1 / _MAX_PERIOD_PX, MIN_SAMPLES / len(values))
    if not inside.any():
        return []
    floor = float(np.median(height[frequency > 1 / _MAX_PERIOD_PX]))
    peak = inside & (height > _LINE * floor) & (floor > 0)
    peak[1:-1] &= (height[1:-1] >= height[:-2]) & (height[1:-1] >= height[2:])
    peak[0] = False
    peak[-1] &= nyquist
    places = np.flatnonzero(peak)
    # Beside a line are those of the window; only the strongest are lines of their own.
    places = np.sort(places[np.argsort(height[places])[::-1][:20]])
    if len(places) == 0:
        return []
    exact = np.array([_refined(height, int(place)) for place in places])
    scores = np.array([_harmonic_sum(height, place, size) for place in exact])
    return [float(place) / size for place in exact[scores >= 0.85 * scores.max()]]


def _refined(height: Array, place: int) -> float:
    """Where the parabola through the logarithms about a peak is highest."""
    if place == len(height) - 1:
        return float(place)
    a, b, c = np.log(np.maximum(height[place - 1 : place + 2], 1e-300))
    return float(place + 0.5 * (a - c) / min(a - 2 * b + c, -1e-12))


def _harmonic_sum(height: Array, place: float, size: int) -> float:
    """Sum of squared heights at all multiples of a place, each counted once, less the mean's."""
    multiples = place * np.arange(1, int(np.ceil(size / place)) + 1) % size
    mirrored = np.unique(np.rint(np.minimum(multiples, size - multiples)).astype(int))
    # A line is several places wide: what is nearer than that is one, or the mean.
    mirrored = mirrored[np.diff(mirrored, prepend=0) > _PADDING]
    near = np.clip(mirrored[:, None] + np.arange(-2, 3), 0, len(height) - 1)
    return float((height[near].max(axis=1) ** 2).sum())
