"""Trainings with one damaged file: of the run, of the inputs that runs share, of the dataset."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from benchmarks.drill.damage import WAYS, damage
from benchmarks.drill.outcomes import Ended, Outcome, Tally, fail, judged_words
from benchmarks.drill.site import Site, chosen

KIND = "training"

SETTINGS = """\
preset = "tiny"
epochs = 6
batch_size = 8
[network]
network = "mvn"
"""

KINDS = {
    "checkpoint": r"^run/checkpoint\.pt$",
    "description of the run": r"^run/trained-on\.json$",
    "settings of the run": r"^run/config\.json$",
    "face model of the run": r"^run/facemodel\.h5$",
    "log": r"^run/.*\.csv$",
    "assessment": r"^run/assessment.*\.json$",
    "kept input": r"^inputs/.*\.npy$",
    "description of kept inputs": r"^inputs/.*\.json$",
    "shard": r"^dataset/(train|test)-.*\.h5$",
    "manifest": r"^dataset/manifest\.json$",
    "face model of the dataset": r"^dataset/facemodel\.h5$",
}


def checkpoint_of(site: Site) -> Path:
    """Return the checkpoint of a training on the undisturbed dataset, made once."""
    return _undisturbed(site) / "run" / "checkpoint.pt"


def run(site: Site, tally: Tally, count: int, seed: int) -> None:
    """Damage `count` trainings, going through all kinds of files and all ways in turn."""
    base = _undisturbed(site)
    names = sorted(p.relative_to(base).as_posix() for p in base.rglob("*") if p.is_file())
    kinds = {kind: found for kind, p in KINDS.items() if (found := chosen(names, p))}
    cases = [(kind, way) for way in WAYS for kind in kinds]
    wanted = _weights(base / "longer")
    for number in range(count):
        kind, way = cases[number % len(cases)]
        rng = np.random.default_rng([seed, 3, number])
        name = kinds[kind][int(rng.integers(len(kinds[kind])))]
        outcome, what = _one(site, base, kind, name, way, rng, wanted)
        repeat = f"training {number}: {name} {way}; then fg3d train, fg3d assess"
        tally.add(KIND, f"{kind}, {way}", outcome, what, repeat)


def _undisturbed(site: Site) -> Path:
    """Train until there is a checkpoint, and in a copy to the end."""
    base = site.root / "training"
    if base.exists():
        return base
    base.mkdir()
    shutil.copytree((site.reference / "dataset").resolve(), base / "dataset")
    (base / "settings.toml").write_text(SETTINGS, encoding="utf-8")
    running = site.server.start(_train(base, base / "run"))
    while not (base / "run" / "checkpoint.pt").exists() and not running.ends_within(0.01):
        pass
    running.kill()
    running.wait()
    shutil.copytree(base / "run", base / "longer")
    ended = site.server.run(_train(base, base / "longer"))
    if ended.status != 0:
        fail(f"an undisturbed training ends with {ended.status}: {ended.last_lines}")
    return base


def _train(base: Path, run_folder: Path) -> list[str]:
    words = ["train", str(base / "dataset"), "--out", str(run_folder), "--device", "cpu"]
    words += ["--settings", str(base / "settings.toml"), "--inputs", str(base / "inputs")]
    return words


def _one(
    site: Site,
    base: Path,
    kind: str,
    name: str,
    way: str,
    rng: np.random.Generator,
    wanted: bytes,
) -> tuple[Outcome, str]:
    """Damage one file of a copy, go on with the training, assess; twice where that is asked for."""
    copy = site.root / "damaged-training"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(base, copy, ignore=shutil.ignore_patterns("longer"))
    data = (base / name).read_bytes()
    damage(copy / name, way, rng, data[: len(data) // 2] + data[: len(data) - len(data) // 2])
    seen: list[Ended] = []
    for words in (_train(copy, copy / "run"), _assess(copy)):
        for _ in range(2):
            ended = site.server.run(words)
            seen.append(ended)
            outcome, what = judged_words(ended)
            if outcome is not Outcome.RIGHT:
                return outcome, f"{words[0]}: {what}"
            if ended.status == 0:
                break
            if Path(name).name not in ended.text:
                return Outcome.UNCLEAR, f"{words[0]} does not name the file: {ended.last_lines}"
            if name.startswith("dataset/"):  # it is not the training's to mend
                return Outcome.RIGHT, ""
        if seen[-1].status != 0:
            return Outcome.BLOCKED, f"{words[0]} fails again: {seen[-1].last_lines}"
    if name.startswith("dataset/"):
        return Outcome.SILENT, "trains on a damaged dataset and says nothing"
    if _weights(copy / "run") != wanted and len(seen) == 2:
        return Outcome.SILENT, "other weights than undisturbed, and nothing was said"
    return Outcome.RIGHT, ""


def _assess(base: Path) -> list[str]:
    return ["assess", str(base / "dataset"), str(base / "run"), "--device", "cpu"]


def _weights(run_folder: Path) -> bytes:
    """Return the weights of a run's network as bytes."""
    from fg3d_builder.fgnet.training.checkpoint import read_checkpoint

    state = read_checkpoint(run_folder / "checkpoint.pt")["parts"]["network"]
    return b"".join(state[name].numpy().tobytes() for name in sorted(state))
