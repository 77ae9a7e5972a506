"""What a call of the command asks for, and how it shares the machine."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from fg3d_builder.config import BuildConfig, load_preset
from fg3d_builder.errors import ConfigError
from fg3d_builder.layout import default_root
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
        Build preset, `config` what is in it.
    out : Path
        Folder of the results.
    variants : Variants
        Datasets of the build, as rows ask for them.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    workers : int
        Runs side by side.
    threads : int
        ``OMP_NUM_THREADS`` of each run.
    gpus : int
        GPUs that runs are dealt to in turn; 0 leaves the choice to torch.
    """

    options: argparse.Namespace
    scale: Scale
    preset: Path
    config: BuildConfig
    out: Path
    variants: Variants
    device: str
    workers: int
    threads: int
    gpus: int

    @property
    def seeds(self) -> range:
        """Seeds of the runs of every row."""
        return range(self.options.seeds or self.scale.seeds)

    @property
    def acts(self) -> bool:
        """Whether anything is to be built, trained or evaluated."""
        return not (self.options.dry_run or self.options.no_training)

    @property
    def shapes_made(self) -> int:
        """Transformed shapes under each photo."""
        return self.config.transform.shapes_per_capture


def read_setting(options: argparse.Namespace) -> Setting:
    """Read the preset and look at the machine.

    Raises
    ------
    ConfigError
        Something is missing or does not go together.
    """
    import torch

    scale = _changed(SCALES[options.scale], options)
    preset = options.preset or Path(scale.build_preset)
    if not options.preset and not scale.build_preset:
        raise ConfigError(
            f"scale '{scale.name}' works on your own captures: name their build preset with "
            "--preset my-captures.toml"
        )
    config = load_preset(preset)
    for name in ("seeds", "workers"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name}: {value}, wanted at least 1")
    device = options.device or scale.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    gpus = torch.cuda.device_count() if device == "cuda" else 0
    cores = len(os.sched_getaffinity(0))
    workers = options.workers or gpus or cores
    out = options.out or Path("build/experiments") / f"{config.name}-{scale.name}"
    setting = Setting(
        options=options,
        scale=scale,
        preset=preset,
        config=config,
        out=out,
        variants=Variants(config, options.build or default_root(config), out),
        device=device,
        workers=workers,
        threads=scale.threads or max(1, cores // workers),
        gpus=gpus,
    )
    if device == "cuda" and not gpus and setting.acts:
        raise ConfigError(f"scale '{scale.name}' wants a GPU and torch finds none; see --device")
    return setting


def _changed(scale: Scale, options: argparse.Namespace) -> Scale:
    """Return a scale with what the command line names in place of its own."""
    given = {
        "epochs": options.epochs,
        "captured_samples": options.samples,
        "tested_samples": options.test_samples,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    # How long a run takes was measured of the scale as it is.
    return dataclasses.replace(scale, **changes, minutes=0.0) if changes else scale


def show(text: str) -> None:
    """Print a line at once, also into a file."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
