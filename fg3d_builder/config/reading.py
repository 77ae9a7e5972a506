"""Tables into settings; names, types and values are checked and all problems told at once."""

from __future__ import annotations

import difflib
import functools
import json
import math
import typing
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fg3d_builder.config.constraints import Constraint, Length, OneOf, constraints_in
from fg3d_builder.errors import ConfigError

T = TypeVar("T")

_TYPES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
_LONGEST_SHOWN = 60


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a table of settings.

    Attributes
    ----------
    path : str
        The field: ``"sources[0].sensor.kind"``; empty for the table itself.
    says : str
        What is wrong, to be read after the path: ``" = 0: expected ..."``, ``": no such ..."``.
    """

    path: str
    says: str

    def __str__(self) -> str:
        return f"{self.path}{self.says}".removeprefix(": ")


class SettingsError(ValueError):
    """Settings contradict themselves or are out of range; `problems` holds all of it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def from_table(kind: type[T], table: Any, where: str, missing: tuple[Problem, ...] = ()) -> T:
    """Make the dataclass `kind` from a table, as it is read from TOML or JSON.

    Parameters
    ----------
    kind : type
        A dataclass whose fields are annotated with their constraints.
    table : dict
    where : str
        Names the file in messages.
    missing : tuple of Problem
        What is wrong with the table besides.

    Raises
    ------
    ConfigError
        Unknown names, wrong types, values out of range, contradictions: all that there are, each
        with its field, what was found and what is allowed.
    """
    reader = _Reader(kind)
    made = reader.table(kind, table, "")
    problems = [*missing, *reader.problems]
    if problems or made is None:
        raise ConfigError(told(problems, where))
    return typing.cast(T, made)


def require(settings: Any) -> None:
    """Check settings that are made in code as `from_table` checks those of a file.

    Settings inside them are left to check themselves.

    Raises
    ------
    SettingsError
        A field has a value that is not allowed, or two fields contradict each other.
    """
    kind: type = type(settings)
    reader = _Reader(kind)
    hints = hints_of(kind)
    for field in fields(settings):
        value = getattr(settings, field.name)
        if not is_dataclass(value):
            reader.value(hints[field.name], as_table(value), field.name)
    problems = reader.problems or contradictions(settings)
    if problems:
        raise SettingsError(problems)


def told(problems: list[Problem], where: str) -> str:
    """Return problems as a message: one in one line, more of them below each other."""
    if len(problems) == 1:
        return f"{where}: {problems[0]}"
    lines = "".join(f"\n  {problem}" for problem in problems)
    return f"{where}: {len(problems)} problems{lines}"


def contradictions(settings: Any) -> list[Problem]:
    """Return what a dataclass's own method ``contradictions`` finds between its fields."""
    find = getattr(settings, "contradictions", None)
    return [] if find is None else [Problem(path, says) for path, says in find()]


ADDED = {"added": True}
"""Metadata of fields that later versions added to settings which identify what is built."""


