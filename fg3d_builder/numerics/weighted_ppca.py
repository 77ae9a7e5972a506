"""Probabilistic PCA of vector fields of which parts are unknown, by expectation maximisation.

Tipping and Bishop, "Probabilistic Principal Component Analysis", 1999, with weights: place v of
sample i counts as ``w_iv`` measurements of ::

    x_iv = mu_v + W_v z_i + e,   z_i ~ N(0, I),   e ~ N(0, sigma^2 I)

so that what has no weight takes no part, with equal weights it is their closed form, and with
whole numbers it is the same as repeating rows. Nothing of the size (n x n) is made: per iteration
the work is two products of (s x n) with (n x k^2 / 2) matrices.

A prior takes part as pseudo-samples: a mean, and deviations from the mean that is sought, which
count as often as is wanted. This is a normal-inverse-Wishart prior. Places that no sample knows
follow it, given what the samples say elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fg3d_builder.records import Array

_BLOCK = 512
"""Places that are worked on at a time."""

_LEAST_NOISE = 1e-12
"""Of the total variance: exact data have none, which would leave nothing to divide by."""


@dataclass(frozen=True)
class Prior:
    """What is known before the samples.

    Attributes
    ----------
    mean : (n, d) float
    mean_count : float
        Samples that the mean counts as; positive.
    deviations : (p, n, d) float
        Their mean square is the prior's covariance.
    count : float
        Samples that all deviations together count as; positive.
    weights : (n,) float
        Measurements that every place of a pseudo-sample counts as.
    still_count : float
        Samples that the loadings' own prior counts as: that a component moves nothing. Where a
        place is known by fewer samples than there are components, they would else be free.
    """

    mean: Array
    mean_count: float
    deviations: Array
    count: float
    weights: Array
    still_count: float = 0.0


class Components(NamedTuple):
    """Result of `weighted_ppca`.

    Attributes
    ----------
    mean : (n, d) float64
    basis : (n, d, k) float64
        Columns of unit length, orthogonal in the metric that was asked for.
    sd : (k,) float64
        Standard deviation along each, ordered by what they contribute in that metric.
    noise_variance : float
        ``sigma^2``, per coordinate.
    log_likelihood : tuple of float
        By iteration, per measured coordinate, without constants, the loadings' own prior
        included; without that it never falls but by the precision of the data's type.
    converged : bool
    """

    mean: Array
    basis: Array
    sd: Array
    noise_variance: float
    log_likelihood: tuple[float, ...]
    converged: bool


def weighted_ppca(
    values: Array,
    weights: Array,
    modes: int,
    prior: Prior | None = None,
    *,
    metric: Array | None = None,
    tolerance: float = 1e-6,
    iterations: int = 60,
    progress: Callable[[int], None] | None = None,
) -> Components:
    """Fit mean and components to partly known samples.

    Parameters
    ----------
    values : (s, n, d) float32 or float64
        Where there is no weight they may be anything, NaN as well. Large products are made in
        their precision.
    weights : (s, n) float
        Measurements that each place counts as; not negative.
    modes : int
        Components ``k``.
    prior : Prior, optional
    metric : (n,) float, optional
        Weights of the places in which the components are principal ones, the most important
        first; by default the samples' mean weights.
    tolerance : float
        Converged when the log-likelihood of a measured coordinate rises by less in an iteration.
    iterations : int
        At most.
    progress : callable, optional
        Called after every iteration, with its number.

    Raises
    ------
    ValueError
        More components than samples and prior determine, or a place that neither knows.
    """
    data = _Data.of(values, weights, prior)
    known = len(data.values) - 1
    if not 1 <= modes <= min(known, values.shape[1] * values.shape[2]):
        raise ValueError(f"{modes} components cannot be had from {known} independent samples")
    state = _start(data, modes)
    history: list[float] = []
    converged = False
    while not converged and len(history) < iterations:
        posterior = _expected(data, state)
        history.append(posterior.log_likelihood)
        state = _maximised(data, state, posterior)
        converged = len(history) > 1 and history[-1] - history[-2] < tolerance
        if progress:
            progress(len(history))
    axes = data.metric if metric is None else metric
    return _principal(data, state, axes, tuple(history), converged)


@dataclass(frozen=True)
class _Data:
    """Samples and the prior's mean, less a first mean, then the prior's deviations.

    first_mean (n, d); values (s, n, d) with 0 where unknown; weights (s, n); count (s,) how often
    each row counts; about_mean (s,) 0 for deviations, 1 for all others; metric (n,) mean weights;
    still (n,) weights of the loadings' own prior.
    """

    first_mean: Array
    values: Array
    weights: Array
    count: Array
    about_mean: Array
    metric: Array
    still: Array

    @staticmethod
    def of(values: Array, weights: Array, prior: Prior | None) -> _Data:
        kind = values.dtype
        weights = np.asarray(weights, dtype=kind)
        if weights.shape != values.shape[:2] or not np.all(np.isfinite(weights)):
            raise ValueError("weights must be finite, one per sample and place")
        if np.any(weights < 0):
            raise ValueError("weights must not be negative")
        samples, n, d = values.shape
        deviations = np.zeros((0, n, d)) if prior is None else prior.deviations
        measured = samples + (prior is not None)
        # In one array from the start: there are as many values as memory holds a few times.
        rows = np.zeros((measured + len(deviations), n, d), kind)
        counted = np.zeros(rows.shape[:2], kind)
        count = np.ones(len(rows))
        counted[:samples] = weights
        np.copyto(rows[:samples], values, where=(weights > 0)[:, :, None])
        if prior is not None:
            rows[samples], counted[samples:] = prior.mean, prior.weights
            rows[measured:] = deviations
            count[samples] = prior.mean_count
            count[measured:] = prior.count / max(len(deviations), 1)
        known, own = counted[:measured], rows[:measured]
        total = count[:measured] @ known
        if np.any(total <= 0):
            raise ValueError("there are places that no sample knows, and no prior for them")
        first = np.empty((n, d))
        for block in _blocks(n):
            share = count[:measured, None] * known[:, block] / total[block]
            first[block] = np.einsum("sn,snd->nd", share, own[:, block])
            own[:, block] -= first[block].astype(kind)
            own[:, block][known[:, block] == 0] = 0
        about = np.append(np.ones(measured), np.zeros(len(deviations)))
        still = np.zeros(len(first)) if prior is None else prior.still_count * prior.weights
        return _Data(first, rows, counted, count, about, count @ counted / count.sum(), still)

    def blocks(self) -> Iterator[slice]:
        """Yield the places, some at a time."""
        return _blocks(self.values.shape[1])


def _blocks(places: int) -> Iterator[slice]:
    for first in range(0, places, _BLOCK):
        yield slice(first, first + _BLOCK)


class _State(NamedTuple):
    """mean (n, d), loadings W (n, d, k), noise variance."""

    mean: Array
    loadings: Array
    noise: float


class _Posterior(NamedTuple):
    """Of the latent variables: z (s, k), products E[z z^T] (s, k, k); and the likelihood."""

    z: Array
    products: Array
    log_likelihood: float


def _start(data: _Data, modes: int) -> _State:
    """Principal components with the mean where nothing is known."""
    mean = np.zeros(data.values.shape[1:])
    root = np.sqrt(data.count)
    value, vector = _leading(data, mean, root / np.sqrt(data.count.sum()), modes)
    measured = data.values.shape[2] * float(data.metric.sum())
    noise = max(value[modes:].sum() / measured, _LEAST_NOISE * value.sum() / measured)
    # Components hold what noise does not explain; the mean over samples of x z^T gives them.
    shrunk = np.sqrt(np.maximum(1.0 - noise / np.maximum(value[:modes], noise), 1e-6))
    mix = vector * root[:, None] / np.sqrt(data.count.sum()) * shrunk
    loadings = np.empty((*mean.shape, modes))
    for block in data.blocks():
        apart = _residual(data, mean, block, power=1.0)
        share = np.maximum(data.metric[block], 1e-12)[:, None, None]
        loadings[block] = np.einsum("snd,sk->ndk", apart, mix, optimize=True) / share
    return _State(mean, loadings, noise)


def _leading(data: _Data, mean: Array, root: Array, modes: int) -> tuple[Array, Array]:
    """Eigenvalues (r,), falling, of the samples' products times `root` (s,) on both sides.

    And the first eigenvectors (s, modes). By samples or by coordinates, of which there are fewer.
    """
    if len(root) <= mean.size:
        gram = np.zeros((len(root), len(root)))
        for block in data.blocks():
            rows = _residual(data, mean, block).reshape(len(root), -1)
            gram += rows @ rows.T
        value, vector = np.linalg.eigh(gram * np.outer(root, root))
        return np.maximum(value[::-1], 0.0), vector[:, ::-1][:, :modes]
    parts = [_residual(data, mean, block).reshape(len(root), -1) for block in data.blocks()]
    whole = np.concatenate(parts, axis=1) * root[:, None]
    value, vector = np.linalg.eigh(whole.T @ whole)
    value = np.maximum(value[::-1], 0.0)
    length = np.sqrt(value[:modes])
    turned = whole @ vector[:, ::-1][:, :modes]
    return value, np.divide(turned, length, out=np.zeros_like(turned), where=length > 0)


def _residual(data: _Data, mean: Array, block: slice, power: float = 0.5) -> Array:
    """(s, b, d) deviations from the mean times their weights to a power."""
    centre = data.about_mean[:, None, None] * mean[block]
    apart = data.values[:, block] - centre.astype(data.values.dtype)
    return np.asarray(apart * (data.weights[:, block] ** power)[:, :, None])


def _expected(data: _Data, state: _State) -> _Posterior:
    """E step: the latent variables of every sample, and the log-likelihood."""
    kind, modes = data.values.dtype, state.loadings.shape[2]
    upper = np.triu_indices(modes)
    precision = np.zeros((len(data.values), len(upper[0])))
    projected = np.zeros((len(data.values), modes))
    squares = 0.0
    for block in data.blocks():
        loadings = state.loadings[block].astype(kind)
        own = np.einsum("ndk,ndl->nkl", loadings, loadings, optimize=True)[:, upper[0], upper[1]]
        precision += data.weights[:, block] @ own
        apart = _residual(data, state.mean, block, power=1.0).reshape(len(projected), -1)
        projected += apart @ loadings.reshape(-1, modes)
        squared = (_residual(data, state.mean, block) ** 2).sum(axis=(1, 2), dtype=np.float64)
        squares += float(data.count @ squared)
    full = _symmetric(precision / state.noise, modes) + np.eye(modes)
    projected /= state.noise
    covariance = np.linalg.inv(full)
    z = np.einsum("skl,sl->sk", covariance, projected)
    explained = float(data.count @ np.einsum("sk,sk->s", projected, z))
    log_det = float(data.count @ np.linalg.slogdet(full)[1])
    measured = data.values.shape[2] * float(data.count @ data.weights.sum(1, dtype=np.float64))
    surprise = measured * np.log(state.noise) + squares / state.noise - explained + log_det
    moved = (state.loadings**2).sum(axis=(1, 2))
    surprise += float(data.still @ moved) / state.noise
    products = covariance + z[:, :, None] * z[:, None, :]
    return _Posterior(z, products, -0.5 * surprise / measured)


def _symmetric(upper: Array, size: int) -> Array:
    """(s, k, k) matrices from their upper triangles (s, k (k + 1) / 2)."""
    index = np.zeros((size, size), dtype=int)
    rows, columns = np.triu_indices(size)
    index[rows, columns] = index[columns, rows] = np.arange(len(rows))
    return np.asarray(upper[:, index])


def _maximised(data: _Data, state: _State, posterior: _Posterior) -> _State:
    """M step: mean and loadings of every place by their own normal equations, then the noise.

    The covariance of the latent variables is fitted too and put into the loadings (Liu, Rubin
    and Wu, "Parameter expansion to accelerate EM", 1998).
    """
    kind, modes = data.values.dtype, state.loadings.shape[2]
    z = np.column_stack([posterior.z, data.about_mean])
    products = np.zeros((len(z), modes + 1, modes + 1))
    products[:, :modes, :modes] = posterior.products
    products[:, modes, :] = products[:, :, modes] = data.about_mean[:, None] * z
    upper = np.triu_indices(modes + 1)
    flat = (data.count[:, None] * products[:, upper[0], upper[1]]).astype(kind)
    counted = (data.count[:, None] * z).astype(kind)
    mean, loadings = np.empty_like(state.mean), np.empty_like(state.loadings)
    squares = 0.0
    for block in data.blocks():
        weights, values = data.weights[:, block], data.values[:, block]
        normal = _symmetric((weights.T @ flat).astype(np.float64), modes + 1)
        normal[:, np.arange(modes), np.arange(modes)] += data.still[block, None]
        right = np.einsum("snd,sk->nkd", weights[:, :, None] * values, counted, optimize=True)
        right = right.astype(np.float64)
        found = _solved(normal, right)
        mean[block] = found[:, modes]
        loadings[block] = np.moveaxis(found[:, :modes], 1, 2)
        squared = ((values**2).sum(axis=2) * weights).sum(axis=1, dtype=np.float64)
        squares += float(data.count @ squared)
        squares -= float((found * right).sum())
    measured = data.values.shape[2] * float(data.count @ data.weights.sum(1, dtype=np.float64))
    noise = max(squares / measured, _LEAST_NOISE * float((loadings**2).sum()) / len(mean))
    expanded = np.einsum("s,skl->kl", data.count, posterior.products) / data.count.sum()
    return _State(mean, loadings @ np.linalg.cholesky(expanded), noise)


def _solved(normal: Array, right: Array) -> Array:
    """Solve (b, k, k) systems, nearly singular where few samples know a place; spoils `normal`."""
    size = normal.shape[1]
    normal.reshape(len(normal), -1)[:, :: size + 1] *= 1.0 + 1e-10
    return np.linalg.solve(normal, right)


def _principal(
    data: _Data, state: _State, axes: Array, history: tuple[float, ...], converged: bool
) -> Components:
    """Turn the loadings to their principal axes in the metric of weights `axes` (n,)."""
    flat = state.loadings.reshape(-1, state.loadings.shape[2])
    metric = np.repeat(np.asarray(axes, dtype=np.float64), data.values.shape[2])
    _, vector = np.linalg.eigh(flat.T @ (metric[:, None] * flat))
    turned = flat @ vector[:, ::-1]
    sd = np.linalg.norm(turned, axis=0)
    basis = turned / np.maximum(sd, 1e-300)
    largest = basis[np.argmax(np.abs(basis), axis=0), np.arange(basis.shape[1])]
    basis = basis * np.where(largest < 0, -1.0, 1.0)
    mean = data.first_mean + state.mean
    return Components(
        mean, basis.reshape(state.loadings.shape), sd, state.noise, history, converged
    )
