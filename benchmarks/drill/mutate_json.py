"""Mutations of JSON documents: values replaced, dropped, renamed, wrapped, nested deeply."""

from __future__ import annotations

import copy
import json
from typing import Any

from benchmarks.drill.mutate_bytes import Mutation, Random, line, number, sign

VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    0.5,
    1e308,
    float("nan"),
    float("inf"),
    10**30,
    2**31,
    "",
    " ",
    "x",
    "anna ",
    "a\x00b",
    "a\nb",
    "\ud800",
    "../../../../etc/passwd",
    "/etc/passwd",
    "/dev/zero",
    "é" * 300,
    "x" * 5000,
    [],
    {},
    [[[[]]]],
    [1, 2],
    {"a": 1},
)
"""Put in the place of values of a JSON file."""


def json_value(data: bytes, rng: Random) -> bytes:
    """Replace, drop, rename or wrap one value of a JSON document."""
    document = json.loads(data)
    return json.dumps(changed_document(document, rng)).encode()


def changed_document(document: Any, rng: Random) -> Any:
    document = copy.deepcopy(document)
    places: list[tuple[Any, Any]] = []

    def collect(node: Any, top: bool) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node)
        rows = list(items)
        if not top and len(rows) > 8:  # of long lists of numbers a few are enough
            rows = [rows[int(i)] for i in rng.choice(len(rows), 8, replace=False)]
        for key, value in rows:
            places.append((node, key))
            if isinstance(value, (dict, list)) and value:
                collect(value, False)

    if not isinstance(document, (dict, list)) or not document:
        return VALUES[int(rng.integers(len(VALUES)))]
    collect(document, True)
    node, key = places[int(rng.integers(len(places)))]
    way = int(rng.integers(8))
    if way == 0:
        del node[key]
    elif way == 1 and isinstance(node, dict):
        node[key + "x"] = node.pop(key)
    elif way == 2:
        node[key] = [node[key]] if rng.random() < 0.5 else {"x": node[key]}
    elif way == 3 and isinstance(node, list):
        node.insert(key, node[key])
    elif way == 4:
        other, name = places[int(rng.integers(len(places)))]
        node[key] = copy.deepcopy(other[name])
    else:
        node[key] = VALUES[int(rng.integers(len(VALUES)))]
    return document


def _deep(data: bytes, rng: Random) -> bytes:
    """Nest what stands after the first colon, deeper than a parser may recurse."""
    depth = int(rng.choice([50, 1000, 100_000]))
    head, _, rest = data.partition(b":")
    return head + b":" + b"[" * depth + b"]" * depth + b"," + rest


JSON: tuple[Mutation, ...] = (*([json_value] * 6), number, number, sign, line, _deep)
