"""Synthetic people of a blend: faces of its sources, with all that a head needs besides.

Who comes from the embedded model is one of its people as they are. Who comes from another source
has a face from that source's distribution, and from one of the embedded people everything that the
source does not have: relief of the skin, colours, how the face moves, ears, neck and scalp.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from scipy.spatial import cKDTree

from fg3d_builder.errors import ConfigError
from fg3d_builder.facemodel.blend import BlendSource, joined_licence
from fg3d_builder.facemodel.blend_storage import load_blend_sources
from fg3d_builder.facemodel.smooth_extension import smoothness
from fg3d_builder.geometry.meshes import border_edges, vertex_areas, vertex_normals
from fg3d_builder.heads.blink import closing_blinks
from fg3d_builder.heads.library import default_model, head_population
from fg3d_builder.heads.population import HeadPopulation, SyntheticHead
from fg3d_builder.numerics.sparse_solver import analyze
from fg3d_builder.records import Array

_LARGEST_SD = 3.0
"""Standard deviations beyond which a coefficient is drawn again: nobody looks like that."""

_BENDING_MM, _FADING_MM = 40.0, 60.0
"""How a face's border moves the head around it: smoothly, and less with the distance."""


_SAME_PLACE_MM = 1e-3

_SOURCE, _FACE = 4, 5
"""Generators of a seed; the embedded people use 0 to 3."""


class BlendedPopulation:
    """An endless supply of people; the same seed gives the same person.

    Parameters
    ----------
    people : HeadPopulation
        The embedded ones.
    sources : sequence of BlendSource
        In their topology.
    embedded_hash : str
        Topology of the embedded model: its own source is recognised by it and by its name.
    embedded_name : str
    """

    def __init__(
        self,
        people: HeadPopulation,
        sources: Sequence[BlendSource],
        embedded_hash: str,
        embedded_name: str,
    ) -> None:
        self.people, self.sources = people, tuple(sources)
        self.licence = joined_licence(self.sources)
        self._own = [
            (source.topology_hash, source.name) == (embedded_hash, embedded_name)
            for source in self.sources
        ]
        self._around = _Around(people)

    def source_of(self, seed: int) -> int:
        """Return the number of the source that a person comes from."""
        limits = np.cumsum([source.weight for source in self.sources])
        return int(np.searchsorted(limits[:-1], _generator(seed, _SOURCE).random(), side="right"))

    def is_embedded(self, seed: int) -> bool:
        """Whether a person is one of the embedded people, as they are."""
        return self._own[self.source_of(seed)]

    def subject(self, seed: int) -> SyntheticHead:
        """Draw a person."""
        person = self.people.subject(seed)
        number = self.source_of(seed)
        if self.is_embedded(seed):
            return person
        source = self.sources[number]
        rng = _generator(seed, _FACE)
        face = source.face(_bounded_normal(len(source.deviations_mm), rng))
        _, smooth, _ = self.people.neutral(seed)
        triangles = self.people.head.sheet_triangles
        relief = np.einsum(
            "nd,nd->n", person.neutral_obj_mm - smooth, vertex_normals(smooth, triangles)
        )
        neutral = face + relief[:, None] * vertex_normals(face, triangles)
        actions = closing_blinks(
            neutral,
            person.expression_offsets,
            self.people.action_names,
            triangles,
            self.people.head.eye,
        )
        return replace(
            person,
            neutral_obj_mm=neutral,
            expression_offsets=actions,
            context_vertices_obj_mm=self._around.following(
                person.context_vertices_obj_mm, smooth, face
            ),
        )


def blended_population(path: str) -> BlendedPopulation:
    """Return the people of a blend's file, read anew where it has changed.

    Raises
    ------
    ConfigError
        The file cannot be read, is no blend, or is one in another topology; names the field.
    """
    try:
        status = os.stat(path)
        return _read_population(path, status.st_size, status.st_mtime_ns)
    except FileNotFoundError:
        raise ConfigError(f"sources.population: no face model at {path}") from None
    except ValueError as error:
        raise ConfigError(f"sources.population: {error}") from None


@functools.lru_cache(maxsize=2)
def _read_population(path: str, _size: int, _changed_ns: int) -> BlendedPopulation:
    people, model = head_population(), default_model()
    sources = load_blend_sources(path, model.topology_hash)
    return BlendedPopulation(people, sources, model.topology_hash, model.name)


class _Around:
    """Moves ears, scalp, neck and shoulders along with the border of another face."""

    def __init__(self, people: HeadPopulation) -> None:
        head = people.head
        average = people.head.base(people.sampler.average())
        context = head.surroundings(average, people.average_mm)
        count, copies = len(context), len(head.skirt)
        # The skirt lies under the face; what is around the face is a piece of its own that
        # begins at the places of the face's border.
        border = np.unique(border_edges(head.sheet_triangles))
        apart, nearest = cKDTree(people.average_mm[border]).query(context[: count - copies])
        joins = np.flatnonzero(apart < _SAME_PLACE_MM)
        self._known = np.concatenate([joins, np.arange(count - copies, count)])
        self._of_face = np.concatenate([border[nearest[joins]], head.skirt])
        self._free = np.setdiff1d(np.arange(count), self._known)
        energy = smoothness(context, head.context_triangles, _BENDING_MM, _FADING_MM)
        # Without data far away, all would move as the border does.
        still = sp.diags(np.maximum(vertex_areas(context, head.context_triangles), 0.05))
        rows = (energy + still).tocsr()[self._free]
        self._from_known = sp.csr_matrix(rows[:, self._known])
        lower = sp.tril(rows[:, self._free], format="csc")
        lower.sort_indices()
        self._factor = analyze(lower).factor(lower.data)

    def following(self, context_mm: Array, before_mm: Array, face_mm: Array) -> Array:
        """Return the context (c, 3) of a face (n, 3) that takes the place of another."""
        moved = (face_mm - before_mm)[self._of_face]
        out = context_mm.copy()
        out[self._known] += moved
        out[self._free] += self._factor.solve(np.asarray(-(self._from_known @ moved)))
        return np.asarray(out)


def _generator(seed: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng([seed, purpose])


def _bounded_normal(count: int, rng: np.random.Generator) -> Array:
    z = rng.standard_normal(count)
    while (far := np.abs(z) > _LARGEST_SD).any():
        z[far] = rng.standard_normal(int(far.sum()))
    return z
