"""`python -m benchmarks.drill`: whether anything is lost, or anything is silent.

Builds a small world of its own again and again, and each time something is wrong: processes are
killed at random moments, files damaged, disks full, captures bad, readers get mutated files, and
processes race for locks and folders. Each disturbance ends right, or is a finding: silent (wrong
data believed), a traceback, a blocked build, a wrong exit status, or words that do not name the
file. Writes build/bench/drill.json; the exit status is 1 where there is a finding. Everything is
drawn from the seed, only the moments of kills depend on the machine.

The whole drill takes about an hour on two cores of its own, a third of it mutations. What was found
so far is written after every kind.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.drill import bad_captures, damage, disk, kills, mutations, races, training_damage
from benchmarks.drill.commands import Server
from benchmarks.drill.outcomes import NAMES, Tally, fail
from benchmarks.drill.readers import all_readers
from benchmarks.drill.site import Site, prepare
from benchmarks.timings import machine

KINDS = ("races", "captures", "disk", "damage", "training", "kills", "mutations")
OUT = Path("build/bench/drill.json")


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100, help="killed builds")
    parser.add_argument("--damage", type=int, default=130, help="damaged builds")
    parser.add_argument("--training-damage", type=int, default=30, help="damaged trainings")
    parser.add_argument("--mutations", type=int, default=2000, help="mutated files a reader")
    parser.add_argument("--races", type=int, default=400, help="races for a stale lock")
    parser.add_argument("--disk", type=int, default=30, help="builds on a full disk")
    parser.add_argument("--captures", type=int, default=1000, help="bad captures, at most")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, metavar="KIND")
    parser.add_argument("--readers", nargs="+", metavar="READER", help="mutate for these alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="work here and keep it; else a temporary one")
    parser.add_argument("--out", type=Path, default=OUT, help="file of the result")
    return parser.parse_args(words)


def drill(options: argparse.Namespace, folder: Path) -> Tally:
    """Run the chosen kinds in a folder."""
    tally = Tally()
    environment = {"FG3D_CACHE": str(folder / "cache")}
    os.environ.update(environment)  # readers in this process use the same cache
    with Server(folder / "output", environment) as server:
        began = time.monotonic()
        site = prepare(folder, server)
        tally.note("world", seconds=round(time.monotonic() - began, 1))
        for kind in options.only:
            print(f"== {kind}", flush=True)
            began = time.monotonic()
            run_kind(kind, site, tally, options)
            name = NAMES_OF_KINDS[kind]
            tally.note(name, seconds=round(time.monotonic() - began, 1))
            print(f"{name}: {tally.line(name)}", flush=True)
            write(tally, options)
    return tally


def write(tally: Tally, options: argparse.Namespace) -> None:
    """Write what was found so far."""
    result = {"machine": machine(), "seed": options.seed, **tally.table()}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1), encoding="utf-8")


def run_kind(kind: str, site: Site, tally: Tally, options: argparse.Namespace) -> None:
    """Run one of `KINDS`; ends the drill where it is asked for a reader that there is not."""
    seed = options.seed
    if kind == "mutations":
        wanted = not options.readers or "checkpoint" in options.readers
        checkpoint = training_damage.checkpoint_of(site) if wanted else None
        readers = all_readers(site, checkpoint)
        if options.readers:
            known = {reader.name for reader in readers}
            if unknown := sorted(set(options.readers) - known):
                fail(f"no reader {', '.join(unknown)}; there are {', '.join(sorted(known))}")
            readers = [reader for reader in readers if reader.name in options.readers]
        mutations.run(readers, site.root / "mutations", tally, options.mutations, seed)
    elif kind == "kills":
        kills.run(site, tally, options.kills, seed)
    elif kind == "damage":
        damage.run(site, tally, options.damage, seed)
    elif kind == "training":
        training_damage.run(site, tally, options.training_damage, seed)
    elif kind == "disk":
        disk.run(site, tally, options.disk, seed)
    elif kind == "races":
        races.run(site, tally, options.races, seed)
    else:
        bad_captures.run(site, tally, options.captures, seed)


NAMES_OF_KINDS = {
    "kills": kills.KIND,
    "damage": damage.KIND,
    "training": training_damage.KIND,
    "mutations": mutations.KIND,
    "disk": disk.KIND,
    "races": races.KIND,
    "captures": bad_captures.KIND,
}


def main(words: list[str] | None = None) -> int:
    """Run the drill, print and write what it found."""
    options = arguments(words)
    if options.folder is not None:
        tally = drill(options, options.folder.resolve())
    else:
        with tempfile.TemporaryDirectory(prefix="fg3d-drill-") as folder:
            tally = drill(options, Path(folder))
    print()
    print(f"{'':15s}" + "".join(f"{name:>12.11s}" for name in NAMES))
    for kind in tally.counts:
        counts = tally.total(kind)
        print(f"{kind:15s}" + "".join(f"{counts[name]:12d}" for name in NAMES))
    for finding in sorted(tally.findings.values(), key=lambda f: (f.kind, f.part, -f.count)):
        print(f"{finding.count} x {finding.kind}, {finding.part}: {finding.outcome}")
        print(f"    {finding.what.strip()}\n    {finding.reproduction}")
    print(f"{len(tally.findings)} kinds of findings; {options.out}")
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
