"""Whether a model that was read is the one that was written."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from fg3d_builder.facemodel.sources.source import ModelSource, check_source


def assert_same(
    found: ModelSource, truth: ModelSource, skip: tuple[str, ...] = (), rtol: float = 1e-6
) -> None:
    """Compare every field; arrays relative to their largest number, to single precision.

    Directions are compared at coefficients of variance 1: formats scale them differently.
    """
    check_source(found)
    for kind in ("id", "exp", "albedo"):
        basis, sd = f"{kind}_basis", f"{kind}_sd"
        if basis not in skip:
            close(basis, scaled(found, kind), scaled(truth, kind), rtol)
        skip = (*skip, basis, sd)
    for field in fields(ModelSource):
        name = field.name
        if name in skip or name in ("layout", "name", "licence", "unit_said", "groups"):
            continue
        a, b = getattr(found, name), getattr(truth, name)
        if isinstance(b, tuple) or a is None or b is None:
            assert a == b or (a is None and b is None), f"{name}: {a} is not {b}"
        else:
            close(name, a, b, rtol)
    if "groups" not in skip:
        assert set(truth.groups) <= set(found.groups)
        for name, index in truth.groups.items():
            np.testing.assert_array_equal(found.groups[name], np.sort(index), err_msg=name)


def scaled(source: ModelSource, kind: str) -> np.ndarray | None:
    """Directions of one kind at their standard deviation, None where there are none."""
    basis, sd = getattr(source, f"{kind}_basis"), getattr(source, f"{kind}_sd")
    return None if basis is None else np.asarray(basis * sd)


def close(name: str, found: np.ndarray | None, truth: np.ndarray | None, rtol: float) -> None:
    """Compare two arrays by shape, kind and content."""
    if truth is None or found is None:
        assert found is None, name
        assert truth is None, name
        return
    assert found.shape == truth.shape, f"{name}: {found.shape}, not {truth.shape}"
    if truth.dtype.kind in "iu":
        assert found.dtype == np.int32, name
        np.testing.assert_array_equal(found, truth, err_msg=name)
        return
    assert found.dtype == np.float64, f"{name}: {found.dtype}"
    finite = truth[np.isfinite(truth)]
    size = float(np.abs(finite).max(initial=0.0)) or 1.0
    np.testing.assert_allclose(found, truth, rtol=0, atol=rtol * size, err_msg=name)
