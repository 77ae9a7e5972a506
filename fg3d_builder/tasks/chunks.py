"""Cuts the captures of a build into the chunks that tasks work on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fg3d_builder.captures import CaptureEntry, open_source
from fg3d_builder.captures.source import fingerprint
from fg3d_builder.config import BuildConfig, FaceModelConfig, digest
from fg3d_builder.errors import ConfigError
from fg3d_builder.files.sealed import read_sealed_json
from fg3d_builder.heads.library import model_identity


@dataclass(frozen=True)
class Chunk:
    """A few captures of one source, worked on by one task per stage.

    Attributes
    ----------
    name : str
        ``chunk-00003-<digest>``: number in the build, and identity of what is in it.
    source : int
        Number of the source in `BuildConfig.sources`.
    entries : tuple of CaptureEntry
    """

    name: str
    source: int
    entries: tuple[CaptureEntry, ...]


def list_chunks(config: BuildConfig) -> list[Chunk]:
    """List all captures of all sources and cut them into chunks, in order.

    Raises
    ------
    ConfigError
        A source cannot be opened, or two captures of the build have the same id.
    """
    chunks: list[Chunk] = []
    for number, source in enumerate(config.sources):
        entries = open_source(source).entries()
        # Synthetic captures have no files: their people come from the default model's population.
        made_of = [model_identity(FaceModelConfig())] if source.kind == "synthetic" else []
        for part in _parts(entries, config.chunk_size, source.fuse):
            files = [fingerprint(entry.location) for entry in part]
            key = digest(source, [asdict(entry) for entry in part], files + made_of)
            chunks.append(Chunk(f"chunk-{len(chunks):05d}-{key}", number, part))
    count = Counter(entry.capture_id for chunk in chunks for entry in chunk.entries)
    twice = sorted(name for name, times in count.items() if times > 1)
    if twice:
        raise ConfigError(f"sources: more than one capture is called {', '.join(twice[:5])}")
    return chunks


def _parts(
    entries: list[CaptureEntry], size: int, whole_subjects: bool
) -> Iterator[tuple[CaptureEntry, ...]]:
    """Cut captures into parts of `size`, in order.

    Captures to be fused stay together: then a part holds whole subjects, in the order of their
    first captures, and ends with the one that fills it. A capture whose subject cannot be read
    fails anyway and is a subject of its own.
    """
    subjects: dict[str, list[CaptureEntry]] = {}
    for entry in entries:
        together = whole_subjects and entry.subject_id
        name = f"subject {entry.subject_id}" if together else f"capture {entry.capture_id}"
        subjects.setdefault(name, []).append(entry)
    part: list[CaptureEntry] = []
    for group in subjects.values():
        part += group
        if len(part) >= size:
            yield tuple(part)
            part = []
    if part:
        yield tuple(part)


def index_table(chunks: list[Chunk]) -> list[dict[str, Any]]:
    """Return chunks as JSON values."""
    return [asdict(chunk) for chunk in chunks]


def read_index(path: Path) -> list[Chunk]:
    """Read what `index_table` was written to."""
    return [
        Chunk(row["name"], row["source"], tuple(CaptureEntry(**e) for e in row["entries"]))
        for row in read_sealed_json(path)
    ]
