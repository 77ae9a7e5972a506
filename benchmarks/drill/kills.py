"""Builds that are killed at random moments: the whole group, one worker, by Ctrl-C or politely.

Each run goes on where the killed one has stopped; a finished build is compared and started over.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np

from benchmarks.drill.commands import Running
from benchmarks.drill.outcomes import TRACEBACK, Ended, Outcome, Tally, judged_words
from benchmarks.drill.site import Site, content_hash

KIND = "kills"
WAYS = ("group", "worker", "Ctrl-C", "SIGTERM")
SHARES = (0.4, 0.3, 0.2, 0.1)
AGAIN = {"what to do": r"again|goes on"}
WORKER = {"whose process it was, and the signal": r": its process was killed by SIGKILL.*again"}


def run(site: Site, tally: Tally, count: int, seed: int) -> None:
    """Kill `count` builds; end with one that nobody disturbs."""
    rng = np.random.default_rng([seed, 1])
    out = site.root / "kills"
    shutil.rmtree(out, ignore_errors=True)
    killed = finished = 0
    while killed < count:
        way = str(rng.choice(WAYS, p=SHARES))
        delay = float(rng.uniform(0.02, 0.5)) * site.seconds
        words = site.build(out)
        running = site.server.start(words)
        hit = not running.ends_within(delay) and _hit(running, way, rng)
        ended = running.wait()
        repeat = f"kill {killed}: {way} after {delay:.2f} s of: fg3d {' '.join(words)}"
        if hit:
            killed += 1
            outcome, what = judged(way, ended, site, out)
            tally.add(KIND, way, outcome, what, repeat)
        else:
            finished += 1
            _compare(site, out, tally, ended, repeat)
            shutil.rmtree(out, ignore_errors=True)
    ended = site.server.run(site.build(out))
    _compare(site, out, tally, ended, "the last build")
    tally.note(KIND, killed=killed, finished_builds=finished + 1)


def _hit(running: Running, way: str, rng: np.random.Generator) -> bool:
    """Kill; False where the build has ended meanwhile."""
    if way == "group":
        running.kill()
    elif way == "Ctrl-C":
        running.kill(signal.SIGINT)
    elif way == "SIGTERM":
        os.kill(running.pid, signal.SIGTERM)
    else:
        until = time.monotonic() + 60.0
        while not (workers := running.workers()):
            if running.ends_within(0.005) or time.monotonic() > until:
                return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(rng.choice(workers)), signal.SIGKILL)
    return True


def judged(way: str, ended: Ended, site: Site, out: Path) -> tuple[Outcome, str]:
    """Judge a killed build: its status, its words, and every file that it has left."""
    if different := site.differences(out):
        return Outcome.SILENT, f"{way}: left behind: {', '.join(different[:5])}"
    if way == "group":
        return Outcome.RIGHT, ""
    complete = content_hash(out) == content_hash(site.reference) and not site.missing(out)
    if complete and TRACEBACK not in ended.text and ended.status is not None:
        return Outcome.RIGHT, ""  # it was about to end, and everything is there
    if ended.status == 0:
        missing = ", ".join(site.missing(out)) or "nothing"
        return Outcome.STATUS, f"exit status 0, missing: {missing}; {ended.last_lines}"
    if way == "SIGTERM" and ended.status == -signal.SIGTERM:
        return Outcome.RIGHT, ""  # it had not begun to build
    outcome, what = judged_words(ended, WORKER if way == "worker" else AGAIN)
    if outcome is Outcome.RIGHT and way != "worker" and ended.status != 130:
        return Outcome.STATUS, f"status {ended.status}, wanted 130"
    return outcome, what


def _compare(site: Site, out: Path, tally: Tally, ended: Ended, repeat: str) -> None:
    """Check a build that has come to its end by itself."""
    outcome, what = judged_words(ended)
    if outcome is Outcome.RIGHT and ended.status != 0:
        outcome, what = Outcome.BLOCKED, f"status {ended.status}: {ended.last_lines}"
    elif outcome is Outcome.RIGHT:
        wrong = [*site.differences(out), *site.missing(out)]
        if wrong or content_hash(out) != content_hash(site.reference):
            outcome, what = Outcome.SILENT, f"not as undisturbed: {', '.join(wrong[:5])}"
    tally.add(KIND, "run to the end after kills", outcome, what, repeat)
