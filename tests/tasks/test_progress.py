"""The line that says how far a build is."""

from __future__ import annotations

from pathlib import Path

from fg3d_builder.captures import CaptureEntry
from fg3d_builder.config import BuildConfig
from fg3d_builder.files.products import write_product
from fg3d_builder.files.sealed import write_sealed_json
from fg3d_builder.layout import STAGES, BuildLayout
from fg3d_builder.tasks.chunks import Chunk
from fg3d_builder.tasks.progress import progress_line

CHUNKS = [
    Chunk("chunk-00000-a", 0, (CaptureEntry("a", "s", ""), CaptureEntry("b", "s", ""))),
    Chunk("chunk-00001-b", 0, (CaptureEntry("c", "s", ""),)),
]


def test_counts_and_estimate(tmp_path: Path) -> None:
    layout = BuildLayout(tmp_path, BuildConfig(), "model")
    line = "loaded 0/3, landmarks 0/3, fitted 0/3, registered 0/3"
    assert progress_line(layout, CHUNKS, 1) == line
    for stage in STAGES:
        write_product(layout.product(stage, "chunk-00000-a"), stage, "d", {})
        write_sealed_json(layout.seconds(stage, "chunk-00000-a"), {"a": 2.0, "b": 4.0})
    # One capture is left in each of four stages, 3 s each, on two workers.
    line = "loaded 2/3, landmarks 2/3, fitted 2/3, registered 2/3, about 6 s left"
    assert progress_line(layout, CHUNKS, 2) == line
