"""The people of a blend, in the file of its face model: the group ``population``."""

from __future__ import annotations

import os
from collections.abc import Sequence

import h5py
import numpy as np

from fg3d_builder.facemodel.blend import BlendSource
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.storage import opened_model, save_model

GROUP = "population"


def save_blend(
    model: FaceModel, sources: Sequence[BlendSource], path: str | os.PathLike[str]
) -> None:
    """Write a model with what it is blended of.

    Raises
    ------
    ValueError
        The model contradicts itself; names the field.
    """

    def population(file: h5py.File) -> None:
        for number, source in enumerate(sources):
            group = file.create_group(f"{GROUP}/{number:02d}")
            for name in ("name", "licence", "topology_hash", "weight"):
                group.attrs[name] = getattr(source, name)
            for name in ("mean_mm", "deviations_mm"):
                values = getattr(source, name).astype("<f4")
                group.create_dataset(name, data=values, compression="gzip", shuffle=True)

    save_model(model, path, population)


def load_blend_sources(
    path: str | os.PathLike[str], topology_hash: str | None = None
) -> tuple[BlendSource, ...]:
    """Read what a model is blended of.

    Parameters
    ----------
    path : path-like
    topology_hash : str, optional
        Topology that the blend has to be in.

    Raises
    ------
    FileNotFoundError
    ValueError
        No sound face model file, one that is no blend, or one in another topology; names the file.
    """
    with opened_model(path) as file:
        if GROUP not in file:
            raise ValueError(
                f"{path}: this face model has no people of its own to draw; "
                "`fg3d models blend` writes files that have"
            )
        if topology_hash is not None and str(file.attrs["topology_hash"]) != topology_hash:
            raise ValueError(
                f"{path}: this blend is in another topology than the embedded model, which gives "
                "people their heads; make it again with `fg3d models blend default ...`"
            )
        return tuple(_read(file[GROUP][key]) for key in sorted(file[GROUP]))


def _read(group: h5py.Group) -> BlendSource:
    return BlendSource(
        name=str(group.attrs["name"]),
        licence=str(group.attrs["licence"]),
        topology_hash=str(group.attrs["topology_hash"]),
        weight=float(group.attrs["weight"]),
        mean_mm=group["mean_mm"][()].astype(np.float64),
        deviations_mm=group["deviations_mm"][()].astype(np.float64),
    )
