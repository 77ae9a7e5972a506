"""What else reads a capture's description: the listing of a folder, and the change of its unit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.drill.inputs import capture_maker
from fg3d_builder.captures.folder import FolderSource, rewrite_depth_unit
from fg3d_builder.commands.preset_edit import set_in_source
from fg3d_builder.config import SourceConfig, load_preset
from fg3d_builder.config.presets import read_toml
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.files.bounded import read_json_object

if TYPE_CHECKING:
    from benchmarks.drill.readers import Reader

_UNIT_MM = 0.25


def readers() -> list[Reader]:
    """Return them; every capture is listed, and a changed unit is the only change."""
    from benchmarks.drill.readers import Reader

    make = capture_maker("capture.json")
    return [
        Reader("capture.json listed", "json", make, _listed, (CaptureError,), _wrong_listing),
        Reader("capture.json changed", "json", make, _changed, (CaptureError,), _wrong_change),
        Reader("preset changed", "text", _preset, _set, (ConfigError,), _wrong_change),
    ]


def _listed(path: Path) -> Any:
    return FolderSource(SourceConfig(kind="folder", path=str(path.parent))).entries()


def _wrong_listing(entries: Any, _wanted: Any) -> str:
    return "" if len(entries) == 1 else f"{len(entries)} entries of one capture"


def _changed(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    before = read_json_object(path)
    rewrite_depth_unit(path.parent, _UNIT_MM)
    return {**before, "depth_unit_mm": _UNIT_MM}, read_json_object(path)


def _preset(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = 'name = "a"\n\n[[sources]]  # mine\nkind = "scan"\npath = "x"\nunit_mm = 1.0  # mm\n'
    (folder / "p.toml").write_text(text, encoding="utf-8")
    return folder / "p.toml"


def _set(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    load_preset(path)  # which nobody goes without
    before = after = read_toml(path)
    if set_in_source(path, 0, "unit_mm", _UNIT_MM):
        after = read_toml(path)
        before["sources"][0]["unit_mm"] = _UNIT_MM
    return before, after


def _wrong_change(pair: Any, _wanted: Any) -> str:
    wanted, found = pair
    return "" if wanted == found else "another change than that of the unit"
