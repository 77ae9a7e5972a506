"""Azure Kinect and Orbbec pictures, with the calibrations that their software writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fg3d_builder.captures import k4a_calibration
from fg3d_builder.captures.k4a_calibration import recorded_calibration
from fg3d_builder.captures.layout_source import LayoutSource
from fg3d_builder.captures.layouts import realsense
from fg3d_builder.captures.layouts.kinect import LAYOUT, read_rig
from fg3d_builder.captures.lens import Lens
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.geometry.camera import cam_from_px, intrinsics_matrix, px_from_cam
from fg3d_builder.records import Array, Capture
from tests.captures.layouts.rgbd_scene import View, seen_by

# Numbers of a public recording's calibration: tests/assets/calibration.json of etiennedub/pyk4a.
DEPTH_VALUES = [
    0.51296979188919067, 0.51692354679107666, 0.4927808940410614, 0.49290284514427185,
    0.54793977737426758, -0.020971370860934258, -0.0026522316038608551, 0.88967907428741455,
    0.086130209267139435, -0.013910384848713875, 0, 0, -7.2104157879948616e-5,
    2.0557534298859537e-5,
]  # fmt: skip
COLOUR_VALUES = [
    0.49984714388847351, 0.50661760568618774, 0.47796511650085449, 0.63742393255233765,
    0.33012130856513977, -2.4893965721130371, 1.453670859336853, 0.20891207456588745,
    -2.302915096282959, 1.3751275539398193, 0, 0, -0.00012944525224156678,
    -0.00016178244550246745,
]  # fmt: skip
ROTATION = np.array([
    0.99999922513961792, 0.0011817576596513391, -0.00044814043212682009, -0.0011387512786313891,
    0.99628061056137085, 0.0861603245139122, 0.0005482942215166986, -0.086159750819206238,
    0.9962812066078186,
]).reshape(3, 3)  # fmt: skip
TRANSLATION_MM = 1000 * np.array([-0.032083429396152496, -0.0022053730208426714,
                                  0.0038836926687508821])  # fmt: skip


def recorded() -> dict[str, Any]:
    """The attachment of a recording, members that are not read left out."""

    def camera(
        place: str, values: list[float], pose: tuple[list[float], list[float]], size: list[int]
    ) -> dict[str, Any]:
        return {
            "Intrinsics": {
                "ModelParameterCount": 14,
                "ModelParameters": values,
                "ModelType": "CALIBRATION_LensDistortionModelBrownConrady",
            },
            "Location": f"CALIBRATION_CameraLocation{place}",
            "MetricRadius": 1.7399997711181641 if place == "D0" else 0,
            "Rt": {"Rotation": pose[0], "Translation": pose[1]},
            "SensorHeight": size[0],
            "SensorWidth": size[1],
        }

    nowhere = ([1, 0, 0, 0, 1, 0, 0, 0, 1], [0, 0, 0])
    beside = (ROTATION.ravel().tolist(), (TRANSLATION_MM / 1000).tolist())
    return {
        "CalibrationInformation": {
            "Cameras": [
                camera("D0", list(DEPTH_VALUES), nowhere, [1024, 1024]),
                camera("PV0", list(COLOUR_VALUES), beside, [3072, 4096]),
            ]
        }
    }


def by_software(colour: Lens, depth: Lens) -> dict[str, Any]:
    """``k4a_calibration_t``, as k4a_calibration_data_extractor writes it."""

    def camera(lens: Lens, pose: tuple[Array, Array]) -> dict[str, Any]:
        K, names = lens.intrinsics, ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
        param = dict(zip(names, lens.coefficients.tolist(), strict=True))
        param |= {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2], "codx": 0.0}
        return {
            "extrinsics": {"rotation": pose[0].ravel().tolist(), "translation": pose[1].tolist()},
            "intrinsics": {
                "parameter_count": 14,
                "parameters": {"param": param, "v": []},
                "type": "K4A_CALIBRATION_LENS_DISTORTION_MODEL_BROWN_CONRADY",
            },
            "metric_radius": 1.74,
            "resolution_height": lens.size[0],
            "resolution_width": lens.size[1],
        }

    return {
        "color_camera_calibration": camera(colour, (ROTATION, TRANSLATION_MM)),
        "depth_camera_calibration": camera(depth, (np.eye(3), np.zeros(3))),
        "depth_mode": "K4A_DEPTH_MODE_NFOV_UNBINNED ",
    }


def of_orbbec(colour: Lens, depth: Lens, **more: Any) -> dict[str, Any]:
    """``OBCameraParam``, member by member."""

    def inner(lens: Lens) -> dict[str, Any]:
        K = lens.intrinsics
        return {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2],
                "width": lens.size[1], "height": lens.size[0]}  # fmt: skip

    def bend(lens: Lens) -> dict[str, Any]:
        names = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
        return dict(zip(names, lens.coefficients.tolist(), strict=True))

    return {
        "rgb_intrinsic": inner(colour),
        "depth_intrinsic": inner(depth),
        "rgb_distortion": bend(colour),
        "depth_distortion": bend(depth),
        "transform": {"rot": ROTATION.ravel().tolist(), "transform": TRANSLATION_MM.tolist()},
        **more,
    }


def small(values: list[float], height: int, width: int, focal: float) -> Lens:
    """A camera of few pixels with a published lens."""
    k = values[4:10]
    bend = np.array([k[0], k[1], values[13], values[12], *k[2:]])
    K = intrinsics_matrix(focal, 1.003 * focal, width / 2 + 1.5, height / 2 - 3.0)
    return Lens(K, (height, width), bend)


COLOUR, DEPTH = small(COLOUR_VALUES, 120, 160, 150), small(DEPTH_VALUES, 116, 128, 101)


def write_person(
    folder: Path, table: dict[str, Any], colour: Lens = COLOUR, depth: Lens = DEPTH
) -> tuple[View, View]:
    """Write the pictures of both cameras; return what a straight colour camera sees, and the
    picture as it is."""
    folder.mkdir(parents=True)
    (folder / "calibration.json").write_text(json.dumps(table))
    seen = seen_by(colour)
    from_depth = (ROTATION, TRANSLATION_MM)
    for name, pixels in (
        ("color/00001.jpg", seen.rgb),
        ("depth/00001.png", steps(seen_by(depth, *from_depth))),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        quality = {"quality": 98, "subsampling": 0} if name.endswith("jpg") else {}
        Image.fromarray(pixels).save(folder / name, **quality)
    return seen_by(replace(colour, coefficients=np.zeros(8))), seen


def steps(view: View) -> Array:
    return np.rint(np.nan_to_num(view.depth_mm)).astype(np.uint16)


def captures(root: Path) -> list[Capture]:
    source = LayoutSource(SourceConfig(kind="kinect", path=str(root)), LAYOUT)
    return [source.load(entry) for entry in source.entries()]


def error_of(root: Path) -> str:
    with pytest.raises(CaptureError) as caught:
        captures(root)
    return f"{caught.value.code}: {caught.value.message}"


def test_the_calibration_is_that_of_the_sensors_own_software() -> None:
    """Numbers that the sensor's software gives: tests/unit/test_calibration.py of pyk4a."""
    colour, depth, (rotation, translation_mm) = recorded_calibration(
        recorded(), Path("x"), (720, 1280), (576, 640)
    )
    point = np.array([1031.4664306640625, 1325.8529052734375, 2117.6611328125])
    moved = rotation @ point + translation_mm
    np.testing.assert_allclose(moved, [1000, 1500, 2000], atol=2e-3)
    px = np.array([250.0, 300.0])
    lifted = cam_from_px(colour.straight_px(px), 250.0, colour.intrinsics)
    np.testing.assert_allclose(lifted, [-154.5365753173828, -26.12171173095703, 250], atol=1e-3)
    in_depth = rotation.T @ (lifted - translation_mm)
    wanted = [-122.29087829589844, -45.17741394042969, 243.19528198242188]
    np.testing.assert_allclose(in_depth, wanted, atol=1e-3)
    assert colour.size == (720, 1280)
    assert depth is not None
    assert depth.size == (576, 640)
    assert depth.largest_radius == pytest.approx(1.74, abs=1e-6)
    assert px_from_cam(lifted, colour.intrinsics) == pytest.approx(colour.straight_px(px))


