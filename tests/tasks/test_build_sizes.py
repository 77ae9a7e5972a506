"""The room that a build takes is that of its files, each counted once."""

from __future__ import annotations

from pathlib import Path

from fg3d_builder.tasks.build_sizes import Room, build_sizes, is_build, room


def write(path: Path, length: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(length))


def test_every_file_counts_once(tmp_path: Path) -> None:
    assert not is_build(tmp_path)
    write(tmp_path / "work/captures-aa/chunk-0-cc.h5", 5)
    write(tmp_path / "work/captures-bb/chunk-0-cc.h5", 7)
    write(tmp_path / "work/augmentation-report-aa/chunk-0-cc.json", 11)
    write(tmp_path / "work/facemodel-aa.h5", 13)
    write(tmp_path / "work/registration-aa/failures/x.png", 17)
    write(tmp_path / "work/index-aa.json", 19)
    write(tmp_path / "work/.index-aa.json.host.1.part", 23)
    write(tmp_path / "dataset-aa/manifest.json", 29)
    write(tmp_path / "dataset-bb/manifest.json", 31)
    (tmp_path / "dataset").symlink_to("dataset-bb")
    write(tmp_path / "report/index.html", 37)
    (tmp_path / "report/again").symlink_to("index.html")
    assert is_build(tmp_path)
    found = build_sizes(tmp_path)
    assert list(found.datasets) == ["dataset-bb", "dataset-aa"]
    assert found.stages == {
        "captures": Room(2, 12),
        "facemodel": Room(1, 13),
        "registration": Room(1, 17),
        "augmentation-report": Room(1, 11),
        "lists and plans": Room(2, 42),
    }
    assert found.report.bytes == 37 + len("index.html")  # a link is as long as its target's name
    assert room(tmp_path / "nothing") == Room(0, 0)
