"""Stage products: what is written is read back, and damage is noticed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_views

from fg3d_builder.files.products import SCHEMA, is_complete, read_product, write_product
from fg3d_builder.files.sealed import DamagedFileError, write_sealed
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import (
    Capture,
    CaptureTruth,
    Failure,
    IterationRecord,
    Landmarks,
    Pose,
    Registration,
)
from fg3d_builder.shards.rows import TransformedShape
from fg3d_builder.shards.schema import ShapeRow

FAILURE = Failure("b", "s", "captures", "no_depth", "b: no pixel has a depth", "failures/b.png")


def make_capture(seed: int = 0, vertices: int = 9000) -> Capture:
    rng = np.random.default_rng(seed)
    depth = rng.uniform(400, 900, (48, 64)).astype(np.float32)
    depth[:5] = np.nan
    pose = Pose(1.0, rotation_from_angles(3, 10, -2), np.array([1.0, 2.0, 600.0]))
    truth = CaptureTruth(
        "0123456789abcdef",
        rng.normal(size=(vertices, 3)).astype(np.float32),
        rng.normal(size=(vertices, 3)).astype(np.float32),
        pose,
        rng.uniform(size=vertices) > 0.5,
    )
    landmarks = Landmarks("ibug68", rng.uniform(0, 60, (68, 2)), rng.uniform(size=68), "annotation")
    return Capture(
        capture_id=f"capture-{seed}",
        subject_id="Zoë",
        source="synthetic",
        rgb=rng.integers(0, 256, (48, 64, 3), dtype=np.uint8),
        depth_mm=depth,
        intrinsics=np.array([[900.0, 0, 31.5], [0, 900, 23.5], [0, 0, 1]]),
        landmarks=landmarks,
        truth=truth,
    )


def make_registration(seed: int = 0, vertices: int = 9000) -> Registration:
    rng = np.random.default_rng(seed)
    shape = rng.normal(size=(vertices, 3)) * 50
    pose = Pose(1.02, rotation_from_angles(3, 10, -2), np.array([1.0, 2.0, 600.0]))
    error = rng.uniform(0, 2, vertices)
    error[::7] = np.nan
    return Registration(
        topology_hash="0123456789abcdef",
        vertices_cam_mm=pose.cam_from_obj(shape),
        pose=pose,
        shape_obj_mm=shape,
        coarse_obj_mm=shape + 0.3,
        alpha_id=rng.normal(size=80),
        alpha_exp=rng.normal(size=50),
        visible=rng.uniform(size=vertices) > 0.5,
        confidence=rng.uniform(size=vertices),
        surface_error_mm=error,
        landmark_error_px=1.25,
        quality=0.75,
        converged=True,
        history=(
            IterationRecord(0, 50.0, 4000, 1.5, 2.5, 0.4),
            IterationRecord(1, 8.0, 1, 1.0, 2.0, 3.0),
        ),
    )


def make_transform(views: int) -> TransformedShape:
    rng = np.random.default_rng(views)
    confidence = rng.integers(0, 256, 20, dtype=np.uint8)
    shape = rng.normal(size=(20, 3)).astype("<f4").astype("<f8")
    row = ShapeRow(
        "transform-0", "{}", shape, rng.normal(size=4), rng.normal(size=2), 0.5, confidence
    )
    return TransformedShape("a", row, 0.75, 2.5, toy_views.views(views).views)


def assert_same(a: Any, b: Any, tolerance: float) -> None:
    assert type(a) is type(b)
    if dataclasses.is_dataclass(a):
        for item in dataclasses.fields(a):
            assert_same(getattr(a, item.name), getattr(b, item.name), tolerance)
    elif isinstance(a, tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same(one, other, tolerance)
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, atol=tolerance, rtol=0)
    else:
        assert a == b


def _table_of_one(fields: str) -> str:
    """Text of a table with one record of landmarks."""
    rest = '"confidence": [0, 8, "", "<f8", [1], "<f8"], "detector": "d"'
    about = '"stage": "s", "digest": "d", "name": "p.product", "failures": []'
    return f'{{{about}, "records": {{"a": {{{fields}, {rest}}}}}}}'


def test_keys_may_be_any_text(tmp_path: Path) -> None:
    names = [".", "..", "a/b", "a", "/", "a%2Fb", "Zoë Maria", "%"]
    records = {name: make_capture(seed, 9) for seed, name in enumerate(names)}
    write_product(tmp_path / "p.product", "donors", "d", records)
    found = read_product(tmp_path / "p.product", "donors", "d", Capture).records
    assert list(found) == names
    for name, record in records.items():
        np.testing.assert_array_equal(found[name].rgb, record.rgb)


def test_capture_comes_back_bit_by_bit(tmp_path: Path) -> None:
    captures = {f"capture-{i}": make_capture(i) for i in (2, 0)}
    write_product(tmp_path / "c.product", "captures", "d1", captures, [FAILURE])
    product = read_product(tmp_path / "c.product", "captures", "d1", Capture)
    assert list(product.records) == ["capture-2", "capture-0"]
    assert product.failures == (FAILURE,)
    for key, capture in captures.items():
        assert_same(product.records[key], capture, 0.0)


def test_capture_without_optional_parts(tmp_path: Path) -> None:
    capture = dataclasses.replace(make_capture(), landmarks=None, truth=None)
    write_product(tmp_path / "c.product", "captures", "d1", {"a": capture})
    back = read_product(tmp_path / "c.product", "captures", "d1", Capture).records["a"]
    assert back.landmarks is None
    assert back.truth is None


def test_registration_comes_back_in_single_precision(tmp_path: Path) -> None:
    registration = make_registration()
    write_product(tmp_path / "r.product", "registration", "d1", {"a": registration})
    back = read_product(tmp_path / "r.product", "registration", "d1", Registration).records["a"]
    # 1e-4 mm is single precision at the 700 mm of a camera-frame vertex.
    assert_same(back, registration, 1e-4)
    assert_same(back.pose, registration.pose, 0.0)
    assert_same(back.alpha_id, registration.alpha_id, 0.0)


def test_records_with_images_come_back_bit_by_bit(tmp_path: Path) -> None:
    shapes = {"a.transform-0": make_transform(3), "b.transform-0": make_transform(0)}
    write_product(tmp_path / "t.product", "transform", "d1", shapes)
    back = read_product(tmp_path / "t.product", "transform", "d1", TransformedShape).records
    for key, shape in shapes.items():
        assert_same(back[key], shape, 0.0)


def test_equal_records_give_equal_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "c.product" for folder in ("one", "two")]
    for path in paths:
        write_product(path, "captures", "d1", {"a": make_capture()}, [FAILURE])
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_truncated_file_is_not_complete_and_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "c.product"
    write_product(path, "captures", "d1", {"a": make_capture()})
    assert is_complete(path)
    data = path.read_bytes()
    for length in (0, 10, 512, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        assert not is_complete(path)
        with pytest.raises(DamagedFileError, match=r"c\.product is damaged"):
            read_product(path, "captures", "d1", Capture)
        assert not path.exists()


def test_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "c.product"
    write_product(path, "captures", "d1", {"a": make_capture()})
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DamagedFileError, match="damaged"):
        read_product(path, "captures", "d1", Capture)


def test_product_of_another_configuration_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.product"
    write_product(path, "captures", "d1", {"a": make_capture()})
    with pytest.raises(DamagedFileError, match="digest is 'd1', not 'd2'"):
        read_product(path, "captures", "d2", Capture)
    assert not path.exists()
    write_product(path, "captures", "d1", {"a": make_capture()})
    with pytest.raises(DamagedFileError, match="stage"):
        read_product(path, "landmarks", "d1", Capture)
    assert not path.exists()


def test_the_product_of_another_chunk_is_refused(tmp_path: Path) -> None:
    write_product(tmp_path / "one.product", "captures", "d1", {"a": make_capture()})
    (tmp_path / "two.product").write_bytes((tmp_path / "one.product").read_bytes())
    with pytest.raises(DamagedFileError, match=r"name is 'one\.product', not 'two\.product'"):
        read_product(tmp_path / "two.product", "captures", "d1", Capture)
    assert not (tmp_path / "two.product").exists()


def test_a_record_of_another_version_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "c.product"
    write_product(path, "captures", "d1", {"a": make_capture().landmarks})
    with pytest.raises(DamagedFileError, match="a record cannot be read: 'capture_id'"):
        read_product(path, "captures", "d1", Capture)
    assert not path.exists()


def test_a_table_that_is_none_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "c.product"
    for body in (b"", b"\x05\0\0\0\0\0\0\0{{{{{", b"\xff" * 40):
        write_sealed(path, SCHEMA, body)
        with pytest.raises(DamagedFileError, match="its table cannot be read"):
            read_product(path, "captures", "d1", Capture)
        assert not path.exists()


@pytest.mark.parametrize(
    "table",
    [
        "[]",
        "null",
        '{"stage": "s", "digest": "d", "name": "p.product", "records": 3, "failures": []}',
        _table_of_one('"scheme": "a", "points_px": [-8, 16, "", "<f8", [1], "<f8"]'),
        _table_of_one('"scheme": "a", "points_px": [0, 16, "", "<f8", [1], "<f8"]'),
        _table_of_one('"scheme": "a", "points_px": [0, 8, "", "x,,", [1], "<f8"]'),
        _table_of_one('"scheme": "a", "points_px": [0, 8, "", "<f8", [1e400], "<f8"]'),
    ],
)
def test_a_table_that_lies_behind_a_seal_that_fits_is_damage(tmp_path: Path, table: str) -> None:
    path, text = tmp_path / "p.product", table.encode()
    write_sealed(path, SCHEMA, len(text).to_bytes(8, "little") + text + bytes(8))
    with pytest.raises(DamagedFileError):
        read_product(path, "s", "d", Landmarks)
    assert not path.exists()


def test_only_the_captures_that_are_asked_for_are_read(tmp_path: Path) -> None:
    captures = {f"capture-{i}": make_capture(i) for i in range(3)}
    write_product(tmp_path / "c.product", "captures", "d1", captures, [FAILURE])
    about = tmp_path / "c.product", "captures", "d1", Capture
    some = read_product(*about, ["capture-2", "capture-0", "another"])
    assert list(some.records) == ["capture-0", "capture-2"]
    assert some.failures == (FAILURE,)
    assert_same(some.records["capture-2"], captures["capture-2"], 0.0)
    assert list(read_product(*about).only(["capture-1"]).records) == ["capture-1"]


def test_what_was_read_cannot_be_written_into(tmp_path: Path) -> None:
    write_product(tmp_path / "r.product", "registration", "d1", {"a": make_registration()})
    back = read_product(tmp_path / "r.product", "registration", "d1", Registration).records["a"]
    for name in ("shape_obj_mm", "visible", "alpha_id"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(back, name)[0] = 0


def test_a_product_knows_the_memory_that_it_takes(tmp_path: Path) -> None:
    write_product(tmp_path / "t.product", "transform", "d1", {"a": make_transform(2)})
    product = read_product(tmp_path / "t.product", "transform", "d1", TransformedShape)
    record = product.records["a"]
    shape = (record.shape.shape_obj_mm, record.shape.alpha_id, record.shape.alpha_exp)
    expected = sum(array.nbytes for array in (*shape, record.shape.confidence))
    for view in record.views:
        values = [getattr(view, item.name) for item in dataclasses.fields(view)]
        expected += sum(v.nbytes for v in values if isinstance(v, np.ndarray)) + len(view.image)
    assert product.array_bytes == expected


def test_missing_product_is_not_complete(tmp_path: Path) -> None:
    assert not is_complete(tmp_path / "none.product")
