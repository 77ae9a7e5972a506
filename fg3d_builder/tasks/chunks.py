"""Cuts the captures of a build into the chunks that tasks work on.

Which chunk a capture is in depends on the captures near to it in a random order, the order of
the hashes of their ids: written in bits, the hashes of a source are the leaves of a binary tree,
and a chunk is the highest branch with no more captures than a chunk may hold. So a capture that
is added, whatever it is called, comes into one chunk or splits it; one that is removed leaves one
chunk or lets it grow together with its neighbour. All other chunks stay what they are, name and
all, and so do their products.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from fg3d_builder.captures import CaptureEntry, CaptureSource, open_source
from fg3d_builder.captures.neighbours import Neighbours
from fg3d_builder.captures.source import fingerprint
from fg3d_builder.config import BuildConfig, FaceModelConfig, SourceConfig, digest
from fg3d_builder.errors import ConfigError
from fg3d_builder.files.sealed import read_sealed_as, write_sealed_json
from fg3d_builder.heads.library import model_identity
from fg3d_builder.tasks.read_once import ReadOnce


@dataclass(frozen=True)
class Chunk:
    """A few captures of one source, worked on by one task per stage.

    Attributes
    ----------
    name : str
        ``chunk-0110-<digest>``: the branch of the source's tree, ``all`` where it is the whole
        one, and the identity of what is in it.
    source : int
        Number of the source in `BuildConfig.sources`.
    entries : tuple of CaptureEntry
        In the order of the source.
    keys : tuple of str
        Identity of each capture: its files, those of the captures that it is fused with, and how
        its source is read.
    """

    name: str
    source: int
    entries: tuple[CaptureEntry, ...]
    keys: tuple[str, ...]

    @property
    def capture_ids(self) -> list[str]:
        """Ids of the captures in it."""
        return [entry.capture_id for entry in self.entries]


@dataclass(frozen=True)
class Index:
    """All captures of a build, cut into chunks."""

    chunks: tuple[Chunk, ...]

    @cached_property
    def by_name(self) -> dict[str, Chunk]:
        """Chunks by their names."""
        return {chunk.name: chunk for chunk in self.chunks}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the chunks, in order."""
        return tuple(chunk.name for chunk in self.chunks)

    @cached_property
    def capture_ids(self) -> list[str]:
        """Ids of all captures."""
        return [name for chunk in self.chunks for name in chunk.capture_ids]

    @cached_property
    def capture_keys(self) -> dict[str, str]:
        """Identity of each capture by its id, see `Chunk.keys`."""
        pairs = [zip(chunk.capture_ids, chunk.keys, strict=True) for chunk in self.chunks]
        return {name: key for each in pairs for name, key in each}

    def places(self, sources: Sequence[SourceConfig]) -> dict[str, str]:
        """Return the place of each capture in the random order that chunks are cut from, by id.

        Parameters
        ----------
        sources : sequence of SourceConfig
            Of the build.
        """
        found = {}
        for chunk in self.chunks:
            for entry in chunk.entries:
                name = _group_name(entry, sources[chunk.source])
                found[entry.capture_id] = hashlib.sha256(name.encode()).hexdigest()
        return found

    @cached_property
    def identity(self) -> str:
        """Digest of which captures there are, and of their files."""
        return digest(self.names)


class _Group(NamedTuple):
    """Captures that stay together: all of a subject where they are fused, else one."""

    bits: str
    entries: list[CaptureEntry]


_opened: dict[str, CaptureSource] = {}


def _listed_now(config: SourceConfig) -> CaptureSource:
    _opened[digest(config)] = source = open_source(config)
    return source


def opened_source(config: SourceConfig) -> CaptureSource:
    """Return a source as `list_chunks` has last listed it in this process or those before it.

    Opening one looks at all its captures, which must not be done once for every chunk.
    """
    return _opened.get(digest(config)) or _listed_now(config)


def forget_sources() -> None:
    """Let each source be opened anew: what it holds may have changed since."""
    _opened.clear()


