"""Every rasteriser that is installed here gives the reference's picture."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from hard_meshes import KINDS, scene

from fg3d_builder.errors import MissingDependencyError
from fg3d_builder.rendering import backends
from fg3d_builder.rendering.backends import NEEDS, installed_rasterizers, open_rasterizer


@pytest.mark.parametrize("name", [n for n in NEEDS if n not in ("reference", "pytorch3d")])
@pytest.mark.parametrize("kind", list(KINDS))
def test_parity_to_the_bit(name: str, kind: str) -> None:
    if name not in installed_rasterizers():
        pytest.skip(f"{NEEDS[name]} is not installed")
    hard = scene(kind, 12)
    with np.errstate(all="ignore"):
        wanted = open_rasterizer("reference")(*hard)
    for found, expected in zip(open_rasterizer(name)(*hard), wanted, strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_pytorch3d_parity() -> None:
    """PyTorch3D decides edges in float32: on them it may see the neighbour, or through."""
    if "pytorch3d" not in installed_rasterizers():
        pytest.skip("PyTorch3D is not installed")
    hard = scene("soup", 12)
    found, wanted = open_rasterizer("pytorch3d")(*hard), open_rasterizer("reference")(*hard)
    assert (found.triangle == wanted.triangle).mean() > 0.99


def test_unknown_names_are_answered_with_those_installed() -> None:
    with pytest.raises(ValueError, match=r"'opengl'; installed here: .*reference"):
        open_rasterizer("opengl")


def test_absent_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        backends.importlib.util,
        "find_spec",
        lambda name: None if name == "numba" else real(name),
    )
    assert "numba" not in installed_rasterizers()
    with pytest.raises(MissingDependencyError, match="needs the package numba; installed here"):
        open_rasterizer("numba")


@pytest.mark.parametrize("name", ["numba", "reference"])
def test_what_runs_on_the_cpu_says_so(name: str) -> None:
    with pytest.raises(ValueError, match="runs on the CPU"):
        open_rasterizer(name, device="cuda")
