"""What a network learns from pixels: its errors beside those of methods that look at none.

`python -m benchmarks.pixels DATASET --seeds 6` trains a network (preset `tiny` unless --settings
names a file) with each seed on the training split, and measures NME (Eq. 18) on the test split, in
per cent, of the 3DMM fit, of the fit with the training samples' mean displacement (constant), of a
ridge regression on its coefficients, of the first look that the network adds to, and of the
network. Seeds are paired: all runs see the same samples and the same test faces. Simulated inputs
are shared in --inputs; runs in --out are gone on with. Writes --out/pixels.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from fg3d_builder.evaluation import compare_paired
from fg3d_builder.fgnet.data.dataset import FaceDataset
from fg3d_builder.fgnet.training.assessment import Assessment
from fg3d_builder.fgnet.training.distributed import Processes
from fg3d_builder.fgnet.training.loop import Trainer
from fg3d_builder.fgnet.training.names import CALIBRATED, FIT, LOOK, PREDICTED
from fg3d_builder.fgnet.training.settings import TRAIN_PRESETS, TrainConfig, read_settings
from fg3d_builder.files.atomic import write_json


def main() -> None:
    """Train, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--epochs", type=int, help="in place of the settings'")
    parser.add_argument("--settings", type=Path, help="TOML as of `fg3d train`")
    parser.add_argument("--inputs", type=Path, default=Path("build/bench/pixels/inputs"))
    parser.add_argument("--out", type=Path, default=Path("build/bench/pixels"))
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config = read_settings(options.settings) if options.settings else TRAIN_PRESETS["tiny"]
    if options.epochs:
        config = dataclasses.replace(config, epochs=options.epochs)
    found: list[Assessment] = []
    for seed in range(options.seeds):
        run = options.out / f"seed{seed}"
        one = dataclasses.replace(config, seed=seed)
        found.append(trained_and_tested(options.dataset, one, run, options.inputs))
        print(
            f"seed {seed}: "
            + ", ".join(f"{n} {100 * found[-1].mean(n):.3f}" for n in found[-1].nme)
        )
        report(found, options.out / "pixels.json", config)


def trained_and_tested(dataset: Path, config: TrainConfig, run: Path, inputs: Path) -> Assessment:
    """Train one network, or go on, and measure all methods on the test split."""
    alone = Processes(0, 1, torch.device("cpu"))
    data = FaceDataset(dataset, "train", config.confidence_floor, selection=config.selection)
    trainer = Trainer(config, data, run, alone, inputs=inputs)
    trainer.run()
    return trainer.assess(FaceDataset(dataset, "test", config.confidence_floor))


def report(found: Sequence[Assessment], file: Path, config: TrainConfig) -> None:
    """Print the means over seeds and by how much the network is below each other method."""
    subjects = [sample.subject_id for sample in found[0].samples]
    network = np.mean([one.nme[PREDICTED] for one in found], axis=0)
    result: dict[str, object] = {"seeds": len(found), "epochs": config.epochs}
    print(f"{len(subjects)} samples of {len(set(subjects))} subjects, {len(found)} seeds; NME, %")
    for name in found[0].nme:
        means = np.array([one.mean(name) for one in found])
        gains = np.array([one.lowered_by(PREDICTED, name) for one in found])
        line = f"  {name:10s} {100 * means.mean():.3f} +- {100 * means.std(ddof=0):.3f}"
        entry: dict[str, object] = {"nme": means.tolist(), "network_below": gains.tolist()}
        if name in (FIT, CALIBRATED, LOOK):
            paired = compare_paired(
                network, np.mean([one.nme[name] for one in found], axis=0), subjects
            )
            base = np.mean([one.mean(name) for one in found])
            low, high = (-100 * end / base for end in (paired.high, paired.low))
            line += (
                f"; the network is {100 * gains.mean():.1f} % below it, by seed "
                f"{100 * gains.min():.1f} to {100 * gains.max():.1f} %, 95 % over subjects "
                f"{low:.1f} to {high:.1f} %"
            )
            entry["interval_percent"] = [low, high]
        print(line, flush=True)
        result[name] = entry
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, result)


if __name__ == "__main__":
    main()
