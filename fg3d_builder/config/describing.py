"""Settings for people: every field with its default, what it may be and what it means."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, NamedTuple

from fg3d_builder.config.reading import as_table, default_of, expected, hints_of, shown, split_hint

_ENTRY = re.compile(r"(?P<names>\w+(?:, \w+)*): (?P<text>.*)")


class Setting(NamedTuple):
    """One field of a table of settings.

    `default` is as TOML has it, empty where there is none or where it is a table of its own.

    Attributes
    ----------
    name : str
    default : str
    allowed : str
        Which values the field may have.
    meaning : str
        What the docstring of its table says.
    """

    name: str
    default: str
    allowed: str
    meaning: str


class SettingsTable(NamedTuple):
    """A table of settings: where it stands in a file, what it is about, and its fields.

    Attributes
    ----------
    path : str
        ``"fit"``, ``"sources[]"``; empty for the top of the file.
    about : str
    settings : list of Setting
    """

    path: str
    about: str
    settings: list[Setting]


def describe(kind: type, path: str = "") -> Iterator[SettingsTable]:
    """Describe a dataclass of settings, then those in its fields.

    Parameters
    ----------
    kind : type
        Its docstring explains fields as ``name: meaning`` or ``name, name: meaning``.
    path : str
        Where it stands in a file: ``""``, ``"fit"``, ``"sources[]"``.
    """
    about, meanings = explained(kind)
    rows, below = [], []
    for field in fields(kind):
        hint = hints_of(kind)[field.name]
        inner, _ = split_hint(hint)
        many = typing.get_origin(inner) is tuple
        element = split_hint(typing.get_args(inner)[0])[0] if many else inner
        if is_dataclass(element):
            name = f"{path}.{field.name}" if path else field.name
            below.append((typing.cast(type, element), f"{name}[]" if many else name))
        if not is_dataclass(inner):
            meaning = meanings.get(field.name, "")
            rows.append(Setting(field.name, _default(field), expected(hint), meaning))
    yield SettingsTable(path, about, rows)
    for element, name in below:
        yield from describe(element, name)


def explained(kind: type) -> tuple[str, dict[str, str]]:
    """Return what a dataclass is about, and the meaning of each of its fields that is explained."""
    about, *blocks = inspect.cleandoc(kind.__doc__ or "").split("\n\n")
    meanings: dict[str, str] = {}
    for block in blocks:
        for text in re.sub(r"\n +", " ", block).split("\n"):
            found = _ENTRY.fullmatch(text)
            for name in found["names"].split(", ") if found else ():
                meanings[name] = found["text"] if found else ""
    return " ".join(about.split()), meanings


def _default(field: Field[Any]) -> str:
    default = default_of(field)
    if default is MISSING:
        return ""
    value = as_table(default)
    tables = isinstance(value, list) and any(isinstance(item, dict) for item in value)
    return "see below" if tables else shown(value)
