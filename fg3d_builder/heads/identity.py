"""Draws heads from MakeHuman's shape space: phenotype, local changes, asymmetry."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fg3d_builder.heads.makehuman import Macro, macro_target_names, macro_weights
from fg3d_builder.records import Array

_OPPOSITES = (
    ("decr", "incr"),
    ("down", "up"),
    ("in", "out"),
    ("backward", "forward"),
    ("concave", "convex"),
    ("compress", "uncompress"),
    ("-l", "-r"),
)


@dataclass(frozen=True)
class LocalAxis:
    """One direction of local change.

    Attributes
    ----------
    name : str
        Name without side and sign.
    plus, minus : tuple of str
        Targets for positive and negative values: one for a change in the middle or of both
        sides together, two (left, right) for a change that each side makes on its own.
        `minus` is empty where the change has no opposite; its values are then non-negative.
    sd : float
    """

    name: str
    plus: tuple[str, ...]
    minus: tuple[str, ...]
    sd: float


def local_axes(
    names: Sequence[str], sd: Mapping[str, float], skip: Sequence[str]
) -> list[LocalAxis]:
    """Group target names (``folder/stem``) into axes, sorted by name."""
    kept = [n for n in names if not any(fnmatch.fnmatch(n, pattern) for pattern in skip)]
    axes: list[LocalAxis] = []
    done: set[str] = set()
    for name in sorted(kept):
        if name in done:
            continue
        sides = (name, name.replace("/l-", "/r-")) if "/l-" in name else (name,)
        opposite = _opposite(name, kept)
        pair = (opposite, opposite.replace("/l-", "/r-"))[: len(sides)] if opposite else ()
        done.update(sides, pair)
        axes.append(LocalAxis(name, sides, pair, sd[name.split("/")[0]]))
    return axes


def _opposite(name: str, names: Sequence[str]) -> str:
    for low, high in _OPPOSITES:
        for own, other in ((low, high), (high, low)):
            if name.endswith(own) and name[: -len(own)] + other in names:
                return name[: -len(own)] + other
    return ""


class IdentitySampler:
    """Draws weights of shape targets.

    Parameters
    ----------
    recipe : mapping
        The table ``population`` of the recipe.
    local_names : sequence of str
        All local targets of the data.
    """

    def __init__(self, recipe: Mapping[str, Any], local_names: Sequence[str]) -> None:
        self._macro = recipe["macro"]
        self._limit = float(recipe["local"]["limit"])
        self._asymmetry = float(recipe["local"]["asymmetry"])
        sd = {k: float(v) for k, v in recipe["local"].items()}
        self.axes = local_axes(local_names, sd, recipe["skip"]["patterns"])
        self._centre = {k: float(v) for k, v in recipe["centre"].items()}
        self._macro_names = macro_target_names()
        used = sorted({t for axis in self.axes for t in (*axis.plus, *axis.minus)})
        self.target_names = [*self._macro_names, *used]
        self._index = {name: i for i, name in enumerate(self.target_names)}

    def average(self) -> Array:
        """Return the weights of the average young adult: the centre of every axis."""
        weights = np.zeros(len(self.target_names))
        centre = Macro(0.5, 0.0, 0.5, 0.5, 0.5, 1 / 3, 1 / 3, 1 / 3)
        weights[: len(self._macro_names)] = macro_weights(centre)
        for axis in self.axes:
            for side in range(len(axis.plus)):
                self._set(weights, axis, side, self._middle(axis))
        return weights

    def draw(self, rng: np.random.Generator) -> tuple[Macro, Array]:
        """Draw one adult: the phenotype and the (t,) weights of `target_names`."""
        macro = self.draw_macro(rng)
        weights = np.zeros(len(self.target_names))
        weights[: len(self._macro_names)] = macro_weights(macro)
        for axis in self.axes:
            common = rng.standard_normal()
            for side in range(len(axis.plus)):
                own = rng.standard_normal() if len(axis.plus) > 1 else 0.0
                value = axis.sd * (common + self._asymmetry * own)
                value = float(np.clip(value, -self._limit, self._limit))
                self._set(weights, axis, side, self._middle(axis) + value)
        return macro, weights

    def _middle(self, axis: LocalAxis) -> float:
        return self._centre.get(axis.plus[0], 0.0) - self._centre.get((*axis.minus, "")[0], 0.0)

    def _set(self, weights: Array, axis: LocalAxis, side: int, value: float) -> None:
        """Set the weight of the target that the value's sign chooses."""
        if not axis.minus:
            weights[self._index[axis.plus[side]]] = abs(value)
        elif value >= 0:
            weights[self._index[axis.plus[side]]] = value
        else:
            weights[self._index[axis.minus[side]]] = -value

    def draw_macro(self, rng: np.random.Generator) -> Macro:
        """Draw the phenotype alone."""
        recipe = self._macro

        def normal(name: str) -> float:
            return float(np.clip(rng.normal(recipe[name]["mean"], recipe[name]["sd"]), 0.05, 0.95))

        gender = recipe["gender"]
        centre = gender["centres"][int(rng.integers(len(gender["centres"])))]
        age = recipe["age"]
        race = rng.dirichlet([recipe["ethnicity_concentration"]] * 3)
        return Macro(
            gender=float(np.clip(rng.normal(centre, gender["sd"]), 0.0, 1.0)),
            age=float(rng.beta(age["alpha"], age["beta"]) * age["highest"]),
            muscle=normal("muscle"),
            weight=normal("weight"),
            height=normal("height"),
            african=float(race[0]),
            asian=float(race[1]),
            caucasian=float(race[2]),
        )
