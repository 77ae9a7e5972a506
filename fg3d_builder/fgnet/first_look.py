"""A first look at the pictures: displacements by least squares, before any network is trained.

What a fit lacks is, to first order, a linear function of its coefficients and of the oriented
gradients of the pictures that the network is given (`fgnet.descriptors`); beyond that, it is like
what the fits of samples lack that look alike. Both are found together, in closed form and in two
minutes from a few thousand samples, by least squares with a kernel: the inner product, and a
Gaussian of the distance in the leading principal components. Gradient descent takes a network
hours to come as far. Networks add to its answer.

It fits its own training samples better than new ones, and a network that learns to add to such
answers would learn the wrong thing. So the training subjects are divided into `FOLDS` parts, and
there is a regression without each: in training a sample gets the answer of the one that has not
seen its subject, afterwards a new face gets their mean.

An answer that is right for faces like those it was learnt from is too large for others: of what is
regressed a part is true of the training's population alone. Where the training samples come from
several populations, each is left out in turn, and of an answer that part is kept which is true of
the faces of all of them. Of one population nothing tells how much is true of others: all is kept.

Far from what it was learnt on an answer shrinks with the square of the distance, to the fit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np
import torch
from scipy.linalg import cho_factor, cho_solve, eigh, solve_triangular
from scipy.optimize import lsq_linear
from torch import Tensor

from fg3d_builder.fgnet.descriptors import described
from fg3d_builder.fgnet.displacement_modes import (
    DisplacementModes,
    Displacements,
    basis_of,
    inverse_of,
    leading,
    near_of,
)
from fg3d_builder.fgnet.networks.architectures import NetworkInput
from fg3d_builder.fgnet.networks.warping import warp_to_uv
from fg3d_builder.records import Array
from fg3d_builder.shards.sampling import scattered

log = logging.getLogger(__name__)

FOLDS = 3
STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Strengths of the ridge that are tried, relative to the mean squared length of an input."""
MOST_SAMPLES = 6000
"""Samples that it is learnt from; a matrix of so many squared is solved."""
BASIS_SAMPLES, BASIS_SIZE = 1000, 150
COMPONENTS = 200
"""Principal components of the inputs that say how alike two samples are."""
WIDTH = 1.0
"""Standard deviation of the Gaussian over the median distance of samples."""
LEAST_SPREAD = 0.3
"""An input of the pictures that varies less, against all of them, is taken to vary so much: what
hardly varied in training would else count the most where a new picture differs in it."""
KEPT = 0.998
"""Share of the variance of the predicted displacements that the stored modes hold."""
PICTURES_SHARE = 0.5
"""Of a sample's squared length that is the descriptors'; the rest is the fit's features."""


class Looked(NamedTuple):
    """What a first look is learnt from, besides displacements.

    Attributes
    ----------
    numbers : sequence of int
        Of the samples.
    inputs : (s, k) float32
        Their fits' features and their pictures' descriptors.
    """

    numbers: Sequence[int]
    inputs: Array


