"""Who is who where datasets meet: ids that several of them use are told apart or joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fg3d_builder.errors import ConfigError
from fg3d_builder.shards.columns import open_shard
from fg3d_builder.shards.part import Part
from fg3d_builder.shards.split import SplitRule, rule_of

JOIN, APART, FIRST = "join", "apart", "first"

_MOST_NAMED = 10


def with_new_names(
    parts: Sequence[Part], same_subjects: str | None, same_captures: str | None
) -> list[Part]:
    """Settle which of several datasets' equal ids mean the same, and rename what does not.

    An id ``001`` of a dataset ``studio`` becomes ``studio-001``, in every dataset that has it, and
    nothing else is renamed. Counted are also captures that failed or were rejected.

    Parameters
    ----------
    parts : sequence of Part
        With names of their own.
    same_subjects : str, optional
        `JOIN`: equal ids of subjects are the same people; `APART`: they are different ones.
        Without it no id may be in two datasets.
    same_captures : str, optional
        `FIRST`: equal ids are the same captures, and what the first dataset that names one says
        of it holds (in it, failed or rejected); `APART`: they are different ones. Without it
        those of different people are told apart where `same_subjects` says so.

    Raises
    ------
    ConfigError
        Equal ids, and no word about them; captures that are said to be the same and are not; a
        new name that is taken. Names ids and datasets.
    """
    known = [part.known() for part in parts]
    subjects = [{s for s in ids.values() if s} for ids in known]
    shared = _in_several(subjects)
    if shared and same_subjects is None:
        raise ConfigError(
            f"subjects in more than one dataset: {_named(shared, parts, subjects)}. The same "
            f"people: --same-subjects {JOIN}; different ones: --same-subjects {APART}"
        )
    new_subjects: list[dict[str, str]] = [{} for _ in parts]
    if same_subjects == APART:
        new_subjects = _new_names(parts, subjects, shared, "subject")
    renamed = [replace(part, subjects=new) for part, new in zip(parts, new_subjects, strict=True)]
    return _captures_settled(renamed, known, same_subjects, same_captures)


def kept_splits(parts: Sequence[Part]) -> dict[str, str]:
    """Return the split of every subject where all stay in the one that they are in.

    Raises
    ------
    ConfigError
        Somebody is in two; names them.
    """
    found: dict[str, dict[str, str]] = {}
    for part in parts:
        for capture, subject, split in part.members():
            if capture not in part.left_out:
                found.setdefault(part.subjects.get(subject, subject), {})[split] = part.name
    torn = {name: places for name, places in found.items() if len(places) > 1}
    if torn:
        name, places = next(iter(sorted(torn.items())))
        where = " and ".join(f"in {split} in '{part}'" for split, part in sorted(places.items()))
        more = f", and {len(torn) - 1} more" if len(torn) > 1 else ""
        raise ConfigError(
            f"subject '{name}' is {where}{more}: nobody may be trained on and tested with; "
            "--test SHARE splits all subjects anew"
        )
    return {name: next(iter(places)) for name, places in found.items()}


def new_splits(parts: Sequence[Part], rule: SplitRule) -> dict[str, str]:
    """Return the split of every subject by a rule."""
    names = {part.subjects.get(s, s) for part in parts for _, s, _ in part.members()}
    return {name: rule.of(name) for name in sorted(names)}


def common_rule(parts: Sequence[Part], splits: Mapping[str, str]) -> SplitRule | None:
    """Return the one rule that all parts are split by, if it is true of everybody in them."""
    rules = {rule_of(part.manifest) for part in parts}
    rule = rules.pop() if len(rules) == 1 else None
    if rule is None or any(rule.of(name) != split for name, split in splits.items()):
        return None
    return rule


def _captures_settled(
    parts: Sequence[Part],
    known: Sequence[Mapping[str, str]],
    same_subjects: str | None,
    same_captures: str | None,
) -> list[Part]:
    shared = _in_several([set(ids) for ids in known])
    of_whom = {name: _owners(name, parts, known) for name in shared}
    same_people = {name for name in shared if len(of_whom[name]) < 2}
    different = shared - same_people
    wanted = same_captures or (APART if same_subjects == APART else None)
    if same_captures == FIRST and different:
        name = min(different)
        owners = " and ".join(f"'{owner}'" for owner in sorted(of_whom[name]))
        raise ConfigError(
            f"capture '{name}' is of {owners}: not the same capture; --same-captures {APART}"
        )
    undecided = different if wanted is None else set()
    if same_captures is None:
        undecided |= same_people
    if undecided:
        raise ConfigError(
            "captures in more than one dataset: "
            f"{_named(undecided, parts, [set(ids) for ids in known])}. The same captures, to take "
            f"from the first dataset that names them: --same-captures {FIRST}; different ones: "
            f"--same-captures {APART}"
        )
    if same_captures == FIRST:
        return _first_ones(parts, known, shared)
    new = _new_names(parts, [set(ids) for ids in known], shared, "capture")
    return [replace(part, captures=names) for part, names in zip(parts, new, strict=True)]


def _owners(name: str, parts: Sequence[Part], known: Sequence[Mapping[str, str]]) -> set[str]:
    """Return the subjects, by their new ids, that a capture's id belongs to in some dataset."""
    found = {
        part.subjects.get(ids[name], ids[name])
        for part, ids in zip(parts, known, strict=True)
        if name in ids
    }
    return found - {""}


