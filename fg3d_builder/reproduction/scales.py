"""How large an experiment is: which captures, which network, how many samples and epochs.

A table of the paper means 12 training runs on 120,000 to 474,000 samples on GPUs. Most machines
allow less, and results hold for their own size only: a small network on few faces may order the
rows otherwise than a large one on many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fg3d_builder.config import require
from fg3d_builder.config.constraints import FolderName, Within, one_of
from fg3d_builder.config.quantities import FilePath
from fg3d_builder.fgnet.training.names import PRESETS


@dataclass(frozen=True)
class Scale:
    """One size of all experiments.

    Attributes
    ----------
    name : str
    train_preset : str
        Preset of ``fg3d train``.
    build_preset : str
        Preset of the captures, unless ``--preset`` names another; empty where a person has to
        name one.
    device : str
        ``"cpu"``, ``"cuda"`` or ``"auto"``.
    epochs : int
        0 for the preset's own.
    captured_samples : int
        At most so many training samples that show the shape of their capture, 0 for all. A run
        with k transformed shapes under each photo takes ``1 + k`` times as many, so that it sees
        the same photos and new shapes besides, as in the paper.
    tested_samples : int
        At most so many samples of the test split that rows are tested on, 0 for all.
    seeds : int
        Runs of each row, unless ``--seeds`` says otherwise.
    threads : int
        Threads of each run; 0 divides the machine's cores among the runs side by side.
    shares_inputs : bool
        Simulated views are made once and kept in files for all runs: a sixth of a megabyte a
        sample at 64 pixels, and more than most disks hold for the paper's samples.
    minutes : float
        Rough time of one run with captured shapes on one core or GPU, for the estimate before
        the first run is finished. 0 where nobody has measured it.
    """

    name: Annotated[str, FolderName()]
    train_preset: Annotated[str, one_of(*PRESETS)]
    build_preset: FilePath
    device: Annotated[str, one_of("auto", "cpu", "cuda")]
    epochs: Annotated[int, Within(0, 1_000_000)] = 0
    captured_samples: Annotated[int, Within(0, 1_000_000_000)] = 0
    tested_samples: Annotated[int, Within(0, 1_000_000_000)] = 0
    seeds: Annotated[int, Within(1, 1000)] = 3
    threads: Annotated[int, Within(0, 1024)] = 0
    shares_inputs: bool = True
    minutes: Annotated[float, Within(0, 1e6)] = 0.0

    def __post_init__(self) -> None:
        require(self)


TINY = Scale(
    name="tiny",
    train_preset="tiny",
    build_preset="tasks/subjects-200.toml",
    device="cpu",
    epochs=8,
    captured_samples=800,
    threads=1,
    minutes=4.0,
)
SMALL = Scale("small", "small", build_preset="tasks/subjects-200.toml", device="auto")
PAPER = Scale("paper", "paper", build_preset="", device="cuda", shares_inputs=False)
SCALES = {scale.name: scale for scale in (TINY, SMALL, PAPER)}