class FirstLook(DisplacementModes):
    """Regressions of displacements on features of fits and descriptors of pictures.

    Parameters
    ----------
    centre, factor : (k,) float
        Inputs less `centre` times `factor` are regressed on.
    pictured : int
        The last so many inputs are descriptors.
    near, constant_mm, modes_mm
        See `DisplacementModes`.
    weights : (f, k, r) float
        The linear part for each fold, which was learnt without it.
    axes : (k, m) float
        Inputs, scaled, times `axes` are their principal components.
    samples : (s, m) float
        Those of the training samples.
    width : float
        Standard deviation of the Gaussian.
    sample_weights : (f, s, r) float
        What the Gaussians of the samples' distances are multiplied by, for each fold.
    """

    centre: Tensor
    factor: Tensor
    pictured: Tensor
    weights: Tensor
    axes: Tensor
    samples: Tensor
    width: Tensor
    sample_weights: Tensor

    def __init__(
        self,
        centre: Array | Tensor,
        factor: Array | Tensor,
        pictured: int | Tensor,
        near: float | Tensor,
        constant_mm: Array | Tensor,
        weights: Array | Tensor,
        modes_mm: Array | Tensor,
        axes: Array | Tensor,
        samples: Array | Tensor,
        width: float | Tensor,
        sample_weights: Array | Tensor,
    ) -> None:
        super().__init__(
            near,
            constant_mm,
            modes_mm,
            centre=centre,
            factor=factor,
            weights=weights,
            axes=axes,
            samples=samples,
            width=torch.as_tensor(width),
            sample_weights=sample_weights,
        )
        self.register_buffer("pictured", torch.as_tensor(pictured))

    def forward(self, inputs: Tensor, fold: Tensor | None = None) -> Tensor:
        """Displacements (B, n, 3) mm for inputs (B, k), see `inputs_of`.

        With `fold` (B,) int64 each answer is that of the regression learnt without that fold.
        """
        scaled = self._scaled(inputs)
        by_fold = torch.einsum("bk,fkr->fbr", scaled, self.weights)
        alike = gaussians(torch.cdist(scaled @ self.axes, self.samples), self.width)
        by_fold = by_fold + torch.einsum("bs,fsr->fbr", alike, self.sample_weights)
        if fold is None:
            scores = by_fold.mean(dim=0)
        else:
            scores = by_fold[fold, torch.arange(len(fold), device=fold.device)]
        return self.answered(scores, _distance(scaled, int(self.pictured)))

    def trust(self, inputs: Tensor) -> Tensor:
        """Factor (B,) in (0, 1] of the answer: 1 near the training samples, falling beyond."""
        return self.shrinkage(_distance(self._scaled(inputs), int(self.pictured)))

    def _scaled(self, inputs: Tensor) -> Tensor:
        return (inputs - self.centre) * self.factor


def gaussians(distances: Tensor, width: Tensor | float) -> Tensor:
    """Gaussians of distances: 1 at a distance of 0, of a standard deviation ``width``."""
    return torch.exp(-0.5 * (distances / width).square())


def inputs_of(given: NetworkInput, features: Tensor) -> Tensor:
    """What a first look sees of B faces: features (B, k) of fits, and descriptors of pictures.

    Pictures are what the network is given: its views, the photo warped to the UV plane, or the
    photo.
    """
    return torch.cat([features, described(pictures_of(given))], dim=1)


def pictures_of(given: NetworkInput) -> Tensor:
    """Return the pictures (B, V, 3, S, S) that a network is given.

    Raises
    ------
    ValueError
        It is given none.
    """
    if given.views is not None:
        return given.views
    if given.image is None:
        raise ValueError("a first look needs pictures, and this network is given none")
    if given.uv_from_image is not None and given.image_visible is not None:
        return warp_to_uv(given.image, given.uv_from_image, given.image_visible)[:, None]
    return given.image[:, None]


def folds_of(subjects: Sequence[str] | Array) -> Array:
    """Return the fold (s,) int64 of each sample, by its subject's place among all."""
    _, place = np.unique(np.asarray(subjects), return_inverse=True)
    return np.asarray(place % FOLDS, dtype=np.int64)


def populations_of(subjects: Sequence[str] | Array, patterns: Sequence[str]) -> Array:
    """Return the population (s,) int64 of each sample, by the patterns of its subject's name.

    Parameters
    ----------
    subjects : (s,) str
    patterns : sequence of str
        As of `fnmatch`, one for each population. The first that a name fits is its own.

    Raises
    ------
    ValueError
        A name fits no pattern, or a pattern no name.
    """
    names, place = np.unique(np.asarray(subjects), return_inverse=True)
    number = np.full(len(names), -1, dtype=np.int64)
    for n, pattern in reversed(list(enumerate(patterns))):
        number[[fnmatchcase(name, pattern) for name in names]] = n
    if len(names) and number.min() < 0:
        raise ValueError(f"subject {names[number.argmin()]} is of none of populations {patterns}")
    for n, pattern in enumerate(patterns):
        if n not in number:
            raise ValueError(f"no training subject is of population '{pattern}'")
    return np.asarray(number[place])


