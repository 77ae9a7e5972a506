"""How a network is trained; presets from the paper's down to one for two cores."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from fg3d_builder.config import from_table, read_toml, require, to_table
from fg3d_builder.config.constraints import Length, Line, Within, one_of
from fg3d_builder.config.quantities import Part, PositiveWeight, Seed
from fg3d_builder.config.reading import ADDED, shown
from fg3d_builder.errors import ConfigError
from fg3d_builder.fgnet.data.selection import SelectionConfig
from fg3d_builder.fgnet.data.simulation import SimulationConfig
from fg3d_builder.fgnet.losses import LossConfig
from fg3d_builder.fgnet.networks.architectures import PRESETS, NetworkConfig
from fg3d_builder.files.sealed_object import SEAL, read_object

OPTIMISERS = ("sgd", "adamw")
SCHEDULES = ("steps", "cosine")
PRECISIONS = ("float32", "bfloat16", "float16")
BASES = ("fit", "ridge", "look")
LOSS_TERMS = ("mse", "psd", "vgd")
Epochs = Annotated[int, Within(1, 1_000_000)]


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training run.

    network, loss: what is trained and what it minimises.
    selection: which samples of the training split are used.
    base: what the network adds to: "fit" as in the paper; "ridge", the fit as a regression on its
        own coefficients corrects it (`fgnet.calibration`), so that the network need not learn from
        pixels what the fit tells anyway; or "look", the fit as a regression on its coefficients
        and on gradients of the network's pictures corrects it (`fgnet.first_look`).
    populations: patterns of subject ids ("*", "?" and "[14]" as in file names), one for each
        population that the training subjects are of. Where there are two or more, how much of a
        first look's answer is kept (base "look") is measured on populations that it was not learnt
        from, so that it holds for faces of yet another one; else all of it is kept.
    perturbation: strength of photometric perturbation, 0 to 1; the paper has none.
    optimiser: "sgd" (the paper's), or "adamw", which is farther after few steps.
    schedule: "steps" (the paper's), or "cosine", which falls to nothing over all epochs.
    epochs, drop_epochs, drop_factor: in "steps" the rate is multiplied by the factor when each
        of the epochs (counted from 0) begins.
    learning_rate, momentum, weight_decay: of the optimiser; the paper names the rate alone.
    warmup_steps: over which the rate rises linearly.
    clip_norm: gradients longer than this are shortened.
    batch_size: samples a step and process; the paper gives none.
    micro_batch: samples that are in the device's memory together, where fewer than a batch fit;
        0: all. Gradients add up to those of the batch, but batch normalisation takes its
        statistics of each micro-batch, and VGD the mean of its weights (`LossConfig`).
    precision: of the network on CUDA: "float32", "bfloat16" or "float16" (with loss scaling).
    compile: use torch.compile where it works.
    workers: processes that read samples.
    keep_inputs_mib: simulated inputs are kept in memory and simulated once, where all of them
        fit into so many MiB; geometry is never perturbed, so every epoch sees the same.
    confidence_floor: least weight of a vertex, see `FaceDataset`.
    checkpoint_steps: a checkpoint every so many steps, besides one after every epoch.
    picture_epochs: after which a grid of pictures is drawn, besides the last one.
    test_limit: the network is assessed on at most so many samples of the test split, 0 for all;
        chosen as those of `selection` are, so that runs of one limit have the same.
    seed: of weights and order.
    """

    network: NetworkConfig = field(default_factory=NetworkConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    base: Annotated[str, one_of(*BASES)] = "fit"
    populations: Annotated[tuple[Annotated[str, Line()], ...], Length(0, 1000)] = field(
        default=(), metadata=ADDED
    )
    perturbation: Part = 0.0
    optimiser: Annotated[str, one_of(*OPTIMISERS)] = "sgd"
    schedule: Annotated[str, one_of(*SCHEDULES)] = "steps"
    epochs: Epochs = 45
    drop_epochs: Annotated[tuple[Annotated[int, Within(0, 1_000_000)], ...], Length(0, 1000)] = (
        30,
        35,
        40,
    )
    drop_factor: Annotated[float, Within(0, 1, above=True)] = 0.1
    learning_rate: Annotated[float, Within(0, 100, above=True)] = 0.1
    momentum: Annotated[float, Within(0, 1)] = 0.9
    weight_decay: Annotated[float, Within(0, 10)] = 5e-4
    warmup_steps: Annotated[int, Within(0, 1_000_000_000)] = 500
    clip_norm: PositiveWeight = 1.0
    batch_size: Annotated[int, Within(1, 1_000_000)] = 64
    micro_batch: Annotated[int, Within(0, 1_000_000)] = 0
    precision: Annotated[str, one_of(*PRECISIONS)] = "bfloat16"
    compile: bool = False
    workers: Annotated[int, Within(0, 1024)] = 8
    keep_inputs_mib: Annotated[int, Within(0, 1_000_000_000)] = 0
    confidence_floor: Part = 0.1
    checkpoint_steps: Annotated[int, Within(1, 1_000_000_000)] = 1000
    picture_epochs: Annotated[tuple[Epochs, ...], Length(0, 1000)] = (1, 2, 5, 10, 20, 30)
    test_limit: Annotated[int, Within(0, 1_000_000_000)] = field(default=0, metadata=ADDED)
    seed: Seed = 0

    def __post_init__(self) -> None:
        require(self)

    @property
    def tested(self) -> SelectionConfig:
        """Which samples of the test split the network is assessed on."""
        return SelectionConfig(limit=self.test_limit)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Yield fields that do not go with others, and what is wrong."""
        if self.network.certainty and not self.loss.certainty:
            yield (
                "loss.certainty",
                " = 0: network.certainty is true, and the network would not learn to say it",
            )

    @property
    def simulation(self) -> SimulationConfig:
        """Views as the network wants them."""
        network = self.network
        return SimulationConfig(network.view_set, network.views_by_pose, network.size)


_SMALL = TrainConfig(
    network=dataclasses.replace(PRESETS["small"], certainty=True),
    loss=LossConfig(mse=1.0, vgd=0.0),
    base="look",
    perturbation=1.0,
    optimiser="adamw",
    schedule="cosine",
    epochs=12,
    learning_rate=1e-3,
    weight_decay=1e-2,
    warmup_steps=100,
    batch_size=16,
    precision="float32",
    workers=2,
    keep_inputs_mib=8192,
)
_TINY = dataclasses.replace(
    _SMALL,
    network=dataclasses.replace(PRESETS["tiny"], certainty=True),
    epochs=15,
    warmup_steps=50,
    workers=0,
    keep_inputs_mib=4096,
    picture_epochs=(1, 5, 10),
)
TRAIN_PRESETS = {"tiny": _TINY, "small": _SMALL, "paper": TrainConfig()}
"""``"tiny"`` is for minutes on two cores, ``"small"`` for hours there, ``"paper"`` for a GPU."""


def read_settings(file: Path) -> TrainConfig:
    """Read the settings of a training run.

    Parameters
    ----------
    file : Path
        TOML: ``preset`` names one of `TRAIN_PRESETS` (`TrainConfig`'s defaults where it is left
        out), every other field changes it, see `changed`. JSON, in which the folder of a run holds
        its settings, is read as well, and its seal checked where it has one.

    Raises
    ------
    ConfigError
        Missing file, broken TOML or JSON, unknown field or wrong value; names file and field.
    """
    if file.suffix != ".json":
        return preset_with_changes(read_toml(file), str(file))
    try:
        table = read_object(file)
    except ValueError as error:
        hint = f"take '{SEAL}' out of a file that you have edited"
        raise ConfigError(f"{error} ({hint})" if SEAL in str(error) else str(error)) from None
    table.pop(SEAL, None)
    return preset_with_changes(table, str(file))


def preset_with_changes(table: dict[str, Any], where: str) -> TrainConfig:
    """Return what a file of settings holds, see `read_settings`; `where` begins messages."""
    changes = dict(table)
    preset = changes.pop("preset", "paper")
    if not isinstance(preset, str) or preset not in TRAIN_PRESETS:
        names = ", ".join(f'"{name}"' for name in TRAIN_PRESETS)
        raise ConfigError(f"{where}: preset = {shown(preset)}: expected one of {names}")
    return changed(TRAIN_PRESETS[preset], changes, where)


def changed(config: TrainConfig, table: dict[str, Any], where: str) -> TrainConfig:
    """Return a configuration with the fields changed that a table names.

    ``drop_epochs`` move along with ``epochs``, unless the table names them. A ``loss`` that names
    the weight of one term means the named terms alone, not these and those of `config`.

    Parameters
    ----------
    config : TrainConfig
    table : dict
        Table as it is read from TOML.
    where : str
        Begins messages.

    Raises
    ------
    ConfigError
        Unknown field or wrong value.
    """
    whole = to_table(config)
    for name, value in table.items():
        inner = whole.get(name)
        if isinstance(inner, dict) and isinstance(value, dict):
            alone = name == "loss" and set(value) & set(LOSS_TERMS)
            value = {**inner, **(dict.fromkeys(LOSS_TERMS, 0.0) if alone else {}), **value}
        whole[name] = value
    found = train_config(whole, where)
    if "epochs" in table and "drop_epochs" not in table:
        drops = tuple(round(epoch * found.epochs / config.epochs) for epoch in config.drop_epochs)
        found = dataclasses.replace(found, drop_epochs=drops)
    return found


def train_config(table: dict[str, Any], where: str) -> TrainConfig:
    """Read a whole configuration from the table that `to_table` makes.

    Raises
    ------
    ConfigError
        Unknown field or wrong value; the message begins with `where`.
    """
    return from_table(TrainConfig, table, where)
