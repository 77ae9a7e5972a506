"""Depth in another unit, or along the ray, becomes millimetres along z, by every kind of source."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from fg3d_builder.captures import open_source
from fg3d_builder.captures.depth_values import z_depth_mm
from fg3d_builder.captures.folder import write_capture
from fg3d_builder.captures.layout_source import LayoutSource
from fg3d_builder.captures.layouts.layout import Frame, Item, Layout
from fg3d_builder.config import BuildConfig, SourceConfig, digest, from_table, to_table
from fg3d_builder.errors import ConfigError
from fg3d_builder.geometry.camera import cam_from_depth, intrinsics_matrix
from fg3d_builder.records import Array, Capture

CAMERA = intrinsics_matrix(60.0, 62.0, 31.5, 23.5)
SIZE = (48, 64)


def wall() -> tuple[Array, Array]:
    """A wall at 1500 mm: z, and the distance along the ray."""
    z = np.full(SIZE, 1500.0)
    return z, np.linalg.norm(cam_from_depth(z, CAMERA), axis=-1)


def loaded(config: SourceConfig) -> Capture:
    source = open_source(config)
    return source.load(source.entries()[0])


def test_distances_along_the_ray_become_z() -> None:
    z, distances = wall()
    distances[0, :3] = [0.0, -5.0, np.inf]
    depth = z_depth_mm(distances, CAMERA, 1.0, along_ray=True)
    assert np.isnan(depth[0, :3]).all()
    np.testing.assert_allclose(depth[1:], z[1:], rtol=1e-6)
    assert depth.dtype == np.float32


def test_a_folder_of_captures(tmp_path: Path) -> None:
    """Millimetres that are said to be metres lie beyond a kilometre before they are put right."""
    z, distances = wall()
    capture = Capture("a", "anna", "folder", np.zeros((*SIZE, 3), np.uint8), distances, CAMERA)
    write_capture(tmp_path / "a", capture, depth_format="npy")
    description = tmp_path / "a" / "capture.json"
    table = json.loads(description.read_text())
    description.write_text(json.dumps({**table, "depth_unit_mm": 1000.0}))
    config = SourceConfig(
        kind="folder", path=str(tmp_path), depth_factor=0.001, depth_is_along_ray=True
    )
    found = loaded(config)
    np.testing.assert_allclose(found.depth_mm, z, rtol=1e-6)
    assert found.unit_mm == pytest.approx(1.0)


def test_a_layout(tmp_path: Path) -> None:
    z, distances = wall()
    frame = Frame(np.zeros((*SIZE, 3), np.uint8), (distances * 1e3).astype(np.float32), CAMERA)
    item = Item("anna-0", "anna", (tmp_path / "0.bin",))
    layout = Layout("folder", "toy", "0.bin", lambda root: [item], lambda item: frame)
    config = SourceConfig(
        kind="folder", path=str(tmp_path), depth_factor=1e-3, depth_is_along_ray=True
    )
    source = LayoutSource(config, layout)
    np.testing.assert_allclose(source.load(source.entries()[0]).depth_mm, z, rtol=1e-6)
    scans = replace(layout, frame=None, mesh=lambda item: None)
    with pytest.raises(ConfigError, match=r"depth_is_along_ray.*rendered"):
        LayoutSource(config, scans)
    measured = replace(config, depth_is_along_ray=False)
    with pytest.raises(ConfigError, match=r"depth_factor.*measured"):
        LayoutSource(measured, replace(scans, unit_mm=0.0))


def test_a_scan(tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(subdivisions=3)
    ball.vertices *= [7.5, 10.5, 9.0]  # a head in centimetres
    ball.export(tmp_path / "anna.ply")
    config = SourceConfig(kind="scan", path=str(tmp_path), unit_mm=1.0, depth_factor=10.0)
    capture = loaded(config)
    assert np.nanmin(capture.depth_mm) == pytest.approx(550 - 90, abs=1.0)
    assert capture.unit_mm == 10.0


def test_old_presets_keep_their_digests() -> None:
    old = {"kind": "folder", "path": "captures"}
    config = from_table(SourceConfig, old, "test")
    assert "depth_factor" not in to_table(config)
    assert digest(config) == digest(from_table(SourceConfig, {**old, "depth_factor": 1.0}, "test"))
    assert digest(config) != digest(replace(config, depth_factor=0.001))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ('kind = "scan"\npath = "x"\ndepth_is_along_ray = true', "is rendered"),
        ('kind = "scan"\npath = "x"\nunit_mm = 0\ndepth_factor = 10', "measures the unit"),
        ('kind = "synthetic"\ndepth_factor = 10', "reads no files"),
        ('kind = "scan"\npath = "x"\nframes = {take = "peak"}', "no sequences"),
        ('kind = "folder"\npath = "x"\ndepth_factor = 0', "more than 0"),
    ],
)
def test_settings_without_a_meaning_are_refused(source: str, words: str) -> None:
    from fg3d_builder.config.presets import tomllib

    table = tomllib.loads(f"[[sources]]\n{source}")
    with pytest.raises(ConfigError, match=words):
        from_table(BuildConfig, table, "test")
