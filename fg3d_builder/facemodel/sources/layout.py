"""What is known of one published model's files: how they are told, and who reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from fg3d_builder.facemodel.sources.source import ModelSource


class SourceLayout(NamedTuple):
    """One kind of model files.

    Attributes
    ----------
    name : str
        As people type it, for example ``"bfm2009"``.
    title : str
        One line for the list of what can be imported.
    page : str
        File in ``docs/facemodels`` that says where the model comes from and what is read.
    files : callable
        Takes a file or folder and returns the files that would be read, first the one that
        names the model; ``()`` where this is no such model. Looks at names and first bytes
        only, and raises nothing.
    read : callable
        Takes the same file or folder and returns the model. Raises `ValueError` with the file
        and the field in one line.
    """

    name: str
    title: str
    page: str
    files: Callable[[Path], tuple[Path, ...]]
    read: Callable[[Path], ModelSource]
