"""JSON objects that people and other programs read as well: their seal is one of their members.

The member `SEAL` is the SHA-256 of all others, as `fg3d_builder.files.sealed.json_sha256` defines
it. Such files belong to a dataset, a training run or a person: a reader that finds the seal broken
says so and leaves the file where it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fg3d_builder.files.atomic import write_json
from fg3d_builder.files.bounded import each_once
from fg3d_builder.files.sealed import json_sha256

SEAL = "seal_sha256"
"""Name of the member."""


def with_seal(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with the seal that fits its other members."""
    others = {name: member for name, member in value.items() if name != SEAL}
    return {**others, SEAL: json_sha256(others)}


def write_sealed_object(path: Path, value: Mapping[str, Any]) -> None:
    """Write an object with its seal, whole or not at all; equal values give equal bytes."""
    write_json(path, with_seal(value))


def read_sealed_object(path: Path, schema: str | None = None) -> dict[str, Any]:
    """Return what `write_sealed_object` wrote, the seal included, after checking it.

    Parameters
    ----------
    path : Path
    schema : str, optional
        What the member ``schema`` has to be.

    Raises
    ------
    FileNotFoundError
    ValueError
        No JSON object, another schema, or a seal that is missing or does not fit; names the file.
    """
    value = read_object(path)
    if schema is not None and value.get("schema") != schema:
        raise ValueError(
            f"{path}: schema is '{value.get('schema')}', this version reads '{schema}'"
        )
    if SEAL not in value:
        raise ValueError(f"{path} is damaged, or of an earlier version: it has no '{SEAL}'")
    return value


def read_object(path: Path) -> dict[str, Any]:
    """Return a JSON object, after checking its seal where it has one.

    Raises
    ------
    FileNotFoundError
    ValueError
        No JSON object, or a seal that does not fit; names the file.
    """
    try:
        value = json.loads(path.read_bytes(), object_pairs_hook=each_once)
        fits = isinstance(value, dict) and value.get(SEAL) in (None, with_seal(value)[SEAL])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds no JSON object")
    if not fits:
        raise ValueError(f"{path}: its content does not fit its seal, '{SEAL}'")
    return value
