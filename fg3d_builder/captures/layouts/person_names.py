"""Who is in a recording, and with which expression, by the names of its folder and file.

People's own recordings have no published names. Here the first folder below the source is the
person. A recording that lies in the source itself is named by the person up to the first ``_`` or
``-``: ``anna_smile.r3d``. So all files that a phone named by the time, ``2024-05-18--10-30-00``, or
``IMG_0001`` are one person's, who is then either in training or in test.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

EXPRESSIONS = (
    "anger", "angry", "blink", "closed", "contempt", "disgust", "fear", "frown", "happy", "laugh",
    "mouthopen", "neutral", "open", "pucker", "sad", "sadness", "smile", "squint", "surprise",
    "surprised", "talk", "wink", "yawn",
)  # fmt: skip
"""Words in names that are taken for the expression tag."""

SEX_OF_LETTER = {"F": "female", "M": "male"}
"""What a research set's names of people begin with, where the set says so: ``F0001``."""

_BETWEEN = re.compile(r"[^0-9A-Za-z]+")


def person_of(root: Path, file: Path) -> str:
    """Return the person in a recording below the source's folder.

    Parameters
    ----------
    root : Path
        The source's folder, or the recording itself.
    file : Path
    """
    parts = below(root, file)
    if len(parts) > 1:
        return parts[0]
    return re.split("[_-]", file.stem, maxsplit=1)[0] or file.stem


def expression_of(root: Path, file: Path) -> str:
    """Return the first of `EXPRESSIONS` in the names of folders and file, or ``"neutral"``."""
    parts = below(root, file)
    return expression_in([*parts[1:-1], file.stem]) or "neutral"


def expression_in(names: Sequence[str]) -> str:
    """Return the first of `EXPRESSIONS` among the words of names; ``""`` where there is none."""
    words = _BETWEEN.split(" ".join(names).lower())
    return next((word for word in words if word in EXPRESSIONS), "")


def folder_tag(folders: Sequence[str]) -> str:
    """Return the expression tag of a recording in folders below the person's.

    One of `EXPRESSIONS` where a folder has such a word, else the folders' names; ``"neutral"`` in
    the person's folder itself.
    """
    return expression_in(folders) or "-".join(folders) or "neutral"


def recordings_below(root: Path, wanted: Callable[[str], object]) -> list[Path]:
    """Return the files below a folder whose name is wanted, sorted; hidden ones are not.

    Parameters
    ----------
    root : Path
        The source's folder, or one recording.
    wanted : callable
        Takes a file's name, and returns what is true for recordings.
    """
    if not root.is_dir():
        return [root] if wanted(root.name) else []
    found = []
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, n) for n in names if not n.startswith(".") and wanted(n)]
    return sorted(found)


def recording_names(root: Path, files: Sequence[Path]) -> list[str]:
    """Return a name for each file, by folders and stem, that no other has."""
    names = ["-".join([*below(root, file)[:-1], file.stem]) for file in files]
    often = Counter(names)
    return [
        name if often[name] == 1 else "/".join(below(root, file))
        for name, file in zip(names, files, strict=True)
    ]


def below(root: Path, file: Path) -> tuple[str, ...]:
    """Return the names of folders and file below the source's folder."""
    return (file.name,) if file == root else file.relative_to(root).parts
