"""Mutations of HDF5 files by HDF5's own means: what is declared, linked, missing or odd."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.drill.mutate_bytes import Random


def odd_model(path: Path, rng: Random) -> None:
    """Change one dataset or attribute of an HDF5 file so that HDF5 itself finds nothing wrong."""
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visititems(lambda n, o: names.append(n) if isinstance(o, h5py.Dataset) else None)
        name = names[int(rng.integers(len(names)))]
        values = file[name][()]
        way = int(rng.integers(7))
        if way == 0:
            del file[name]
        elif way == 1:
            _replaced(file, name, np.resize(values, [max(0, s - 1) for s in values.shape]))
        elif way == 2:
            _replaced(file, name, values.ravel())
        elif way == 3:
            del file[name]
            file[name] = h5py.ExternalLink("/etc/hostname", "/x")
        elif way == 4:
            key = list(file.attrs)[int(rng.integers(len(file.attrs)))]
            if rng.random() < 0.5:
                del file.attrs[key]
            else:
                file.attrs[key] = [1, -5] if rng.random() < 0.5 else "x\x01" * 40
        elif way == 5:
            shape = tuple(s * 4000 for s in values.shape) or (10**9,)
            del file[name]
            # Declared, not there: gigabytes of fill values from a small file.
            file.create_dataset(name, shape, values.dtype, chunks=True)
        else:
            odd = [np.nan, np.inf, 1e30, -1.0] if values.dtype.kind == "f" else [-1, 2**31 - 1, 255]
            changed = values.copy().reshape(-1)
            if len(changed):
                with warnings.catch_warnings(), np.errstate(all="ignore"):
                    warnings.simplefilter("ignore")
                    where = int(rng.integers(len(changed)))
                    value = np.array(odd[int(rng.integers(len(odd)))]).astype(values.dtype)
                    changed[where] = value
                _replaced(file, name, changed.reshape(values.shape))


def _replaced(file: h5py.File, name: str, values: Any) -> None:
    del file[name]
    file[name] = values
