"""Finished builds with one damaged file: every kind of file, in every way.

`verify` has to name what is damaged in a dataset, and the same build command has to end with the
same dataset, at once or after it has named the file and was run once more.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np

from benchmarks.drill.outcomes import Ended, Outcome, Tally, judged_words
from benchmarks.drill.site import Site, chosen, content_hash, names_below

KIND = "damage"
WAYS = ("bit turned", "cut short", "emptied", "exchanged", "removed")

KINDS = {
    "index": r"^work/index-",
    "config": r"^work/config-",
    "completeness": r"^work/complete",
    "face model of the build": r"^work/facemodel-",
    "seconds": r"^work/(captures|landmarks|fitting|registration|views|transform)-.*\.json$",
    "product of captures": r"^work/captures-.*\.product$",
    "product of landmarks": r"^work/landmarks-.*\.product$",
    "product of fitting": r"^work/fitting-.*\.product$",
    "product of registration": r"^work/registration-.*\.product$",
    "product of views": r"^work/views-.*\.product$",
    "verdicts": r"^work/verdicts-",
    "decisions": r"^work/decisions-",
    "plan": r"^work/plan-",
    "donors": r"^work/donors-",
    "draws": r"^work/draws-",
    "product of transform": r"^work/transform-.*\.product$",
    "report rows": r"^work/report-",
    "augmentation rows": r"^work/augmentation-report-",
    "shard": r"^dataset-.*/(train|test)-.*\.h5$",
    "topology": r"^dataset-.*/topology\.h5$",
    "face model of the dataset": r"^dataset-.*/facemodel\.h5$",
    "manifest": r"^dataset-.*/manifest\.json$",
    "report page": r"^report/index\.html$",
    "report picture": r"^report/pictures/",
    "review list": r"^review\.csv$",
}
"""Files of a finished build by kind, in the order in which they are made; kinds that a build does
not have are left out."""

UNREAD = ("seconds", "review list", "report page", "report picture")
"""Decide nothing, belong to a person, or are looked at by people alone: no step reads them, and
they may stay as they are."""

STATES = ("finished", "without dataset and report", "without all that was made later")
"""What a build has beside a damaged file of its folder ``work``."""

MOST_ROUNDS = 2
"""Builds that may be needed: one that names the damage, and one that repairs it."""


def run(site: Site, tally: Tally, count: int, seed: int) -> None:
    """Damage `count` builds, going through all kinds of files and all ways in turn."""
    names = names_below(site.reference)
    kinds = {kind: found for kind, p in KINDS.items() if (found := chosen(names, p))}
    cases = [(kind, way) for way in WAYS for kind in kinds]
    others = [name for name in names if not any(re.search(p, name) for p in KINDS.values())]
    if others:
        tally.add(KIND, "kinds of files", Outcome.UNCLEAR, f"the drill does not know {others}")
    for number in range(count):
        kind, way = cases[number % len(cases)]
        rng = np.random.default_rng([seed, 2, number])
        name = kinds[kind][int(rng.integers(len(kinds[kind])))]
        # A damaged product is read only where what was made of it is missing.
        turn = number // len(cases) + WAYS.index(way) + list(kinds).index(kind)
        state = STATES[turn % len(STATES)] if name.startswith("work/") else STATES[0]
        _Case(site, tally, kind, way, name, state, number).run(rng)


class _Case:
    """One damaged file in a copy of the undisturbed build."""

    def __init__(
        self, site: Site, tally: Tally, kind: str, way: str, name: str, state: str, number: int
    ) -> None:
        self._site, self._tally, self._out = site, tally, site.root / "damaged"
        self._kind, self._way, self._name, self._state = kind, way, name, state
        self._repeat = f"damage {number}: {name} {way}, {state}; then fg3d verify, fg3d build"

    def run(self, rng: np.random.Generator) -> None:
        """Damage, verify, build, compare."""
        self._site.copy(self._out)
        damage(self._out / self._name, self._way, rng, self._stand_in())
        self._take_away()
        found = []
        if self._name.startswith("dataset-"):
            found.append(self._verified())
        found.append(self._rebuilt())
        wrong = [one for one in found if one[0] is not Outcome.RIGHT]
        outcome, what = wrong[0] if wrong else (Outcome.RIGHT, "")
        self._tally.add(KIND, f"{self._kind}, {self._way}", outcome, what, self._repeat)

    def _take_away(self) -> None:
        """Remove what the state of the build says is not there."""
        if self._state == STATES[0]:
            return
        for path in [*self._out.glob("dataset*"), self._out / "report"]:
            path.unlink() if path.is_symlink() else shutil.rmtree(path)
        later = list(KINDS.values())[list(KINDS).index(self._kind) + 1 :]
        for name in names_below(self._out) if self._state == STATES[2] else ():
            if name.startswith("work/") and any(re.search(p, name) for p in later):
                (self._out / name).unlink()

    def _stand_in(self) -> bytes:
        """Return another file of the kind: of another chunk or shard, else of another build."""
        own = (self._site.reference / self._name).read_bytes()
        for root in (self._site.reference, self._site.other_reference):
            for name in chosen(names_below(root), KINDS[self._kind]):
                if (data := (root / name).read_bytes()) != own:
                    return data
        return own[: len(own) // 2] + own[: len(own) - len(own) // 2]

    def _verified(self) -> tuple[Outcome, str]:
        ended = self._site.server.run(self._site.verify(self._out))
        file = Path(self._name).name
        outcome, what = judged_words(ended)
        if outcome is not Outcome.RIGHT:
            return outcome, f"verify: {what}"
        if ended.status == 0:
            return Outcome.SILENT, f"verify calls it good: {ended.last_lines}"
        if file not in ended.text:
            return Outcome.UNCLEAR, f"verify does not name {file}: {ended.last_lines}"
        if "fg3d build" not in ended.last_lines:
            return Outcome.UNCLEAR, f"verify does not say how to repair: {ended.last_lines}"
        return Outcome.RIGHT, ""

    def _rebuilt(self) -> tuple[Outcome, str]:
        """Build until it succeeds; judge every round and what comes out.

        A build does not read the shards of a finished dataset: a file that `verify` has named is
        removed where the first build leaves it.
        """
        seen: list[Ended] = []
        while len(seen) < MOST_ROUNDS + 1:
            seen.append(self._site.server.run(self._site.build(self._out)))
            last = seen[-1]
            outcome, what = judged_words(last)
            if outcome is not Outcome.RIGHT:
                after = self._what_comes_after(len(seen))
                return outcome, f"build {len(seen)}: {what}{after}"
            if last.status == 0:
                if not (self._name.startswith("dataset-") and len(seen) == 1 and self._left()):
                    break
                (self._out / self._name).unlink()
                continue
            if Path(self._name).name not in last.text:
                words = f"build {len(seen)} does not name the file: {last.last_lines}"
                return Outcome.UNCLEAR, words + self._what_comes_after(len(seen))
            if self._kind == "review list":  # a person's own file is theirs to mend
                return Outcome.RIGHT, ""
        if seen[-1].status != 0 or len(seen) > MOST_ROUNDS:
            return Outcome.BLOCKED, f"after {len(seen)} builds: {seen[-1].last_lines}"
        return self._compared()

    def _left(self) -> bool:
        """Whether the damaged file is still there, as it is."""
        path = self._out / self._name
        return (
            path.is_file() and path.read_bytes() != (self._site.reference / self._name).read_bytes()
        )

    def _what_comes_after(self, rounds: int) -> str:
        """Say whether one more build gets past it, for the finding."""
        for _ in range(2):
            ended = self._site.server.run(self._site.build(self._out))
            rounds += 1
            if ended.status == 0:
                outcome, what = self._compared()
                good = "the right dataset" if outcome is Outcome.RIGHT else what
                return f"; build {rounds} ends with 0 and {good}"
        return f"; build {rounds} still ends with {ended.status}: BLOCKED"

    def _compared(self) -> tuple[Outcome, str]:
        site, out = self._site, self._out
        if self._kind == "review list":  # decides what is in the dataset, as a person says in it
            return Outcome.RIGHT, ""
        different, missing = site.differences(out), site.missing(out)
        if self._kind in UNREAD:
            different, missing = ([n for n in x if n != self._name] for x in (different, missing))
        if content_hash(out) != content_hash(site.reference):
            return Outcome.SILENT, f"another dataset; files: {', '.join(different[:4])}"
        # What nobody reads any more may stay; whoever reads it later checks its seal.
        stays = self._name.startswith("work/") and self._state != STATES[2]
        wrong = [name for name in different if not (stays and name == self._name)]
        if wrong or missing:
            return Outcome.SILENT, f"believed: {', '.join([*wrong, *missing][:4])}"
        return Outcome.RIGHT, ""


def damage(path: Path, way: str, rng: np.random.Generator, stand_in: bytes) -> None:
    """Damage a file in one of `WAYS`."""
    data = path.read_bytes()
    if way == "removed":
        path.unlink()
        return
    if way == "bit turned":
        place = int(rng.integers(len(data)))
        turned = data[place] ^ (1 << int(rng.integers(8)))
        data = data[:place] + bytes([turned]) + data[place + 1 :]
    elif way == "cut short":
        data = data[: int(rng.integers(1, max(2, len(data))))]
    elif way == "emptied":
        data = b""
    else:
        data = stand_in
    path.write_bytes(data)
