"""One setting of a preset is changed, and nothing else of its text."""

from __future__ import annotations

from pathlib import Path

import pytest

from fg3d_builder.commands.preset_edit import set_in_source
from fg3d_builder.config import load_preset

PRESET = """\
# mine
name = "a"

[[sources]]  # the first
kind = "folder"
path = "x"  # here

[[ sources ]]
kind = "scan"
path = "y"
views = [
  [0, 0],
  [0, 30],
]
unit_mm = 1.0  # of scans

[sources.sensor]
kind = "none"

[shards]
image_size = 64
"""


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    (tmp_path / "p.toml").write_text(PRESET)
    return tmp_path / "p.toml"


def test_a_new_setting_comes_below_the_head_of_its_source(preset: Path) -> None:
    assert set_in_source(preset, 0, "depth_factor", 0.001)
    assert preset.read_text() == PRESET.replace(
        "# the first\n", "# the first\ndepth_factor = 0.001\n"
    )
    assert load_preset(preset).sources[0].depth_factor == 0.001
    assert set_in_source(preset, 1, "depth_is_along_ray", True)
    assert "[[ sources ]]\ndepth_is_along_ray = true\n" in preset.read_text()


def test_a_setting_that_is_there_changes_in_its_place(preset: Path) -> None:
    assert set_in_source(preset, 1, "unit_mm", 1000.0)
    assert preset.read_text() == PRESET.replace("unit_mm = 1.0  #", "unit_mm = 1000.0  #")


def test_presets_in_other_forms_stay_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    text = 'sources = [{kind = "folder", path = "x"}]\n'
    file.write_text(text)
    assert not set_in_source(file, 0, "depth_factor", 10.0)
    assert file.read_text() == text
    text = 'note = """\n[[sources]]\n"""\n[[sources]]\nkind = "folder"\n'
    file.write_text(text)
    assert not set_in_source(file, 0, "depth_factor", 10.0)
    assert file.read_text() == text