def learn_first_look(
    looked: Callable[[Sequence[int]], Iterable[Looked]],
    displacements: Callable[[Sequence[int]], Displacements],
    folds: Array,
    feature_count: int,
    populations: Array | None = None,
) -> FirstLook:
    """Learn from training samples.

    The strength of the ridge is the one of `STRENGTHS` with the least squared error on the
    populations that were left out, once its answers are reduced to what is true there, or on the
    folds that were. Of a single subject the answer is the constant.

    Parameters
    ----------
    looked : callable
        Yields the inputs of samples, given their numbers, in batches.
    displacements : callable
        Returns what the fits of samples lack.
    folds : (s,) int64
        Of all training samples, see `folds_of`.
    feature_count : int
        The first so many inputs are features of the fit.
    populations : (s,) int64, optional
        Of all training samples; one population says no more than none.
    """
    count = len(folds)
    basis = basis_of(displacements, count, BASIS_SAMPLES, BASIS_SIZE)
    wanted = scattered(count, MOST_SAMPLES)
    inputs, scores = np.empty((0, 0), np.float32), []
    numbers: list[int] = []
    for batch in looked(wanted):
        if not len(inputs):
            inputs = np.empty((len(wanted), batch.inputs.shape[1]), np.float32)
        inputs[len(numbers) : len(numbers) + len(batch.inputs)] = batch.inputs
        scores.append(basis.scores(displacements(batch.numbers).offset_mm))
        numbers += list(batch.numbers)
    log.info("least squares over %d samples and %d inputs", *inputs.shape)
    scaled, centre, factor = _scaled(inputs, feature_count)
    target, fold = np.concatenate(scores), folds[numbers]
    mean = target.mean(axis=0)
    inner = (scaled @ scaled.T).astype(np.float64)
    components = _components(inner)
    axes = scaled.T @ (components / np.square(components).sum(axis=0)).astype(np.float32)
    alike, width = _alike(components)
    kernel = inner + alike
    some = None if populations is None else populations[numbers]
    chosen = choose(kernel, basis.whole(target), fold, some)
    if some is not None:
        text = "true of left-out populations: %.2f of the constant, %.2f of the rest"
        log.info(text, *chosen[1:])
    dual = chosen.answer * _cross_fitted(
        kernel, target - mean, fold, int(folds.max()) + 1, chosen.strength
    )
    turn = leading(np.concatenate([kernel @ of_fold for of_fold in dual]), KEPT)
    dual = (dual @ turn.T).astype(np.float32)
    pictured = scaled.shape[1] - feature_count
    return FirstLook(
        centre,
        factor,
        pictured,
        near_of(_distance(torch.from_numpy(scaled), pictured).numpy()),
        chosen.constant * basis.at(mean),
        np.stack([scaled.T @ of_fold for of_fold in dual]),
        basis.modes_mm(turn),
        axes,
        components,
        width,
        dual,
    )


def _scaled(inputs: Array, feature_count: int) -> tuple[Array, Array, Array]:
    """Inputs of zero mean, both parts of them with the mean squared length that they shall have.

    In place: there are gigabytes of them.
    """
    centre, spread = inputs.mean(axis=0), inputs.std(axis=0)
    pictured = spread[feature_count:]
    least = LEAST_SPREAD * np.sqrt(np.square(pictured).mean())
    factor = inverse_of(np.concatenate([spread[:feature_count], np.maximum(pictured, least)]))
    for part, share in (
        (slice(feature_count), 1.0 - PICTURES_SHARE),
        (slice(feature_count, None), PICTURES_SHARE),
    ):
        length = float(np.square(spread[part] * factor[part]).sum())
        factor[part] *= np.sqrt(share / max(length, 1e-12))
    inputs -= centre
    inputs *= factor
    return inputs, centre, factor


def _components(inner: Array) -> Array:
    """Leading principal components (s, m) of samples whose inner products (s, s) are known."""
    count = len(inner)
    some = min(COMPONENTS, count)
    variance, vectors = eigh(inner, subset_by_index=[count - some, count - 1])
    kept = variance > 1e-9 * max(float(np.trace(inner)), 1e-12)
    return np.asarray(vectors[:, kept] * np.sqrt(variance[kept]))


