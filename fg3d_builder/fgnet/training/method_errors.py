"""Errors of one method on the samples of a split, and those that training runs share.

What looks at no pixel has the same errors on the same samples in every run of a table: the fit
whatever is trained, the constant and the ridge wherever they were learnt from the same samples.
They are measured once and kept in files. The name of a file is a digest of all that its content
follows from, the code that measures included, so that nothing old passes for new; each file has a
seal, and one that does not fit it is set aside and made again.
"""

from __future__ import annotations

import functools
import io
import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from fg3d_builder.evaluation import Correspondence, ShapeError, VertexErrorMap
from fg3d_builder.fgnet.calibration import Calibration
from fg3d_builder.fgnet.training.names import CALIBRATED, CONSTANT, FIT, KEYS
from fg3d_builder.files.hashes import sha256
from fg3d_builder.files.sealed import (
    BLOCK,
    DamagedFileError,
    damaged,
    json_sha256,
    read_sealed,
    write_sealed,
)
from fg3d_builder.records import Array

SCHEMA = "fg3d-errors-1"
_PACKAGE = Path(__file__).resolve().parents[2]
_MEASURES = ("evaluation", "facemodel", "fgnet", "geometry", "rendering", "shards")
"""Folders whose code decides what is measured, and of what."""

log = logging.getLogger(__name__)


class MethodErrors(NamedTuple):
    """Errors of one method on s samples, as fractions of the interocular distance.

    Attributes
    ----------
    nme : (s,) float64
    map_mm : (n,) float64
        Mean error of each vertex, NaN where no sample has it in C.
    dace : (s,) float64 or None
    psd : (s,) float64 or None
        In units of full brightness.
    """

    nme: Array
    map_mm: Array
    dace: Array | None = None
    psd: Array | None = None


class ErrorsTaken:
    """Takes in errors of one method, sample by sample.

    Parameters
    ----------
    vertex_count : int
        Of the face model.
    """

    def __init__(self, vertex_count: int) -> None:
        self._map = VertexErrorMap(vertex_count)
        self.nme: list[float] = []
        self.dace: list[float] = []
        self.psd: list[float] = []

    def add(self, error: ShapeError, pairs: Correspondence, between_eyes_mm: float) -> None:
        """Take in the NME of a sample."""
        self.nme.append(error.value)
        self._map.add(error._replace(per_place=error.per_place * between_eyes_mm), pairs)

    def all(self) -> MethodErrors:
        """Return what was taken in."""
        dace, psd = (np.array(values) if values else None for values in (self.dace, self.psd))
        return MethodErrors(np.array(self.nme), self._map.mean, dace, psd)


class SharedErrors:
    """Files with errors of methods that look at no pixel, of any number of runs.

    Parameters
    ----------
    folder : Path
    calibration : Calibration
        The constant and the ridge of this run.
    """

    def __init__(self, folder: Path, calibration: Calibration) -> None:
        self._folder = folder
        constant = sha256(calibration.constant_mm.cpu().numpy().tobytes())
        self._learnt = {FIT: "", CONSTANT: constant, CALIBRATED: weights_sha256(calibration)}

    def read(self, method: str, about: dict[str, Any]) -> MethodErrors | None:
        """Return the errors of a method, None where nobody has measured them.

        Parameters
        ----------
        method : str
        about : dict
            The samples and what is measured of them; JSON values.
        """
        if method not in self._learnt:
            return None
        path = self._path(method, about)
        try:
            data = read_sealed(path, SCHEMA)
            with np.load(io.BytesIO(memoryview(data)[BLOCK:]), allow_pickle=False) as file:
                found = dict(file)
            if str(found.pop("name")) != path.name:
                raise damaged(path, "it was another file")
            return MethodErrors(**found)
        except FileNotFoundError:
            return None
        except DamagedFileError as error:
            log.warning("%s; the %s is measured again", error, method)
            return None

    def write(self, method: str, about: dict[str, Any], errors: MethodErrors) -> None:
        """Keep errors for other runs, if they are those of a method that looks at no pixel."""
        if method in self._learnt:
            path, content = self._path(method, about), io.BytesIO()
            arrays = {n: v for n, v in errors._asdict().items() if v is not None}
            np.savez(content, name=np.array(path.name), **arrays)
            write_sealed(path, SCHEMA, content.getvalue())

    def _path(self, method: str, about: dict[str, Any]) -> Path:
        key = {**about, "method": method, "learnt": self._learnt[method], "code": code_sha256()}
        return self._folder / f"errors-{KEYS[method]}-{json_sha256(key)[:24]}"


def weights_sha256(module: nn.Module) -> str:
    """Return the SHA-256 of a module's weights and buffers, with their names and shapes."""
    parts = [
        f"{name} {tuple(value.shape)} {sha256(value.cpu().numpy().tobytes())}"
        for name, value in sorted(module.state_dict().items())
    ]
    return sha256("\n".join(parts).encode())


@functools.cache
def code_sha256() -> str:
    """Return the SHA-256 of the code that reads samples and measures errors."""
    files = sorted(file for name in _MEASURES for file in (_PACKAGE / name).rglob("*.py"))
    parts = [
        f"{file.relative_to(_PACKAGE).as_posix()} {sha256(file.read_bytes())}" for file in files
    ]
    return sha256("\n".join(parts).encode())
