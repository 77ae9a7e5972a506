"""Regions, truth and sheets of turned views."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh

from benchmarks import kept
from benchmarks.fullview import beside_photograph, chosen_heads, total
from benchmarks.turned_background import background_of, on_background
from benchmarks.turned_heads import REPORTED_HEADS, Frontals, LitHead, ScannedHead, TruePicture
from benchmarks.turned_reference import kept_pixels
from benchmarks.turned_regions import compare, face_pixels, head_pixels, overhang, regions
from benchmarks.turned_sheet import SHARES, YAWS_DEG, Pair, draw, tile
from fg3d_builder.captures import open_source
from fg3d_builder.captures.synthetic import SyntheticSource, render_capture
from fg3d_builder.config import SourceConfig
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.fullview.views import CAPTURED, ViewCamera
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array, Capture, Pose, Registration

SIDE = 128
INTRINSICS = intrinsics_matrix(200.0, 200.0, (SIDE - 1) / 2, (SIDE - 1) / 2)


def _camera(
    rotation: Array | None = None, shift: Array | None = None, intrinsics: Array = INTRINSICS
) -> ViewCamera:
    """A camera whose crop is the capture's own picture."""
    turn = np.eye(3) if rotation is None else rotation
    moved = np.zeros(3) if shift is None else shift
    pose = Pose(1.0, turn, moved)
    return ViewCamera(CAPTURED, turn, moved, np.eye(3), intrinsics, SIDE, pose)


def _turn(yaw_deg: float) -> Array:
    """The rotation of the camera frame that turns a head by some yaw."""
    straight = rotation_from_angles(0.0, 0.0, 0.0)
    return np.asarray(rotation_from_angles(0.0, yaw_deg, 0.0) @ straight.T)


def _wall(z_mm: float, half_mm: float = 1000.0) -> tuple[Array, Array]:
    """A square before the camera, facing it."""
    x, y = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1.0]]).T * half_mm
    return np.column_stack([x, y, np.full(4, z_mm)]), np.array([[0, 2, 1], [0, 3, 2]])


def test_regions_part_the_head_into_face_and_surround() -> None:
    head, face, exposed = (np.zeros((20, 20), bool) for _ in range(3))
    head[2:18, 2:18] = True
    face[5:19, 6:14] = True  # one row of the registered face lies outside the head
    exposed[:, 12:] = True
    found = regions(head, face, exposed)
    assert found["head"].sum() == 256
    assert found["face"].sum() == 13 * 8
    assert np.array_equal(found["surround"] ^ found["face"], head)
    assert not (found["surround"] & found["face"]).any()
    assert found["exposed"].sum() == 13 * 2
    assert overhang(face, head) == pytest.approx(8 / (14 * 8))


def test_the_head_is_where_its_picture_is_not_black_without_single_hairs() -> None:
    picture = np.zeros((30, 30, 3), np.uint8)
    picture[10:20, 10:20, 2] = 1
    picture[0:30, 25] = 200
    wanted = np.zeros((30, 30), bool)
    wanted[10:20, 10:20] = True
    assert np.array_equal(head_pixels(picture), wanted)


def test_face_pixels_are_the_reliable_face_without_its_rim(default: FaceModel) -> None:
    n = len(default.mean)
    upright = Pose(1.0, np.diag([1.0, -1.0, -1.0]), np.array([0.0, 0.0, 500.0]))
    vertices = upright.cam_from_obj(default.mean)
    registration = Registration(
        default.topology_hash, vertices, upright, default.mean, default.mean, np.zeros(1),
        np.zeros(1), np.ones(n, bool), np.ones(n), np.zeros(n), 0.0, 1.0, True,
    )  # fmt: skip
    face = face_pixels(default, registration, _camera())
    nose = vertices[np.argmin(vertices[:, 2])]
    x, y = np.rint(200.0 * nose[:2] / nose[2] + (SIDE - 1) / 2).astype(int)
    assert face[y, x]
    px = 200.0 * vertices[:, :2] / vertices[:, 2:] + (SIDE - 1) / 2
    left, right = px[default.reliable, 0].min(), px[default.reliable, 0].max()
    columns = np.flatnonzero(face.any(axis=0))
    # One pixel is eroded, and a pixel's centre is half a pixel inside.
    assert left + 0.5 < columns[0] < left + 3.5
    assert right - 3.5 < columns[-1] < right - 0.5


