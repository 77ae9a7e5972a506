from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.numerics.weighted_ppca import Components, Prior, weighted_ppca
from fg3d_builder.records import Array


def drawn(samples: int, places: int, modes: int, noise: float, seed: int) -> tuple[Array, ...]:
    """Values (s, n, 3), their mean (n, 3) and scaled directions (n, 3, k)."""
    rng = np.random.default_rng(seed)
    mean = 50.0 * rng.standard_normal((places, 3))
    flat = np.linalg.qr(rng.standard_normal((3 * places, modes)))[0]
    scaled = (flat * np.linspace(30.0, 10.0, modes)).reshape(places, 3, modes)
    z = rng.standard_normal((samples, modes))
    values = mean + np.einsum("ndk,sk->snd", scaled, z)
    return values + noise * rng.standard_normal(values.shape), mean, scaled


def covariance(found: Components) -> Array:
    flat = (found.basis * found.sd).reshape(-1, len(found.sd))
    return np.asarray(flat @ flat.T)


@pytest.mark.parametrize("samples", [20, 40])
def test_without_gaps_it_is_the_closed_form_of_tipping_and_bishop(samples: int) -> None:
    """With fewer samples than the 36 coordinates, and with more."""
    values, _, _ = drawn(samples, 12, 4, 1.0, seed=1)
    found = weighted_ppca(values, np.ones(values.shape[:2]), 4, tolerance=1e-15, iterations=400)
    flat = values.reshape(len(values), -1)
    value, vector = np.linalg.eigh(np.cov(flat.T, bias=True))
    value, vector = value[::-1], vector[:, ::-1]
    noise = value[4:].mean()
    assert found.converged
    assert found.noise_variance == pytest.approx(noise, rel=1e-6)
    assert np.allclose(found.mean, values.mean(axis=0), atol=1e-6)
    assert np.allclose(found.sd, np.sqrt(value[:4] - noise), rtol=1e-6)
    expected = (vector[:, :4] * (value[:4] - noise)) @ vector[:, :4].T
    assert np.allclose(covariance(found), expected, atol=1e-6 * value[0])


def test_whole_weights_are_the_same_as_places_that_are_listed_so_often() -> None:
    values, _, _ = drawn(20, 8, 2, 0.5, seed=2)
    times = np.array([1, 2, 1, 3, 1, 1, 2, 1])
    weights = np.broadcast_to(times, values.shape[:2]).astype(float)
    options = {"tolerance": 1e-15, "iterations": 400}
    weighted = weighted_ppca(values, weights, 2, **options)
    listed = np.repeat(values, times, axis=1)
    repeated = weighted_ppca(listed, np.ones(listed.shape[:2]), 2, **options)
    first = np.cumsum(times) - times
    assert weighted.noise_variance == pytest.approx(repeated.noise_variance, rel=1e-7)
    ours = np.einsum("ndk,mek->ndme", weighted.basis * weighted.sd, weighted.basis * weighted.sd)
    again = repeated.basis[first] * repeated.sd
    assert np.allclose(ours, np.einsum("ndk,mek->ndme", again, again), atol=1e-5)


def test_a_subspace_is_recovered_with_a_third_missing() -> None:
    values, mean, scaled = drawn(150, 60, 5, 0.0, seed=3)
    known = np.random.default_rng(4).uniform(size=values.shape[:2]) > 0.3
    found = weighted_ppca(values, known.astype(float), 5, tolerance=1e-14, iterations=300)
    true, _ = np.linalg.qr(scaled.reshape(-1, 5))
    ours, _ = np.linalg.qr(found.basis.reshape(-1, 5))
    sines = np.sqrt(np.maximum(0.0, 1 - np.linalg.svd(true.T @ ours)[1] ** 2))
    assert sines.max() < 1e-3
    # The mean is off by the directions times the samples' own mean alone.
    off = (found.mean - mean).ravel()
    assert np.linalg.norm(off - true @ (true.T @ off)) < 1e-2


def test_what_has_no_weight_changes_nothing() -> None:
    values, _, _ = drawn(30, 20, 3, 0.3, seed=5)
    weights = np.random.default_rng(6).uniform(0.2, 1.0, values.shape[:2])
    weights[np.random.default_rng(7).uniform(size=weights.shape) < 0.3] = 0.0
    spoilt = np.where(weights[:, :, None] > 0, values, np.nan)
    one, other = (weighted_ppca(v, weights, 3, iterations=5) for v in (values, spoilt))
    for a, b in zip(one, other, strict=True):
        assert np.array_equal(a, b)


