"""Processes that want the same thing at once: a stale lock, one build's folder, one cached file."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.drill.outcomes import Outcome, Tally, judged_words
from benchmarks.drill.site import Site, content_hash

KIND = "races"
TOGETHER = 3
"""Commands that are started at once."""

REFUSED = {"who builds there": r"process \d+ on \S+ builds in "}


def run(site: Site, tally: Tally, count: int, seed: int) -> None:
    """Race `count` times for a stale lock, and a fortieth of it for folders and caches."""
    rng = np.random.default_rng([seed, 5])
    folder = site.root / "races"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _locks(folder / "build.lock", tally, count, seed)
    for number in range(max(1, count // 40)):
        _one_folder(site, folder / "one", tally, number, rng)
        _two_presets(site, folder / "two", tally, number)
        _one_cache(site, folder / "cache", tally, number, rng)


def _locks(lock: Path, tally: Tally, count: int, seed: int) -> None:
    """Let processes take over a lock whose process is gone; one of them has to get it."""
    words = [sys.executable, "-m", "benchmarks.drill.lock_race", str(lock), str(count), str(seed)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    part = "take-over of a stale lock"
    for line in done.stdout.splitlines():
        owners, refused, others = map(int, line.split())
        said = f"{owners} owners, {refused} refused, {others} other errors"
        outcome = Outcome.RIGHT
        if owners > 1:
            outcome = Outcome.SILENT
        elif others:
            outcome = Outcome.TRACEBACK
        elif not owners:
            outcome = Outcome.BLOCKED
        tally.add(KIND, part, outcome, said, " ".join(words[1:]), under=outcome.value)


def _one_folder(site: Site, out: Path, tally: Tally, number: int, rng: np.random.Generator) -> None:
    """Start builds in one folder at once: one builds, the others are refused with a sentence."""
    shutil.rmtree(out, ignore_errors=True)
    running = []
    for _ in range(TOGETHER):
        running.append(site.server.start(site.build(out, workers=1)))
        time.sleep(float(rng.choice([0, 0.01, 0.3])))
    ended = [one.wait() for one in running]
    part, repeat = "builds in one folder", f"race {number}: {' '.join(site.build(out))}, at once"
    statuses = [one.status for one in ended]
    for one in ended:
        outcome, what = judged_words(one, REFUSED if one.status else {})
        if outcome is Outcome.RIGHT and one.status not in (0, 2):
            outcome, what = Outcome.STATUS, f"statuses {statuses}: {one.last_lines}"
        tally.add(KIND, part, outcome, what, repeat)
    wrong = content_hash(out) != content_hash(site.reference) or site.differences(out)
    if 0 not in statuses:
        tally.add(KIND, part, Outcome.BLOCKED, f"nobody builds: {statuses}", repeat)
    elif wrong:
        tally.add(KIND, part, Outcome.SILENT, f"another dataset: {site.differences(out)}", repeat)
    else:
        tally.add(KIND, part, Outcome.RIGHT)


def _two_presets(site: Site, out: Path, tally: Tally, number: int) -> None:
    """Build two presets in one folder, at once and then once more each, one after the other."""
    shutil.rmtree(out, ignore_errors=True)
    presets = (site.preset, site.other_preset)
    references = (site.reference, site.other_reference)
    part, both = "two presets in one folder", f"race {number}: both presets in {out} at once"
    for running in [site.server.start(site.build(out, preset, 1)) for preset in presets]:
        ended = running.wait()
        outcome, what = judged_words(ended, REFUSED if ended.status else {})
        if outcome is Outcome.RIGHT and ended.status not in (0, 2):
            outcome, what = Outcome.STATUS, f"status {ended.status}: {ended.last_lines}"
        tally.add(KIND, part, outcome, what, both)
    for preset, reference in zip(presets, references, strict=True):
        words = site.build(out, preset, 1)
        ended = site.server.run(words)
        outcome, what = judged_words(ended)
        repeat = f"{both}, then {' '.join(words)}"
        if outcome is Outcome.RIGHT and ended.status != 0:
            outcome, what = Outcome.BLOCKED, f"status {ended.status}: {ended.last_lines}"
        elif content_hash(out) != content_hash(reference):
            outcome, what = Outcome.SILENT, "another dataset than undisturbed"
        tally.add(KIND, part, outcome, what, repeat)


def _one_cache(
    site: Site, cache: Path, tally: Tally, number: int, rng: np.random.Generator
) -> None:
    """Let commands complete the same face model in an empty cache at once; kill one of them."""
    shutil.rmtree(cache, ignore_errors=True)
    part, repeat = "one cache", f"race {number}: builds of the same model with FG3D_CACHE={cache}"
    outs = [cache.with_name(f"cached-{i}") for i in range(TOGETHER)]
    for out in outs:
        shutil.rmtree(out, ignore_errors=True)
    where = {"FG3D_CACHE": str(cache)}
    running = [site.server.start(site.build(out, workers=1), where) for out in outs]
    time.sleep(float(rng.random()) * 0.3 * site.seconds)
    running[0].kill()
    for one, out in list(zip(running, outs, strict=True))[1:]:
        ended = one.wait()
        outcome, what = judged_words(ended)
        if ended.status != 0:
            outcome, what = Outcome.STATUS, f"status {ended.status}: {ended.last_lines}"
        elif content_hash(out) != content_hash(site.reference):
            outcome, what = Outcome.SILENT, "another dataset than undisturbed"
        tally.add(KIND, part, outcome, what, repeat)
    running[0].wait()
