"""The face model: a template mesh, its 3DMM, its landmarks and its regions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fg3d_builder.facemodel.origin import Origin, check_origin
from fg3d_builder.facemodel.surround import Surround, check_surround
from fg3d_builder.geometry.meshes import surface_points
from fg3d_builder.records import Array

PARTS = ("rest", "eyes", "nose", "mouth", "cheeks")
"""Names of the labels in `FaceModel.parts`, in order: label 0 is ``"rest"``."""


_ROWS_IN_CACHE = 1024
"""Rows of a basis that are multiplied at once: half a megabyte with 64 directions."""


@dataclass(frozen=True)
class Embedding:
    """Places of the points of a landmark scheme on a model's surface.

    Attributes
    ----------
    point_index : (k,) int32
        Numbers of the points within their scheme; a scheme's other points are not on the model.
    triangle : (k,) int32
        Index into `FaceModel.triangles`.
    barycentric : (k, 3) float64
        Non-negative, rows sum to 1.
    """

    point_index: Array
    triangle: Array
    barycentric: Array

    def points(self, vertices: Array, triangles: Array) -> Array:
        """Return the (k, 3) positions of the embedded points on a shape of the model."""
        return surface_points(vertices, triangles, self.triangle, self.barycentric)

    def subset(self, wanted: Array) -> Embedding:
        """Keep only the points whose numbers are in `wanted`, in this embedding's order."""
        keep = np.isin(self.point_index, wanted)
        return Embedding(self.point_index[keep], self.triangle[keep], self.barycentric[keep])


@dataclass(frozen=True)
class FaceModel:
    """Template, 3DMM (Eq. 1), albedo model (Eq. 13) and semantics; object frame, mm.

    Attributes
    ----------
    name, licence : str
    mean : (n, 3) float64
        ``S_mean``, mm.
    triangles : (m, 3) int32
        Counter-clockwise from outside.
    id_basis : (n, 3, k) float64
        ``A_id``, scaled so that ``alpha_id = id_sd * standard_normal``.
    id_sd : (k,) float64
    exp_basis : (n, 3, e) float64
        ``A_exp``, scaled in the same way. Need not be orthogonal; blendshapes are allowed.
    exp_sd : (e,) float64
    exp_names : tuple of str
        One name per expression direction, ``()`` where the model has none.
    exp_lower, exp_upper : (e,) float64
        Box of the expression coefficients; infinite where the model has no bounds.
    albedo_mean : (n, 3) float64
        Linear RGB reflectance in [0, 1]; a uniform grey where the model has no texture.
    albedo_basis : (n, 3, b) float64
        ``b`` may be 0.
    albedo_sd : (b,) float64
    uv : (n, 2) float64
        In [0, 1], one chart without overlaps.
    embeddings : dict of str to Embedding
        Embeddings by landmark scheme: ``"ibug68"``, ``"mediapipe478"``.
    edge_points : dict of str to (p,) int32
        Numbers of a scheme's points that are on feature edges (eyes, brows, lips) or as
        stable as such, by scheme; these enter Eq. 9.
    contour_lines : tuple of (p,) int32 arrays
        Vertex polylines from the front of the face to its side, for landmark marching.
    parts : (n,) uint8
        Labels, see `PARTS`.
    rigid : (n,) bool
        Region that expressions hardly move: pose is estimated there.
    reliable : (n,) bool
        Region in which depth sensors see skin: face without hair line, ears, neck, eyes
        and mouth interior.
    surround : Surround or None
        Ears, scalp, neck and shoulders around the sheet, for rendering turned heads; None
        where nothing is known beyond the sheet.
    origin : Origin or None
        The published mesh that the sheet was cut from; None for models made in another way.
    """

    name: str
    licence: str
    mean: Array
    triangles: Array
    id_basis: Array
    id_sd: Array
    exp_basis: Array
    exp_sd: Array
    exp_names: tuple[str, ...]
    exp_lower: Array
    exp_upper: Array
    albedo_mean: Array
    albedo_basis: Array
    albedo_sd: Array
    uv: Array
    embeddings: dict[str, Embedding] = field(default_factory=dict)
    edge_points: dict[str, Array] = field(default_factory=dict)
    contour_lines: tuple[Array, ...] = ()
    parts: Array = field(default_factory=lambda: np.zeros(0, np.uint8))
    rigid: Array = field(default_factory=lambda: np.zeros(0, bool))
    reliable: Array = field(default_factory=lambda: np.zeros(0, bool))
    surround: Surround | None = None
    origin: Origin | None = None

    @property
    def vertex_count(self) -> int:
        """Number of vertices ``n``."""
        return len(self.mean)

    @property
    def topology_hash(self) -> str:
        """Identity of the vertex numbering; every product of the pipeline carries it."""
        return topology_hash(self.vertex_count, self.triangles)

    def shape(self, alpha_id: Array | None = None, alpha_exp: Array | None = None) -> Array:
        """Return the (n, 3) coarse shape of Eq. 1 in the object frame, mm."""
        shape = self.mean.copy()
        if alpha_id is not None:
            shape += _combined(self.id_basis, alpha_id)
        if alpha_exp is not None:
            shape += _combined(self.exp_basis, alpha_exp)
        return shape

    def shapes(self, alpha_id: Array, alpha_exp: Array) -> Array:
        """Return the coarse shapes (b, n, 3) of coefficients (b, k) and (b, e).

        Each is that of `shape` to the bit, in less than half the time: a part of a basis that was
        fetched from memory serves all of them.
        """
        shapes = np.empty((len(alpha_id), self.mean.size))
        shapes[:] = self.mean.reshape(-1)
        for basis, coefficients in ((self.id_basis, alpha_id), (self.exp_basis, alpha_exp)):
            flat = basis.reshape(self.mean.size, basis.shape[2])
            for rows in _parts(len(flat)):
                for shape, alpha in zip(shapes, coefficients, strict=True):
                    shape[rows] += flat[rows] @ alpha
        return shapes.reshape(len(shapes), *self.mean.shape)

    def embedded(self, scheme: str, numbers: Sequence[int] | Array) -> Embedding:
        """Return where some points of a landmark scheme are on the model, in the given order.

        `numbers` are those of the points within the scheme, counted from 0.

        Raises
        ------
        ValueError
            The model has no place for one of them.
        """
        embedding = self.embeddings.get(scheme)
        known = [] if embedding is None else embedding.point_index.tolist()
        missing = [int(number) for number in numbers if number not in known]
        if embedding is None or missing:
            raise ValueError(
                f"face model '{self.name}': no place for the points {missing} of {scheme}"
            )
        rows = [known.index(number) for number in numbers]
        return Embedding(
            embedding.point_index[rows], embedding.triangle[rows], embedding.barycentric[rows]
        )

    def albedo(self, beta: Array | None = None) -> Array:
        """Return the (n, 3) linear RGB albedo of Eq. 13, clipped to [0, 1]."""
        albedo = self.albedo_mean.copy()
        if beta is not None:
            albedo += self.albedo_basis[:, :, : len(beta)] @ beta
        return np.clip(albedo, 0.0, 1.0)


