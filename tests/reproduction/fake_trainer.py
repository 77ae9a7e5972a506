"""Stands in for Python where runs train: writes the assessment that a training ends with."""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

SCRIPT = f"""#!{sys.executable}
import json, os, sys
sys.path.insert(0, {str(Path(__file__).resolve().parent)!r})
from fake_trainer import act
sys.exit(act(sys.argv[1:]))
"""

SUBJECTS, VIEWS = 6, 4


def install(folder: Path) -> str:
    """Write the program; return its path."""
    path = folder / "python"
    path.write_text(SCRIPT, encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def act(words: list[str]) -> int:
    """Do as ``-m fg3d_builder.fgnet`` would: errors follow from network and seed alone."""
    import json

    if words[:3] == ["-m", "fg3d_builder.cli", "evaluate"]:
        return evaluate(words[3:])
    assert words[:2] == ["-m", "fg3d_builder.fgnet"]
    kind, dataset = words[2], words[3]
    given = dict(pairwise(words))
    training = Path(given["--out"]) if kind == "train" else Path(words[4])
    training.mkdir(parents=True, exist_ok=True)
    with (training / "calls.txt").open("a") as file:
        file.write(f"{kind}\n")
    if kind == "train":
        (training / "arguments.json").write_text(json.dumps(words))
    known = json.loads((training / "arguments.json").read_text())
    given_then = dict(pairwise(known))
    network, seed = given_then["--network"], int(given_then["--seed"])
    if (Path(dataset) / f"slow-{network}-{seed}").exists():
        time.sleep(120)
    if (Path(dataset) / f"broken-{network}-{seed}").exists():
        print("begun")
        print("RuntimeError: this one breaks", file=sys.stderr)
        return 1
    folder = training / "assessment-test" if kind == "train" else Path(given["--out"])
    folder.mkdir(parents=True, exist_ok=True)
    level = {"cvn": 0.9, "mvn": 0.8, "vmn": 0.7}[network] + 0.01 * seed
    (folder / "assessment.json").write_text(json.dumps(assessment(level, kind == "train")))
    return 0


def assessment(level: float, trained: bool = True) -> dict[str, object]:
    """Errors of the fit, and of a network that leaves `level` of them."""
    rng = np.random.default_rng(0)
    rows = []
    for subject in range(SUBJECTS):
        for view in range(VIEWS):
            fit = 0.02 + 0.001 * rng.random()
            rows.append(
                {
                    "sample_id": f"s{subject}/{view}",
                    "subject_id": f"s{subject}",
                    "yaw_deg": 15.0 * view,
                    "fit": fit,
                    "predicted": fit * level,
                    "fit_dace": fit / 2,
                    "predicted_dace": fit * level / 2,
                }
            )
    return {"about": {"training_samples": 40 if trained else None}, "samples": rows}


def evaluate(words: list[str]) -> int:
    """Do as ``fg3d evaluate``: the fit 3 %, our networks 2.0, 2.1, ... %, others 2.5 %."""
    from fg3d_builder.testsets import ImageResult, ProtocolResults
    from fg3d_builder.testsets.results import FIT, write_results

    protocol, folder, given = words[0], Path(words[1]), dict(pairwise(words))
    if (folder / "broken").exists():
        print("fg3d: no such set", file=sys.stderr)
        return 2
    named = [b.partition("=")[0] for a, b in pairwise(words) if a == "--checkpoint"]
    others = [b.partition("=")[0] for a, b in pairwise(words) if a == "--method"]
    levels = {FIT: 0.03, **{n: 0.02 + 0.001 * i for i, n in enumerate(named)}}
    levels |= dict.fromkeys(others, 0.025)
    rows = []
    for name, level in levels.items():
        for subject in range(SUBJECTS):
            for yaw in (0.0, 30.0, 40.0):
                # Others fail on the first subject.
                failed = name in others and subject == 0
                error = None if failed else level * (1.0 + 0.001 * subject)
                image = (f"s{subject}/{yaw:g}", f"s{subject}", name, 0.0, yaw, "nominal", error)
                code = ("no_mesh", "not there") if failed else ("", "")
                rows.append(ImageResult(*image, None if failed else 1.0, *code))
    write_results(
        ProtocolResults(protocol, tuple(levels), tuple(rows), (), {}), Path(given["--out"])
    )
    return 1 if others else 0
