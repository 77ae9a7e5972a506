"""Readers of the published layouts: what they list, what is missing, what is refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from toy_protocols import write_picked_points

from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.testsets import open_protocol
from fg3d_builder.testsets.mesh_files import (
    SEVEN_POINTS,
    read_picked_points,
    read_point_list,
)
from fg3d_builder.testsets.paper import TABLE5


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("v 0 0 0\n")
    return path


def test_florence_lists_21_views_of_every_subject(florence: Path) -> None:
    protocol = open_protocol("florence", florence)
    assert list(protocol.scans) == ["subject_01", "subject_02"]
    assert len(protocol.images) == 42
    views = {(i.pitch_deg, i.yaw_deg) for i in protocol.images if i.subject == "subject_01"}
    assert views == {(p, y) for p in (-20, 0, 20) for y in range(-45, 46, 15)}
    ids = [image.image_id for image in protocol.images]
    assert ids == sorted(ids)
    assert "subject_02/pitch-20_yaw+45" in ids
    assert not protocol.missing


def test_florence_takes_the_second_scan_only_where_there_is_no_first(tmp_path: Path) -> None:
    first = touch(tmp_path / "subject_01/Model/frontal1/obj/a.obj")
    touch(tmp_path / "subject_01/Model/frontal2/obj/b.obj")
    second = touch(tmp_path / "subject_02/Model/frontal2/obj/c.obj")
    (tmp_path / "subject_03/Model").mkdir(parents=True)
    touch(tmp_path / "subject_04/Model/frontal1/obj/d.obj")
    touch(tmp_path / "subject_04/Model/frontal1/obj/e.obj")
    protocol = open_protocol("florence", tmp_path, unit_mm=10.0)
    assert [scan.mesh_file for scan in protocol.scans.values()] == [first, second]
    assert {scan.unit_mm for scan in protocol.scans.values()} == {10.0}
    codes = [(missing.name, missing.code) for missing in protocol.missing]
    assert codes == [("subject_03", "missing_file"), ("subject_04", "ambiguous_scan")]
    assert "Model/frontal1/obj" in protocol.missing[0].reason


def test_only_wanted_subjects_are_read(florence: Path) -> None:
    protocol = open_protocol("florence", florence, subjects=("*_02",))
    assert list(protocol.scans) == ["subject_02"]
    with pytest.raises(ConfigError, match=r"no subject like nobody.*subject_01"):
        open_protocol("florence", florence, subjects=("nobody",))


def test_now_takes_neutral_images_alone(now: Path) -> None:
    protocol = open_protocol("now", now)
    (image,) = protocol.images
    assert image.image_id == "FaMoS_001_TA/multiview_neutral/IMG_0001"
    assert image.yaw_deg is None
    assert image.photo is not None
    assert image.photo.is_file()
    given = protocol.scans["FaMoS_001_TA"].landmarks
    assert given is not None
    assert tuple(given.ibug) == SEVEN_POINTS


def test_now_records_what_is_missing(now: Path, tmp_path: Path) -> None:
    folder = tmp_path / "now"
    shutil.copytree(now, folder)
    (folder / "imagepathsvalidation.txt").write_text(
        "FaMoS_001_TA/multiview_neutral/IMG_0001.jpg\n"
        "FaMoS_001_TA/multiview_neutral/IMG_0002.jpg\n"
        "\nFaMoS_009_TA/multiview_neutral/IMG_0003.jpg\n"
        "FaMoS_009_TA/selfie/IMG_0004.jpg\n"
    )
    protocol = open_protocol("now", folder)
    assert len(protocol.images) == 1
    assert [Path(m.name).name for m in protocol.missing] == ["IMG_0002", "IMG_0003"]
    assert "IMG_0002.jpg: file not found" in protocol.missing[0].reason
    assert "no *.obj" in protocol.missing[1].reason
    (points,) = folder.glob("scans_lmks_onlypp/*/*.pp")
    points.unlink()
    protocol = open_protocol("now", folder)
    assert not protocol.images
    assert str(points) in protocol.missing[0].reason


def test_picked_points_may_have_any_name(now: Path, tmp_path: Path) -> None:
    folder = tmp_path / "now"
    shutil.copytree(now, folder)
    (points,) = folder.glob("scans_lmks_onlypp/*/*.pp")
    wanted = read_picked_points(points).points

    def found() -> np.ndarray:
        given = open_protocol("now", folder).scans["FaMoS_001_TA"].landmarks
        assert given is not None
        return given.points

    points = points.rename(points.with_name("some points.pp"))
    assert np.array_equal(found(), wanted)
    # The name of the scan goes before others.
    write_picked_points(points.with_name("natural_head_rotation.000001.pp"), wanted + 1.0)
    assert np.allclose(found(), wanted + 1.0, atol=1e-4)
    points.with_name("natural_head_rotation.000001.pp").rename(points.with_name("other.pp"))
    (missing,) = open_protocol("now", folder).missing
    assert missing.code == "ambiguous_scan"
    assert "other.pp, some points.pp" in missing.reason


def test_now_may_lie_as_its_archive_unpacks(now: Path, tmp_path: Path) -> None:
    folder = tmp_path / "now"
    shutil.copytree(now, folder)
    inner = folder / "NoW_Dataset/final_release_version"
    inner.mkdir(parents=True)
    (folder / "iphone_pictures").rename(inner / "iphone_pictures")
    assert len(open_protocol("now", folder).images) == 1
    shutil.rmtree(inner)
    with pytest.raises(ConfigError, match="no folder iphone_pictures"):
        open_protocol("now", folder)


def test_stirling_reads_its_table_whatever_the_case(stirling: Path) -> None:
    protocol = open_protocol("stirling", stirling)
    assert sorted(protocol.scans) == ["F1001", "M1002"]
    assert [(i.subject, i.yaw_deg) for i in protocol.images] == [
        ("F1001", 45.0),
        ("F1001", -45.0),
        ("M1002", 45.0),
        ("M1002", -45.0),
    ]
    assert all(scan.landmarks is not None for scan in protocol.scans.values())


def test_stirling_records_what_is_missing_and_needs_no_annotation(
    stirling: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "stirling"
    shutil.copytree(stirling, folder)
    shutil.rmtree(folder / "annotations")
    (folder / "photos/F1001_left.png").unlink()
    (folder / "M_3D_N/m1002_N.obj").unlink()
    protocol = open_protocol("stirling", folder)
    assert [image.image_id for image in protocol.images] == ["photos/F1001_right"]
    assert protocol.scans["F1001"].landmarks is None
    assert len(protocol.missing) == 3
    assert "no M1002_N.obj in F_3D_N or M_3D_N" in protocol.missing[1].reason


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("photo,subject\n", "no column 'yaw'"),
        ("photo,subject,yaw\na.jpg,,45\n", "line 2: column 'subject' is empty"),
        ("photo,subject,yaw\na.jpg,F1,left\n", "line 2: yaw is 'left'"),
        ("photo,subject,yaw\n../a.jpg,F1,45\n", "is outside the folder"),
        ("photo,subject,yaw\na.jpg,F1,45\na.jpg,F2,45\n", "named twice"),
        ("photo,subject,yaw\n", "names no photo"),
    ],
)
def test_broken_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "photos.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        open_protocol("stirling", tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"photo,subject,yaw\na.jpg,F1,45\n\xff\xfe,F2,45\n", "line 3: no text in UTF-8"),
        (b"photo,subject,yaw\na.jpg,F1\0,45\n", "line 2: holds a zero byte"),
        (b"photo,subject,yaw\n.,F1,45\n", "is no file name"),
        (b"photo,subject,yaw\n" + b"x" * 200_000 + b",F1,45\n", "line [12]: field larger"),
        (b"\xf7\x8b\x88\x11", "line 1: no text"),
    ],
)
def test_lists_that_are_no_text_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "photos.csv").write_bytes(data)
    with pytest.raises(ConfigError, match=rf"photos\.csv: .*{message}"):
        open_protocol("stirling", tmp_path)
    (tmp_path / "imagepathsvalidation.txt").write_bytes(data)
    with pytest.raises(ConfigError, match=r"imagepathsvalidation\.txt: line"):
        open_protocol("now", tmp_path)


def test_a_list_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "photos.csv")
    with pytest.raises(ConfigError, match=r"photos\.csv: is a named pipe"):
        open_protocol("stirling", tmp_path)


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="known are florence, now, stirling"):
        open_protocol("aflw", tmp_path)
    with pytest.raises(ConfigError, match="no such folder"):
        open_protocol("now", tmp_path / "nothing")
    with pytest.raises(ConfigError, match=r"imagepathsvalidation.txt: not found"):
        open_protocol("now", tmp_path)
    with pytest.raises(ConfigError, match=r"photos.csv: not found"):
        open_protocol("stirling", tmp_path)
    with pytest.raises(ConfigError, match="unit of the scans"):
        open_protocol("florence", tmp_path, unit_mm=-1.0)
    (tmp_path / "imagepathsvalidation.txt").write_text("IMG_0001.jpg\n")
    with pytest.raises(ConfigError, match=r"line 1: 'IMG_0001\.jpg'"):
        open_protocol("now", tmp_path)


def test_picked_points_are_read_in_order(tmp_path: Path) -> None:
    points = np.arange(21.0).reshape(7, 3)
    write_picked_points(tmp_path / "a.pp", points)
    assert np.allclose(read_picked_points(tmp_path / "a.pp").points, points)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<PickedPoints>", "no XML"),
        ("<PickedPoints><point x='1' y='2' z='3'/></PickedPoints>", "1 points, wanted 7"),
        (
            "<PickedPoints><point x='1' z='3'/></PickedPoints>",
            r"point 0: \['1', '', '3'\] are no finite",
        ),
        (
            "<PickedPoints><point x='1' y='nan' z='3'/></PickedPoints>",
            r"point 0: \['1', 'nan', '3'\]",
        ),
    ],
)
def test_broken_picked_points_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.pp").write_text(text)
    with pytest.raises(CaptureError, match=message):
        read_picked_points(tmp_path / "a.pp")


def test_point_lists_are_read_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "a.lnd"
    path.write_text("".join(f"{i} {i}.5 -2 3e1\n" for i in range(1, 8)))
    assert read_point_list(path).points[6].tolist() == [7.5, -2.0, 30.0]
    path.write_text("1 2 3 4\n3 2 3 4\n")
    with pytest.raises(CaptureError, match="line 2"):
        read_point_list(path)
    with pytest.raises(CaptureError, match="file not found"):
        read_point_list(tmp_path / "b.lnd")


def test_the_papers_rows_belong_to_the_protocols(model: FaceModel) -> None:
    assert {name: len(rows) for name, rows in TABLE5.items()} == {
        "florence": 8,
        "now": 8,
        "stirling": 8,
    }
    # The printed means are those over images, not over intervals; they stay between them.
    for row in [*TABLE5["florence"], *TABLE5["now"]]:
        assert row.intervals is not None
        assert min(row.intervals) <= row.mean <= max(row.intervals)


def test_a_list_of_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "imagepathsvalidation.txt").write_text("anna/multiview_expressions/IMG_2.jpg\n")
    with pytest.raises(ConfigError, match=r"imagepathsvalidation\.txt: it names no image of the"):
        open_protocol("now", tmp_path)
    (tmp_path / "photos.csv").write_text("photo,subject,yaw\n")
    with pytest.raises(ConfigError, match=r"photos\.csv: it names no photo"):
        open_protocol("stirling", tmp_path)