def test_the_order_of_samples_does_not_matter_and_nothing_is_random() -> None:
    values, _, _ = drawn(30, 20, 3, 0.3, seed=8)
    weights = np.random.default_rng(9).uniform(0.0, 1.0, values.shape[:2])
    order = np.random.default_rng(10).permutation(len(values))
    one = weighted_ppca(values, weights, 3)
    again = weighted_ppca(values, weights, 3)
    other = weighted_ppca(values[order], weights[order], 3)
    assert np.array_equal(one.basis, again.basis)
    assert np.allclose(one.mean, other.mean, atol=1e-8)
    assert np.allclose(one.basis, other.basis, atol=1e-8)
    assert np.allclose(one.sd, other.sd, rtol=1e-8)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_likelihood_never_falls(kind: type) -> None:
    values, _, _ = drawn(40, 30, 6, 0.5, seed=11)
    weights = np.random.default_rng(12).uniform(0.0, 1.0, values.shape[:2])
    weights[:, :10] *= np.random.default_rng(13).uniform(size=(40, 10)) > 0.6
    prior = _prior(values, 20.0)
    found = weighted_ppca(values.astype(kind), weights, 6, prior, tolerance=-1.0, iterations=20)
    steps = np.diff(found.log_likelihood)
    assert steps.min() > (-1e-9 if kind is np.float64 else -1e-4)
    assert found.log_likelihood[-1] > found.log_likelihood[0]


def _prior(values: Array, count: float, modes: int = 6) -> Prior:
    rng = np.random.default_rng(14)
    shape = (modes, *values.shape[1:])
    return Prior(
        values.mean(axis=0) + 1.0, 2.0, 5.0 * rng.standard_normal(shape), count, np.ones(shape[1])
    )


def test_with_a_prior_of_full_weight_the_covariance_is_the_mixture() -> None:
    values, _, _ = drawn(30, 10, 3, 0.2, seed=15)
    prior = _prior(values, 15.0)
    flat = values.reshape(30, -1)
    found = weighted_ppca(
        values, np.ones(values.shape[:2]), 12, prior, tolerance=1e-15, iterations=1000
    )
    # Normal-inverse-Wishart: the mean counts twice, the covariance as 15 samples.
    mean = (flat.sum(axis=0) + 2.0 * prior.mean.ravel()) / 32.0
    off = prior.mean.ravel() - mean
    scatter = (flat - mean).T @ (flat - mean) + 2.0 * np.outer(off, off)
    pseudo = prior.deviations.reshape(6, -1)
    wanted = (scatter + 15.0 * (pseudo.T @ pseudo) / 6) / 47.0
    got = covariance(found) + found.noise_variance * np.eye(30)
    # Twelve components and equal noise are a little less than the whole covariance.
    assert np.allclose(found.mean.ravel(), mean, atol=1e-3)
    assert np.abs(got - wanted).max() < 1e-3 * np.abs(wanted).max()


def test_places_that_no_sample_knows_follow_the_prior() -> None:
    """The prior says that two places move as one: seen in one, it is expected in the other."""
    rng = np.random.default_rng(16)
    z = rng.standard_normal(40)
    values = np.zeros((40, 2, 3))
    values[:, 0, 0] = 4.0 * z
    values += 0.01 * rng.standard_normal(values.shape)
    weights = np.ones((40, 2))
    weights[:, 1] = 0.0
    deviations = np.zeros((1, 2, 3))
    deviations[0, :, 0] = 2.0
    prior = Prior(np.array([[0.0, 0, 0], [7.0, 8.0, 9.0]]), 1.0, deviations, 10.0, np.ones(2))
    found = weighted_ppca(values, weights, 1, prior, iterations=200, tolerance=1e-14)
    direction = found.basis[:, 0, 0]
    assert direction[1] == pytest.approx(direction[0], rel=1e-3)
    # The known place's mean is beside the prior's, and takes the unknown one along.
    beside = found.mean[0, 0]
    assert np.allclose(found.mean[1], [7.0 + beside, 8.0, 9.0], atol=1e-3)


def test_more_components_than_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="4 components cannot be had from 3 independent samples"):
        weighted_ppca(np.zeros((4, 5, 3)), np.ones((4, 5)), 4)
    with pytest.raises(ValueError, match="no sample knows"):
        weighted_ppca(np.zeros((4, 5, 3)), np.eye(4, 5), 2)
