"""Every setting says what it may be, and its default is that."""

from __future__ import annotations

import importlib
import pkgutil
import typing
from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any

import pytest

import fg3d_builder
from fg3d_builder.config import BuildConfig, StiffnessLevel, from_table, to_table
from fg3d_builder.config.constraints import (
    Among,
    FolderName,
    Length,
    Line,
    Rising,
    Within,
    one_of,
)
from fg3d_builder.config.reading import expected, hints_of, split_hint
from fg3d_builder.fgnet.data.simulation import SimulationConfig
from fg3d_builder.fgnet.training.settings import TRAIN_PRESETS, TrainConfig
from fg3d_builder.reproduction.scales import SCALES, Scale
from fg3d_builder.testsets.records import ProtocolConfig

ROOTS = (BuildConfig, TrainConfig, ProtocolConfig, SimulationConfig, Scale)


def kinds_below(kind: Any) -> Iterator[type]:
    """Yield a dataclass and those inside its fields."""
    if is_dataclass(kind):
        yield typing.cast(type, kind)
        for hint in hints_of(typing.cast(type, kind)).values():
            yield from kinds_below(split_hint(hint)[0])
    elif typing.get_origin(kind) is tuple:
        for inner in typing.get_args(kind):
            yield from kinds_below(split_hint(inner)[0])


KINDS = sorted({kind for root in ROOTS for kind in kinds_below(root)}, key=lambda k: k.__name__)


def unbound(hint: Any, path: str) -> list[str]:
    """Return the parts of a field that nothing but their type constrains; a bool needs no more."""
    kind, constraints = split_hint(hint)
    if is_dataclass(kind) or kind is bool:
        return []
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)
        many = inner[-1] is Ellipsis
        bare = [] if constraints or not many else [f"{path}: any length"]
        elements = inner[:1] if many else inner
        return bare + [text for i, h in enumerate(elements) for text in unbound(h, f"{path}[{i}]")]
    return [] if constraints else [path]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_field_of_every_settings_class_is_constrained(kind: type) -> None:
    found = [text for name, hint in hints_of(kind).items() for text in unbound(hint, name)]
    assert found == []
    for name, hint in hints_of(kind).items():
        assert expected(hint).startswith(("a ", "true", '"')), name


def test_no_settings_class_is_forgotten() -> None:
    """All dataclasses that are named like settings are among those that are looked at."""
    there = set()
    for found in pkgutil.walk_packages(fg3d_builder.__path__, "fg3d_builder."):
        if found.name == "fg3d_builder.rendering.rasterizer_pytorch3d":
            continue  # needs a package that few have
        for name, value in vars(importlib.import_module(found.name)).items():
            if isinstance(value, type) and is_dataclass(value) and name.endswith("Config"):
                there.add(value)
    assert there - set(KINDS) == set()


def test_defaults_and_presets_are_allowed() -> None:
    for kind in KINDS:
        if kind not in (StiffnessLevel, Scale):
            assert from_table(kind, to_table(kind()), "defaults") == kind()
    for config in TRAIN_PRESETS.values():
        assert from_table(TrainConfig, to_table(config), "preset") == config
    for scale in SCALES.values():
        assert from_table(Scale, to_table(scale), "scale") == scale


@pytest.mark.parametrize(
    ("constraint", "good", "bad"),
    [
        (Within(0, 1), [0, 1, 0.5], [-1e-9, 1.1, float("nan"), float("inf"), 10**400]),
        (Within(0, 1, above=True), [1e-9, 1], [0, -1]),
        (Among((1, 2, 8)), [1, 2, 8], [0, 3, 9, -1]),
        (one_of("a", "b"), ["a"], ["", "c", "A"]),
        (one_of("a", or_file=(".h5",)), ["a", "x/y.h5"], ["b", "x.h5\n", "x\0.h5"]),
        (Line(), ["a b"], ["", " ", "a\nb", "a\0", "x" * 1001]),
        (Line(empty=True), ["", "a"], ["\x1b[31m"]),
        (FolderName(), ["demo", "a b.c", "größe", "x_"], ["", ".", "..", "a/b", "a ", "-a", "a\0"]),
        (Length(1, 2), [(1,), (2, 1)], [(), (1, 2, 3)]),
        (Rising(), [(), (1, 2)], [(2, 1), (1, 1)]),
    ],
)
def test_what_constraints_allow(constraint: Any, good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if not constraint.allows(value)] == []
    assert [value for value in bad if constraint.allows(value)] == []
    assert constraint.allowed