def test_comparison_of_pictures_that_differ_by_ten_grey_levels() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(20, 200, (40, 40, 3)).astype(np.uint8)
    image = truth.copy()
    image += 1
    image[:, :20] += 9
    left = np.zeros((40, 40), bool)
    left[:, :20] = True
    few = np.zeros((40, 40), bool)
    few[:7, :7] = True
    found = compare(image, truth, {"left": left, "right": ~left, "few": few})
    assert found["left"]["psnr_db"] == pytest.approx(20 * np.log10(25.5), abs=1e-6)
    assert found["left"]["error"] == pytest.approx(10.0)
    assert found["left"]["pixels"] == 800
    assert found["right"]["error"] == 1.0
    assert found["right"]["ssim"] > found["left"]["ssim"]
    assert found["few"]["pixels"] == 49
    assert np.isnan(found["few"]["psnr_db"])


def test_reference_keeps_what_the_capture_sees_of_a_turned_wall() -> None:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    rgb = np.stack([columns, rows, 254 - columns - rows], axis=-1).astype(np.uint8)
    capture = Capture("wall", "wall", "", rgb, np.full((SIDE, SIDE), 500.0), INTRINSICS)
    straight = kept_pixels(capture, *_wall(500.0), _camera())
    # The outermost pixels project to the picture's border, just inside it or just outside.
    inner = (slice(1, -1), slice(1, -1))
    assert np.abs(straight[inner].astype(int) - rgb[inner]).max() <= 1

    rotation = _turn(20.0)
    pivot = np.array([0.0, 0.0, 500.0])
    turned = kept_pixels(capture, *_wall(500.0), _camera(rotation, pivot - rotation @ pivot))
    # A plane's picture moves by a homography: K (R + t n' / d) K^-1.
    moved = rotation + np.outer(pivot - rotation @ pivot, [0.0, 0.0, 1.0]) / 500.0
    homography = INTRINSICS @ moved @ np.linalg.inv(INTRINSICS)
    wanted = cv2.warpPerspective(rgb, homography, (SIDE, SIDE))
    middle = (slice(20, -20), slice(40, -40))
    difference = np.abs(turned[middle].astype(int) - wanted[middle])
    assert difference.max() <= 1


