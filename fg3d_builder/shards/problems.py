"""What is wrong with a dataset, and which command repairs it."""

from __future__ import annotations

import enum
import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Remedy(enum.Enum):
    """What a person does about a problem."""

    BUILD = "the file is missing, cut short or a manifest: a build makes it again"
    REMOVE_AND_BUILD = "the file has its length, but other content: a build believes it"
    REMOVE = "the file is none of the dataset's"
    MAKE_ANEW = "the file is undamaged, and what it says is wrong"


class Problem(NamedTuple):
    """One thing that is wrong.

    Attributes
    ----------
    file : str
        Name of the file at fault, in the dataset's folder.
    sentence : str
    remedy : Remedy
    """

    file: str
    sentence: str
    remedy: Remedy


class Problems:
    """Collects problems.

    Attributes
    ----------
    found : list of Problem
    """

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def check(
        self, condition: Any, file: str, sentence: str, remedy: Remedy = Remedy.MAKE_ANEW
    ) -> bool:
        """Note a problem where a condition does not hold; return whether it does."""
        if not condition:
            self.found.append(Problem(file, sentence, remedy))
        return bool(condition)

    def files(self) -> set[str]:
        """Names of the files at fault."""
        return {problem.file for problem in self.found}


def repair_sentences(
    dataset: Path, problems: Sequence[Problem], made_by: str = ""
) -> tuple[str, ...]:
    """Say what to run about the problems of a dataset.

    Parameters
    ----------
    dataset : Path
        Its folder, or a link to it.
    problems : sequence of Problem
    made_by : str
        The command that made it of other datasets, ``"merge"`` or ``"split"``; empty for a build.

    Returns
    -------
    tuple of str
        One sentence for each kind of remedy that is needed; empty without problems.
    """
    folder = Path(os.path.realpath(dataset))
    if made_by:
        return _made_again(folder, problems, made_by)
    build = f"`fg3d build PRESET --out {shlex.quote(str(folder.parent))}`"
    again = f"run {build} with the preset that it was built from"
    if not (folder.parent / "work").is_dir():
        again = f"copy the dataset again from where it came from, or {again}"
    found = {kind: _names(p.file for p in problems if p.remedy is kind) for kind in Remedy}
    sentences = []
    if names := found[Remedy.BUILD]:
        sentences.append(f"To repair {', '.join(names)}: {again}; what is there is kept.")
    if names := found[Remedy.REMOVE_AND_BUILD]:
        sentences.append(f"To repair {', '.join(names)}: {_remove(folder, names)}, then {again}.")
    if names := found[Remedy.REMOVE]:
        sentences.append(f"To remove what is none of the dataset's: {_remove(folder, names)}.")
    if names := found[Remedy.MAKE_ANEW]:
        sentences.append(
            f"{', '.join(names)}: undamaged, but written with wrong content. "
            f"To make all anew: `rm -r {shlex.quote(str(folder))}`, then {again}."
        )
    return tuple(sentences)


def _made_again(folder: Path, problems: Sequence[Problem], made_by: str) -> tuple[str, ...]:
    if not problems:
        return ()
    names = ", ".join(_names(problem.file for problem in problems))
    return (
        f"To repair {names}: copy the dataset again from where it came from, or "
        f"`rm -r {shlex.quote(str(folder))}` and run the `fg3d {made_by}` again that made it; "
        "manifest.json names the datasets under `derived`.",
    )


def _names(files: Iterable[str]) -> list[str]:
    return sorted(set(files))


def _remove(folder: Path, names: Iterable[str]) -> str:
    return f"`rm {shlex.join(str(folder / name) for name in names)}`"
