"""Rasterisers by name, all with the arguments and the result of `rasterize`."""

from __future__ import annotations

import importlib.util
from typing import Protocol

import numpy as np

from fg3d_builder.errors import MissingDependencyError
from fg3d_builder.records import Array
from fg3d_builder.rendering.fragments import Fragments

NEEDS = {"numba": "numba", "torch": "torch", "pytorch3d": "pytorch3d", "reference": "numpy"}
"""The package that each rasteriser needs."""


class Rasterizer(Protocol):
    """Renders one mesh; see `fg3d_builder.rendering.rasterizer.rasterize`."""

    def __call__(
        self,
        vertices_cam_mm: Array,
        triangles: Array,
        intrinsics: Array,
        height: int,
        width: int,
        cull_back_faces: bool = True,
    ) -> Fragments:
        """Return what the camera sees."""


def installed_rasterizers() -> list[str]:
    """Names that `open_rasterizer` takes on this machine."""
    return [name for name, package in NEEDS.items() if importlib.util.find_spec(package)]


def open_rasterizer(name: str, device: str = "cpu") -> Rasterizer:
    """Return the rasteriser of this name.

    Parameters
    ----------
    name : {"numba", "torch", "pytorch3d", "reference"}
        The compiled kernel, the vectorised form in torch, PyTorch3D's, or the slow obvious one.
    device : str
        Where "torch" and "pytorch3d" compute, e.g. ``"cuda"``; the others know "cpu" alone.

    Raises
    ------
    ValueError
        For a name that does not exist, or a device that the rasteriser does not know.
    MissingDependencyError
        If the package that it needs is absent.
    """
    installed = ", ".join(installed_rasterizers())
    if name not in NEEDS:
        raise ValueError(f"no rasteriser is called {name!r}; installed here: {installed}")
    if not importlib.util.find_spec(NEEDS[name]):
        raise MissingDependencyError(
            f"the rasteriser {name!r} needs the package {NEEDS[name]}; installed here: {installed}"
        )
    if name in ("torch", "pytorch3d"):
        return _OneOfBatch(name, device)
    if device != "cpu":
        raise ValueError(f"the rasteriser {name!r} runs on the CPU, not on {device!r}")
    if name == "numba":
        from fg3d_builder.rendering.rasterizer import rasterize

        return rasterize
    from fg3d_builder.rendering.rasterizer_reference import rasterize_reference

    return rasterize_reference


class _OneOfBatch:
    """A batched rasteriser that is given one mesh."""

    def __init__(self, name: str, device: str) -> None:
        from fg3d_builder.rendering.rasterizer_pytorch3d import rasterize_by_pytorch3d
        from fg3d_builder.rendering.rasterizer_torch import rasterize_vectorised

        self._batched = rasterize_vectorised if name == "torch" else rasterize_by_pytorch3d
        self._device = device

    def __call__(
        self,
        vertices_cam_mm: Array,
        triangles: Array,
        intrinsics: Array,
        height: int,
        width: int,
        cull_back_faces: bool = True,
    ) -> Fragments:
        import torch

        fragments = self._batched(
            torch.as_tensor(vertices_cam_mm, device=self._device)[None],
            torch.as_tensor(np.asarray(triangles), device=self._device),
            torch.as_tensor(intrinsics, device=self._device),
            height,
            width,
            cull_back_faces,
        )
        triangle, barycentric, depth_mm = (part[0].cpu().numpy() for part in fragments)
        return Fragments(triangle.astype(np.int32), barycentric, depth_mm)
