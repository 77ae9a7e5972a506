"""Builds on a disk that is full at a random moment.

A small file system in memory, of its own, is filled up to a random rest. It takes the right to
mount one; without it this kind is left out, and says so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.drill.outcomes import Outcome, Tally, judged_words
from benchmarks.drill.site import Site, content_hash, names_below

KIND = "disk full"
SIZE_MB = 64
WORDS = {"the full disk": r"(?i)no space|disk (is )?full|space left"}


def run(site: Site, tally: Tally, count: int, seed: int) -> None:
    """Run `count` builds into a full disk, each followed by one with room."""
    mount = site.root / "small-disk"
    with small_disk(mount) as there:
        if not there:
            print("  no right to mount a file system: left out", flush=True)
            tally.note(KIND, left_out="no right to mount a file system")
            return
        for number in range(count):
            rng = np.random.default_rng([seed, 4, number])
            _one(site, mount, tally, number, rng)


@contextlib.contextmanager
def small_disk(mount: Path) -> Iterator[bool]:
    """Mount a small file system in memory; give False where that is not allowed."""
    mount.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "drill", str(mount)]
    allowed = shutil.which("mount") is not None
    allowed = allowed and not subprocess.run(words, capture_output=True, check=False).returncode
    try:
        yield allowed
    finally:
        if allowed:
            subprocess.run(["umount", "-l", str(mount)], check=False)


def _one(site: Site, mount: Path, tally: Tally, number: int, rng: np.random.Generator) -> None:
    """Fill the disk up to a random rest, build, make room, build again."""
    out, ballast = mount / "out", mount / "ballast"
    if not out.exists() or content_hash(out):
        shutil.rmtree(out, ignore_errors=True)
    needed = sum((site.reference / name).stat().st_size for name in names_below(site.reference))
    there = sum(p.stat().st_size for p in out.rglob("*") if p.is_file()) if out.exists() else 0
    rest = int(rng.uniform(0.0, 1.0) * max(needed - there, 100_000))
    _fill(ballast, rest)
    before = {n: (out / n).read_bytes() for n in names_below(out)} if out.exists() else {}
    words = site.build(out)
    ended = site.server.run(words)
    repeat = f"disk {number}: {rest} bytes left, then: fg3d {' '.join(words)}"
    outcome, what = judged_words(ended, {} if ended.status == 0 else WORDS)
    lost = [name for name in before if not (out / name).is_file()]
    different = site.differences(out) if out.exists() else []
    if different or lost:
        outcome, what = Outcome.SILENT, f"left behind {different[:4]}, lost {lost[:4]}"
    elif ended.status == 0 and content_hash(out) != content_hash(site.reference):
        outcome, what = Outcome.STATUS, f"exit status 0: {ended.last_lines}"
    tally.add(KIND, "full", outcome, what, repeat)
    ballast.unlink()
    if rng.random() < 0.5:  # else the next case goes on where this one stopped
        return
    ended = site.server.run(words)
    outcome, what = judged_words(ended)
    if outcome is Outcome.RIGHT and ended.status != 0:
        outcome, what = Outcome.BLOCKED, f"status {ended.status}: {ended.last_lines}"
    elif outcome is Outcome.RIGHT and content_hash(out) != content_hash(site.reference):
        outcome, what = Outcome.SILENT, "another dataset than undisturbed"
    tally.add(KIND, "with room again", outcome, what, repeat)


def _fill(ballast: Path, rest: int) -> None:
    """Write a file that leaves `rest` bytes."""
    free = os.statvfs(ballast.parent)
    size = free.f_bavail * free.f_frsize - rest
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(size, 1))