@pytest.mark.parametrize(
    "size", [(720, 1280), (1080, 1920), (1440, 2560), (1536, 2048), (2160, 3840), (3072, 4096)]
)
def test_all_sizes_of_the_colour_camera_see_the_same(size: tuple[int, int]) -> None:
    """A ray through the middle of the sensor is in the middle of every picture."""
    whole = recorded_calibration(recorded(), Path("x"), (3072, 4096), None)[0]
    part = recorded_calibration(recorded(), Path("x"), size, None)[0]
    slope = (np.array([2047.5, 1535.5]) - whole.intrinsics[:2, 2]) / np.diag(whole.intrinsics)[:2]
    px = slope * np.diag(part.intrinsics)[:2] + part.intrinsics[:2, 2]
    np.testing.assert_allclose(px, [(size[1] - 1) / 2, (size[0] - 1) / 2], atol=1e-9)
    assert part.intrinsics[0, 0] / whole.intrinsics[0, 0] == pytest.approx(size[1] / 4096)


def test_an_older_calibration_of_the_middle_of_the_sensor() -> None:
    """The same camera, in units of the sensor's 2304 middle rows."""
    table = recorded()
    row = table["CalibrationInformation"]["Cameras"][1]
    values = row["Intrinsics"]["ModelParameters"]
    values[1] = (values[1] * 3072 - 384) / 2304
    values[3] *= 3072 / 2304
    row["SensorHeight"] = 2304
    found = recorded_calibration(table, Path("x"), (720, 1280), None)[0]
    wanted = recorded_calibration(recorded(), Path("x"), (720, 1280), None)[0]
    np.testing.assert_allclose(found.intrinsics, wanted.intrinsics, rtol=1e-12)


