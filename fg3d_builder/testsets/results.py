"""What an evaluation finds: one row per image and method, and what could not take part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fg3d_builder.files.sealed import DamagedFileError, read_sealed_json, write_sealed_json
from fg3d_builder.files.sealed_object import read_sealed_object, write_sealed_object
from fg3d_builder.records import Array
from fg3d_builder.testsets.records import Unusable

RESULTS_NAME = "results.json"
SCHEMA = "fg3d-protocol-results-1"
ROW_SCHEMA = "fg3d-protocol-row-1"
"""Raise the number when the same image, truth and method give another row."""

FIT = "3DMM fit"
"""Name of the method that every evaluation reports: the fit that our network starts from."""


class ImageResult(NamedTuple):
    """What one method made of one image.

    Attributes
    ----------
    image_id, subject, method : str
    pitch_deg, yaw_deg : float or None
        Nominal or estimated, see `yaw_source`; None where nothing is known.
    yaw_source : str
        ``"nominal"``, ``"estimated"`` (by the 3DMM fit) or ``"unknown"`` (no fit).
    dace : float or None
        Fraction of the truth's outer interocular distance; None for a failure.
    coverage : float or None
        Share of the set C that the method's mesh reaches; 1 for meshes of our topology.
    code, reason : str
        Why there is no error; ``""`` where there is one.
    """

    image_id: str
    subject: str
    method: str
    pitch_deg: float | None
    yaw_deg: float | None
    yaw_source: str
    dace: float | None
    coverage: float | None
    code: str = ""
    reason: str = ""


@dataclass(frozen=True)
class ProtocolResults:
    """All rows of one protocol.

    Attributes
    ----------
    protocol : str
    methods : tuple of str
        In the order of tables: `FIT`, networks, other methods.
    rows : tuple of ImageResult
        Sorted by method (in the order of `methods`), then by image. Every method has a row
        for every image.
    unusable : tuple of Unusable
    settings : dict
        How it was measured; goes into the files as it is.
    """

    protocol: str
    methods: tuple[str, ...]
    rows: tuple[ImageResult, ...]
    unusable: tuple[Unusable, ...]
    settings: dict[str, Any]

    def of(self, method: str) -> tuple[ImageResult, ...]:
        """Rows of one method, sorted by image.

        Raises
        ------
        ValueError
            For a method that did not take part.
        """
        if method not in self.methods:
            raise ValueError(f"no method '{method}'; there are {', '.join(self.methods)}")
        return tuple(row for row in self.rows if row.method == method)

    def errors(self, method: str) -> Array:
        """(s,) float64 DACE of a method as fractions, infinite for failures."""
        return np.array([np.inf if r.dace is None else r.dace for r in self.of(method)])

    def measured_by_all(self, methods: Sequence[str]) -> Array:
        """(s,) bool images that all of some methods have an error for."""
        return np.all([np.isfinite(self.errors(method)) for method in methods], axis=0)

    @property
    def subjects(self) -> tuple[str, ...]:
        """(s,) subject of each image, in the order of `errors`."""
        return tuple(row.subject for row in self.of(self.methods[0]))


def write_results(results: ProtocolResults, folder: Path) -> Path:
    """Write ``results.json`` into a folder; equal results give equal bytes."""
    value = {
        **vars(results),
        "schema": SCHEMA,
        "rows": [row._asdict() for row in results.rows],
        "unusable": [image._asdict() for image in results.unusable],
    }
    write_sealed_object(folder / RESULTS_NAME, value)
    return folder / RESULTS_NAME


def read_results(path: Path) -> ProtocolResults:
    """Read the results of an earlier evaluation.

    Parameters
    ----------
    path : Path
        ``results.json``, or its folder.

    Raises
    ------
    FileNotFoundError
    ValueError
        Another file, naming it and what is wrong.
    """
    file = path / RESULTS_NAME if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"no results at {file}; `fg3d evaluate` writes them")
    try:
        value = read_sealed_object(file, SCHEMA)
        return ProtocolResults(
            value["protocol"],
            tuple(value["methods"]),
            tuple(ImageResult(**row) for row in value["rows"]),
            tuple(Unusable(**image) for image in value["unusable"]),
            value["settings"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: no results of an evaluation ({error})") from None


def write_row(path: Path, key: str, row: ImageResult) -> None:
    """Keep a row in a file, with the digest of all that it depends on."""
    write_sealed_json(path, {"schema": ROW_SCHEMA, "key": key, "row": row._asdict()})


def read_row(path: Path, key: str) -> ImageResult | None:
    """Return a row that was measured before from the same input, or None."""
    try:
        value = read_sealed_json(path)
        if value["schema"] != ROW_SCHEMA or value["key"] != key:
            return None
        row = ImageResult(**value["row"])
    except (FileNotFoundError, DamagedFileError, KeyError, TypeError):  # it is measured anew
        return None
    return row if row.dace is None or np.isfinite(row.dace) else None