def as_table(value: Any) -> Any:
    """Return settings as plain values, as TOML and JSON have them.

    A field that is `ADDED` is left out where it has its default: what was built before the field
    was thought of keeps its digest.
    """
    if is_dataclass(value) and not isinstance(value, type):
        pairs = [(f, getattr(value, f.name)) for f in fields(value)]
        return {
            f.name: as_table(v)
            for f, v in pairs
            if not (f.metadata == ADDED and v == default_of(f))
        }
    if isinstance(value, (tuple, list)):
        return [as_table(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def default_of(field: Field[Any]) -> Any:
    """Return the default of a dataclass's field; MISSING where it has none."""
    factory = field.default_factory
    return field.default if factory is MISSING else factory()


@functools.cache
def hints_of(kind: type) -> dict[str, Any]:
    """Return the annotations of a dataclass's fields, constraints included."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind)}


def split_hint(hint: Any) -> tuple[Any, list[Constraint]]:
    """Return the type of an annotation, and its constraints."""
    if typing.get_origin(hint) is not Annotated:
        return hint, []
    inner, *metadata = typing.get_args(hint)
    return inner, constraints_in(metadata)


def expected(hint: Any) -> str:
    """Say what a field may be: its type, and what its constraints allow."""
    kind, constraints = split_hint(hint)
    allowed = [constraint.allowed for constraint in constraints]
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)
        if inner[-1] is not Ellipsis:
            allowed.insert(0, f"of {len(inner)} values")
        elements = {expected(h) for h in inner if h is not Ellipsis}
        each = f", each {elements.pop()}" if len(elements) == 1 else ""
        return f"a list {' '.join(allowed)}{each}"
    if is_dataclass(kind):
        return "a table"
    if any(isinstance(constraint, OneOf) for constraint in constraints):
        return " ".join(allowed)
    return " ".join([_TYPES[kind], *allowed])


class _Reader:
    """Reads one table and collects what is wrong with it."""

    def __init__(self, root: type) -> None:
        self.problems: list[Problem] = []
        self._root = root

    def table(self, kind: type, table: Any, path: str) -> Any:
        """Return the dataclass, or None where there are problems."""
        before = len(self.problems)
        if not isinstance(table, dict):
            self._wrong(path, table, "a table")
            return None
        hints = hints_of(kind)
        values = {}
        for name, value in table.items():
            inner = f"{path}.{name}" if path else name
            if name in hints:
                values[name] = self.value(hints[name], value, inner)
            else:
                self.problems.append(Problem(inner, self._unknown(kind, name)))
        for field in _without_default(kind):
            if field not in table:
                inner = f"{path}.{field}" if path else field
                self.problems.append(
                    Problem(inner, f": missing; expected {expected(hints[field])}")
                )
        if len(self.problems) > before:
            return None
        try:
            made = kind(**values)
        except SettingsError as error:  # kinds that check themselves
            found = error.problems
        else:
            found = contradictions(made)
        self.problems += [replace(p, path=f"{path}.{p.path}" if path else p.path) for p in found]
        return None if found else made

    def value(self, hint: Any, value: Any, path: str) -> Any:
        """Return the value of a field, converted to its type."""
        kind, constraints = split_hint(hint)
        if is_dataclass(kind):
            return self.table(typing.cast(type, kind), value, path)
        if typing.get_origin(kind) is tuple:
            return self._list(hint, value, path)
        converted = _of_type(kind, value)
        if converted is None or not all(c.allows(converted) for c in constraints):
            self._wrong(path, value, expected(hint), constraints)
            return None
        return converted

    def _list(self, hint: Any, value: Any, path: str) -> Any:
        kind, constraints = split_hint(hint)
        inner = typing.get_args(kind)
        same = inner[-1] is Ellipsis
        if not isinstance(value, (list, tuple)) or (not same and len(value) != len(inner)):
            self._wrong(path, value, expected(hint))
            return None
        before = len(self.problems)
        kinds = [inner[0]] * len(value) if same else inner
        made = tuple(
            self.value(h, v, f"{path}[{i}]")
            for i, (h, v) in enumerate(zip(kinds, value, strict=True))
        )
        # Without right elements nothing can be said of their order.
        good = len(self.problems) == before
        if not all(c.allows(made) for c in constraints if good or isinstance(c, Length)):
            self._wrong(path, value, expected(hint))
        return made

    def _wrong(
        self, path: str, found: Any, wanted: str, constraints: list[Constraint] | None = None
    ) -> None:
        words = [w for c in constraints or () if isinstance(c, OneOf) for w in c.words]
        near = nearest(found, words) if isinstance(found, str) else ""
        hint = f'; did you mean "{near}"?' if near else ""
        self.problems.append(Problem(path, f" = {shown(found)}: expected {wanted}{hint}"))

    def _unknown(self, kind: type, name: str) -> str:
        """Say that a name is unknown, and which one it may stand for."""
        known = list(hints_of(kind))
        near = nearest(name, known)
        if not near:
            elsewhere = dict(_leaves(self._root))
            by_name: dict[str, str] = {}
            for path in elsewhere:
                by_name.setdefault(path.rpartition(".")[2], path)
            near = by_name.get(nearest(name, list(by_name)), "")
        if near:
            return f": no such setting; did you mean {near}?"
        return f": no such setting; there are {', '.join(sorted(known))}"


def nearest(word: str, known: list[str]) -> str:
    """Return the known word that a misspelt one most likely stands for; empty if none is near."""
    plain = {name.lower().replace("_", "").replace("-", ""): name for name in known}
    asked = word.lower().replace("_", "").replace("-", "")
    found = difflib.get_close_matches(asked, list(plain), n=1, cutoff=0.7)
    return plain[found[0]] if found else ""


def shown(value: Any) -> str:
    """Return a value as TOML has it, cut where it is long."""
    if isinstance(value, float):
        text = repr(value)
    else:
        try:
            text = json.dumps(value, ensure_ascii=False, default=str)
        except (ValueError, RecursionError):
            text = type(value).__name__
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."


def _of_type(kind: Any, value: Any) -> Any:
    """Return a value as the wanted type, None where it is of another one."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        return None
    return value


@functools.cache
def _without_default(kind: type) -> tuple[str, ...]:
    return tuple(
        f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING
    )


def _leaves(kind: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted path and the annotation of every field below a dataclass."""
    for name, hint in hints_of(kind).items():
        inner, _ = split_hint(hint)
        many = typing.get_origin(inner) is tuple
        element = split_hint(typing.get_args(inner)[0])[0] if many else inner
        path = f"{prefix}{name}"
        yield path, hint
        if is_dataclass(element):
            yield from _leaves(typing.cast(type, element), f"{path}[]." if many else f"{path}.")
