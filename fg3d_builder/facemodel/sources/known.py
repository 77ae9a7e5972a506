"""All kinds of model files that can be imported, and which of them a path is."""

from __future__ import annotations

from pathlib import Path

from fg3d_builder.facemodel.sources import (
    bfm2009,
    bfm_hdf5,
    facescape,
    flame,
    gnm,
    ict,
    plain_arrays,
    surrey,
    tddfa,
    tddfa_v2,
)
from fg3d_builder.facemodel.sources.layout import SourceLayout
from fg3d_builder.facemodel.sources.source import ModelSource, check_source

LAYOUTS: tuple[SourceLayout, ...] = (
    bfm2009.LAYOUT,
    *bfm_hdf5.LAYOUTS,
    tddfa.LAYOUT,
    tddfa_v2.LAYOUT,
    ict.LAYOUT,
    flame.LAYOUT,
    gnm.LAYOUT,
    surrey.LAYOUT,
    facescape.LAYOUT,
    plain_arrays.LAYOUT,
)
"""In the order in which they are tried."""


def layout_of(path: Path, name: str = "") -> SourceLayout:
    """Return the kind of a model's files.

    Parameters
    ----------
    path : Path
        A file or folder.
    name : str
        The kind, where a person names it; empty tells it from the files.

    Raises
    ------
    ValueError
        Of no known kind, of several, or not of the kind that is named; one line.
    """
    if name:
        named = [layout for layout in LAYOUTS if layout.name == name]
        if not named:
            kinds = ", ".join(layout.name for layout in LAYOUTS)
            raise ValueError(f"no model files of kind '{name}' are known; there are {kinds}")
        return named[0]
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder")
    fitting = [layout for layout in LAYOUTS if layout.files(path)]
    if len(fitting) == 1:
        return fitting[0]
    kinds = ", ".join(layout.name for layout in fitting or LAYOUTS)
    if fitting:
        raise ValueError(f"{path} may be read as {kinds}: say which with --kind")
    problem = f"holds no face model of a known kind ({kinds})"
    raise ValueError(f"{path} {problem}; see docs/facemodels.md")


def read_source(path: Path, name: str = "") -> ModelSource:
    """Read a model's files; see `layout_of`.

    Raises
    ------
    ValueError
        Names file and field.
    """
    source = layout_of(path, name).read(path)
    try:
        check_source(source)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return source
