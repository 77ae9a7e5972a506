"""Where a preset is built, and the dataset that it has been built to; builds nothing."""

from __future__ import annotations

from pathlib import Path

from fg3d_builder.config import BuildConfig
from fg3d_builder.heads.library import model_identity
from fg3d_builder.layout import BuildLayout, default_root
from fg3d_builder.shards.manifest import missing_files, read_manifest
from fg3d_builder.tasks.chunks import list_chunks, read_index
from fg3d_builder.tasks.review import freeze_verdicts, read_decisions


def layout_of(config: BuildConfig, root: Path | str = "") -> BuildLayout:
    """Return the paths of a build in the folder `root`, or in the default one."""
    folder = Path(root or default_root(config)).resolve()
    return BuildLayout(folder, config, model_identity(config.facemodel))


def complete_dataset(layout: BuildLayout) -> Path | None:
    """Return the folder of the dataset that a build of this configuration would give.

    None where it has to be built first: it is not there; or captures, verdicts or code have
    changed since; or more captures failed than the configuration allows.

    `layout.dataset_link` will not do where one folder holds the datasets of several
    configurations: it points at the one that was built last.
    """
    if not layout.index.is_file():
        return None
    chunks = read_index(layout.index)
    if chunks != list_chunks(layout.config):
        return None
    captures = [entry.capture_id for chunk in chunks for entry in chunk.entries]
    names = [chunk.name for chunk in chunks]
    decided = layout.decisions(names, freeze_verdicts(layout, captures))
    if not decided.is_file():
        return None
    decisions = read_decisions(decided)
    folder = layout.dataset(layout.dataset_digest(names, [decisions.rejected, decisions.accepted]))
    if missing_files(folder):
        return None
    failed = len(read_manifest(folder)["failures"])
    return folder if failed <= layout.config.max_failure_rate * len(captures) else None
