"""One face model of several: their identities in one topology, mixed by weights.

Each source is a normal distribution of faces, its modes around its mean. Carried into the topology
of the first model, source ``j`` has the mean ``m_j`` and the covariance ``C_j``, and a face is
drawn from it with probability ``w_j``. Such a mixture has the moments ::

    m = sum_j w_j m_j,    C = sum_j w_j (C_j + (m_j - m) (m_j - m)^T)

exactly: they are what a principal component analysis of infinitely many weighted samples finds,
without the sampling. What sources differ in on average is a part of the variation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fg3d_builder.facemodel.learning.model import learnt_model
from fg3d_builder.facemodel.learning.shapes import measurements, mirror_partners
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.shape_export import ShapeExport, sheet_mesh
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.numerics.weighted_ppca import Components
from fg3d_builder.records import Array

_BESIDE_FACE = 1e-3
"""Weight of the rest of the sheet where modes are put in their order, as in learnt models."""

_KEPT_VARIANCE = 0.9999
"""Share of a source's variance that its deviations keep."""


@dataclass(frozen=True)
class BlendSource:
    """One model's identities in the topology of the blend.

    Attributes
    ----------
    name, licence : str
        Of the model.
    topology_hash : str
        Of the model, before it was carried over.
    weight : float
        Share of the faces that come from it, in (0, 1]; all together 1.
    mean_mm : (n, 3) float64
        Object frame, rigidly aligned to the first model's mean.
    deviations_mm : (k, n, 3) float64
        Displacements of one standard deviation each; independent.
    """

    name: str
    licence: str
    topology_hash: str
    weight: float
    mean_mm: Array
    deviations_mm: Array

    def face(self, z: Array) -> Array:
        """Return the (n, 3) face, mm, of (k,) standard normal numbers."""
        return np.asarray(self.mean_mm + np.tensordot(z, self.deviations_mm, axes=1))


def carried_source(base: FaceModel, model: FaceModel, weight: float) -> BlendSource:
    """Carry the identities of a model into the topology of another.

    Skin is read off the model's own surface; eyeballs, the gap between the lips, rims, and what the
    model does not have follow as `base` expects it of such a face. Mirror images are as likely as
    the faces themselves, where the sheet of `base` is symmetric.

    Parameters
    ----------
    base, model : FaceModel
    weight : float
        See `BlendSource`.

    Raises
    ------
    ValueError
        The models have too few landmarks in common, or no place of their faces.
    """
    mean, deviations = _carried(base, model)
    # By area, so that finely divided parts count no more than others.
    rigid = measurements(base) * base.rigid
    mean, deviations = _aligned(mean, deviations, base.mean, rigid)
    partners = mirror_partners(base)
    if partners is not None:
        sign = np.array([-1.0, 1.0, 1.0])
        mean = 0.5 * (mean + mean[partners] * sign)
        mirrored = deviations[:, partners] * sign
        deviations = 0.5 * np.concatenate([deviations + mirrored, deviations - mirrored])
    kept, _ = _principal(deviations, measurements(base), _KEPT_VARIANCE)
    return BlendSource(model.name, model.licence, model.topology_hash, weight, mean, kept)


def blended_model(
    base: FaceModel,
    sources: Sequence[BlendSource],
    name: str,
    modes: int | None = None,
) -> FaceModel:
    """Make the model of a blend.

    Parameters
    ----------
    base : FaceModel
        Gives topology, expressions, landmarks, colours, surround, chart and regions.
    sources : sequence of BlendSource
        In its topology.
    name : str
        Of the new model.
    modes : int, optional
        Identity modes; by default as many as `base` has, or as there are independent deviations
        where these are fewer.

    Raises
    ------
    ValueError
        The weights do not add up to 1, or there are fewer independent deviations than `modes`.
    """
    mean, deviations = blended_moments(sources)
    metric = measurements(base) * np.where(base.reliable, 1.0, _BESIDE_FACE)
    turned, variance = _principal(deviations, metric)
    there = int(np.count_nonzero(variance > 1e-9 * variance[0]))
    wanted = min(len(base.id_sd), there) if modes is None else modes
    if there < wanted:
        raise ValueError(f"{wanted} modes: the sources together vary in {there} directions only")
    loadings = turned[:wanted]
    sd = np.sqrt((loadings**2).sum(axis=(1, 2)))
    basis = np.moveaxis(loadings / sd[:, None, None], 0, 2)
    components = Components(mean, basis, sd, 0.0, (), True)
    return learnt_model(base, components, name, joined_licence(sources))


