"""Labels of scans in a table of one's own, for sets that do not have them in their files' names.

``labels.csv`` in the set's folder has a line for each scan: its name, its expression, and why it is
not to be used, if so.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fg3d_builder.captures.layouts.layout import Item
from fg3d_builder.captures.source import plain_text
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.files.bounded import read_regular

LABELS = "labels.csv"

UNLABELLED = "unlabelled"
"""Expression of scans that nobody told the expression of: neither neutral nor another one."""

MAX_BYTES = 16 * 2**20
_LONGEST = 200
_COLUMNS = ("name", "expression", "refused")


class Label(NamedTuple):
    """Expression of a scan, and why it is not to be used; ``""`` where it is.

    Attributes
    ----------
    expression : str
    refused : str
        Reason why the scan is not to be used.
    """

    expression: str
    refused: str


def labelled(folder: Path, items: Sequence[Item]) -> list[Item]:
    """Give items the labels of ``labels.csv`` in a folder, where there is one.

    Raises
    ------
    ConfigError
        The table cannot be read, or names a scan that is not there.
    """
    if not (folder / LABELS).exists():
        return list(items)
    labels = read_labels(folder / LABELS)
    known = {item.name for item in items}
    unknown = [name for name in labels if name not in known]
    if unknown:
        raise ConfigError(f"{folder / LABELS}: no scan is called '{unknown[0]}'")
    found = []
    for item in items:
        label = labels.get(item.name)
        if label is not None:
            refusal = item.refusal or label.refused
            item = dataclasses.replace(item, expression=label.expression, refusal=refusal)
        found.append(item)
    return found


def read_labels(file: Path) -> dict[str, Label]:
    """Read a table of labels by the scans' names.

    Raises
    ------
    ConfigError
        No such table; the message names file and line.
    """
    try:
        text = read_regular(file, "bad_labels", MAX_BYTES).decode("utf-8-sig")
    except CaptureError as error:
        raise ConfigError(error.message) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: no text in UTF-8, byte {error.start}") from None
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    labels: dict[str, Label] = {}
    try:
        columns = [name.strip() for name in next(rows, [])]
        if columns not in ([*_COLUMNS], [*_COLUMNS[:2]]):
            raise ValueError(f"expected the columns {', '.join(_COLUMNS)}")
        for row in rows:
            if row:
                name, label = _label(row, len(columns))
                if name in labels:
                    raise ValueError(f"'{name}' is there twice")
                labels[name] = label
    except (ValueError, csv.Error) as error:
        raise ConfigError(f"{file}: line {rows.line_num}: {error}") from None
    return labels


def _label(row: list[str], columns: int) -> tuple[str, Label]:
    if len(row) != columns:
        raise ValueError(f"{len(row)} cells, wanted {columns}")
    name, expression, refused = [cell.strip() for cell in (*row, "")][:3]
    if not name:
        raise ValueError("no name")
    expression = plain_text(expression, _LONGEST) if expression else UNLABELLED
    return name, Label(expression, plain_text(refused, _LONGEST) if refused else "")