def _first_ones(
    parts: Sequence[Part], known: Sequence[Mapping[str, str]], shared: set[str]
) -> list[Part]:
    """Leave out of each part the captures that an earlier one names."""
    decided: set[str] = set()
    found = []
    for part, ids in zip(parts, known, strict=True):
        found.append(replace(part, left_out=frozenset(shared & decided & set(ids))))
        decided |= set(ids)
    _check_same(parts, shared)
    return found


def _check_same(parts: Sequence[Part], shared: set[str]) -> None:
    """Refuse captures of one id that a look at their cameras shows to be different ones."""
    cameras: dict[str, tuple[str, Any]] = {}
    for part in parts:
        for content in part.contents:
            rows = [row for row, name in enumerate(content.captures) if name in shared]
            if not rows:
                continue
            with open_shard(content.path) as file:
                size, matrix = (
                    file[f"captures/{name}"][()] for name in ("image_size", "intrinsics")
                )
            for row in rows:
                name, here = content.captures[row], np.append(matrix[row].ravel(), size[row])
                other, there = cameras.setdefault(name, (part.name, here))
                if not np.array_equal(here, there):
                    raise ConfigError(
                        f"capture '{name}' has another camera in '{part.name}' than in '{other}': "
                        f"not the same capture; --same-captures {APART}"
                    )


def _in_several(ids: Sequence[set[str]]) -> set[str]:
    return {name for some in ids for name in some if sum(name in other for other in ids) > 1}


def _new_names(
    parts: Sequence[Part], ids: Sequence[set[str]], shared: set[str], what: str
) -> list[dict[str, str]]:
    """Return, for each part, a new name of each of its shared ids."""
    taken = set().union(*ids) - shared
    found = []
    for part, own in zip(parts, ids, strict=True):
        names = {name: f"{part.name}-{name}" for name in sorted(shared & own)}
        for old, new in names.items():
            if new in taken:
                raise ConfigError(
                    f"{what} '{old}' of {part.folder} would become '{new}', which there is "
                    "already; call the dataset otherwise, with NAME=FOLDER"
                )
            taken.add(new)
        found.append(names)
    return found


def _named(ids: set[str], parts: Sequence[Part], where: Sequence[set[str]]) -> str:
    """Return ids for a sentence, with the datasets of the first."""
    names = sorted(ids)
    shown = ", ".join(f"'{name}'" for name in names[:_MOST_NAMED])
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    both = [part.name for part, own in zip(parts, where, strict=True) if names[0] in own]
    return f"{shown}{more} ({', '.join(both)})"
