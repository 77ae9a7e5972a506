"""What a call of the command asks for, and how it shares the machine."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from fg3d_builder.config import BuildConfig, load_preset
from fg3d_builder.errors import ConfigError
from fg3d_builder.layout import default_root
from fg3d_builder.reproduction.runs import Workers
from fg3d_builder.reproduction.scales import SCALES, Scale
from fg3d_builder.reproduction.variants import Variants


@dataclass(frozen=True)
class Setting:
    """What a call of the command asks for.

    Attributes
    ----------
    options : argparse.Namespace
    scale : Scale
    preset : Path
    config : BuildConfig
        The preset's.
    out : Path
    variants : Variants
    device : str
    workers : Workers
    """

    options: argparse.Namespace
    scale: Scale
    preset: Path
    config: BuildConfig
    out: Path
    variants: Variants
    device: str
    workers: Workers

    @property
    def seeds(self) -> range:
        """Of every row."""
        return range(self.options.seeds or self.scale.seeds)

    @property
    def acts(self) -> bool:
        """Whether anything is to be built, trained or evaluated."""
        return not (self.options.dry_run or self.options.no_training)


def read_setting(options: argparse.Namespace) -> Setting:
    """Read the preset and look at the machine.

    Raises
    ------
    ConfigError
        Something is missing or does not go together.
    """
    scale = SCALES[options.scale]
    preset = scale.preset(options.preset)
    config = load_preset(preset)
    if options.seeds is not None and options.seeds < 1:
        raise ConfigError(f"--seeds: {options.seeds}, wanted at least 1")
    out = options.out or Path("build/experiments") / f"{config.name}-{scale.name}"
    variants = Variants(config, options.build or default_root(config), out)
    device, workers = machine(scale, options.device, options.workers)
    setting = Setting(options, scale, preset, config, out, variants, device, workers)
    if device == "cuda" and not workers.gpus and setting.acts:
        raise ConfigError(f"scale '{scale.name}' wants a GPU and torch finds none; see --device")
    return setting


def machine(scale: Scale, named: str | None, count: int | None) -> tuple[str, Workers]:
    """Decide on which device trainings run, how many side by side, with how many threads."""
    import torch

    device = named or scale.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    cores = len(os.sched_getaffinity(0))
    gpus = torch.cuda.device_count() if device == "cuda" else 0
    side_by_side = (gpus or cores) if count is None else count
    if side_by_side < 1:
        raise ConfigError(f"--workers: {count}, wanted at least 1")
    threads = scale.threads or max(1, cores // side_by_side)
    return device, Workers(side_by_side, threads, gpus)
