"""Settings of training runs: presets, files, and the options of the command line."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from fg3d_builder.cli import main
from fg3d_builder.commands import train
from fg3d_builder.commands.training_options import settings
from fg3d_builder.config import to_table
from fg3d_builder.errors import ConfigError
from fg3d_builder.fgnet.training.names import PRESETS
from fg3d_builder.fgnet.training.settings import (
    TRAIN_PRESETS,
    TrainConfig,
    changed,
    read_settings,
    train_config,
)

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "tasks" / "training").glob("*.toml"))


def from_command_line(*words: str) -> TrainConfig:
    parser = argparse.ArgumentParser()
    train.add_parser(parser.add_subparsers())
    return settings(parser.parse_args(["train", "data", "--out", "run", *words]))


def write(folder: Path, text: str) -> Path:
    file = folder / "settings.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_presets_survive_their_table() -> None:
    assert tuple(TRAIN_PRESETS) == PRESETS
    for config in TRAIN_PRESETS.values():
        assert train_config(to_table(config), "here") == config
    assert TRAIN_PRESETS["paper"].drop_epochs == (30, 35, 40)
    assert TRAIN_PRESETS["paper"].learning_rate == 0.1


def test_the_command_line_changes_the_preset() -> None:
    changes = ("--network", "cvn", "--mse", "1", "--epochs", "9", "--seed", "4", "--limit", "7")
    config = from_command_line("--preset", "paper", *changes)
    assert config.network.network == "cvn"
    assert (config.loss.mse, config.loss.vgd) == (1.0, 0.0)
    assert (config.epochs, config.drop_epochs, config.seed) == (9, (6, 7, 8), 4)
    assert config.selection.limit == 7
    assert from_command_line() == TRAIN_PRESETS["small"]


def test_a_file_changes_its_preset_and_the_command_line_changes_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, 'preset = "tiny"\nepochs = 3\n[network]\nview_set = "3"\n')
    config = read_settings(file)
    assert (config.epochs, config.network.view_set) == (3, "3")
    assert config.network.size == TRAIN_PRESETS["tiny"].network.size
    assert config.optimiser == TRAIN_PRESETS["tiny"].optimiser
    again = from_command_line("--settings", str(file), "--seed", "2")
    assert again == changed(config, {"seed": 2}, "here")


def test_a_network_that_would_say_what_it_never_learnt_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^here: loss.certainty = 0: network.certainty is true"):
        changed(TRAIN_PRESETS["tiny"], {"loss": {"certainty": 0.0}}, "here")
    both = {"loss": {"certainty": 0.0}, "network": {"certainty": False}}
    assert not changed(TRAIN_PRESETS["tiny"], both, "here").network.certainty


def test_runs_of_before_there_was_a_limit_of_the_test_keep_their_digest() -> None:
    assert "test_limit" not in to_table(TRAIN_PRESETS["tiny"])
    limited = changed(TRAIN_PRESETS["tiny"], {"test_limit": 5}, "here")
    assert train_config(to_table(limited), "here") == limited
    assert limited.tested.limit == 5


def test_a_file_and_options_mean_the_same(tmp_path: Path) -> None:
    file = write(tmp_path, 'preset = "paper"\nepochs = 9\n[loss]\npsd = 2.0\nmse = 1.0\n')
    words = ("--preset", "paper", "--epochs", "9", "--psd", "2", "--mse", "1")
    assert read_settings(file) == from_command_line(*words)
    assert read_settings(file).loss.vgd == 0.0
    named = write(tmp_path, 'preset = "paper"\nepochs = 9\ndrop_epochs = [1, 2]\n')
    assert read_settings(named).drop_epochs == (1, 2)


def test_the_settings_that_a_run_keeps_are_read_back(tmp_path: Path) -> None:
    config = changed(TRAIN_PRESETS["tiny"], {"network": {"network": "mvn"}, "epochs": 2}, "here")
    file = tmp_path / "config.json"
    file.write_text(json.dumps(to_table(config)))
    assert read_settings(file) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('preset = "huge"', 'preset = "huge": expected one of "tiny", "small", "paper"'),
        ("preset = []", r"preset = \[\]: expected one of"),
        ("epoch = 3", "epoch: no such setting; did you mean epochs?"),
        ('epochs = "3"', 'epochs = "3": expected a whole number from 1'),
        ("epochs = 0", "epochs = 0: expected a whole number from 1"),
        ("learning_rate = nan", "learning_rate = nan: expected a number more than 0"),
        ("[network]\nsize = 12", "network.size = 12: expected a multiple of 32"),
        ("[loss]\nmse = 0.0", "loss.mse, psd, vgd are all 0"),
        ("network = 3", "network = 3: expected a table"),
        ("epochs = ", "no valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_by_its_name(tmp_path: Path, text: str, message: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_settings(file)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml"):
        read_settings(tmp_path / "absent.toml")


def test_a_wrong_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "data", "--out", "run", "--network", "xyz"]) == 2
    assert 'network.network = "xyz": expected "vmn", "mvn" or "cvn"' in capsys.readouterr().err


def test_a_missing_dataset_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(tmp_path), "--out", str(tmp_path / "run"), "--device", "cpu"]) == 2
    assert "manifest.json" in capsys.readouterr().err


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_examples_are_good(file: Path) -> None:
    assert read_settings(file).epochs > 0