def check_person(root: Path, view: View) -> None:
    (capture,) = captures(root)
    assert (capture.capture_id, capture.subject_id) == ("anna-1", "anna")
    np.testing.assert_array_equal(capture.intrinsics, COLOUR.intrinsics)
    inner = np.zeros(view.head.shape, bool)
    inner[10:-10, 10:-10] = True
    colour_error = np.abs(capture.rgb.astype(int) - view.rgb).max(axis=-1)[inner]
    assert np.median(colour_error) <= 2
    assert np.quantile(colour_error, 0.95) <= 8  # JPEG beside the head's outline
    error = np.abs(capture.depth_mm - view.depth_mm)[view.head & inner]
    assert np.isfinite(error).mean() > 0.85
    # Whole millimetres, and the bumps of the surface between pixels 6 mm apart.
    assert np.nanmedian(error) < 0.5
    assert np.nanquantile(error, 0.9) < 2.5


def test_pictures_with_the_softwares_calibration(tmp_path: Path) -> None:
    view, bent = write_person(tmp_path / "anna", by_software(COLOUR, DEPTH))
    assert np.abs(view.rgb.astype(int) - bent.rgb).max() > 30
    check_person(tmp_path, view)


@pytest.mark.parametrize("nested", [False, True])
def test_pictures_of_orbbec(tmp_path: Path, nested: bool) -> None:
    table = of_orbbec(COLOUR, DEPTH)
    if nested:  # pyorbbecsdk gives the rotation as rows
        table["transform"]["rot"] = ROTATION.tolist()
    view, _ = write_person(tmp_path / "anna", table)
    check_person(tmp_path, view)


def test_pictures_of_a_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sensor's parts, a quarter of a size in each direction: the same cameras."""
    monkeypatch.setattr(k4a_calibration, "COLOUR_PARTS", {(180, 320): (240, 30)})
    monkeypatch.setattr(k4a_calibration, "DEPTH_PARTS", {(144, 160): (256, 45, 48)})
    colour, depth, pose = recorded_calibration(recorded(), Path("x"), (180, 320), (144, 160))
    assert depth is not None
    np.testing.assert_array_equal(pose[0], ROTATION)
    view, _ = write_person(tmp_path / "anna", recorded(), colour, depth)
    (capture,) = captures(tmp_path)
    np.testing.assert_allclose(capture.intrinsics, colour.intrinsics)
    error = np.abs(capture.depth_mm - view.depth_mm)[view.head]
    assert np.nanmedian(error) < 0.5
    assert np.isfinite(error).mean() > 0.8


def test_transformed_depth_is_on_the_bent_colour(tmp_path: Path) -> None:
    """Depth that the sensor's software has already brought onto the colour's pixels."""
    view, bent = write_person(tmp_path / "anna", by_software(COLOUR, DEPTH))
    Image.fromarray(steps(bent)).save(tmp_path / "anna/depth/00001.png")
    (capture,) = captures(tmp_path)
    inner = view.head.copy()
    inner[:8] = inner[-8:] = False
    error = np.abs(capture.depth_mm - view.depth_mm)[inner]
    assert np.nanmedian(error) < 0.5
    assert np.isfinite(error).mean() > 0.85


def test_open3ds_reader_of_recordings(tmp_path: Path) -> None:
    K = COLOUR.intrinsics
    table = {"width": 160, "height": 120, "intrinsic_matrix": K.T.ravel().tolist(),
             "serial_number": "1", "color_mode": "MJPG_720P", "depth_mode": "NFOV_UNBINNED",
             "stream_length_usec": 1}  # fmt: skip
    straight = replace(COLOUR, coefficients=np.zeros(8))
    view, _ = write_person(tmp_path / "anna", table, straight)
    Image.fromarray(steps(view)).save(tmp_path / "anna/depth/00001.png")
    (capture,) = captures(tmp_path)
    assert np.abs(capture.depth_mm - view.depth_mm).max() <= 0.5


