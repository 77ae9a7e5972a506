"""Draws heads from MakeHuman's shape space: phenotype, local changes, asymmetry.

How the local changes are distributed was fitted to real faces (``templates/real-faces.toml``):
for what is the same on both sides, and for what differs between them, a mean, a few common
factors, and what every axis does on its own. Axes that a face does not show, those of the ears,
have a hand-set spread instead.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

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

_AVERAGE = Macro(0.5, 0.0, 0.5, 0.5, 0.5, 1 / 3, 1 / 3, 1 / 3)

_SIDEWAYS = ("asym/", "nose/nose-trans-in", "mouth/mouth-trans-in")
"""Names of changes in the middle that move something sideways."""


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
        Hand-set standard deviation.
    """

    name: str
    plus: tuple[str, ...]
    minus: tuple[str, ...]
    sd: float

    @property
    def turns_over(self) -> bool:
        """Whether mirroring a head changes the sign of this change, made in the middle."""
        return len(self.plus) == 1 and self.name.startswith(_SIDEWAYS)


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


class Spread(NamedTuple):
    """Normal distribution of one quantity of every axis: ``mean + loadings z + own e``.

    Attributes
    ----------
    mean, own : (a,) float64
    loadings : (a, k) float64
    """

    mean: Array
    own: Array
    loadings: Array

    def draw(self, rng: np.random.Generator) -> Array:
        """Return (a,) values."""
        common = self.loadings @ rng.standard_normal(self.loadings.shape[1])
        return np.asarray(self.mean + common + self.own * rng.standard_normal(len(self.own)))

    @staticmethod
    def read(table: Mapping[str, Sequence[float]], axes: Sequence[LocalAxis], own: Array) -> Spread:
        """Read a table of rows ``[mean, own, loadings...]`` by axis.

        Axes that are not in it have the mean 0 and the standard deviation in `own` (a,).

        Raises
        ------
        ValueError
            Rows of different lengths, or a row of an axis that does not exist.
        """
        unknown = set(table) - {axis.name for axis in axes}
        if unknown:
            raise ValueError(f"the recipe spreads shape axes that do not exist: {sorted(unknown)}")
        lengths = {len(row) for row in table.values()} or {2}
        if len(lengths) > 1 or min(lengths) < 2:
            raise ValueError("the rows of a spread must be equally long: mean, own, loadings")
        rows = np.zeros((len(axes), lengths.pop()))
        rows[:, 1] = own
        for number, axis in enumerate(axes):
            if axis.name in table:
                rows[number] = table[axis.name]
        return Spread(rows[:, 0], rows[:, 1], rows[:, 2:])


class IdentitySampler:
    """Draws weights of shape targets.

    Parameters
    ----------
    recipe : mapping
        The table ``population`` of the recipe.
    local_names : sequence of str
        All local targets of the data.

    Attributes
    ----------
    axes : list of LocalAxis
    target_names : list of str
    phenotype_share : float
        How far a phenotype moves the shape, against MakeHuman's own reach.
    """

    def __init__(self, recipe: Mapping[str, Any], local_names: Sequence[str]) -> None:
        self._macro = recipe["macro"]
        sd = {k: float(v) for k, v in recipe["local"].items()}
        self.axes = local_axes(local_names, sd, recipe["skip"]["patterns"])
        self._macro_names = macro_target_names()
        used = sorted({t for axis in self.axes for t in (*axis.plus, *axis.minus)})
        self.target_names = [*self._macro_names, *used]
        self._index = {name: i for i, name in enumerate(self.target_names)}
        faces = recipe["faces"]
        self.phenotype_share = float(faces["phenotype_share"])
        self._limit = float(faces["limit"])
        hand_set = np.array([axis.sd for axis in self.axes])
        unevenness = np.where([axis.turns_over for axis in self.axes], 1.0, sd["asymmetry"])
        self._both = Spread.read(faces["both_sides"], self.axes, hand_set)
        self._apart = Spread.read(faces["sides_apart"], self.axes, unevenness * hand_set)

    def average(self) -> Array:
        """Return the weights of the average young adult: the centre of every axis."""
        return self.weights(self.phenotype_weights(None), self._both.mean, self._apart.mean)

    def draw(self, rng: np.random.Generator) -> tuple[Macro, Array]:
        """Draw one adult: the phenotype and the (t,) weights of `target_names`."""
        macro = self.draw_macro(rng)
        both, apart = self._both.draw(rng), self._apart.draw(rng)
        return macro, self.weights(self.phenotype_weights(macro), both, apart)

    def weights(self, phenotype: Array, both_sides: Array, sides_apart: Array) -> Array:
        """Return the (t,) weights of targets.

        Parameters
        ----------
        phenotype : (m,) float64
            Weights of the phenotype's targets.
        both_sides, sides_apart : (a,) float64
            Of every axis: what its sides have in common, and half of left less right. Where a
            change in the middle is the same on both sides the second does not count; where it
            `turns_over`, the first does not.
        """
        weights = np.zeros(len(self.target_names))
        weights[: len(self._macro_names)] = phenotype
        for axis, both, apart in zip(self.axes, both_sides, sides_apart, strict=True):
            if len(axis.plus) > 1:
                values = [both + apart, both - apart]
            else:
                values = [apart if axis.turns_over else both]
            for side, value in enumerate(values):
                self._set(weights, axis, side, float(np.clip(value, -self._limit, self._limit)))
        return weights

    def phenotype_weights(self, macro: Macro | None) -> Array:
        """Return the (m,) weights of a phenotype's targets; those of the average for None."""
        middle = macro_weights(_AVERAGE)
        if macro is None:
            return middle
        return np.asarray(middle + self.phenotype_share * (macro_weights(macro) - middle))

    def _set(self, weights: Array, axis: LocalAxis, side: int, value: float) -> None:
        """Set the weight of the target that the value's sign chooses."""
        if value >= 0:
            weights[self._index[axis.plus[side]]] = value
        elif axis.minus:
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
