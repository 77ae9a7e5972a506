"""Processes that want the same thing at once: a stale lock, one build's folder, one cached file."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.drill.outcomes import Outcome, Tally, judged_words
from benchmarks.drill.site import Site, content_hash
from fg3d_builder.files.locks import BuildRunningError, claim

KIND = "races"
RACERS = 8
TOGETHER = 3
"""Commands that are started at once."""


def run(site: Site, tally: Tally, count: int, seed: int) -> None:
    """Race `count` times for a stale lock, and a fortieth of it for folders and caches."""
    rng = np.random.default_rng([seed, 5])
    folder = site.root / "races"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number in range(count):
        _lock(folder / "build.lock", tally, number, rng)
    for number in range(max(1, count // 40)):
        _one_folder(site, folder / "one", tally, number, rng)
        _two_presets(site, folder / "two", tally, number)
        _one_cache(site, folder / "cache", tally, number, rng)


def _lock(lock: Path, tally: Tally, number: int, rng: np.random.Generator) -> None:
    """Let processes take over a lock whose process is gone; one of them has to get it."""
    lock.unlink(missing_ok=True)
    dead = os.fork()
    if not dead:
        os._exit(0)
    os.waitpid(dead, 0)
    stale = {"host": socket.gethostname(), "pid": str(dead), "start": "1"}
    lock.write_text("" if rng.random() < 0.1 else json.dumps(stale), encoding="utf-8")
    owners, refused, other = _race(lambda: claim(lock), rng)
    part = "take-over of a stale lock"
    said = f"{owners} owners, {refused} refused, {other} other errors"
    repeat = f"race {number}: {RACERS} processes call files.locks.claim on a stale lock"
    if owners > 1:
        tally.add(KIND, part, Outcome.SILENT, f"{owners} owners", repeat, under="owners")
    elif other:
        tally.add(KIND, part, Outcome.TRACEBACK, said, repeat, under="other")
    elif not owners:
        tally.add(KIND, part, Outcome.BLOCKED, said, repeat, under="none")
    else:
        tally.add(KIND, part, Outcome.RIGHT)


def _race(act: Callable[[], None], rng: np.random.Generator) -> tuple[int, int, int]:
    """Call `act` in processes at the same moment; count returns, refusals and other errors.

    Nobody lets go before all have come to an answer.
    """
    go_read, go_write = os.pipe()
    told_read, told_write = os.pipe()
    waits = 2e-4 * rng.random(RACERS)
    pids = []
    for racer in range(RACERS):
        pid = os.fork()
        if not pid:
            os.close(go_write)
            os.read(go_read, 1)  # returns when the last writer has closed
            until = time.perf_counter() + waits[racer]
            while time.perf_counter() < until:
                pass
            answer = b"?"
            try:
                act()
                answer = b"o"
            except BuildRunningError:
                answer = b"r"
            finally:
                os.write(told_write, answer)
                time.sleep(30)
                os._exit(0)
        pids.append(pid)
    os.close(go_read)
    os.close(go_write)
    told = b""
    while len(told) < RACERS:
        told += os.read(told_read, RACERS)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    os.close(told_read)
    os.close(told_write)
    return told.count(b"o"), told.count(b"r"), told.count(b"?")


def _one_folder(
    site: Site, out: Path, tally: Tally, number: int, rng: np.random.Generator
) -> None:
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
        outcome, what = judged_words(one)
        if one.status not in (0, 2):
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
    for running in [site.server.start(site.build(out, preset, 1)) for preset in presets]:
        running.wait()
    part = "two presets in one folder"
    for preset, reference in zip(presets, references, strict=True):
        words = site.build(out, preset, 1)
        ended = site.server.run(words)
        outcome, what = judged_words(ended)
        repeat = f"race {number}: both presets in {out} at once, then {' '.join(words)}"
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
