"""`fg3d new` writes a preset that `fg3d check` finds good; `check` foretells a build."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from toy_build import write_toy_build

from fg3d_builder.cli import main
from fg3d_builder.commands import check
from fg3d_builder.commands.estimate import (
    Counts,
    costs,
    count_all,
    probe_seconds,
    sizes,
    spread,
    turned_views,
    wall_seconds,
)
from fg3d_builder.commands.preset_text import preset_name, split_for
from fg3d_builder.config import BuildConfig, FullViewConfig, load_preset
from fg3d_builder.shards.split import split_of

TASKS = Path(__file__).resolve().parents[2] / "tasks"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a preset, and with captures of six subjects."""
    write_toy_build(tmp_path, subjects=6, captures=2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_new_preset_is_good_and_never_overwrites(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "presets" / "mine.toml"
    assert main(["new", "captures", "--out", str(out)]) == 0
    assert "12 captures" in capsys.readouterr().out
    config = load_preset(out)
    assert config.sources[0].path == str(folder / "captures")
    assert config.name == "mine"  # the guide's studio.toml builds build/studio
    assert config.transform.shapes_per_capture == 4
    text = out.read_text()
    assert text.count("#") > 12
    assert main(["check", str(out)]) == 0
    said = capsys.readouterr().out
    assert "12 captures of 6 subjects" in said
    assert "12 of 12 read as a trial, 0 cannot be used" in said
    assert "\ngood; fg3d build " in said
    assert "split: 5 subjects to train, 1 to test" in said
    assert sorted(p.name for p in folder.iterdir()) == [
        "captures",
        "model.h5",
        "presets",
        "toy.toml",
    ]  # nothing is built

    out.write_text("mine")
    assert main(["new", "captures", "--out", str(out)]) == 2
    assert f"{out} is there already" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert main(["new", "captures", "--out", str(out), "--force"]) == 0
    assert out.read_text() == text
    assert main(["new", "captures"]) == 0
    assert load_preset(folder / "captures.toml").name == "captures"


def test_a_split_without_people_says_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_toy_build(tmp_path, subjects=1, captures=1)
    monkeypatch.chdir(tmp_path)
    main(["check", "toy.toml"])
    note = r"note: no subject falls into the (train|test) split; that takes a second subject"
    assert re.search(note, capsys.readouterr().out)


def test_new_says_what_it_found_and_what_it_expected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jpg").touch()
    assert main(["new", str(tmp_path), "--out", str(tmp_path / "p.toml")]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path} holds 1 .jpg; expected a folder for each capture, with capture.json" in said
    assert said.splitlines()[1:] == ["see docs/captures.md"]
    assert not (tmp_path / "p.toml").exists()


def test_check_names_what_cannot_be_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "captures/s0-0/depth.png").unlink()
    shutil.copy(folder / "captures/s1-0/depth.png", folder / "captures/s1-1/color.png")
    assert main(["check", "toy.toml"]) == 1
    said = capsys.readouterr().out
    assert "problem: s0-0: missing_file: " in said
    assert "2 problems" in said


def test_check_says_how_many_it_tried_and_how_all_are(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "MOST_TRIED", 5)
    (folder / "captures/s0-1/depth.png").unlink()  # the second of twelve; each third is tried
    assert main(["check", "toy.toml"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "  4 of 12 read as a trial, 0 cannot be used" in said
    assert said[-2:] == [
        "note: 4 of 12 captures were read; fg3d captures check toy.toml reads them all",
        "good, as far as was read; fg3d build toy.toml",
    ]


def test_check_names_a_place_that_cannot_be_written(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, _mode: path != folder)
    assert main(["check", "toy.toml", "--out", "new/out"]) == 1
    assert f"problem: {folder / 'new/out'}: nothing can be written there" in capsys.readouterr().out


def test_check_of_a_wrong_preset_says_all_that_is_wrong(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("toy.toml").write_text(Path("toy.toml").read_text().replace("chunk_size = 2", "x = 1"))
    assert main(["check", "toy.toml"]) == 2
    assert "x: no such setting; there are chunk_size," in capsys.readouterr().err


def test_check_foretells_a_build_and_sees_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples exactly; of the size, what depends on the captures, within a factor of two."""
    preset = write_toy_build(tmp_path, subjects=3, captures=2)
    monkeypatch.chdir(tmp_path)
    assert main(["check", str(preset), "--workers", "2"]) == 0
    said = capsys.readouterr().out
    assert "samples: 18: 6 captures and 0 new shapes, each as it is and in 2 turned views" in said
    assert "with 2 workers" in said
    assert main(["build", str(preset)]) == 0
    capsys.readouterr()
    assert main(["check", str(preset)]) == 0
    said = capsys.readouterr().out
    assert "a build has nothing to do" in said
    assert len(re.findall("6 of 6", said)) == 1 + 5  # as a trial; five stages
    assert main(["verify", "build/toy/dataset"]) == 0
    assert "18 samples" in capsys.readouterr().out


def test_times_follow_from_counts() -> None:
    """Measured with the demo: 76 s of processor time; its dataset 36.9 MB, its products 74 MB."""
    config = load_preset(TASKS / "demo.toml")
    counts = count_all(config, captures=24, training=18, subjects=6)
    assert counts == Counts(24, 42 * 9, 8, 18, 6)
    seconds = wall_seconds(costs(config, counts, 0.55), 1.0, 1)
    assert 76 / 1.5 < seconds < 76 * 1.5
    size = sizes(config, counts, 24 * 640 * 480)
    assert 36.9e6 / 1.5 < size.dataset < 36.9e6 * 1.5
    assert 73.7e6 / 1.5 < size.work < 73.7e6 * 1.5
    assert 23.0e6 / 1.5 < size.report < 23.0e6 * 1.5
    tiny = load_preset(TASKS / "tiny.toml")
    counts = count_all(tiny, captures=6, training=4, subjects=2)
    assert counts.new_shapes == 0
    assert counts.samples == 18
    assert 15.3 / 2 < wall_seconds(costs(tiny, counts, 0.25), 1.0, 1) < 15.3 * 2


def test_more_workers_take_less_and_a_slower_machine_more() -> None:
    config = BuildConfig()
    stages = costs(config, count_all(config, 1000, 900, 90), 0.1)
    assert wall_seconds(stages, 1.0, 8) < 0.2 * wall_seconds(stages, 1.0, 1)
    assert wall_seconds(stages, 2.0, 4) == pytest.approx(2 * wall_seconds(stages, 1.0, 4))
    assert probe_seconds() > 0


def test_views_of_a_frontal_capture() -> None:
    assert turned_views(BuildConfig()) == 8
    nothing = FullViewConfig(yaw_steps_deg=(), pitch_steps_deg=())
    assert turned_views(BuildConfig(fullview=nothing)) == 0


def test_trials_are_spread() -> None:
    assert list(spread(3, 40)) == [0, 1, 2]
    assert list(spread(100, 4)) == [0, 25, 50, 75]
    assert len(list(spread(20_001, 40))) <= 40
    assert list(spread(0, 4)) == []


@pytest.mark.parametrize("count", [2, 3, 8, 40, 200])
def test_neither_split_is_empty(count: int) -> None:
    people = [f"person {number}" for number in range(count)]
    fraction, salt = split_for(people, "studio")
    tested = sum(split_of(person, fraction, salt) == "test" for person in people)
    assert 1 <= tested < count
    assert 0.1 <= fraction <= 0.5


@pytest.mark.parametrize(
    ("folder", "name"), [("my captures!", "my-captures"), ("-a.", "a"), ("...", "captures")]
)
def test_names_of_builds(folder: str, name: str, tmp_path: Path) -> None:
    assert preset_name(tmp_path / folder) == name
