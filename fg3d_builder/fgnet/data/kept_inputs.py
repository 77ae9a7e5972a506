"""Simulated inputs that are made once, packed: in memory, or in files that training runs share.

Samples are not moved or turned between epochs, so their simulated views never change. On two
cores the simulation of five views costs as much as a step of the smallest network; what is kept
of it is packed to a sixth:

* pictures, PNCC and visibility in 8 bits, as the photos they come from were;
* places in a picture in 16 bits over [-2, 2), 0.004 pixels of a picture of 128 (what lies farther
  out shows nothing either way);
* ``S* - S`` and the map of ``S`` less the mean shape in half precision, within 0.01 mm up to
  32 mm, and the confidence likewise.

A kept input is the same whichever batch it was made in, whether it comes from memory or from a
file, so that training runs of the same seed end alike.
"""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fg3d_builder.config import digest
from fg3d_builder.fgnet.networks.architectures import NetworkInput
from fg3d_builder.files.atomic import remove_abandoned, replacing
from fg3d_builder.files.hashes import file_sha256
from fg3d_builder.files.locks import exclusive
from fg3d_builder.files.sealed import (
    DamagedFileError,
    damaged,
    read_sealed_json,
    write_sealed_json,
)
from fg3d_builder.records import Array

SCHEMA = "fg3d-inputs-4"
"""Raise it when the simulation shows other views: nothing else tells files of old code apart."""
DESCRIPTION_NAME = "inputs.json"
_PLACES = 8192.0
"""Steps per unit of `grid_sample`'s coordinates."""
_COLOURS = ("image", "pncc", "views")
_GRIDS = ("uv_from_image", "uv_from_view")
_MILLIMETRES = ("shape_map",)

log = logging.getLogger(__name__)


class Fed(NamedTuple):
    """One batch.

    Attributes
    ----------
    number : (B,) int64
        Numbers of the samples in their selection.
    given : NetworkInput
    features : (B, k) float32
        Of the fit, see `fg3d_builder.fgnet.calibration`.
    shape_mm, target_mm : (B, n, 3) float32
        The fit ``S``, and ``S*`` brought onto it.
    confidence : (B, n) float32
    """

    number: Tensor
    given: NetworkInput
    features: Tensor
    shape_mm: Tensor
    target_mm: Tensor
    confidence: Tensor


def rows_of(fed: Fed, rows: slice) -> Fed:
    """Return some samples of a batch."""
    given = NetworkInput(*(None if value is None else value[rows] for value in fed.given))
    return Fed(
        fed.number[rows],
        given,
        fed.features[rows],
        fed.shape_mm[rows],
        fed.target_mm[rows],
        fed.confidence[rows],
    )


Packed = dict[str, Array]
"""Arrays by name, the first axis counts samples."""


def packed(fed: Fed) -> Packed:
    """Pack a batch; `unpacked` is its inverse up to the rounding named above."""
    fields = {n: v for n, v in fed.given._asdict().items() if v is not None}
    arrays = {name: _packed_input(name, value) for name, value in fields.items()}
    arrays["features"] = _array(fed.features)
    arrays["shape_mm"] = _array(fed.shape_mm)
    arrays["offset_mm"] = _array(fed.target_mm - fed.shape_mm).astype(np.float16)
    arrays["confidence"] = _array(fed.confidence).astype(np.float16)
    return arrays


def unpacked(number: Sequence[int], arrays: Packed, device: torch.device) -> Fed:
    """Make a batch of the samples `number` from their packed arrays, on a device."""
    tensors = {name: torch.from_numpy(a).to(device) for name, a in arrays.items()}
    given = {
        name: _unpacked_input(name, tensors[name])
        for name in NetworkInput._fields
        if name in tensors
    }
    shape = tensors["shape_mm"]
    return Fed(
        number=torch.tensor(list(number)),
        given=NetworkInput(**given),
        features=tensors["features"],
        shape_mm=shape,
        target_mm=shape + tensors["offset_mm"].float(),
        confidence=tensors["confidence"].float(),
    )