def _combined(basis: Array, coefficients: Array) -> Array:
    """(n, 3) sum of the first (k,) directions of a basis (n, 3, k or more)."""
    if len(coefficients) < basis.shape[2]:
        return np.asarray(basis[:, :, : len(coefficients)] @ coefficients)
    # Products of a matrix with a vector: stacked (3, k) ones are slower. They are those of
    # `FaceModel.shapes`: a library with several threads sums each size of matrix differently.
    flat = basis.reshape(3 * len(basis), basis.shape[2])
    parts = [flat[rows] @ coefficients for rows in _parts(len(flat))]
    return np.concatenate(parts).reshape(len(basis), 3)


def _parts(count: int) -> list[slice]:
    """Slices of rows of a basis, each to be multiplied at once."""
    return [slice(first, first + _ROWS_IN_CACHE) for first in range(0, count, _ROWS_IN_CACHE)]


def topology_hash(vertex_count: int, triangles: Array) -> str:
    """SHA-256 over vertex count and triangle list, as 16 hexadecimal digits."""
    digest = hashlib.sha256(f"fg3d-topology-1:{vertex_count}:".encode())
    digest.update(np.ascontiguousarray(triangles, dtype="<i4").tobytes())
    return digest.hexdigest()[:16]


def check_model(model: FaceModel) -> None:
    """Raise `ValueError` naming the field where a model contradicts itself."""
    n, m = model.vertex_count, len(model.triangles)
    _expect(model.mean.shape == (n, 3), "mean", f"shape {model.mean.shape}, wanted ({n}, 3)")
    for name, array, last in (
        ("id_basis", model.id_basis, len(model.id_sd)),
        ("exp_basis", model.exp_basis, len(model.exp_sd)),
        ("albedo_basis", model.albedo_basis, len(model.albedo_sd)),
    ):
        _expect(array.shape == (n, 3, last), name, f"shape {array.shape}, wanted ({n}, 3, {last})")
    for name in ("mean", "id_basis", "exp_basis", "albedo_mean", "albedo_basis", "uv"):
        _expect(bool(np.all(np.isfinite(getattr(model, name)))), name, "not finite")
    for name in ("id_sd", "exp_sd", "albedo_sd"):
        _expect(bool(np.all(getattr(model, name) > 0)), name, "not positive")
    _expect(model.triangles.min() >= 0 and model.triangles.max() < n, "triangles", "out of range")
    _expect(model.albedo_mean.shape == (n, 3), "albedo_mean", f"shape {model.albedo_mean.shape}")
    _expect(model.uv.shape == (n, 2), "uv", f"shape {model.uv.shape}, wanted ({n}, 2)")
    for name in ("parts", "rigid", "reliable"):
        _expect(getattr(model, name).shape == (n,), name, f"shape {getattr(model, name).shape}")
    _expect(int(model.parts.max(initial=0)) < len(PARTS), "parts", "unknown label")
    for name in ("exp_lower", "exp_upper"):
        _expect(getattr(model, name).shape == model.exp_sd.shape, name, "one bound per direction")
    for scheme, embedding in model.embeddings.items():
        where = f"embeddings[{scheme}]"
        _expect(bool(np.all((embedding.triangle >= 0) & (embedding.triangle < m))), where, "range")
        sums = embedding.barycentric.sum(axis=1)
        _expect(bool(np.allclose(sums, 1, atol=1e-6)), where, "barycentric sums are not 1")
        edge = model.edge_points.get(scheme, np.zeros(0, int))
        known = bool(np.all(np.isin(edge, embedding.point_index)))
        _expect(known, f"edge_points[{scheme}]", "a point has no embedding")
    for line in model.contour_lines:
        _expect(bool(np.all((line >= 0) & (line < n))), "contour_lines", "out of range")
    if model.surround is not None:
        check_surround(model.surround, m, len(model.id_sd), _expect)
    if model.origin is not None:
        check_origin(model.origin, n, len(model.id_sd), len(model.exp_sd), _expect)


def _expect(condition: bool, name: str, problem: str) -> None:
    if not condition:
        raise ValueError(f"face model field '{name}': {problem}")
