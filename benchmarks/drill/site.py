"""Where the drill works: its world, an undisturbed build of it, and a look at any other build."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.drill.commands import Server
from benchmarks.drill.outcomes import Ended, fail
from benchmarks.drill.world import write_preset, write_world
from fg3d_builder.files.sealed_object import SEAL, with_seal

_PASSING = re.compile(
    r"(^|/)(\..*|build\.lock|.*\.part|.*\.lock|.*\.damaged|timings-[0-9a-f]+\.csv|costs/.*)$"
)
"""Files that come and go: locks, files being written or set aside, records of times and costs."""

_TOLD = re.compile(
    r"^work/[a-z-]+-[0-9a-f]+/chunk-.*\.json$|^work/complete-|index\.html$|manifest\.json$"
)
"""Say how long something took, or where it is, which differs from build to build."""


@dataclass(frozen=True)
class Site:
    """The drill's folder.

    Attributes
    ----------
    root : Path
    server : Server
        Runs the commands.
    preset, other_preset : Path
        Presets of two datasets, of images of another size.
    reference, other_reference : Path
        Undisturbed builds of them.
    small : Path
        Undisturbed build of one capture without turned views or new shapes.
    seconds : float
        That the undisturbed build took.
    """

    root: Path
    server: Server
    preset: Path
    other_preset: Path
    reference: Path
    other_reference: Path
    small: Path
    seconds: float

    def build(self, out: Path, preset: Path | None = None, workers: int = 2) -> list[str]:
        """Return the words of a build."""
        words = ["build", str(preset or self.preset), "--out", str(out)]
        return [*words, "--workers", str(workers)]

    def verify(self, out: Path) -> list[str]:
        """Return the words that check a build's dataset."""
        return ["verify", str(out / "dataset")]

    def differences(self, out: Path, reference: Path | None = None) -> list[str]:
        """Return the files of a build that are not as in the undisturbed one; missing ones are not.

        Figures of time are not compared, what they stand in has to be readable.
        """
        wanted = reference or self.reference
        found = []
        for path in sorted(out.rglob("*")):
            name = path.relative_to(out).as_posix()
            if path.is_symlink() or not path.is_file() or _PASSING.search(name):
                continue
            if not same_content(path, wanted / name, name):
                found.append(name)
        return found

    def missing(self, out: Path, reference: Path | None = None) -> list[str]:
        """Return the files of the undisturbed build's dataset and report that a build lacks."""
        wanted = reference or self.reference
        return [
            name
            for name in names_below(wanted)
            if not name.startswith("work/") and not (out / name).exists()
        ]

    def copy(self, out: Path, reference: Path | None = None) -> None:
        """Make `out` a copy of the undisturbed build, without what comes and goes."""
        shutil.rmtree(out, ignore_errors=True)
        ignored = shutil.ignore_patterns("build.lock", ".*")
        shutil.copytree(reference or self.reference, out, symlinks=True, ignore=ignored)


def names_below(folder: Path) -> list[str]:
    """Return the files below a build's folder that stay, relative to it."""
    found = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return sorted(n for n in found if not n.startswith("dataset/") and not _PASSING.search(n))


def content_hash(out: Path) -> str:
    """Return the hash of a finished dataset's content; empty where there is none."""
    try:
        value = json.loads((out / "dataset" / "manifest.json").read_text(encoding="utf-8"))
        return str(_inner(value)["content_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def prepare(root: Path, server: Server) -> Site:
    """Write the world, build it undisturbed, and check that nothing differs in a second build."""
    shutil.rmtree(root / "world", ignore_errors=True)
    preset = write_world(root / "world")
    other = write_preset(root / "world" / "other.toml", image_size=48)
    one = write_preset(root / "world" / "small.toml", 0, 32, include="s0", yaw_steps="")
    warm = root / "warm"
    for name in ("warm", "reference", "other-reference", "small", "training"):
        shutil.rmtree(root / name, ignore_errors=True)
    server.warm(["build", str(preset), "--out", str(warm)])
    ended = _built(server, preset, root / "reference")
    _built(server, other, root / "other-reference")
    _built(server, one, root / "small")
    site = Site(
        root,
        server,
        preset,
        other,
        root / "reference",
        root / "other-reference",
        root / "small",
        ended.seconds,
    )
    if different := site.differences(warm):
        fail(f"two undisturbed builds differ in {', '.join(different)}")
    shutil.rmtree(warm)
    return site


def _built(server: Server, preset: Path, out: Path) -> Ended:
    ended = server.run(["build", str(preset), "--out", str(out), "--workers", "2"])
    if ended.status != 0:
        fail(f"an undisturbed build ends with {ended.status}: {ended.last_lines}")
    return ended


def same_content(path: Path, reference: Path, name: str) -> bool:
    """Whether a file of a build, of this name in it, is as another build has it, times aside."""
    if not reference.is_file():
        return False
    if _TOLD.search(name):
        return _without_times(path) == _without_times(reference)
    return path.read_bytes() == reference.read_bytes()


def _without_times(path: Path) -> Any:
    """Return a file's content without seconds and without the code's own hash."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return path.read_bytes()
    if path.suffix == ".html":
        return re.sub(r"<tr><td>(mean|95 %|longest|total)</td>(<td>[0-9.]+</td>)*</tr>", "", text)
    try:
        value = _inner(json.loads(text))
    except ValueError:
        return text
    dropped = _seconds_dropped(value)
    only_seconds = isinstance(dropped, dict) and all(isinstance(v, float) for v in dropped.values())
    return sorted(dropped) if only_seconds else dropped


def _inner(value: Any) -> Any:
    """Return the content of a sealed JSON file, or the value itself, and whether its seal fits."""
    if not isinstance(value, dict):
        return value
    if SEAL in value:  # covers the hash of the code, which is left out: what counts is that it fits
        return {**value, SEAL: with_seal(value) == value}
    return value["content"] if set(value) == {"sha256", "content"} else value


def _seconds_dropped(value: Any) -> Any:
    """Return JSON values without what says how long something took."""
    if isinstance(value, dict):
        # A summary names the folder of the build, a manifest the code that made it.
        dropped = ("seconds", "cost", "costs", "summary", "fg3d-builder-source")
        return {k: _seconds_dropped(v) for k, v in value.items() if k not in dropped}
    if isinstance(value, list):
        return [_seconds_dropped(v) for v in value]
    return value


def chosen(names: Sequence[str], pattern: str) -> list[str]:
    """Return the names that match a regular expression."""
    return [name for name in names if re.search(pattern, name)]
