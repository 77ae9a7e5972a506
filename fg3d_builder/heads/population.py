"""Synthetic people: heads from MakeHuman's full shape space, with relief, skin and context.

A head is drawn on the default model's topology but not from the default model: its identity
comes from the full target space (of which the model knows the leading principal components),
its facial actions are personal, and it carries fine relief that no component spans.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.heads.anatomy import build_anatomy
from fg3d_builder.heads.blink import closing_blinks
from fg3d_builder.heads.head import HeadSource, build_head, read_head, write_head
from fg3d_builder.heads.identity import IdentitySampler
from fg3d_builder.heads.makehuman import Macro, MakeHumanData
from fg3d_builder.heads.recipe import load_recipe
from fg3d_builder.heads.relief import draw_relief, smooth_fields
from fg3d_builder.heads.skin import draw_traits, paint_context, paint_face
from fg3d_builder.records import Array

_SHAPE, _RELIEF, _MOTION, _SKIN = range(4)


@dataclass(frozen=True)
class SyntheticHead:
    """One synthetic person.

    Attributes
    ----------
    neutral_obj_mm : (n, 3) float64
        Neutral face on the default model's topology.
    expression_offsets : (n, 3, e) float32
        Personal facial actions, mm at full activation, in the order of the default model's
        expression directions.
    albedo : (n, 3) float64
        Linear RGB.
    context_vertices_obj_mm : (c, 3) float64
        Ears, scalp, neck and shoulders. Expressions do not move them; they fade out before
        the face's border.
    context_triangles : (k, 3) int32
    context_albedo : (c, 3) float64
    """

    neutral_obj_mm: Array
    expression_offsets: Array
    albedo: Array
    context_vertices_obj_mm: Array
    context_triangles: Array
    context_albedo: Array

    def shape(self, weights: Array | None = None) -> Array:
        """Return the (n, 3) face with the given (e,) activations of the facial actions, mm."""
        if weights is None:
            return self.neutral_obj_mm.copy()
        offsets = self.expression_offsets @ np.asarray(weights, dtype=np.float32)
        return np.asarray(self.neutral_obj_mm + offsets)


class HeadPopulation:
    """An endless supply of synthetic people; the same seed gives the same person.

    Attributes
    ----------
    head : HeadSource
    anatomy : Anatomy
    average_mm : (n, 3) float64
        Face of the average adult; every head is aligned to it.
    align : (n,) bool
        Vertices at which heads are aligned.
    action_names : tuple of str
    """

    def __init__(self, recipe: Mapping[str, Any], head: HeadSource, banks: list[Array]) -> None:
        self.recipe = recipe
        self.head = head
        self.banks = banks
        self.action_names = head.action_names
        local = [name for name in head.target_names if not name.startswith("macrodetails/")]
        self.sampler = IdentitySampler(recipe["population"], local)
        if tuple(self.sampler.target_names) != head.target_names:
            raise ValueError("the stored head does not match the recipe's shape targets")
        base = head.base(self.sampler.average())
        self.average_mm = head.face(base)
        self.anatomy = build_anatomy(head, base, recipe["anchors"], recipe["paint"])
        self.actions_mm = self._closing(self.average_mm, head.actions())
        self.align = steady_region(self.average_mm, self.actions_mm, head)

    @staticmethod
    def read(path: Path) -> HeadPopulation:
        """Read the file that `build_heads` writes; the recipe is the package's own."""
        with h5py.File(path, "r") as file:
            head = read_head(file["head"])
            banks = [file[f"fields/{i}"][...] for i in range(len(file["fields"]))]
        return HeadPopulation(load_recipe(), head, banks)

    def neutral(self, seed: int) -> tuple[Macro, Array, Array]:
        """Return a person's phenotype, smooth neutral face (n, 3) and context (c, 3), aligned."""
        macro, weights = self.sampler.draw(np.random.default_rng([seed, _SHAPE]))
        base = self.head.base(weights)
        face = self.head.face(base)
        context = self.head.surroundings(base, face)
        rotation, shift = rigid_between(face[self.align], self.average_mm[self.align])
        return macro, face @ rotation.T + shift, context @ rotation.T + shift

    def albedo(self, seed: int) -> tuple[Array, Array]:
        """Return the albedo of face (n, 3) and context (c, 3) of a person."""
        macro = self.sampler.draw_macro(np.random.default_rng([seed, _SHAPE]))
        rng = np.random.default_rng([seed, _SKIN])
        traits = draw_traits(macro, rng)
        face = paint_face(traits, self.anatomy, self.banks, self.head.border_calm, rng)
        return np.clip(face, 0.0, 1.0), paint_context(traits, self.anatomy)

    def subject(self, seed: int) -> SyntheticHead:
        """Draw a person."""
        macro, face, context = self.neutral(seed)
        relief = draw_relief(
            self.banks,
            self.anatomy,
            self.head.border_calm,
            macro.age,
            self.recipe["relief"],
            np.random.default_rng([seed, _RELIEF]),
        )
        normals = vertex_normals(face, self.head.sheet_triangles)
        albedo, context_albedo = self.albedo(seed)
        neutral = face + relief[:, None] * normals
        return SyntheticHead(
            neutral_obj_mm=neutral,
            expression_offsets=self._personal_actions(
                neutral, np.random.default_rng([seed, _MOTION])
            ),
            albedo=albedo,
            context_vertices_obj_mm=context,
            context_triangles=self.head.context_triangles,
            context_albedo=context_albedo,
        )

    def _personal_actions(self, face_mm: Array, rng: np.random.Generator) -> Array:
        """Facial actions with a person's own strength, uneven over the face; blinks that close."""
        spread = self.recipe["expression"]["personal"]
        gain = np.exp(rng.normal(0.0, spread, len(self.action_names)))
        coarse = self.banks[-1]
        uneven = 1 + spread * np.clip(coarse[int(rng.integers(len(coarse)))], -2, 2)
        factor = (uneven[:, None] * gain).astype(np.float32)
        return self._closing(face_mm, self.actions_mm * factor[:, None, :])

    def _closing(self, face_mm: Array, actions_mm: Array) -> Array:
        return closing_blinks(
            face_mm, actions_mm, self.action_names, self.head.sheet_triangles, self.head.eye
        )