def list_chunks(config: BuildConfig) -> Index:
    """List all captures of all sources and cut them into chunks.

    Raises
    ------
    ConfigError
        A source cannot be opened, or two captures of the build have the same id.
    """
    chunks: list[Chunk] = []
    neighbours = Neighbours()
    for number, source in enumerate(config.sources):
        origin = _origin(source)
        groups = _groups(_listed_now(source).entries(), source)
        for branch, members in _branches(groups, config.chunk_size):
            pairs = sorted(
                (
                    (entry, key)
                    for group in members
                    for entry, key in _identified(group, origin, neighbours)
                ),
                key=lambda pair: pair[0].capture_id,
            )
            entries, keys = zip(*pairs, strict=True)
            name = f"chunk-{branch or 'all'}-{digest(keys)}"
            chunks.append(Chunk(name, number, entries, keys))
    count = Counter(entry.capture_id for chunk in chunks for entry in chunk.entries)
    twice = sorted(name for name, times in count.items() if times > 1)
    if twice:
        raise ConfigError(f"sources: more than one capture is called {', '.join(twice[:5])}")
    return Index(tuple(chunks))


def _origin(source: SourceConfig) -> str:
    """Return the identity of what a source's captures are made of, besides their own files."""
    if source.kind != "synthetic":
        return digest(source, [])
    # Synthetic captures have no files: their people come from the default model's population, or
    # from a blend's file and that population. How many there are changes none of them.
    made_of = [model_identity(FaceModelConfig())]
    if source.population != "default":
        made_of.append(_population_identity(source.population))
    return digest(replace(source, subjects=1, captures_per_subject=1), made_of)


def _population_identity(path: str) -> str:
    try:
        return model_identity(FaceModelConfig(path))
    except (ValueError, FileNotFoundError) as error:
        raise ConfigError(f"sources.population: {error}") from None


def _groups(entries: Sequence[CaptureEntry], source: SourceConfig) -> list[_Group]:
    """Join what stays together, sorted by hash.

    A capture whose subject cannot be read fails anyway and is a subject of its own.
    """
    found: dict[str, list[CaptureEntry]] = {}
    for entry in entries:
        found.setdefault(_group_name(entry, source), []).append(entry)
    return sorted(_Group(_bits(name), members) for name, members in found.items())


def _group_name(entry: CaptureEntry, source: SourceConfig) -> str:
    together = source.fuse and entry.subject_id
    return f"subject {entry.subject_id}" if together else f"capture {entry.capture_id}"


def _bits(name: str) -> str:
    return "".join(f"{byte:08b}" for byte in hashlib.sha256(name.encode()).digest())


def _branches(
    groups: Sequence[_Group], size: int, branch: str = ""
) -> Iterator[tuple[str, Sequence[_Group]]]:
    """Give the highest branches with at most `size` captures, or with a single group."""
    if not groups:
        return
    if len(groups) == 1 or sum(len(group.entries) for group in groups) <= size:
        yield branch, groups
        return
    ones = [group.bits[len(branch)] for group in groups]
    middle = ones.index("1") if "1" in ones else len(ones)
    yield from _branches(groups[:middle], size, branch + "0")
    yield from _branches(groups[middle:], size, branch + "1")


def _identified(
    group: _Group, origin: str, neighbours: Neighbours
) -> Iterator[tuple[CaptureEntry, str]]:
    """Give each capture of a group with its identity."""
    files = [fingerprint(e.location, e.files, neighbours) for e in group.entries]
    about = [(e.capture_id, e.subject_id, f) for e, f in zip(group.entries, files, strict=True)]
    for entry in group.entries:
        yield entry, digest(origin, entry.capture_id, about)


def write_index(path: Path, index: Index) -> None:
    """Write an index for the processes of a build."""
    write_sealed_json(path, [asdict(chunk) for chunk in index.chunks])


def _index(rows: list[dict[str, Any]]) -> Index:
    return Index(tuple(map(_chunk, rows)))


def _chunk(row: dict[str, Any]) -> Chunk:
    entries = tuple(
        CaptureEntry(**{**entry, "files": tuple(entry["files"])}) for entry in row["entries"]
    )
    return Chunk(row["name"], row["source"], entries, tuple(row["keys"]))


read_index = ReadOnce(lambda path: read_sealed_as(path, _index))
"""Reads what `write_index` wrote, once per process."""
