"""The source of all heads: face sheet, rest of the body, shape targets.

`HeadSource` turns target weights into the vertices of the *face sheet* (the topology of the
default model) and of the *context* (ears, scalp, neck and shoulders), in the object frame.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import h5py
import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import dijkstra

from fg3d_builder.geometry.meshes import (
    border_edges,
    compact_triangles,
    undirected_edges,
    vertex_adjacency,
    vertex_normals,
)
from fg3d_builder.heads.control import build_control_mesh
from fg3d_builder.heads.identity import IdentitySampler
from fg3d_builder.heads.makehuman import BaseMesh, MakeHumanData
from fg3d_builder.heads.refinement import cut_along, refine
from fg3d_builder.records import Array

_LOCAL_FOLDERS = (
    "head",
    "forehead",
    "eyebrows",
    "eyes",
    "nose",
    "mouth",
    "cheek",
    "chin",
    "ears",
    "asym",
    "neck",
)
_SKIRT_RINGS = 3
_SKIRT_DEPTH_MM = 2.5
_EYEBALL_GAP_MM = 0.15


@dataclass(frozen=True)
class HeadSource:
    """Linear map from target weights to vertices, and the eyes' spheres.

    Attributes
    ----------
    template_mm : (b, 3) float64
        The base vertices that are used, in the axes of the base mesh, from the recipe's origin.
    targets_mm : (t, b, 3) float32
        Shape targets.
    target_names : tuple of str
    actions_mm : (e, b, 3) float32
        Facial actions.
    action_names : tuple of str
    sheet : (n, b) csr_matrix
        Face vertices from base vertices.
    sheet_triangles : (m, 3) int32
    context : (c, b) csr_matrix
        Context vertices; the last ones are a copy of the face's outer rings, see `skirt`.
    context_triangles : (k, 3) int32
    skirt : (s,) int32
        Face vertices of which the last s context vertices are copies.
    skirt_depth_mm : (s,) float64
        Depth of each copy below the face; 0 on the border.
    eye : (n,) int8
        1 left eye, 2 right eye (margin included), 0 elsewhere.
    eye_blend : (n,) float64
        1 on the eyeball, falling to 0 at the lid margin.
    eyeballs : (2, b) csr_matrix
        Centres of the left and right eyeball.
    eyeball_rim : (2, r) int32
        Base vertices on the white of each eyeball; they determine its radius.
    seam : (n,) float64
        1 where the lips are joined, falling to 0 on the lips.
    lips : (n,) float64
        Red of the lips, [0, 1].
    context_ears : (c,) float64
        1 on the ears.
    base_vertex : (n,) int32
        Base vertex that a face vertex descends from; -1 for all others.
    border_calm : (n,) float64
        0 on the border, 1 from the recipe's distance inwards.
    """

    template_mm: Array
    targets_mm: Array
    target_names: tuple[str, ...]
    actions_mm: Array
    action_names: tuple[str, ...]
    sheet: sp.csr_matrix
    sheet_triangles: Array
    context: sp.csr_matrix
    context_triangles: Array
    skirt: Array
    skirt_depth_mm: Array
    eye: Array
    eye_blend: Array
    eyeballs: sp.csr_matrix
    eyeball_rim: Array
    seam: Array
    lips: Array
    context_ears: Array
    base_vertex: Array
    border_calm: Array

    def base(self, weights: Array) -> Array:
        """Return the (b, 3) base vertices of the head with the given (t,) target weights."""
        flat = weights.astype(np.float32) @ self.targets_mm.reshape(len(weights), -1)
        return np.asarray(self.template_mm + flat.reshape(-1, 3))

    def face(self, base_mm: Array) -> Array:
        """Return the (n, 3) face vertices, with the eyes on their eyeballs."""
        return self._on_eyeballs(self.sheet @ base_mm, base_mm)

    def surroundings(self, base_mm: Array, face_mm: Array) -> Array:
        """Return the (c, 3) context vertices around a face."""
        context = self.context @ base_mm
        normals = vertex_normals(face_mm, self.sheet_triangles)[self.skirt]
        inwards = self.skirt_depth_mm[:, None] * normals
        context[len(context) - len(self.skirt) :] = face_mm[self.skirt] - inwards
        return np.asarray(context)

    def actions(self) -> Array:
        """Return the (n, 3, e) offsets of the facial actions, faded out towards the border."""
        e = len(self.actions_mm)
        moved = self.sheet @ np.moveaxis(self.actions_mm, 0, 2).reshape(-1, 3 * e)
        return np.asarray(moved.reshape(-1, 3, e) * self.border_calm[:, None, None])

    def eyeball_spheres(self, base_mm: Array) -> tuple[Array, Array]:
        """Return centres (2, 3) and radii (2,) of the left and the right eyeball."""
        centre = self.eyeballs @ base_mm
        rim = base_mm[self.eyeball_rim] - centre[:, None]
        return centre, np.linalg.norm(rim, axis=2).mean(axis=1)

    def _on_eyeballs(self, face_mm: Array, base_mm: Array) -> Array:
        centre, radius = self.eyeball_spheres(base_mm)
        out = np.array(face_mm)
        for label in (1, 2):
            own = self.eye == label
            ray = out[own] - centre[label - 1]
            length = np.linalg.norm(ray, axis=1, keepdims=True)
            wanted = ray * ((radius[label - 1] + _EYEBALL_GAP_MM) / length - 1)
            out[own] += self.eye_blend[own, None] * wanted
        return out


def build_head(data: MakeHumanData, recipe: Mapping[str, Any]) -> HeadSource:
    """Build the head from the data package by the recipe."""
    base = data.base_mesh()
    count = len(base.vertices_mm)
    names = [n for folder in _LOCAL_FOLDERS for n in data.target_names(folder)]
    sampler = IdentitySampler(recipe["population"], names)
    targets = np.stack([data.target(n, count).astype(np.float32) for n in sampler.target_names])
    actions = {n: data.action(n, count) for n in data.action_names() if _wanted(n, recipe)}

    average = base.vertices_mm + np.tensordot(sampler.average(), targets, axes=1)
    symmetric = (average + average[base.mirror] * [-1.0, 1.0, 1.0]) / 2
    origin = np.asarray(recipe["frame"]["origin"])
    mesh = _head_mesh(data, base, symmetric - origin, recipe)

    rim = np.stack([_eyeball_rim(base, side, average) for side in "lr"])
    centres = sp.vstack([_mean_of(members, count) for members in rim]).tocsr()
    used = np.unique(
        np.concatenate([m.indices for m in (mesh.sheet, mesh.context, centres)] + [rim.reshape(-1)])
    )
    number = np.full(count, -1)
    number[used] = np.arange(len(used))
    return HeadSource(
        template_mm=base.vertices_mm[used] - origin,
        targets_mm=np.ascontiguousarray(targets[:, used]),
        target_names=tuple(sampler.target_names),
        actions_mm=np.stack([a[used] for a in actions.values()]).astype(np.float32),
        action_names=tuple(actions),
        sheet=mesh.sheet[:, used].tocsr(),
        context=mesh.context[:, used].tocsr(),
        eyeballs=centres[:, used].tocsr(),
        eyeball_rim=number[rim].astype(np.int32),
        **mesh.fields,
    )


@dataclass(frozen=True)
class _HeadMesh:
    sheet: sp.csr_matrix
    context: sp.csr_matrix
    fields: dict[str, Any]


def _head_mesh(
    data: MakeHumanData, base: BaseMesh, shape_mm: Array, recipe: Mapping[str, Any]
) -> _HeadMesh:
    settings, border = recipe["mesh"], recipe["border"]
    centre = shape_mm[base.quads].mean(axis=1)
    keep = (centre[:, 1] > -settings["body_below_mm"]) & (
        np.abs(centre[:, 0]) < settings["body_half_width_mm"]
    )
    control = build_control_mesh(base, shape_mm, keep, recipe["loops"])
    points = control.from_base @ shape_mm
    first, second, brows = settings["longest_edge_mm"]
    low, high = settings["brow_band_mm"]
    on_brow = (points[:, 1] > low) & (points[:, 1] < high) & (points[:, 2] > 0)
    again = np.where(on_brow, brows, second)
    again[border_field(points, border) > 0.3] = np.inf
    refined = refine(control.triangles, points, first, again)
    points = refined.matrix @ points
    cut = cut_along(refined.triangles, border_field(points, border), points, border["snap"])
    whole = (cut.matrix @ refined.matrix).tocsr()
    points = cut.matrix @ points

    inside = border_field(points, border)[cut.triangles].mean(axis=1) < 0
    face, face_triangles = compact_triangles(cut.triangles[inside], len(points))
    rest, rest_triangles = compact_triangles(cut.triangles[~inside], len(points))
    ring = _rings_from_border(face_triangles, len(face))
    skirt = np.flatnonzero(ring <= _SKIRT_RINGS)
    on_skirt = np.isin(face_triangles, skirt).all(axis=1)
    number = np.full(len(face), -1)
    number[skirt] = len(rest) + np.arange(len(skirt))

    origin = cut.origin[face]
    origin = np.where(origin >= 0, refined.origin[origin], -1)
    from_base = (whole @ control.from_base).tocsr()
    inner = (whole @ control.eye_inner.astype(float))[face]
    labels = [(whole @ (control.eye == label).astype(float))[face] for label in (1, 2)]
    eye = np.where(inner > 0.05, np.where(labels[0] > labels[1], 1, 2), 0)
    lips = _vertex_mask(base, data.texture_mask("lips", base.quad_uv))
    red = np.where(control.mouth, 1.0, control.from_base @ lips)
    ears = control.from_base @ _vertex_mask(base, data.texture_mask("ears", base.quad_uv))
    fields = {
        "sheet_triangles": face_triangles,
        "context_triangles": np.concatenate(
            [rest_triangles, number[face_triangles[on_skirt]]]
        ).astype(np.int32),
        "skirt": skirt.astype(np.int32),
        "skirt_depth_mm": _SKIRT_DEPTH_MM * smoothstep(ring[skirt], 0, _SKIRT_RINGS),
        "eye": eye.astype(np.int8),
        "eye_blend": smoothstep(inner, 0.1, 0.6),
        "seam": (whole @ control.seam.astype(float))[face],
        "lips": np.clip((whole @ red)[face], 0.0, 1.0),
        "context_ears": np.clip((whole @ ears)[np.concatenate([rest, face[skirt]])], 0.0, 1.0),
        "base_vertex": np.where(origin >= 0, control.base_vertex[origin], -1).astype(np.int32),
        "border_calm": smoothstep(
            _distance_from_border(points[face], face_triangles), 0.0, border["calm_mm"]
        ),
    }
    return _HeadMesh(from_base[face], from_base[np.concatenate([rest, face[skirt]])], fields)


def border_field(points_mm: Array, border: Mapping[str, float]) -> Array:
    """Return a (n,) field over the object frame: negative on the face sheet, 0 on its border."""
    azimuth = np.degrees(np.arctan2(points_mm[:, 0], points_mm[:, 2])) / border["azimuth_deg"]
    height = (points_mm[:, 1] - border["centre_y_mm"]) / border["half_height_mm"]
    power = border["power"]
    return np.asarray((np.abs(azimuth) ** power + np.abs(height) ** power) ** (1 / power) - 1)


def smoothstep(value: Array | float, low: float, high: float) -> Array:
    """Return 0 below `low`, 1 above `high`, and a smooth step in between.

    `value` may have any shape.
    """
    t = np.clip((np.asarray(value, dtype=np.float64) - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3 - 2 * t))


def _rings_from_border(triangles: Array, count: int) -> Array:
    adjacency = vertex_adjacency(triangles, count)
    reached = np.zeros(count, dtype=bool)
    reached[np.unique(border_edges(triangles))] = True
    ring = np.where(reached, 0, count)
    for distance in range(1, _SKIRT_RINGS + 2):
        grown = reached | (adjacency @ reached.astype(float) > 0)
        ring[grown & ~reached] = distance
        reached = grown
    return ring


def _distance_from_border(points_mm: Array, triangles: Array) -> Array:
    edges = undirected_edges(triangles)
    length = np.linalg.norm(points_mm[edges[:, 0]] - points_mm[edges[:, 1]], axis=1)
    graph = sp.coo_matrix((length, (edges[:, 0], edges[:, 1])), shape=(len(points_mm),) * 2)
    border = np.unique(border_edges(triangles))
    distance = dijkstra(graph.tocsr(), directed=False, indices=border, min_only=True)
    return np.asarray(distance)


def _vertex_mask(base: BaseMesh, corner_values: Array) -> Array:
    count = len(base.vertices_mm)
    corners = base.quads.reshape(-1)
    total = np.bincount(corners, weights=corner_values.reshape(-1), minlength=count)
    return np.asarray(total / np.maximum(np.bincount(corners, minlength=count), 1))


def _eyeball_rim(base: BaseMesh, side: str, average_mm: Array) -> Array:
    """Vertices around the equator of an eyeball: neither cornea nor back."""
    members = base.groups[f"helper-{side}-eye"]
    depth = average_mm[members, 2]
    middle, half = (depth.max() + depth.min()) / 2, np.ptp(depth) / 2
    return np.asarray(members[np.abs(depth - middle) < 0.6 * half])


def _mean_of(members: Array, count: int) -> sp.csr_matrix:
    zeros = np.zeros(len(members), dtype=int)
    weight = np.full(len(members), 1 / len(members))
    return sp.csr_matrix((weight, (zeros, members)), shape=(1, count))


def _wanted(action: str, recipe: Mapping[str, Any]) -> bool:
    return not any(fnmatch.fnmatch(action, pattern) for pattern in recipe["expression"]["skip"])


_SPARSE = ("sheet", "context", "eyeballs")
_NAMES = ("target_names", "action_names")


def write_head(head: HeadSource, group: h5py.Group) -> None:
    """Store a head in an HDF5 group."""
    for field in fields(head):
        value = getattr(head, field.name)
        if field.name in _NAMES:
            group.attrs.create(field.name, "\n".join(value))
        elif field.name in _SPARSE:
            part = group.create_group(field.name)
            part.attrs["shape"] = value.shape
            for name in ("data", "indices", "indptr"):
                part[name] = getattr(value, name)
        else:
            group[field.name] = value


def read_head(group: h5py.Group) -> HeadSource:
    """Read what `write_head` wrote."""
    values: dict[str, Any] = {}
    for field in fields(HeadSource):
        name = field.name
        if name in _NAMES:
            values[name] = tuple(str(group.attrs[name]).split("\n"))
        elif name in _SPARSE:
            part = group[name]
            arrays = (part["data"][...], part["indices"][...], part["indptr"][...])
            values[name] = sp.csr_matrix(arrays, shape=tuple(part.attrs["shape"]))
        else:
            values[name] = group[name][...]
    return HeadSource(**values)