def rigid_between(source: Array, target: Array) -> tuple[Array, Array]:
    """Return the rotation and shift that bring (k, 3) points closest to others (Kabsch).

    `source` is brought to `target`.
    """
    a, b = source.mean(axis=0), target.mean(axis=0)
    u, _, vt = np.linalg.svd((source - a).T @ (target - b))
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))])
    rotation = vt.T @ sign @ u.T
    return rotation, b - rotation @ a


def steady_region(face_mm: Array, actions_mm: Array, head: HeadSource) -> Array:
    """Return (n,) bool: skin of forehead, nose bridge, upper cheeks, which actions hardly move."""
    motion = np.sqrt((actions_mm.astype(np.float64) ** 2).sum(axis=(1, 2)))
    upper = (
        (head.border_calm > 0.8) & (head.eye == 0) & (face_mm[:, 1] > -25) & (face_mm[:, 2] > 20)
    )
    return np.asarray(upper & (motion < np.quantile(motion[upper], 0.55)))


def build_heads(path: Path) -> None:
    """Write the head and the random fields that populations are made of, as HDF5."""
    recipe = load_recipe()
    head = build_head(MakeHumanData.find(), recipe)
    plain = HeadPopulation(recipe, head, [])
    relief = recipe["relief"]
    rng = np.random.default_rng(relief["seed"])
    with h5py.File(path, "w") as file:
        write_head(head, file.create_group("head"))
        for i, scale in enumerate(relief["scale_mm"]):
            file[f"fields/{i}"] = smooth_fields(
                plain.average_mm, head.sheet_triangles, scale, relief["fields"], rng
            )
