"""Training: steps over the shards, with checkpoints that it goes on from as if nothing happened."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fg3d_builder.config import to_table
from fg3d_builder.fgnet.calibration import Calibration, learn
from fg3d_builder.fgnet.data.dataset import FaceDataset
from fg3d_builder.fgnet.data.feeding import Feeder
from fg3d_builder.fgnet.data.kept_inputs import Fed, rows_of
from fg3d_builder.fgnet.data.perturbation import perturbed, step_generator
from fg3d_builder.fgnet.data.simulation import MultiviewSimulator
from fg3d_builder.fgnet.first_look import (
    FirstLook,
    Looked,
    folds_of,
    inputs_of,
    learn_first_look,
    populations_of,
)
from fg3d_builder.fgnet.losses import LossTerms, ReconstructionLoss
from fg3d_builder.fgnet.networks.architectures import build_network
from fg3d_builder.fgnet.networks.compiling import CompiledWherePossible
from fg3d_builder.fgnet.training.assessment import Assessment, assess, methods
from fg3d_builder.fgnet.training.checkpoint import (
    Progress,
    checkpoint_config,
    load_calibration,
    load_first_look,
    newest_checkpoint,
    restore,
    save_checkpoint,
)
from fg3d_builder.fgnet.training.distributed import (
    Processes,
    learnt_by_one,
    mean_over,
    one_first,
    shared,
    wait_for_all,
    without_averaging,
)
from fg3d_builder.fgnet.training.log import StepLines, TrainingLog, watched_split
from fg3d_builder.fgnet.training.method_errors import SharedErrors
from fg3d_builder.fgnet.training.names import CHECKPOINT_NAME, CONFIG_NAME, FIT, PREDICTED
from fg3d_builder.fgnet.training.pictures import save_grid
from fg3d_builder.fgnet.training.reconstruction import Base, Reconstructor, placed
from fg3d_builder.fgnet.training.settings import TrainConfig
from fg3d_builder.files.sealed import set_aside
from fg3d_builder.files.sealed_object import write_sealed_object
from fg3d_builder.shards.sampling import EpochBatches, spread_out
from fg3d_builder.wording import duration

log = logging.getLogger(__name__)

PICTURES = 4
"""Samples in a grid of pictures."""

LOOKED_AT_ONCE = 16
"""Samples whose pictures are in memory together while a first look is learnt."""

DACE_SAMPLES = 24
"""Samples of the watched split that DACE is taken of after the epochs that are pictured."""

TERMS = LossTerms._fields

_NEWEST = 3
"""Epochs whose mean time those to come are expected to take."""


class Trainer:
    """One training run in one folder, begun or gone on with.

    Parameters
    ----------
    config : TrainConfig
    dataset : FaceDataset
        Training split.
    out : Path
        Gets ``checkpoint.pt``, ``config.json``, ``log.csv``, ``curves.png``, ``pictures/``. If
        it holds a checkpoint of the same configuration, training goes on from there; from the
        one before where the newest is damaged, which is then set aside.
    at : Processes
    watched : FaceDataset, optional
        A split that is looked at after the epochs that are pictured, one of `log.WATCHED`; has no
        influence on the training.
    inputs : Path, optional
        Folder of simulated inputs that runs share, see `SharedInputs`, and of errors of what looks
        at no pixel, see `SharedErrors`.

    Raises
    ------
    ValueError
        `out` holds a run of another configuration or on another dataset, or damaged checkpoints
        alone.
    """

    def __init__(
        self,
        config: TrainConfig,
        dataset: FaceDataset,
        out: Path,
        at: Processes,
        watched: FaceDataset | None = None,
        inputs: Path | None = None,
    ) -> None:
        self.config, self.out, self.at, self.watched = config, out, at, watched
        self.inputs = inputs
        self.model, self.identity = dataset.model, dataset.identity
        state = self._state()
        torch.manual_seed(config.seed)
        self.network = placed(build_network(config.network), at.device)
        self.simulator = MultiviewSimulator(self.model, config.simulation).to(at.device)
        self.loss = ReconstructionLoss(config.loss, self.model.mean, self.model.triangles)
        self.loss.to(at.device)
        self.batches = EpochBatches(len(dataset), config.batch_size, config.seed, at.rank, at.world)
        with one_first(at):  # it checks the files, the others take them
            self.feeder = self._feeder(dataset, config.keep_inputs_mib)
        self.calibration = self._calibration(dataset, state).to(at.device)
        self.folds = torch.from_numpy(folds_of(dataset.subjects()))
        self.first_look = self._first_look(dataset, state)
        base = self.calibration if config.base == "ridge" else self.first_look
        self.reconstructor = Reconstructor(self.network, self.simulator, config.precision, base)
        self.optimiser = optimiser(config, self.network)
        self.rate_factor = rate_factor(config, len(self.batches))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, self.rate_factor)
        on_cuda = at.device.type == "cuda"
        self.scaler = torch.amp.GradScaler(
            at.device.type, enabled=on_cuda and config.precision == "float16"
        )
        self.progress = Progress() if state is None else self._restored(state)
        self.first_epoch = self.progress.epoch
        # In its first epoch a process simulates, or reads, the inputs that it then keeps.
        self.first_is_usual = not config.keep_inputs_mib
        self.shared = shared(
            CompiledWherePossible(self.network) if config.compile else self.network, at
        )

    @property
    def checkpoint(self) -> Path:
        """Path of the checkpoint."""
        return self.out / CHECKPOINT_NAME

    def run(
        self,
        stop_after_steps: int | None = None,
        after_epoch: Callable[[], object] = lambda: None,
    ) -> bool:
        """Train to the end, or until so many steps have been done in all; return which.

        A stop writes no checkpoint, as if the process were killed. `after_epoch` is called by the
        process that writes files, once those of an epoch are written.

        Returns
        -------
        bool
            True at the end of the last epoch.
        """
        took_s: list[float] = []
        with TrainingLog(self.out, self.progress.step, self.at.leads) as record:
            while self.progress.epoch < self.config.epochs:
                began = time.monotonic()
                if not self._epoch(record, stop_after_steps):
                    return False
                record.curves()
                if self.at.leads:
                    took_s.append(time.monotonic() - began)
                    foretell = took_s if self.first_is_usual else took_s[1:]
                    log.info(progress_line(record.rows[-1], self.config.epochs, foretell))
                    after_epoch()
        return True

    def assess(
        self,
        dataset: FaceDataset,
        with_dace: bool = False,
        numbers: Sequence[int] | None = None,
        with_psd: bool = False,
    ) -> Assessment:
        """Compare the network with all that an assessment does, on a split or some samples of it.

        The measures are Eq. 7 and 18 to 20.
        """
        compared = methods(self.predict, self.calibration, self.first_look)
        feeder, at_once = self._feeder(dataset), self.config.batch_size
        known = self._shared_errors()
        return assess(compared, dataset, feeder, at_once, with_dace, numbers, with_psd, known)

    def predict(self, fed: Fed) -> Tensor:
        """Return ``S + delta_S`` (B, n, 3) with the network as it stands, not as it trains."""
        return self.reconstructor.predict(fed.given, fed.shape_mm, fed.features)

    def _shared_errors(self) -> SharedErrors | None:
        return None if self.inputs is None else SharedErrors(self.inputs, self.calibration)

    def _feeder(self, dataset: FaceDataset, keep_mib: int = 0) -> Feeder:
        feeder = Feeder(
            dataset,
            self.simulator,
            self.network.needs,
            self.at.device,
            workers=self.config.workers,
            keep_mib=keep_mib,
            processes=self.at.local_world,
        )
        if self.inputs is not None:
            feeder.share(self.inputs, self.at.leads_here)
        return feeder

    def _calibration(self, dataset: FaceDataset, state: dict[str, Any] | None) -> Calibration:
        """Learn what the fit's coefficients tell, or take what the run was begun with."""
        if state is not None:
            return load_calibration(state)
        return learnt_by_one(
            lambda: learn(dataset.displacements, len(dataset)), Calibration.from_state, self.at
        )

    def _first_look(self, dataset: FaceDataset, state: dict[str, Any] | None) -> FirstLook | None:
        """Learn what the network adds to, or take what it was begun with."""
        if state is not None:
            held = load_first_look(state)
            return None if held is None else held.to(self.at.device)
        if self.config.base != "look":
            return None

        def looked(numbers: Sequence[int]) -> Iterator[Looked]:
            some = [numbers[i : i + LOOKED_AT_ONCE] for i in range(0, len(numbers), LOOKED_AT_ONCE)]
            for done, fed in enumerate(self.feeder.batches(some), start=1):
                inputs = inputs_of(fed.given, fed.features)
                yield Looked(fed.number.tolist(), inputs.float().cpu().numpy())
                if done % max(1, len(some) // 4) == 0:
                    log.info("a first look at training samples: %d %%", 100 * done // len(some))

        def learnt() -> FirstLook:
            features = dataset.displacements([0]).features.shape[1]
            patterns = self.config.populations
            of = populations_of(dataset.subjects(), patterns) if patterns else None
            return learn_first_look(looked, dataset.displacements, self.folds.numpy(), features, of)

        return learnt_by_one(learnt, FirstLook.from_state, self.at).to(self.at.device)

    def _state(self) -> dict[str, Any] | None:
        """Return the checkpoint to go on from, None where the run begins."""
        state = self._newest()
        if state is None:
            if self.at.leads:
                write_sealed_object(self.out / CONFIG_NAME, to_table(self.config))
            return None
        if checkpoint_config(state, self.checkpoint) != self.config:
            raise ValueError(
                f"{self.out} holds a run of another configuration; train in another folder, "
                "or remove that one"
            )
        for what, value in self.identity.items():
            if state["identity"].get(what) != value:
                raise ValueError(
                    f"{self.out} holds a run on another dataset (its {what} is not {value}); "
                    "train in another folder, or remove that one"
                )
        return state

    def _restored(self, state: dict[str, Any]) -> Progress:
        progress = restore(state, self._parts())
        log.info("going on after step %d of epoch %d", progress.step, progress.epoch)
        return progress

    def _newest(self) -> dict[str, Any] | None:
        """Return the newest sound checkpoint; set those aside that are damaged."""
        state, damaged = newest_checkpoint(self.checkpoint)
        wait_for_all(self.at)  # all have looked at the same files
        if self.at.leads:
            for file in damaged:
                set_aside(file)
                log.warning("%s was set aside", file)
        if damaged and state is None:
            raise ValueError(
                f"{self.out}: no checkpoint is sound; they were set aside, and the same command "
                "begins the run anew"
            )
        return state

    def _parts(self) -> dict[str, Any]:
        return {
            "network": self.network,
            "calibration": self.calibration,
            **({"first_look": self.first_look} if self.first_look is not None else {}),
            "optimiser": self.optimiser,
            "schedule": self.schedule,
            "scaler": self.scaler,
        }

    def _epoch(self, record: TrainingLog, stop_after_steps: int | None) -> bool:
        """Train to the end of the epoch; return False where it stopped before that."""
        progress = self.progress
        wanted = self.batches.epoch(progress.epoch, progress.batch)
        usual = self.first_is_usual or progress.epoch > self.first_epoch
        lines = StepLines(self.config.epochs, len(self.batches), usual)
        for fed in self.feeder.batches(wanted):
            self.step(fed)
            if self.at.leads and lines.due(progress.step):
                log.info(lines.line(progress.epoch, progress.batch, progress.step, progress.sums))
            if progress.step % self.config.checkpoint_steps == 0:
                self._save()
            if progress.step == stop_after_steps:
                return False
        sums = torch.tensor([progress.sums[name] for name in TERMS], dtype=torch.float64)
        means = mean_over(sums.to(self.at.device, torch.float32), self.at).tolist()
        terms = {name: m / len(self.batches) for name, m in zip(TERMS, means, strict=True)}
        rate = self.config.learning_rate * self.rate_factor(progress.step - 1)
        progress.epoch, progress.batch, progress.sums = progress.epoch + 1, 0, {}
        last = progress.epoch == self.config.epochs
        if self.at.leads:
            look = last or progress.epoch in self.config.picture_epochs
            errors = self._looked_at() if look else {}
            record.add(progress.step, progress.epoch, rate, terms, errors)
        self._save()
        wait_for_all(self.at)
        return True

    def step(self, fed: Fed) -> None:
        """Update the weights by one batch.

        Raises
        ------
        FloatingPointError
            The loss is not finite; names the samples.
        """
        config, progress = self.config, self.progress
        self.network.train()
        generator = step_generator(config.seed, progress.step, self.at.rank, self.at.device)
        given = perturbed(fed.given, config.perturbation, generator)
        # What the network adds to is learnt from pictures as they are.
        fold = self.folds[fed.number].to(self.at.device)
        base = self.reconstructor.base(fed.given, fed.shape_mm, fed.features, fold)
        self.optimiser.zero_grad(set_to_none=True)
        terms = self._gradients(fed._replace(given=given), base)
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.network.parameters(), config.clip_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.schedule.step()
        values = terms.tolist()
        if not math.isfinite(values[0]):
            raise FloatingPointError(
                f"the loss is {values[0]} at step {progress.step}; samples {fed.number.tolist()}"
            )
        for name, value in zip(TERMS, values, strict=True):
            progress.sums[name] = progress.sums.get(name, 0.0) + value
        progress.batch += 1
        progress.step += 1

    def _gradients(self, fed: Fed, base: Base) -> Tensor:
        """Add the gradients of a batch, one micro-batch after the other; return its mean terms."""
        count = len(fed.shape_mm)
        size = self.config.micro_batch or count
        means = torch.zeros(len(TERMS), device=self.at.device)
        for start in range(0, count, size):
            part = rows_of(fed, slice(start, start + size))
            share = len(part.shape_mm) / count
            with without_averaging(self.shared, skipped=start + size < count):
                found = self.reconstructor.moved(
                    Base(*(value[start : start + size] for value in base)), part.given, self.shared
                )
                terms = self.loss(
                    found.shape_obj_mm, part.target_mm, part.confidence, found.expected_error_mm
                )
                self.scaler.scale(share * terms.total).backward()
            means += share * torch.stack([term.detach().float() for term in terms])
        return means

    def _save(self) -> None:
        if self.at.leads:
            parts = self._parts()
            save_checkpoint(self.checkpoint, self.config, self.identity, self.progress, parts)

    def _looked_at(self) -> dict[str, float]:
        """Draw some samples of the watched split, and return its mean errors, see `log.ERRORS`."""
        name = self.out / "pictures" / f"epoch-{self.progress.epoch:03d}.png"
        watched = self.watched
        if watched is None or not len(watched):
            return {}
        both = methods(self.predict, self.calibration, self.first_look)
        both = {method: both[method] for method in (FIT, PREDICTED)}  # all that a log has room for
        feeder, at_once = self._feeder(watched), self.config.batch_size
        known = self._shared_errors()
        found = assess(both, watched, feeder, at_once, shared=known)
        dace_of = spread_out(len(watched), DACE_SAMPLES)
        some = assess(both, watched, feeder, at_once, True, dace_of, shared=known)
        feeder = Feeder(watched, self.simulator, self.network.needs, self.at.device)
        chosen = spread_out(len(watched), PICTURES)
        for fed in feeder.batches([chosen]):
            photos = torch.stack([watched[i].fit.image for i in chosen])
            save_grid(name, self.model, photos, fed, self.predict(fed))
        assert some.dace is not None  # it was asked for
        errors = {
            "nme": found.mean(PREDICTED),
            "fit_nme": found.mean(FIT),
            "dace": float(some.dace[PREDICTED].mean()),
            "fit_dace": float(some.dace[FIT].mean()),
        }
        return {f"{watched.reader.split}_{error}": value for error, value in errors.items()}


def progress_line(row: dict[str, float], epochs: int, took_s: Sequence[float]) -> str:
    """One line for a person: how far, how good, and, where that is known, how much longer.

    Parameters
    ----------
    row : dict
        The last one of `TrainingLog`.
    epochs : int
        In all.
    took_s : sequence of float
        Of the epochs that those to come are like.
    """
    done = int(row["epoch"])
    split = watched_split([row])
    found = "" if split is None else f", {split} NME {100 * row[f'{split}_nme']:.3f} %"
    text = f"epoch {done}/{epochs}: loss {row['total']:.4g}{found}"
    if done >= epochs or not took_s:
        return text
    newest = took_s[-_NEWEST:]
    return f"{text}, about {duration(sum(newest) / len(newest) * (epochs - done))} left"


def optimiser(config: TrainConfig, network: nn.Module) -> torch.optim.Optimizer:
    """Make the optimiser of a configuration; AdamW takes `momentum` as its first beta."""
    weights, rate, decay = network.parameters(), config.learning_rate, config.weight_decay
    if config.optimiser == "adamw":
        betas = (config.momentum, 0.999)
        return torch.optim.AdamW(weights, lr=rate, betas=betas, weight_decay=decay)
    return torch.optim.SGD(weights, lr=rate, momentum=config.momentum, weight_decay=decay)


def rate_factor(config: TrainConfig, steps_per_epoch: int) -> Callable[[int], float]:
    """Return what the learning rate is multiplied by at each step."""

    def factor(step: int) -> float:
        if config.schedule == "cosine":
            done = min(1.0, step / (config.epochs * steps_per_epoch))
            falling = 0.5 * (1.0 + math.cos(math.pi * done))
        else:
            epoch = step // steps_per_epoch
            falling = config.drop_factor ** sum(epoch >= drop for drop in config.drop_epochs)
        return falling * min(1.0, (step + 1) / max(1, config.warmup_steps))

    return factor