def test_cameras_of_both_kinds_are_told_apart(tmp_path: Path) -> None:
    """Open3D writes the same matrix for both, and more of an Azure Kinect."""
    K = COLOUR.intrinsics
    table = {"width": 160, "height": 120, "intrinsic_matrix": K.T.ravel().tolist()}
    file = tmp_path / "intrinsic.json"
    file.write_text(json.dumps(table))
    assert realsense.read_rig(file).colour.size == (120, 160)
    with pytest.raises(CaptureError, match="'depth_mode' is missing: no Azure Kinect's"):
        read_rig(file, (120, 160), (120, 160))
    file.write_text(json.dumps({**table, "depth_mode": "NFOV_UNBINNED"}))
    assert read_rig(file, (120, 160), (120, 160)).colour.size == (120, 160)
    with pytest.raises(CaptureError, match="that is an Azure Kinect's; see kind 'kinect'"):
        realsense.read_rig(file)
    for made in (recorded(), by_software(COLOUR, DEPTH), of_orbbec(COLOUR, DEPTH)):
        file.write_text(json.dumps(made))
        with pytest.raises(CaptureError):
            realsense.read_rig(file)


def test_names_of_orbbecs_samples(tmp_path: Path) -> None:
    """``save_image_to_disk.py`` of pyorbbecsdk: size, index and time in the names."""
    write_person(tmp_path / "x" / "anna", of_orbbec(COLOUR, DEPTH))
    folder = tmp_path / "x" / "anna"
    (folder / "color").rename(folder / "color_images")
    (folder / "depth").rename(folder / "depth_images")
    (folder / "color_images/00001.jpg").rename(folder / "color_images/color_160x120_4_17012.jpg")
    (folder / "depth_images/00001.png").rename(folder / "depth_images/depth_128x116_4_17013.png")
    (capture,) = captures(tmp_path / "x")
    assert capture.capture_id == "anna-4"


def test_broken_files_are_named(tmp_path: Path) -> None:
    write_person(tmp_path / "anna", recorded())
    file = tmp_path / "anna/calibration.json"

    def message(change: Any, table: dict[str, Any] | None = None) -> str:
        made = recorded() if table is None else table
        change(made)
        file.write_text(json.dumps(made))
        with pytest.raises(CaptureError) as caught:
            read_rig(file, (720, 1280), (576, 640))
        return f"{caught.value.code}: {caught.value.message}"

    def cameras(table: dict[str, Any]) -> list[dict[str, Any]]:
        return table["CalibrationInformation"]["Cameras"]

    assert "no camera with CALIBRATION_CameraLocationPV0" in message(lambda t: cameras(t).pop())
    assert "Cameras[1].Intrinsics.ModelParameters" in message(
        lambda t: cameras(t)[1]["Intrinsics"]["ModelParameters"].pop()
    )
    assert "Cameras[0].Intrinsics.ModelType" in message(
        lambda t: cameras(t)[0]["Intrinsics"].update(ModelType="Rational6KT")
    )
    assert "Cameras[1].Rt.Rotation': expected a rotation" in message(
        lambda t: cameras(t)[1]["Rt"].update(Rotation=[2] * 9)
    )
    assert "Cameras[1].SensorHeight" in message(lambda t: cameras(t)[1].update(SensorHeight=99))
    assert "none of the fields CalibrationInformation" in message(lambda t: t.clear())
    assert error_of(tmp_path).startswith("missing_field")
    file.write_text(json.dumps(recorded()))
    assert "the colour picture has 160 x 120 pixels, the sensor's have 1280 x 720" in error_of(
        tmp_path
    )
    wrong = by_software(COLOUR, DEPTH)
    assert "color_camera_calibration.intrinsics.type" in message(
        lambda t: t["color_camera_calibration"]["intrinsics"].update(type="RATIONAL_6KT"), wrong
    )
    wrong = of_orbbec(COLOUR, DEPTH)
    bent = message(lambda t: t["rgb_distortion"].update(model="kannala_brandt4"), wrong)
    assert "rgb_distortion.model': expected one of brown_conrady" in bent
    wrong = of_orbbec(COLOUR, DEPTH)
    far = message(lambda t: t["transform"].update(transform=[3e4, 0, 0]), wrong)
    assert "transform.transform': expected at most 2000 mm" in far
    file.unlink()
    assert "no file describes the cameras; known are calibration.json" in error_of(tmp_path)