def blended_moments(sources: Sequence[BlendSource]) -> tuple[Array, Array]:
    """Return the mean (n, 3) of a blend, and deviations (k, n, 3) that make up its covariance.

    Raises
    ------
    ValueError
        The weights do not add up to 1.
    """
    weights = np.array([source.weight for source in sources])
    if not np.isclose(weights.sum(), 1.0) or (weights <= 0).any():
        raise ValueError(f"weights of a blend: {weights.tolist()} are not positive with sum 1")
    mean = np.asarray(sum(s.weight * s.mean_mm for s in sources))
    parts = [np.sqrt(s.weight) * s.deviations_mm for s in sources]
    parts += [np.sqrt(s.weight) * (s.mean_mm - mean)[None] for s in sources]
    return mean, np.concatenate(parts)


def joined_licence(sources: Sequence[BlendSource]) -> str:
    """Return the licences of all sources, each once: what is made of them is under all of them."""
    return " + ".join(dict.fromkeys(source.licence for source in sources))


def _carried(base: FaceModel, model: FaceModel) -> tuple[Array, Array]:
    """Mean (n, 3) and deviations (k, n, 3) of a model in the topology of `base`."""
    modes = np.moveaxis(model.id_basis * model.id_sd, 2, 0)
    if model.topology_hash == base.topology_hash:
        return model.mean.copy(), modes
    mesh = sheet_mesh(base)
    skin = np.where(base.reliable, mesh.sheet_vertex, -1)
    export: Callable[[Array], Array] = ShapeExport(model, base, replace(mesh, sheet_vertex=skin))
    mean = export(model.mean)
    return mean, np.stack([export(model.mean + mode) - mean for mode in modes])


def _aligned(
    mean: Array, deviations: Array, reference: Array, weights: Array
) -> tuple[Array, Array]:
    """Move a mean, and each face one deviation from it, rigidly onto a reference (n, 3)."""
    used = np.flatnonzero(weights > 0)

    def moved(face: Array, onto: Array) -> Array:
        pose = align_similarity(face[used], onto[used], weights[used], fix_scale=True)
        return pose.cam_from_obj(face)

    placed = moved(mean, reference)
    pose = align_similarity(mean[used], reference[used], weights[used], fix_scale=True)
    turned = deviations @ pose.rotation.T
    return placed, np.stack([moved(placed + d, placed) - placed for d in turned])


def _principal(deviations: Array, metric: Array, share: float = 1.0) -> tuple[Array, Array]:
    """Combine deviations to uncorrelated ones, largest first.

    Their outer products sum to the same covariance, but for the least that `share` leaves out.

    Parameters
    ----------
    deviations : (k, n, 3) float
    metric : (n,) float
        Weights of the vertices in what is large.
    share : float
        Of the variance that is kept.

    Returns
    -------
    (j, n, 3) float, (j,) float
        The deviations, and the variance of each in the metric.
    """
    flat = deviations.reshape(len(deviations), -1)
    weighted = flat * np.repeat(np.sqrt(metric), 3)
    variance, vectors = np.linalg.eigh(weighted @ weighted.T)
    order = np.argsort(variance)[::-1]
    variance = np.maximum(variance[order], 0.0)
    kept = len(order)
    if share < 1.0:
        explained = np.cumsum(variance) / variance.sum()
        kept = int(np.searchsorted(explained, share)) + 1
    # Signs of eigenvectors are free: the largest part of each is positive.
    chosen = vectors[:, order[:kept]]
    chosen = chosen * np.sign(chosen[np.abs(chosen).argmax(axis=0), np.arange(kept)])
    return (chosen.T @ flat).reshape(kept, *deviations.shape[1:]), variance[:kept]
