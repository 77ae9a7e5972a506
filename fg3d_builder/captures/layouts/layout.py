"""What the reader of one layout of files has to give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fg3d_builder.files.textured_mesh import TexturedMesh
from fg3d_builder.records import Array, Landmarks


@dataclass(frozen=True)
class Item:
    """One frame or scan that was found, before it is read.

    Attributes
    ----------
    name : str
        Unique within the source; becomes the capture's id, see `source.safe_id`.
    subject : str
        Who it is, as the layout names people; ``""`` where that cannot be read.
    files : tuple of Path
        All files that it is read from, the main one first. A build notices when one of them
        changes.
    expression : str
        Free tag.
    sequence : str
        What frames that follow each other in time have in common; ``""`` for single pictures.
    frame : int
        Number within its sequence, or within a file of several frames.
    peak : bool
        The layout's own labels say that the expression is strongest here.
    refusal : str
        Why it cannot be used, although its files are there; it ends as a recorded failure.
    sex : str
        One of `records.SEXES`; ``""`` where the layout does not say.
    """

    name: str
    subject: str
    files: tuple[Path, ...]
    expression: str = "neutral"
    sequence: str = ""
    frame: int = 0
    peak: bool = False
    refusal: str = ""
    sex: str = ""


@dataclass(frozen=True)
class Frame:
    """An RGB-D frame as it was read; the members are those of `records.Capture`.

    Attributes
    ----------
    rgb : (H, W, 3) uint8
    depth_mm : (H, W) float32
        Along the camera's z axis, aligned to `rgb`; NaN where there is none.
    intrinsics : (3, 3) float64
        Of `rgb`.
    landmarks : Landmarks, optional
    """

    rgb: Array
    depth_mm: Array
    intrinsics: Array
    landmarks: Landmarks | None = None


@dataclass(frozen=True)
class Layout:
    """How the files of a research set or a sensor lie and what is in them.

    Attributes
    ----------
    kind : str
        As ``kind`` in a preset's ``[[sources]]``.
    title : str
        What people call it.
    expects : str
        The expected tree in one line, for messages.
    find : callable
        Lists the items below a folder, sorted, without reading more than names and small lists.
        Files that are there but broken are listed as well: they fail when they are read.
    frame : callable, optional
        Reads an RGB-D frame; raises `CaptureError` with file and field.
    mesh : callable, optional
        Reads a scan, which is rendered; raises `CaptureError`. Every layout has one of the two.
    unit_mm : float
        Length of a scan's unit, as published.
    extra : str
        Name of the optional dependencies in pyproject.toml that it needs; ``""`` for none.
    suffixes : tuple of str
        Names of files, or ends of them that begin with a dot, in lower case, of which every folder
        in this layout has one: a first look at a folder asks `find` only where it saw one. Without
        any it always asks.
    terms : str
        Of a research set, the page that says with whom its terms of use are agreed; a new preset
        names it beside the licence.
    common : bool
        Many folders hold files of such names: a first look takes them for this only where one can
        be read as this.
    """

    kind: str
    title: str
    expects: str
    find: Callable[[Path], list[Item]]
    frame: Callable[[Item], Frame] | None = None
    mesh: Callable[[Item], TexturedMesh] | None = None
    unit_mm: float = 1.0
    extra: str = ""
    suffixes: tuple[str, ...] = ()
    terms: str = ""
    common: bool = False
