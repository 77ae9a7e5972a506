"""The folder format: what is written comes back, and what is broken is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from PIL import Image

from fg3d_builder.captures.folder import FolderSource, read_capture, write_capture
from fg3d_builder.captures.opening import open_source
from fg3d_builder.captures.source import safe_id
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.records import Capture, Landmarks

HEIGHT, WIDTH = 40, 30


def make_capture(capture_id: str = "one", subject: str = "anna") -> Capture:
    rng = np.random.default_rng(7)
    depth = np.round(rng.uniform(400, 700, (HEIGHT, WIDTH)), 1).astype(np.float32)
    depth[:5] = np.nan
    points = rng.uniform(0, 30, (68, 2))
    return Capture(
        capture_id=capture_id,
        subject_id=subject,
        source="folder",
        rgb=rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8),
        depth_mm=depth,
        intrinsics=intrinsics_matrix(298.57, 299.125, 14.9, 20.23),
        expression="smile",
        licence="CC0",
        landmarks=Landmarks("ibug68", points, np.linspace(0, 1, 68), "annotation"),
    )


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_capture(tmp_path / "one", make_capture())
    return tmp_path / "one"


@pytest.mark.parametrize("depth_format", ["png", "npy"])
def test_round_trip_is_exact(tmp_path: Path, depth_format: str) -> None:
    wanted = make_capture()
    write_capture(tmp_path / "one", wanted, depth_format=depth_format)
    found = read_capture(tmp_path / "one")
    for name in ("capture_id", "subject_id", "source", "expression", "licence"):
        assert getattr(found, name) == getattr(wanted, name)
    for name in ("rgb", "depth_mm", "intrinsics"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
        assert getattr(found, name).dtype == getattr(wanted, name).dtype
    assert found.landmarks is not None
    assert wanted.landmarks is not None
    np.testing.assert_array_equal(found.landmarks.points_px, wanted.landmarks.points_px)
    np.testing.assert_array_equal(found.landmarks.confidence, wanted.landmarks.confidence)


def test_png_depth_is_rounded_to_half_a_unit_at_most(tmp_path: Path) -> None:
    capture = make_capture()
    write_capture(tmp_path / "one", capture, depth_unit_mm=0.25)
    error = read_capture(tmp_path / "one").depth_mm - capture.depth_mm
    assert np.nanmax(np.abs(error)) <= 0.125 + 1e-4
    np.testing.assert_array_equal(np.isnan(error), np.isnan(capture.depth_mm))


def test_writing_again_in_the_other_format_leaves_one_depth_file(written: Path) -> None:
    write_capture(written, make_capture(), depth_format="npy")
    assert not (written / "depth.png").exists()
    np.testing.assert_array_equal(read_capture(written).depth_mm, make_capture().depth_mm)


def test_depth_beyond_16_bits_is_refused(tmp_path: Path) -> None:
    capture = make_capture()
    capture.depth_mm[20, 20] = 7000.0
    with pytest.raises(ValueError, match=r"depth_unit_mm.*7000"):
        write_capture(tmp_path / "one", capture, depth_unit_mm=0.1)


def edit(folder: Path, **changes: object) -> None:
    """Change fields of capture.json; "a.b" names an inner one, the value `edit` removes."""
    file = folder / "capture.json"
    table = json.loads(file.read_text())
    for path, value in changes.items():
        inner = table
        *outer, last = path.split("__")
        for key in outer:
            inner = inner[key]
        if value is edit:
            del inner[last]
        else:
            inner[last] = value
    file.write_text(json.dumps(table))


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"subject": edit}, "missing_field", "'subject'"),
        ({"intrinsics": edit}, "missing_field", "'intrinsics'"),
        ({"intrinsics__cx": edit}, "missing_field", "'intrinsics.cx'"),
        ({"depth_unit_mm": edit}, "missing_field", "'depth_unit_mm'"),
        ({"subject": 7}, "bad_field", "'subject'"),
        ({"subject": " "}, "bad_field", "'subject'"),
        ({"intrinsics": [1, 2, 3, 4]}, "bad_field", "'intrinsics'"),
        ({"intrinsics__fx": float("nan")}, "bad_field", "'intrinsics.fx'"),
        ({"intrinsics__fy": -300.0}, "bad_field", "'intrinsics.fy'"),
        ({"intrinsics__cy": "middle"}, "bad_field", "'intrinsics.cy'"),
        ({"intrinsics__cx": True}, "bad_field", "'intrinsics.cx'"),
        ({"intrinsics__cx": 10**400}, "bad_field", "'intrinsics.cx'"),
        ({"depth_unit_mm": 0}, "bad_field", "'depth_unit_mm'"),
        ({"licence": None}, "bad_field", "'licence'"),
        ({"expression": []}, "bad_field", "'expression'"),
        ({"sex": "f"}, "bad_field", "'sex': expected 'female' or 'male' or 'other'"),
        ({"sex": None}, "bad_field", "'sex'"),
        ({"sex": ""}, "bad_field", "'sex'"),
        ({"landmarks": 5}, "bad_field", "'landmarks'"),
        ({"landmarks__scheme": edit}, "missing_field", "'landmarks.scheme'"),
        ({"landmarks__scheme": "ibug51"}, "bad_field", "'landmarks.scheme'"),
        ({"landmarks__points_px": edit}, "missing_field", "'landmarks.points_px'"),
        ({"landmarks__points_px": [[1, 2]]}, "bad_field", "'landmarks.points_px'"),
        ({"landmarks__points_px": [[1, None]] * 68}, "bad_field", "'landmarks.points_px'"),
        ({"landmarks__points_px": "none"}, "bad_field", "'landmarks.points_px'"),
        ({"landmarks__confidence": [2.0] * 68}, "bad_field", "'landmarks.confidence'"),
        ({"landmarks__confidence": [-0.5] + [1.0] * 67}, "bad_field", "found -0.5"),
        ({"landmarks": "marks.json"}, "missing_file", "capture.json: field 'landmarks' names"),
    ],
)
def test_bad_description_is_named(
    written: Path, changes: dict[str, object], code: str, field: str
) -> None:
    edit(written, **changes)
    with pytest.raises(CaptureError) as caught:
        read_capture(written)
    assert caught.value.code == code
    assert field in caught.value.message
    assert str(written) in caught.value.message


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def cut_off_end(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-12])  # exactly the IEND chunk


def flip_a_byte(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x40
    file.write_bytes(data)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def garbage(file: Path) -> None:
    file.write_bytes(b"not an image at all" * 20)


@pytest.mark.parametrize("harm", [truncate, cut_off_end, flip_a_byte, empty, garbage])
@pytest.mark.parametrize("name", ["color.png", "depth.png"])
def test_broken_png_is_found(written: Path, name: str, harm: object) -> None:
    harm(written / name)  # type: ignore[operator]
    with pytest.raises(CaptureError) as caught:
        read_capture(written)
    assert caught.value.code == "unreadable_image"
    assert str(written / name) in caught.value.message


@pytest.mark.parametrize("harm", [truncate, empty, garbage])
def test_broken_jpeg_is_found(written: Path, harm: object) -> None:
    (written / "color.png").unlink()
    Image.fromarray(make_capture().rgb).save(written / "color.jpg", quality=95)
    assert read_capture(written).rgb.shape == (HEIGHT, WIDTH, 3)
    harm(written / "color.jpg")  # type: ignore[operator]
    with pytest.raises(CaptureError, match=r"color\.jpg") as caught:
        read_capture(written)
    assert caught.value.code == "unreadable_image"


@pytest.mark.parametrize("harm", [truncate, empty, garbage])
def test_broken_npy_is_found(written: Path, harm: object) -> None:
    write_capture(written, make_capture(), depth_format="npy")
    harm(written / "depth.npy")  # type: ignore[operator]
    with pytest.raises(CaptureError, match=r"depth\.npy") as caught:
        read_capture(written)
    assert caught.value.code == "unreadable_image"


def test_pickled_npy_is_not_executed(written: Path) -> None:
    write_capture(written, make_capture(), depth_format="npy")
    np.save(written / "depth.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(CaptureError, match=r"depth\.npy") as caught:
        read_capture(written)
    assert caught.value.code == "unreadable_image"


def test_eight_bit_depth_is_refused(written: Path) -> None:
    Image.fromarray(np.full((HEIGHT, WIDTH), 90, np.uint8)).save(written / "depth.png")
    with pytest.raises(CaptureError, match=r"depth\.png: expected 16-bit greyscale") as caught:
        read_capture(written)
    assert caught.value.code == "unreadable_image"


@pytest.mark.parametrize("name", ["color.png", "depth.png", "capture.json"])
def test_missing_file_is_named(written: Path, name: str) -> None:
    (written / name).unlink()
    with pytest.raises(CaptureError) as caught:
        read_capture(written)
    assert caught.value.code == "missing_file"
    assert name in caught.value.message


@pytest.mark.parametrize("text", ["", "{", '{"subject": "x",}', "[1]", "\xff"])
def test_broken_json_is_found(written: Path, text: str) -> None:
    (written / "capture.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CaptureError, match=r"capture\.json") as caught:
        read_capture(written)
    assert caught.value.code == "bad_json"


def test_two_depth_files_contradict(written: Path) -> None:
    np.save(written / "depth.npy", make_capture().depth_mm)
    with pytest.raises(CaptureError, match=r"depth\.png and depth\.npy"):
        read_capture(written)


def test_sizes_must_agree(written: Path) -> None:
    Image.fromarray(make_capture().rgb[:-1]).save(written / "color.png")
    with pytest.raises(CaptureError, match=r"30 x 40 pixels, color\.png 30 x 39") as caught:
        read_capture(written)
    assert caught.value.code == "size_mismatch"


@pytest.mark.parametrize("value", [0.0, np.nan, -5.0, np.inf])
def test_no_depth_at_all(tmp_path: Path, value: float) -> None:
    write_capture(tmp_path / "one", make_capture(), depth_format="npy")
    np.save(tmp_path / "one" / "depth.npy", np.full((HEIGHT, WIDTH), value))
    with pytest.raises(CaptureError, match="no pixel has a depth") as caught:
        read_capture(tmp_path / "one")
    assert caught.value.code == "no_depth"


def test_landmarks_in_a_file_of_their_own(written: Path) -> None:
    table = json.loads((written / "capture.json").read_text())
    (written / "marks.json").write_text(json.dumps(table["landmarks"]))
    edit(written, landmarks="marks.json")
    found = read_capture(written).landmarks
    assert found is not None
    np.testing.assert_array_equal(found.points_px, make_capture().landmarks.points_px)  # type: ignore[union-attr]


def test_source_lists_good_and_bad_alike(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        write_capture(tmp_path / name, make_capture(subject=f"subject-{name}"))
    (tmp_path / "b" / "capture.json").write_text("{")
    (tmp_path / "empty").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "note.txt").write_text("no capture")
    source = open_source(SourceConfig(kind="folder", path=str(tmp_path)))
    found = [(e.capture_id, e.subject_id) for e in source.entries()]
    assert found == [("a", "subject-a"), ("b", ""), ("c", "subject-c"), ("empty", "")]
    with pytest.raises(CaptureError, match=r"empty.*capture\.json"):
        source.load(source.entries()[3])


def test_source_takes_only_what_matches(tmp_path: Path) -> None:
    for name in ("x-1", "x-2", "y-1"):
        write_capture(tmp_path / name, make_capture())
    config = SourceConfig(kind="folder", path=str(tmp_path), include=("x-*",))
    assert [e.capture_id for e in FolderSource(config).entries()] == ["x-1", "x-2"]


def test_a_capture_folder_is_a_source_of_one(written: Path) -> None:
    source = open_source(SourceConfig(kind="folder", path=str(written)))
    assert [e.capture_id for e in source.entries()] == ["one"]
    assert source.load(source.entries()[0]).subject_id == "anna"


def test_opening_nothing_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        open_source(SourceConfig(kind="folder", path=str(tmp_path / "none")))
    with pytest.raises(ConfigError, match="no captures"):
        open_source(SourceConfig(kind="folder", path=str(tmp_path)))
    with pytest.raises(ConfigError, match=r"sources\.path"):
        open_source(SourceConfig(kind="folder"))
    with pytest.raises(ConfigError, match="unknown kind 'mirror'"):
        open_source(SourceConfig(kind="mirror", path=str(tmp_path)))
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError, match=r"notes\.txt is a file, expected a folder of captures"):
        open_source(SourceConfig(kind="folder", path=str(tmp_path / "notes.txt")))


def test_a_folder_that_cannot_be_read_is_not_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_path: Path) -> NoReturn:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(PermissionError):
        open_source(SourceConfig(kind="folder", path=str(tmp_path)))


def test_ids_are_safe_and_stay_different() -> None:
    assert safe_id("sven-052") == "sven-052"
    assert safe_id("a b") != safe_id("a_b")
    assert safe_id("a b") != safe_id("a/b")
    assert safe_id("../x").startswith("_")


@pytest.mark.data
def test_real_frames_load(shared_data: Path) -> None:
    source = open_source(SourceConfig(kind="folder", path=str(shared_data / "captures")))
    entries = source.entries()
    assert [e.capture_id for e in entries] == [f"sven-0{n}" for n in (44, 52, 56, 64, 72)]
    assert {e.subject_id for e in entries} == {"sven"}
    for entry in entries:
        capture = source.load(entry)
        assert capture.rgb.shape == (320, 240, 3)
        # The head stands about 27 cm before the phone, the wall metres behind it.
        assert 230 < np.nanmin(capture.depth_mm) < 270
        assert 0.9 < np.isfinite(capture.depth_mm).mean() < 0.95
        np.testing.assert_allclose(capture.intrinsics[0, 0], 298.57)
