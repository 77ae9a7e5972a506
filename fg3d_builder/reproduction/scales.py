"""How large an experiment is: which captures, which network, how many samples and epochs.

A table of the paper means 12 trainings on 120,000 to 474,000 samples on GPUs. What a machine
allows is less, and what it then says is about that size: a small network on few faces may order
the rows otherwise than a large one on many.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fg3d_builder.errors import ConfigError


@dataclass(frozen=True)
class Scale:
    """One size of all experiments.

    Attributes
    ----------
    name : str
    build_preset : str
        Preset of the captures, unless ``--preset`` names another; empty where a person has to
        name one.
    train_preset : str
        Preset of ``python -m fg3d_builder.fgnet train``.
    epochs : int
        0 for the preset's own.
    captured_samples : int
        At most so many training samples that show the shape of their capture, 0 for all. A
        training with k transformed shapes under each photo takes ``1 + k`` times as many, so that
        it sees the same photos and new shapes besides, as in the paper.
    seeds : int
        Trainings of each row, unless ``--seeds`` says otherwise.
    device : str
        ``"cpu"``, ``"cuda"`` or ``"auto"``.
    threads : int
        Of each training; 0 divides the machine's cores among the trainings side by side.
    shares_inputs : bool
        Simulated views are made once and kept in files for all trainings: a sixth of a megabyte
        a sample at 64 pixels, and more than most disks hold for the paper's samples.
    minutes : float
        Of one training with captured shapes on one core or GPU, roughly; what stands before the
        first run is finished. 0 where nobody has measured it.
    """

    name: str
    build_preset: str
    train_preset: str
    epochs: int
    captured_samples: int
    seeds: int
    device: str
    threads: int
    shares_inputs: bool
    minutes: float

    def preset(self, named: Path | None) -> Path:
        """Return the build preset: `named` if there is one, else the scale's own.

        Raises
        ------
        ConfigError
            Neither is there.
        """
        if named is not None:
            return named
        if not self.build_preset:
            raise ConfigError(
                f"scale '{self.name}' works on your own captures: name their build preset with "
                "--preset my-captures.toml"
            )
        return Path(self.build_preset)


SCALES: dict[str, Scale] = {
    "tiny": Scale(
        name="tiny",
        build_preset="tasks/subjects-200.toml",
        train_preset="tiny",
        epochs=8,
        captured_samples=800,
        seeds=3,
        device="cpu",
        threads=1,
        shares_inputs=True,
        minutes=4.0,
    ),
    "small": Scale(
        name="small",
        build_preset="tasks/subjects-200.toml",
        train_preset="small",
        epochs=0,
        captured_samples=0,
        seeds=3,
        device="auto",
        threads=0,
        shares_inputs=True,
        minutes=0.0,
    ),
    "paper": Scale(
        name="paper",
        build_preset="",
        train_preset="paper",
        epochs=0,
        captured_samples=0,
        seeds=3,
        device="cuda",
        threads=0,
        shares_inputs=False,
        minutes=0.0,
    ),
}
