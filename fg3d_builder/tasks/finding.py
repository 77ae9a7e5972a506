"""Where a preset is built, and the dataset that it has been built to; builds nothing."""

from __future__ import annotations

import os
from pathlib import Path

from fg3d_builder.config import BuildConfig
from fg3d_builder.heads.library import model_identity
from fg3d_builder.layout import BuildLayout, default_root
from fg3d_builder.shards.manifest import missing_files, read_manifest
from fg3d_builder.tasks.base import if_there
from fg3d_builder.tasks.chunks import list_chunks
from fg3d_builder.tasks.review import read_decisions, verdicts_now


def layout_of(config: BuildConfig, root: Path | str = "") -> BuildLayout:
    """Return the paths of a build in the folder `root`, or in the default one."""
    folder = Path(os.path.realpath(root or default_root(config)))
    return BuildLayout(folder, config, model_identity(config.facemodel))


def complete_dataset(layout: BuildLayout) -> Path | None:
    """Return the folder of the dataset that a build of this configuration would give.

    None where it has to be built first: it is not there; or captures, verdicts or code have
    changed since; or more captures failed than the configuration allows.

    `layout.dataset_link` will not do where one folder holds the datasets of several
    configurations: it points at the one that was built last.
    """
    if not layout.work.is_dir():
        return None
    index = list_chunks(layout.config)
    decided = layout.decisions(index.identity, verdicts_now(layout, index.capture_ids))
    known = if_there(lambda: read_decisions(decided))
    if known is None:
        return None
    folder = layout.dataset(layout.dataset_digest(index.identity, known.identity))
    if missing_files(folder):
        return None
    failed, allowed = len(read_manifest(folder)["failures"]), layout.config.max_failure_rate
    return folder if failed <= allowed * len(index.capture_ids) else None
