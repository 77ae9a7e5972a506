"""Results that benchmarks keep on disk, under the content of everything they were made of."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar, cast

from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.hashes import file_sha256, sha256
from fg3d_builder.heads.cache import code_digest, identity

T = TypeVar("T")

PACKAGE = Path(__file__).resolve().parents[1] / "fg3d_builder"


def code_behind(parts: Iterable[str]) -> str:
    """Return a digest of what some folders and modules of the package do.

    Comments and docstrings do not count; fitted constants beside the code (JSON) do.

    Parameters
    ----------
    parts : iterable of str
        Folders and modules, such as ``"registration"`` and ``"pipeline/register.py"``.
    """
    found = []
    for part in sorted(parts):
        place = PACKAGE / part
        files = [place] if place.is_file() else sorted(place.rglob("*.py"))
        found += [code_digest(file) for file in files]
        found += [file_sha256(file) for file in sorted(place.rglob("*.json"))]
    return sha256(" ".join(found).encode())


class Kept:
    """Pickled results in one folder; whatever they were made of is in their names.

    Parameters
    ----------
    folder : Path
    facts : str
        What all of them depend on, such as digests of code and of a face model.
    """

    def __init__(self, folder: Path, *facts: str) -> None:
        self._folder = folder
        self._facts = facts

    def get(
        self, name: str, facts: Iterable[str], make: Callable[[], T], files: Iterable[Path] = ()
    ) -> T:
        """Return the result of this name, made where it is not kept.

        Parameters
        ----------
        name : str
            Beginning of the file's name.
        facts : iterable of str
            What this one depends on beside the common facts.
        make : callable
            Makes it; what it raises is passed on, and nothing is kept.
        files : iterable of Path
            Their content counts as well.
        """
        key = identity([*self._facts, *facts], files)
        file = self._folder / f"{name}-{key}.pickle"
        if not file.is_file():
            write_bytes(file, pickle.dumps(make()))
        return cast(T, pickle.loads(file.read_bytes()))
