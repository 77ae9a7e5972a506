"""Presets: what is read, what is refused, and what a digest depends on."""

from __future__ import annotations

import configparser
from dataclasses import replace
from pathlib import Path

import pytest

from fg3d_builder.config import (
    BuildConfig,
    FitConfig,
    StiffnessLevel,
    digest,
    from_table,
    load_preset,
    to_table,
    toml_text,
)
from fg3d_builder.errors import ConfigError

PRESETS = sorted((Path(__file__).resolve().parents[1] / "tasks").glob("*.toml"))


def write(folder: Path, text: str) -> Path:
    path = folder / "preset.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_of_the_project_can_be_read(path: Path) -> None:
    config = load_preset(path)
    assert config.name == path.stem
    assert 0 < config.shards.test_fraction < 1


def test_nested_tables_and_lists(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        [[sources]]
        kind = "scan"
        path = "scans"
        views = [[0, 30], [10.5, -20]]
        sensor = { kind = "time_of_flight", seed = 3 }
        [registration]
        levels = [{ stiffness = 5, edge_weight = 1.5, iterations = 2 }]
        """,
    )
    config = load_preset(path)
    assert config.sources[0].views == ((0.0, 30.0), (10.5, -20.0))
    assert config.sources[0].sensor.seed == 3
    assert config.registration.levels == (StiffnessLevel(5.0, 1.5, 2),)


def test_paths_count_from_the_preset(tmp_path: Path) -> None:
    text = """
    [facemodel]
    model = "models/a.h5"
    [[sources]]
    kind = "folder"
    path = "../data"
    """
    config = load_preset(write(tmp_path, text))
    assert config.sources[0].path == str((tmp_path / "../data").resolve())
    assert config.facemodel.model == str(tmp_path / "models/a.h5")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chunk_sise = 3", "unknown field 'chunk_sise'"),
        ("chunk_size = 'a'", "chunk_size: expected int, found 'a'"),
        ("chunk_size = true", "chunk_size: expected int, found True"),
        ("fit = 3", "fit: expected a table"),
        ("[fit]\niteration = 3", "fit: unknown field 'iteration'"),
        ("[[sources]]\nimage_size = [640]", r"sources\[0\]: image_size: expected 2 values"),
        ("name = ", "is no valid TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_preset(path)
    assert str(path) in str(caught.value)


def test_missing_preset_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read preset .*none\.toml"):
        load_preset(tmp_path / "none.toml")


def test_a_preset_written_out_is_the_same_configuration(tmp_path: Path) -> None:
    config = load_preset(PRESETS[0])
    assert config.sources[0].sensor
    config = replace(config, name='odd "name" \\ ä', max_failure_rate=1e-7)
    path = write(tmp_path, toml_text(config, "two\nlines"))
    assert load_preset(path) == config
    assert path.read_text(encoding="utf-8").startswith("# two\n# lines\n")


def test_table_round_trip() -> None:
    config = BuildConfig(name="x", fit=FitConfig(iterations=3))
    assert from_table(BuildConfig, to_table(config), "table") == config


def test_digest_depends_on_every_value_and_on_nothing_else() -> None:
    base = BuildConfig()
    assert digest(base) == digest(BuildConfig())
    assert digest(base) != digest(replace(base, fit=FitConfig(iterations=16)))
    assert digest("a", "b") != digest("ab")
    assert digest(1) != digest("1")


def test_luigi_finds_what_its_configuration_names() -> None:
    project = Path(__file__).resolve().parents[1]
    settings = configparser.ConfigParser()
    settings.read(project / "luigi.cfg", encoding="utf-8")
    assert settings["core"].getboolean("local_scheduler")
    assert (project / settings["core"]["logging_conf_file"]).is_file()
    assert load_preset(project / settings["BuildFG3D"]["preset"]).name == "demo"
