"""Layouts become sources: ids, subjects, frames of sequences, rendered scans, failures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from fg3d_builder.captures.frames import chosen_frames
from fg3d_builder.captures.layout_source import LayoutSource
from fg3d_builder.captures.layouts.known import LAYOUTS
from fg3d_builder.captures.layouts.layout import Frame, Item, Layout
from fg3d_builder.config import LAYOUT_KINDS, FramesConfig, SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.textured_mesh import mesh_with_colors
from fg3d_builder.geometry.camera import intrinsics_matrix


def items(count: int = 6) -> list[Item]:
    return [
        Item(f"anna-{k}", "anna ", (Path(f"anna/{k}.bin"),), "smile", "anna", k, peak=k == 4)
        for k in range(count)
    ]


def read_frame(item: Item) -> Frame:
    depth = np.full((48, 64), 500.0 + item.frame, np.float32)
    depth[0] = np.nan
    depth[1] = 1e9
    return Frame(np.zeros((48, 64, 3), np.uint8), depth, intrinsics_matrix(60, 60, 31.5, 23.5))


TOY = Layout("folder", "toy", "anna/0.bin", lambda root: items(), read_frame)


def config(tmp_path: Path, **changes: object) -> SourceConfig:
    return replace(SourceConfig(kind="folder", path=str(tmp_path), licence="CC0"), **changes)


def test_kinds_of_the_settings_are_the_layouts() -> None:
    assert tuple(LAYOUTS) == LAYOUT_KINDS
    for kind, layout in LAYOUTS.items():
        assert kind == layout.kind
        assert (layout.frame is None) != (layout.mesh is None)
        assert layout.title
        assert layout.expects


def test_a_frame_becomes_a_capture(tmp_path: Path) -> None:
    source = LayoutSource(config(tmp_path), TOY)
    entry = source.entries()[3]
    assert (entry.capture_id, entry.subject_id) == ("anna-3", "anna")
    capture = source.load(entry)
    assert (capture.capture_id, capture.subject_id) == ("anna-3", "anna")
    assert (capture.expression, capture.licence) == ("smile", "CC0")
    assert np.isnan(capture.depth_mm[:2]).all()
    assert (capture.depth_mm[2:] == 503.0).all()


def test_include_and_frames(tmp_path: Path) -> None:
    def names(**changes: object) -> list[str]:
        found = LayoutSource(config(tmp_path, **changes), TOY).entries()
        return [entry.capture_id for entry in found]

    assert names(include=("*-1", "*-5")) == ["anna-1", "anna-5"]
    assert names(frames=FramesConfig("every", 4)) == ["anna-0", "anna-4"]
    assert names(frames=FramesConfig("peak")) == ["anna-4"]
    drawn = names(frames=FramesConfig("random", 2))
    assert len(drawn) == 2
    assert drawn == names(frames=FramesConfig("random", 2))


def test_random_frames_of_a_sequence_do_not_depend_on_the_others() -> None:
    one = items()
    other = [replace(item, name=f"b-{item.frame}", sequence="bert") for item in items()]
    config = FramesConfig("random", 3)
    alone = chosen_frames(one, config, 7)
    both = chosen_frames([*other, *one], config, 7)
    assert [item.name for item in both if item.sequence == "anna"] == [i.name for i in alone]
    drawn = {tuple(i.name for i in chosen_frames(one, config, seed)) for seed in range(20)}
    assert len(drawn) > 5


def test_pictures_without_sequence_are_all_taken() -> None:
    single = [replace(item, sequence="") for item in items()]
    assert chosen_frames(single, FramesConfig("random", 1), 0) == single


def test_refused_items_are_listed_and_fail(tmp_path: Path) -> None:
    refused = replace(items(1)[0], refusal="a profile, 70 degrees")
    source = LayoutSource(config(tmp_path), replace(TOY, find=lambda root: [refused]))
    with pytest.raises(CaptureError, match=r"0\.bin: a profile, 70 degrees"):
        source.load(source.entries()[0])


def test_a_camera_of_another_picture_is_named(tmp_path: Path) -> None:
    def wrong(item: Item) -> Frame:
        return replace(read_frame(item), intrinsics=intrinsics_matrix(60, 60, 310, 230))

    source = LayoutSource(config(tmp_path), replace(TOY, frame=wrong))
    with pytest.raises(CaptureError, match="principal point"):
        source.load(source.entries()[0])


def test_scans_make_a_capture_for_each_view(tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(subdivisions=3)
    vertices = np.asarray(ball.vertices) * [75.0, 105.0, 90.0]
    mesh = mesh_with_colors(vertices, np.asarray(ball.faces), np.full((len(vertices), 3), 90))
    layout = replace(TOY, frame=None, mesh=lambda item: mesh)
    source = LayoutSource(
        config(tmp_path, views=((0.0, 0.0), (0.0, 30.0)), include=("anna-0",)), layout
    )
    assert [e.capture_id for e in source.entries()] == [
        "anna-0_pitch0_yaw0",
        "anna-0_pitch0_yaw30",
    ]
    capture = source.load(source.entries()[0])
    assert np.nanmin(capture.depth_mm) == pytest.approx(550 - 90, abs=1.0)
