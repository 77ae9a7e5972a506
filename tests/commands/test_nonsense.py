"""Every command, given what it cannot use: one sentence, no traceback, exit status 1 or 2."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.cli import COMMANDS, main
from fg3d_builder.facemodel.sources.known import LAYOUTS

GIVEN = {
    "nothing": "{here}/nothing",
    "an empty file": "{here}/empty",
    "an empty folder": "{here}/folder",
    "text": "{here}/text",
    "binary": "{here}/binary",
    "a path through a file": "{here}/text/inside",
    "a long name": "{here}/" + 300 * "x",
    "a long path": "{here}" + 60 * ("/" + 100 * "x"),
    "a line break": "{here}/a\nb",
    "links in a circle": "{here}/circle",
    "no name": "",
}
"""What stands where a file or folder is expected."""

KINDS_OF_MODELS = [layout.name for layout in LAYOUTS]

PATHS = [
    ["build", "PATH"],
    ["check", "PATH"],
    ["new", "PATH", "--out", "{here}/new.toml"],
    ["register", "PATH", "--out", "{here}/out"],
    ["register", "{here}/folder", "--out", "{here}/out", "--preset", "PATH"],
    ["captures", "PATH"],
    ["captures", "check", "PATH"],
    ["captures", "show", "PATH", "--out", "{here}/sheet.png"],
    ["verify", "PATH"],
    ["status", "PATH"],
    ["view", "PATH"],
    ["models", "info", "--model", "PATH"],
    ["models", "info", "--model", "ict", "--model-path", "PATH"],
    ["models", "show", "--model", "PATH", "--out", "{here}/out"],
    ["models", "check", "--model", "PATH"],
    ["models", "import", "PATH", "--out", "{here}/my.h5"],
    ["models", "import", "{here}/text", "--out", "{here}/my.h5", "--overrides", "PATH"],
    *(
        ["models", "import", "PATH", "--out", "{here}/my.h5", "--kind", kind]
        for kind in KINDS_OF_MODELS
    ),
    ["models", "learn", "PATH", "--out", "{here}/my.h5"],
    ["models", "blend", "default", "PATH", "--out", "{here}/my.h5"],
    ["models", "learn", "{here}/folder", "--out", "{here}/my.h5", "--facemodel", "PATH"],
    ["info", "PATH"],
    ["merge", "PATH", "{here}/folder", "--out", "{here}/out"],
    ["merge", "{here}/folder", "PATH", "--out", "{here}/out"],
    ["split", "PATH", "--test", "0.2", "--out", "{here}/out"],
    ["export", "shapes", "PATH", "--out", "{here}/out"],
    ["export", "webdataset", "PATH", "--out", "{here}/out"],
    ["export", "webdataset", "{here}/folder", "--out", "{here}/out", "--model-file", "PATH"],
    ["export", "images", "PATH", "--out", "{here}/out"],
    ["export", "shapes", "{here}/folder", "--out", "{here}/out", "--topology", "PATH"],
    ["export", "shapes", "{here}/folder", "--out", "{here}/out", "--model-file", "PATH"],
    ["report", "PATH"],
    ["clean", "--root", "PATH"],
    ["clean", "--preset", "PATH"],
    ["review", "PATH"],
    ["train", "PATH", "--out", "{here}/out", "--device", "cpu"],
    ["train", "{here}/folder", "--out", "{here}/out", "--device", "cpu", "--settings", "PATH"],
    ["assess", "PATH", "{here}/folder", "--device", "cpu"],
    ["assess", "{here}/folder", "PATH", "--device", "cpu"],
    ["predict", "{here}/text", "--out", "{here}/out", "--device", "cpu", "--checkpoint", "PATH"],
    ["pack", "PATH", "--out", "{here}/out.tar"],
    ["unpack", "PATH", "--out", "{here}/out"],
    ["summary", "PATH", "--epochs", "1", "--seconds", "1"],
    ["parity", "PATH", "--out", "{here}/out.json", "--device", "cpu", "--preset", "tiny"],
    ["experiments", "table1", "--scale", "tiny", "--preset", "PATH", "--dry-run"],
    ["evaluate", "florence", "PATH", "--out", "{here}/out", "--device", "cpu"],
    ["evaluate", "now", "PATH", "--out", "{here}/out", "--device", "cpu"],
    ["evaluate", "stirling", "PATH", "--out", "{here}/out", "--device", "cpu"],
    ["evaluate", "now-challenge", "PATH", "--out", "{here}/out", "--device", "cpu"],
    ["evaluate", "now-challenge", "{here}/folder", "--out", "{here}/out", "--list", "PATH"],
    ["evaluate", "realy", "PATH", "--out", "{here}/out", "--device", "cpu"],
    ["evaluate", "realy", "{here}/folder", "--out", "{here}/out", "--image-set", "PATH"],
    ["evaluate", "realy", "{here}/folder", "--out", "{here}/out", "--submission", "PATH"],
]

WRITTEN = [
    ["build", "{here}/good.toml", "--out", "PATH"],
    ["check", "{here}/good.toml", "--out", "PATH"],
    ["register", "{here}/folder", "--out", "PATH"],
    ["models", "show", "--out", "PATH"],
    ["models", "import", "{here}/text", "--out", "{here}/my.h5", "--pictures", "PATH"],
    ["export", "shapes", "{here}/folder", "--out", "PATH"],
    ["export", "webdataset", "{here}/folder", "--out", "PATH"],
    ["merge", "{here}/folder", "{here}/folder", "--out", "PATH"],
    ["split", "{here}/folder", "--test", "0.2", "--out", "PATH"],
    ["train", "{here}/folder", "--device", "cpu", "--out", "PATH"],
    ["predict", "{here}/text", "--device", "cpu", "--out", "PATH"],
    ["unpack", "{here}/text", "--out", "PATH"],
    ["evaluate", "florence", "{here}/folder", "--device", "cpu", "--out", "PATH"],
    ["experiments", "table1", "--scale", "tiny", "--dry-run", "--out", "PATH"],
]
"""Commands with a folder to write to."""

WRITTEN_FILES = [
    ["models", "build", "--out", "PATH"],
    ["models", "import", "{here}/text", "--out", "PATH"],
    ["models", "learn", "{here}/folder", "--out", "PATH"],
    ["models", "blend", "default", "{here}/text", "--out", "PATH"],
    ["models", "learn", "{here}/folder", "--out", "{here}/my.h5", "--measures", "PATH"],
]
"""Commands with a file to write, which are refused before hours of work and not after."""

VALUES = [
    ["build", "{here}/good.toml", "--workers", "0"],
    ["build", "{here}/good.toml", "--workers", "-3"],
    ["build", "{here}/good.toml", "--workers", "two"],
    ["check", "{here}/good.toml", "--workers", "0"],
    ["register", "{here}/folder", "--out", "{here}/out", "--unit-mm", "nan"],
    ["register", "{here}/folder", "--out", "{here}/out", "--yaw", "inf"],
    ["register", "{here}/folder", "--out", "{here}/out", "--detector", "dlib"],
    ["captures", "{here}/folder", "--unit-mm", "-1"],
    ["captures", "check", "{here}/folder", "--limit", "0"],
    ["captures", "list", "{here}/folder", "--kind", "nobody"],
    ["review", "{here}/folder", "--count", "0"],
    ["view", "{here}/folder", "--port", "0x"],
    ["completion", "dos"],
    ["train", "{here}/folder", "--out", "{here}/out", "--epochs", "0"],
    ["train", "{here}/folder", "--out", "{here}/out", "--learning-rate", "nan"],
    ["train", "{here}/folder", "--out", "{here}/out", "--batch-size", "-1"],
    ["predict", "{here}/text", "--out", "{here}/out", "--focal", "0"],
    ["predict", "{here}/text", "--out", "{here}/out", "--focal", "nan"],
    ["pack", "{here}/folder", "--out", "{here}/out.tar", "--epochs", "0"],
    ["summary", "{here}/folder", "--epochs", "-1", "--seconds", "1"],
    ["experiments", "table1", "--scale", "tiny", "--seeds", "0"],
    ["experiments", "table9", "--scale", "tiny"],
    ["evaluate", "lfw", "{here}/folder", "--out", "{here}/out"],
    ["evaluate", "now-challenge", "{here}/folder", "--out", "{here}/out", "--challenge", "all"],
    ["evaluate", "now", "{here}/folder", "--out", "{here}/out", "--unit-mm", "nan"],
    ["models", "sell"],
    ["models", "info", "--model-path", "{here}/folder"],
    ["models", "info", "--model", "{here}/my.h5", "--model-path", "{here}/folder"],
    ["models", "learn", "{here}/folder", "--out", "{here}/my.h5", "--measures", "{here}/my.png"],
    ["models", "blend", "default", "--out", "{here}/my.h5"],
    ["models", "blend", "{here}/a.h5", "default", "--out", "{here}/my.h5"],
    ["models", "blend", "default", "{here}/a.h5", "--weights", "1", "--out", "{here}/my.h5"],
    ["models", "blend", "default", "{here}/a.h5", "--weights", "1", "0", "--out", "{here}/my.h5"],
    ["networks", "--preset", "huge"],
    ["split", "{here}/folder", "--out", "{here}/out", "--test", "1.5"],
    ["split", "{here}/folder", "--out", "{here}/out", "--val", "nan"],
    ["merge", "{here}/folder", "{here}/folder", "--out", "{here}/out", "--same-subjects", "maybe"],
    ["export", "webdataset", "{here}/folder", "--out", "{here}/out", "--fields", "faces"],
    ["export", "webdataset", "{here}/folder", "--out", "{here}/out", "--shard-mb", "0"],
    ["export", "images", "{here}/folder", "--out", "{here}/out", "--split", "all"],
    ["biuld", "{here}/good.toml"],
    ["build", "{here}/good.toml", "--wrokers", "2"],
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "text").write_text("What is written here is nothing that a command reads.\n")
    (tmp_path / "binary").write_bytes(np.random.default_rng(0).bytes(4096))
    (tmp_path / "good.toml").write_text('[[sources]]\nkind = "folder"\npath = "folder"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def told(words: list[str], here: Path, path: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must fail; return what it says."""
    status = main([(path if word == "PATH" else word).format(here=here) for word in words])
    out, err = capsys.readouterr()
    said = out + err
    assert status in (1, 2), said
    assert "Traceback" not in said
    assert "a fault of fg3d" not in said, [f.read_text() for f in here.glob("fg3d-error*")]
    assert said.strip()
    assert len(err.splitlines()) <= 3, said
    return said


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("words", PATHS, ids=lambda words: f"{words[0]}-{words.index('PATH')}")
def test_a_wrong_path(
    words: list[str], given: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(words, here, GIVEN[given], capsys)


@pytest.mark.parametrize("given", ["text", "a path through a file", "a long name", "no name"])
@pytest.mark.parametrize("words", WRITTEN, ids=lambda words: words[0])
def test_a_place_that_cannot_be_written(
    words: list[str], given: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(here.rglob("*"))
    said = told(words, here, GIVEN[given], capsys)
    assert "expected" in said or "too long" in said
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize("given", ["a path through a file", "a long name", "no name"])
@pytest.mark.parametrize("words", WRITTEN_FILES, ids=lambda words: words[1])
def test_a_file_that_cannot_be_written(
    words: list[str], given: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = told(words, here, GIVEN[given], capsys)
    assert "expected" in said or "too long" in said


@pytest.mark.parametrize("words", VALUES, ids=" ".join)
def test_a_wrong_value(words: list[str], here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = told(words, here, "", capsys)
    known = ("expected", "choose from", "did you mean", "unrecognized", "only --model")
    assert any(word in said for word in known)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["chek"], "check"),
        (["captures", "shwo", "folder"], "show"),
        (["register", "folder", "--out", "out", "--detector", "media-pip"], "mediapipe"),
    ],
)
def test_a_misspelt_word_is_guessed(
    words: list[str], meant: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = told(words, here, "", capsys)
    assert f"did you mean {meant}?" in said
    assert "choose from" not in said


def test_no_command_is_forgotten() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    for module in COMMANDS:
        module.add_parser(commands)
    tried = {words[0] for words in (*PATHS, *VALUES)}
    assert set(commands.choices) - tried == set()
