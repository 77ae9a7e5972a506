"""Fields of JSON objects, checked; messages name file and field."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fg3d_builder.captures.source import plain_text
from fg3d_builder.errors import CaptureError
from fg3d_builder.records import Array

LONGEST_TEXT = 300
_HUGE = 1e12


def field(table: dict[str, Any], name: str, path: Path, prefix: str = "") -> Any:
    """Return a member of any type.

    Parameters
    ----------
    table : dict
    name : str
    path : Path
        The file, for messages.
    prefix : str
        Of the field's name in messages: what it lies in, with a dot.

    Raises
    ------
    CaptureError
        ``missing_field``.
    """
    if name not in table:
        raise CaptureError("missing_field", f"{path}: field '{prefix}{name}' is missing")
    return table[name]


def object_field(
    table: dict[str, Any], name: str, path: Path, prefix: str = "", holds: str = ""
) -> dict[str, Any]:
    """Return a member that is an object; `holds` says in messages what should be in it.

    `table` is the object that the file at `path` holds, or one within it whose place in the file
    `prefix` says in messages; `name` is that of the member. So in all functions below.

    Raises
    ------
    CaptureError
        ``missing_field`` or ``bad_field``, as in all functions below.
    """
    value = field(table, name, path, prefix)
    if not isinstance(value, dict):
        raise bad_field(path, prefix + name, f"an object{holds and f' with {holds}'}", value)
    return value


def text_field(
    table: dict[str, Any], name: str, path: Path, prefix: str = "", default: str | None = None
) -> str:
    """Return a text as `plain_text` has it, or the default where there is none.

    For `table`, `name` and `prefix` see `object_field`.
    """
    if default is not None and name not in table:
        return default
    value = field(table, name, path, prefix)
    if not isinstance(value, str):
        raise bad_field(path, prefix + name, "a text", value)
    try:
        return plain_text(value, LONGEST_TEXT)
    except ValueError as problem:
        raise bad_field(path, prefix + name, f"a text, not {problem}", value) from None


def choice_field(table: dict[str, Any], name: str, path: Path, choices: Sequence[str]) -> str:
    """Return a text that is one of a few, or ``""`` where the object does not have it.

    For `table` and `name` see `object_field`.
    """
    if name not in table:
        return ""
    value = table[name]
    if not isinstance(value, str) or value not in choices:
        known = " or ".join(f"'{choice}'" for choice in choices)
        raise bad_field(path, name, f"{known}, or no such field", value)
    return value


def number_field(table: dict[str, Any], name: str, path: Path, prefix: str = "") -> float:
    """Return a finite number."""
    value = field(table, name, path, prefix)
    known = isinstance(value, int | float) and not isinstance(value, bool)
    if not known or not -_HUGE < value < _HUGE:  # false for NaN as well
        raise bad_field(path, prefix + name, "a finite number", value)
    return float(value)


def positive_field(table: dict[str, Any], name: str, path: Path, prefix: str = "") -> float:
    """Return a positive number."""
    value = number_field(table, name, path, prefix)
    if value <= 0:
        raise bad_field(path, prefix + name, "a positive number", value)
    return value


def numbers_field(
    table: dict[str, Any], name: str, path: Path, shape: tuple[int, ...], prefix: str = ""
) -> Array:
    """Return finite numbers of a shape, one list or lists within a list.

    For `table`, `name` and `prefix` see `object_field`.
    """
    value = field(table, name, path, prefix)
    try:
        numbers = np.array(value, dtype=np.float64) if _all_numbers(value) else np.zeros(0)
    except (ValueError, OverflowError):  # lists of different lengths; 10 ** 400
        numbers = np.zeros(0)
    wanted = f"finite numbers of shape {shape}"
    if numbers.shape != shape:
        raise CaptureError("bad_field", f"{path}: field '{prefix}{name}': expected {wanted}")
    if not np.isfinite(numbers).all():
        raise CaptureError("bad_field", f"{path}: field '{prefix}{name}': not all are finite")
    return numbers


def bad_field(path: Path, name: str, wanted: str, found: Any) -> CaptureError:
    """Make the error of a field whose value is not what was wanted."""
    # Of a long list or text only the beginning is made, in case that it fills the whole file.
    text = repr(found[:60] if isinstance(found, str | list) else found)
    text = text if len(text) <= 60 else text[:57] + "..."
    return CaptureError("bad_field", f"{path}: field '{name}': expected {wanted}, found {text}")


def _all_numbers(value: Any) -> bool:
    """Whether lists, one level in another or not, hold numbers alone: numpy reads texts as well."""
    if not isinstance(value, list):
        return False
    inner = [one for row in value for one in (row if isinstance(row, list) else [row])]
    return all(isinstance(one, int | float) and not isinstance(one, bool) for one in inner)