class KeptInputs:
    """Packed inputs of the `count` samples of a selection."""

    def __init__(self, count: int) -> None:
        self._arrays: Packed = {}
        self._there = np.zeros(count, dtype=bool)

    def missing(self, numbers: Sequence[int]) -> list[int]:
        """Return those of `numbers` that are not kept yet, ascending."""
        return [i for i in sorted(set(numbers)) if not self._there[i]]

    def put(self, fed: Fed) -> None:
        """Keep a batch."""
        arrays = packed(fed)
        if not self._arrays:
            self._arrays = {n: self._room(n, a) for n, a in arrays.items()}
        rows = fed.number.numpy()
        for name, value in arrays.items():
            self._arrays[name][rows] = value
        self._there[rows] = True

    def batch(self, numbers: Sequence[int], device: torch.device) -> Fed:
        """Return samples that are all kept."""
        rows = np.asarray(numbers)
        return unpacked(numbers, {n: a[rows] for n, a in self._arrays.items()}, device)

    def _room(self, name: str, like: Array) -> Array:
        return np.empty((len(self._there), *like.shape[1:]), dtype=like.dtype)


class SharedInputs(KeptInputs):
    """The same in one file per array, which any number of training runs read at once.

    The files of a selection are below `folder`, named by the digest of `about`: everything that
    the inputs depend on. Their description is sealed and holds length and hash of each.
    """

    def __init__(self, folder: Path, count: int, about: dict[str, Any]) -> None:
        super().__init__(count)
        self._about = {"schema": SCHEMA, "samples": count, **about}
        self.folder = folder / f"inputs-{digest(self._about)}"
        self._writing = ExitStack()

    def open_or_make(self, batches: Callable[[], Iterator[Fed]], checks: bool = True) -> None:
        """Open the files; make them of all `batches` where there are none, while others wait.

        Damaged files are set aside and made again. With `checks` every byte is read for that
        once per process, else lengths alone are compared.
        """
        with exclusive(self.folder / "lock"):
            try:
                self._open(checks)
            except (FileNotFoundError, DamagedFileError) as error:
                if isinstance(error, DamagedFileError):
                    log.warning("%s; it is made again", error)
                remove_abandoned(self.folder)
                self._make(batches())
                self._open(checks=False)
        self._there[:] = True

    def _open(self, checks: bool) -> None:
        """Open the files that the description names, after comparing them with it."""
        began = time.monotonic()
        files = read_sealed_json(self.folder / DESCRIPTION_NAME)["files"]
        for name, known in files.items():
            path = self.folder / name
            there = path.stat()
            if there.st_size != known["bytes"]:
                raise damaged(path, f"{there.st_size} bytes instead of {known['bytes']}")
            if checks and _hash(path, there.st_size, there.st_mtime_ns) != known["sha256"]:
                raise damaged(path, "its content does not fit its hash")
        if checks:
            log.info("%s: checked in %.1f s", self.folder, time.monotonic() - began)
        self._arrays = {
            name.removesuffix(".npy"): np.load(self.folder / name, mmap_mode="r") for name in files
        }

    def _make(self, batches: Iterator[Fed]) -> None:
        with self._writing:
            for fed in batches:
                self.put(fed)
            for array in self._arrays.values():
                array.flush()  # type: ignore[attr-defined]  # memory maps, see `_room`
        files = {}
        for name in sorted(self._arrays):
            path = self.folder / f"{name}.npy"
            files[path.name] = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        # Last: without it the files are nobody's.
        write_sealed_json(self.folder / DESCRIPTION_NAME, {**self._about, "files": files})

    def _room(self, name: str, like: Array) -> Array:
        path = self._writing.enter_context(replacing(self.folder / f"{name}.npy"))
        return np.lib.format.open_memmap(
            os.fspath(path), mode="w+", dtype=like.dtype, shape=(len(self._there), *like.shape[1:])
        )


@functools.cache
def _hash(path: Path, size: int, changed_ns: int) -> str:
    """SHA-256 of a file, computed anew where its size or time has changed."""
    return file_sha256(path)


def _packed_input(name: str, value: Tensor) -> Array:
    if name in _MILLIMETRES:
        return _array(value).astype(np.float16)
    if name in _COLOURS:
        value = (value + 1.0) * 127.5
    elif name in _GRIDS:
        return _array((value * _PLACES).round().clamp(-2 * _PLACES, 2 * _PLACES - 1)).astype("i2")
    else:
        value = value * 255.0
    return _array(value.round().clamp(0.0, 255.0)).astype(np.uint8)


def _unpacked_input(name: str, value: Tensor) -> Tensor:
    if name in _MILLIMETRES:
        return value.float()
    if name in _COLOURS:
        return value.float() / 127.5 - 1.0
    return value.float() / (_PLACES if name in _GRIDS else 255.0)


def _array(value: Tensor) -> Array:
    return np.asarray(value.cpu().numpy())