def test_reference_fills_what_something_before_the_wall_hides() -> None:
    red, green = np.array([200, 20, 20]), np.array([20, 200, 20])
    wall, front = _wall(500.0), _wall(400.0, 20.0)
    vertices = np.concatenate([wall[0], front[0]])
    triangles = np.concatenate([wall[1], front[1] + 4])
    rgb = np.full((SIDE, SIDE, 3), green, np.uint8)
    middle = (SIDE - 1) / 2
    inside = np.abs(np.arange(SIDE) - middle) < 20.0 * 200 / 400
    rgb[np.ix_(inside, inside)] = red
    capture = Capture("wall", "wall", "", rgb, np.full((SIDE, SIDE), 500.0), INTRINSICS)
    shift = np.array([-40.0, 0.0, 0.0])
    turned = kept_pixels(capture, vertices, triangles, _camera(shift=shift))
    # The near square moves by 20 pixels, the wall by 16: beside it 4 columns were hidden.
    row = turned[SIDE // 2].astype(int)
    # The columns beside the square's rim mix with it in the picture itself.
    assert np.abs(row[44:53] - red).max() <= 2
    assert np.abs(row[60:] - green).max() <= 5  # Telea's fill at the end
    assert np.abs(row[:32] - green).max() <= 2


def test_a_synthetic_head_at_rest_is_its_capture() -> None:
    config = SourceConfig(
        subjects=1, captures_per_subject=1, seed=31, image_size=(SIDE, SIDE), focal_px=200.0
    )
    source = SyntheticSource(config)
    (entry,) = source.entries()
    subject, scene = source.scene(entry)
    quiet = replace(scene, image_noise=0.0)
    capture = render_capture(config, subject, quiet, entry.capture_id, entry.subject_id)
    head = LitHead.of(subject, scene, capture)
    picture = head.picture(_camera(intrinsics=capture.intrinsics))
    whole = picture.coverage == 1.0
    assert whole.sum() > 2000
    difference = np.abs(picture.rgb[whole].astype(int) - capture.rgb[whole])
    assert difference.max() <= 1
    # The capture sees nothing less than itself, but for vertices between its pixels.
    assert picture.exposed.sum() < 0.02 * whole.sum()
    turned = _camera(_turn(-40.0), intrinsics=capture.intrinsics)
    pivot = scene.pose.translation_mm
    turned = replace(turned, translation_mm=pivot - turned.rotation @ pivot)
    assert head.picture(turned).exposed.sum() > 0.03 * whole.sum()


def test_a_scan_at_rest_is_its_capture(tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(4, 100.0)
    colours = np.clip(128 + ball.vertices, 0, 255).astype(np.uint8)
    ball.visual.vertex_colors = np.column_stack([colours, np.full(len(colours), 255, np.uint8)])
    ball.export(tmp_path / "ball.ply")
    config = SourceConfig(kind="scan", path=str(tmp_path), image_size=(SIDE, SIDE), focal_px=200.0)
    source = open_source(config)
    (entry,) = source.entries()
    capture = source.load(entry)
    head = ScannedHead(Path(entry.location), config)
    picture = head.picture(_camera(intrinsics=capture.intrinsics))
    whole = picture.coverage == 1.0
    assert np.array_equal(picture.rgb[whole], capture.rgb[whole])
    assert np.array_equal(whole, np.isfinite(capture.depth_mm) & whole)
    vertices, triangles = head.surface()
    assert len(triangles) == len(ball.faces)
    assert np.linalg.norm(vertices - vertices.mean(axis=0), axis=1) == pytest.approx(100, abs=1e-3)


def test_results_are_kept_until_what_they_are_made_of_changes(tmp_path: Path) -> None:
    made = []

    def make() -> int:
        made.append(1)
        return len(made)

    mesh = tmp_path / "mesh.obj"
    mesh.write_text("v 0 0 0")
    store = kept.Kept(tmp_path / "kept", "model")
    assert [store.get("a", ["x"], make, [mesh]) for _ in range(2)] == [1, 1]
    assert store.get("a", ["y"], make, [mesh]) == 2
    assert kept.Kept(tmp_path / "kept", "other model").get("a", ["x"], make, [mesh]) == 3
    mesh.write_text("v 0 0 1, another")
    assert store.get("a", ["x"], make, [mesh]) == 4


def test_code_counts_with_its_constants_and_without_its_comments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = []
    for number, (code, constant) in enumerate(
        [("x = 1", "{}"), ("x = 1  # one", "{}"), ("x = 2", "{}"), ("x = 1", "[]")]
    ):
        package = tmp_path / str(number)
        (package / "part").mkdir(parents=True)
        (package / "part" / "a.py").write_text(code)
        (package / "part" / "a.json").write_text(constant)
        (package / "other.py").write_text(str(number))
        monkeypatch.setattr(kept, "PACKAGE", package)
        digests.append(kept.code_behind(["part"]))
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_sheets_draw_every_view_once_and_the_same_for_a_seed() -> None:
    counts = {"heads": 21, "scans": 9, "sven": 5, "demo": 8}
    drawn = draw(counts, SHARES, seed=0)
    assert drawn == draw(counts, SHARES, seed=0)
    assert drawn != draw(counts, SHARES, seed=1)
    assert len(drawn) == 40
    assert Counter(view.kind for view in drawn) == SHARES
    assert len({(view.kind, view.number, view.yaw_deg) for view in drawn}) == 40
    assert {view.yaw_deg for view in drawn} == set(YAWS_DEG)
    # Neither the order of the tiles nor that within them says anything.
    assert [view.kind for view in drawn] != sorted(view.kind for view in drawn)
    assert 10 <= sum(view.ours_first for view in drawn) <= 30
    assert len(draw({"sven": 1}, SHARES, seed=0)) == 2


def test_a_tile_has_both_pictures_where_the_key_says() -> None:
    view, truth = (np.full((8, 8, 3), level, np.uint8) for level in (50, 150))
    assert (tile(Pair(view, truth), True)[:, :8] == 50).all()
    assert (tile(Pair(view, truth), False)[:, -8:] == 50).all()
    alone = tile(Pair(view, None), False)
    assert alone.shape == tile(Pair(view, truth), True).shape
    assert (alone[:, :8] == 50).all()


def test_a_true_picture_on_a_background_mixes_light_and_not_grey_levels() -> None:
    rgb = np.zeros((40, 40, 3), np.uint8)
    coverage = np.zeros((40, 40), np.float32)
    rgb[10:30, 10:30], coverage[10:30, 10:30] = 255, 1.0
    # Half a pixel of white light is 188 in sRGB.
    rgb[9], coverage[9] = 188, 0.5
    photo = np.full((40, 40, 3), 100, np.uint8)
    photo[10:30, 10:30] = 255
    background = background_of(photo, coverage > 0.7)
    # Telea's own fill of a constant is a few levels off.
    assert np.abs(background.astype(int) - 100).max() <= 4
    picture = TruePicture(rgb, coverage, np.zeros((40, 40), bool))
    mixed = on_background(picture, np.zeros_like(photo))
    assert np.array_equal(mixed, rgb)
    mixed = on_background(picture, np.full_like(photo, 255))
    assert np.abs(mixed.astype(int) - 255)[:30].max() <= 1


def test_heads_are_chosen_by_set_number_or_name(shared_data: Path, default: FaceModel) -> None:
    names = Frontals(default, shared_data).head_names()
    assert tuple(names[:8]) == REPORTED_HEADS
    assert chosen_heads(names, []) == names
    assert chosen_heads(names, ["8"]) == chosen_heads(names, ["reported"]) == names[:8]
    assert chosen_heads(names, ["others"]) == names[8:]
    assert chosen_heads(names, ["White_M_1"]) == ["White_M_1"]
    with pytest.raises(ValueError, match="nobody"):
        chosen_heads(names, ["nobody"])


def test_total_averages_over_captures_and_skips_what_is_missing() -> None:
    def row(capture: str, psnr_db: float) -> dict[str, object]:
        return {
            "kind": "heads", "turn": "+0 +45", "region": "head", "method": "full_view",
            "capture": capture, "psnr_db": psnr_db, "ssim": 0.5, "error": 1.0, "overhang": 0.0,
        }  # fmt: skip

    (mean,) = total([row("a", 10.0), row("b", 14.0), row("c", float("nan"))])
    assert mean["psnr_db"] == pytest.approx(12.0)
    assert (mean["captures"], mean["ms"]) == (3, None)


def test_views_at_rest_are_compared_with_the_photograph_of_the_same_capture() -> None:
    def row(capture: str, turn: str, method: str, psnr_db: float) -> dict[str, object]:
        place = {"kind": "heads", "region": "head", "capture": capture, "turn": turn}
        return {**place, "method": method, "psnr_db": psnr_db}

    rows = [
        row("a", "+0 +0", "full_view", 30.0), row("a", "+0 +0", "photograph", 30.5),
        row("b", "+0 +0", "full_view", 41.0), row("b", "+0 +0", "photograph", 40.0),
        row("b", "+0 +45", "full_view", 12.0), row("b", "+0 +0", "face_profiling", 50.0),
    ]  # fmt: skip
    (found,) = beside_photograph(rows)
    assert found["mean_db"] == pytest.approx(0.25)
    assert found["least_db"] == pytest.approx(-0.5)