def _alike(components: Array) -> tuple[Array, float]:
    """How alike (s, s) samples are, and the width of the Gaussian that says so."""
    points = torch.from_numpy(components)
    apart = torch.cdist(points, points)
    # Of a few samples all may be one.
    width = max(WIDTH * float(apart[:: max(1, len(points) // 1000)].median()), 1e-6)
    return gaussians(apart, width).numpy(), width


class Chosen(NamedTuple):
    """What left-out faces say of a regression.

    Attributes
    ----------
    strength : float
        Of its ridge.
    constant, answer : float
        Which parts of its constant and of the rest of its answers are kept, 0 to 1.
    """

    strength: float
    constant: float
    answer: float


def choose(kernel: Array, whole: Array, fold: Array, populations: Array | None) -> Chosen:
    """Choose by the squared error on populations that were left out, or on folds.

    Each population says by itself what is true of it, and the least counts: a new face may be
    unlike all of them. Folds are of one population, and all is kept.

    Parameters
    ----------
    kernel : (s, s) float64
    whole : (s, r) float64
        Displacements as coordinates in an orthonormal frame, with nothing subtracted.
    fold, populations : (s,) int64
    """
    group = fold if populations is None or len(np.unique(populations)) == 1 else populations
    parts = [(np.flatnonzero(group != g), np.flatnonzero(group == g)) for g in np.unique(group)]
    if len(parts) == 1:  # there is nobody to tell how much of it is true of others
        return Chosen(STRENGTHS[-1], 1.0, 0.0)
    found = []
    for strength in STRENGTHS:
        told = [_told(kernel, whole, kept, out, strength) for kept, out in parts]
        part = (
            np.min([_parts_true(*one) for one in told], axis=0)
            if group is populations
            else np.ones(2)
        )
        normal = np.sum([one.normal for one in told], axis=0)
        right = np.sum([one.right for one in told], axis=0)
        error = part @ normal @ part - 2.0 * part @ right
        found.append((float(error), Chosen(strength, *part.tolist())))
    return min(found, key=lambda one: one[0])[1]


class _Told(NamedTuple):
    """Inner products, over left-out samples, of the constant and of the rest of their answers with
    each other (2, 2), and with what is true (2,)."""

    normal: Array
    right: Array


def _told(kernel: Array, whole: Array, kept: Array, out: Array, strength: float) -> _Told:
    constant = whole[kept].mean(axis=0)
    dual = _dual(kernel, whole - constant, kept, strength)
    answers = np.stack(
        [np.broadcast_to(constant, (len(out), len(constant))), kernel[np.ix_(out, kept)] @ dual]
    )
    return _Told(
        np.einsum("isr,jsr->ij", answers, answers), np.einsum("isr,sr->i", answers, whole[out])
    )


def _parts_true(normal: Array, right: Array) -> Array:
    """Parts (2,) in [0, 1] of constant and rest whose sum is nearest to what is true."""
    factor = np.linalg.cholesky(normal + 1e-9 * max(np.trace(normal), 1e-12) * np.eye(2))
    part = lsq_linear(factor.T, solve_triangular(factor, right, lower=True), bounds=(0.0, 1.0)).x
    return np.asarray(part)


def _cross_fitted(kernel: Array, target: Array, fold: Array, count: int, strength: float) -> Array:
    """Coefficients (count, s, r) of the samples in the regressions without each fold, of which
    some may be empty; 0 for samples of the fold."""
    dual = np.zeros((count, *target.shape))
    if count == 1:
        return dual
    for f in range(count):
        kept = np.flatnonzero(fold != f)
        dual[f, kept] = _dual(kernel, target, kept, strength)
    return dual


def _dual(kernel: Array, target: Array, kept: Array, strength: float) -> Array:
    """Coefficients (s', r) of samples whose kernel (s, s) is known; it is 2 for a sample alone."""
    matrix = kernel[np.ix_(kept, kept)]
    matrix.flat[:: len(kept) + 1] += strength
    return np.asarray(cho_solve(cho_factor(matrix, lower=True, overwrite_a=True), target[kept]))


def _distance(scaled: Tensor, pictured: int) -> Tensor:
    """How far (B,) scaled inputs are out: by their features or by their pictures, the farther."""
    parts = (scaled[:, :-pictured], scaled[:, -pictured:])
    shares = (1.0 - PICTURES_SHARE, PICTURES_SHARE)
    lengths = [p.norm(dim=1) / s**0.5 for p, s in zip(parts, shares, strict=True)]
    return torch.maximum(*lengths)
