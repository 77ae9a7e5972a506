from __future__ import annotations

import dataclasses
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from toy_shards import write_toy_shards

from fg3d_builder.cli import main
from fg3d_builder.fgnet.data.dataset import FaceDataset
from fg3d_builder.fgnet.data.feeding import Feeder
from fg3d_builder.fgnet.data.kept_inputs import Fed, SharedInputs
from fg3d_builder.fgnet.data.selection import SelectionConfig
from fg3d_builder.fgnet.data.simulation import MultiviewSimulator
from fg3d_builder.fgnet.losses import LossConfig
from fg3d_builder.fgnet.networks.architectures import NetworkConfig, NetworkInput
from fg3d_builder.fgnet.networks.compiling import CompiledWherePossible
from fg3d_builder.fgnet.session import train
from fg3d_builder.fgnet.training.assessment import assess, assessment_table
from fg3d_builder.fgnet.training.checkpoint import (
    DamagedCheckpointError,
    newest_checkpoint,
    random_state,
    read_checkpoint,
    set_random_state,
)
from fg3d_builder.fgnet.training.distributed import Processes
from fg3d_builder.fgnet.training.log import read_log
from fg3d_builder.fgnet.training.loop import Trainer, progress_line, rate_factor
from fg3d_builder.fgnet.training.names import CALIBRATED, CONSTANT, FIT, KEYS, LOOK, PREDICTED
from fg3d_builder.fgnet.training.reconstruction import Reconstructor
from fg3d_builder.fgnet.training.settings import TRAIN_PRESETS, TrainConfig
from fg3d_builder.files.sealed import write_sealed
from fg3d_builder.shards.sampling import spread_out

ALONE = Processes(0, 1, torch.device("cpu"))
CONFIG = TrainConfig(
    network=NetworkConfig(size=32, base_channels=4, levels=2, view_set="3"),
    loss=LossConfig(mse=1.0, vgd=0.0),
    epochs=3,
    drop_epochs=(2,),
    learning_rate=0.02,
    warmup_steps=2,
    batch_size=2,
    precision="float32",
    workers=0,
    keep_inputs_mib=100,
    checkpoint_steps=3,
    picture_epochs=(1,),
    seed=3,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    write_toy_shards(folder)
    return folder


def assert_equal_weights(one: Trainer, other: Trainer) -> None:
    """Weights and statistics of normalisation, to the bit."""
    states = one.network.state_dict().values(), other.network.state_dict().values()
    for a, b in zip(*states, strict=True):
        assert torch.equal(a, b)


def test_an_interrupted_run_ends_with_the_same_weights(folder: Path, tmp_path: Path) -> None:
    data = FaceDataset(folder, "train")
    whole = Trainer(CONFIG, data, tmp_path / "whole", ALONE)
    assert whole.run()
    # 2 steps an epoch; cut off after 5 steps, of which the checkpoint has 4, and again after 6.
    cut = tmp_path / "cut"
    assert not Trainer(CONFIG, data, cut, ALONE).run(stop_after_steps=5)
    assert read_checkpoint(cut / "checkpoint.pt")["progress"]["step"] == 4
    torch.manual_seed(99)  # another process has drawn other numbers meanwhile
    resumed = Trainer(CONFIG, data, cut, ALONE)
    assert resumed.progress.step == 4
    assert resumed.run()
    assert_equal_weights(whole, resumed)
    assert (tmp_path / "whole" / "log.csv").read_text() == (cut / "log.csv").read_text()


def without_statistics(network: nn.Module) -> None:
    """Take out batch normalisation, the one thing that mixes the samples of a batch."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())


@pytest.mark.parametrize(
    "loss",
    [
        LossConfig(mse=1.0, vgd=0.0),
        LossConfig(psd=1.0, plaster_size_px=16, vgd_mean_over="face"),
    ],
)
def test_micro_batches_make_the_step_of_their_batch(
    folder: Path, tmp_path: Path, loss: LossConfig
) -> None:
    data = FaceDataset(folder, "train")
    trainers = []
    for micro in (0, 2):  # of five: two, two and one
        config = dataclasses.replace(
            CONFIG, loss=loss, batch_size=5, micro_batch=micro, perturbation=1.0, base="fit"
        )
        trainer = Trainer(config, data, tmp_path / str(micro), ALONE)
        without_statistics(trainer.network)
        for fed in trainer.feeder.batches([[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]]):
            trainer.step(fed)
        trainers.append(trainer)
    whole, parts = trainers
    for name, value in whole.progress.sums.items():
        assert parts.progress.sums[name] == pytest.approx(value, rel=1e-5, nan_ok=True)
    fresh = Trainer(CONFIG, data, tmp_path / "fresh", ALONE).network.state_dict()
    moved = 0.0
    pairs = zip(whole.network.named_parameters(), parts.network.parameters(), strict=True)
    for (name, one), other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-7)
        moved = max(moved, float((one.detach() - fresh[name]).abs().max()))
    assert moved > 5e-4


def test_reading_processes_stay_from_epoch_to_epoch(folder: Path) -> None:
    data = FaceDataset(folder, "train")
    simulator = MultiviewSimulator(data.model, CONFIG.simulation)
    needs = frozenset({"image"})
    orders = [[[0, 1], [2], [3, 4]], [[4, 2], [1]], [[3], [0, 2], [1, 4]]]
    alone = Feeder(data, simulator, needs, ALONE.device)
    feeder = Feeder(data, simulator, needs, ALONE.device, workers=2)
    next(feeder.batches(orders[0]))  # an epoch that stops early
    first = {child.pid for child in torch.multiprocessing.active_children()}
    for order in orders:
        for found, wanted in zip(feeder.batches(order), alone.batches(order), strict=True):
            assert found.number.tolist() == wanted.number.tolist()
            assert torch.equal(found.target_mm, wanted.target_mm)
        assert {child.pid for child in torch.multiprocessing.active_children()} == first
    assert len(first) == 2
    del feeder, found
    assert not torch.multiprocessing.active_children()


def test_a_checkpoint_within_an_epoch_is_gone_on_with(folder: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, checkpoint_steps=1)
    data = FaceDataset(folder, "train")
    whole = Trainer(config, data, tmp_path / "whole", ALONE)
    whole.run()
    cut = tmp_path / "cut"
    Trainer(config, data, cut, ALONE).run(stop_after_steps=3)
    resumed = Trainer(config, data, cut, ALONE)
    assert (resumed.progress.epoch, resumed.progress.batch) == (1, 1)
    resumed.run()
    assert_equal_weights(whole, resumed)
    assert (tmp_path / "whole" / "log.csv").read_text() == (cut / "log.csv").read_text()


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_taken(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = dataclasses.replace(CONFIG, checkpoint_steps=1)
    data = FaceDataset(folder, "train")
    whole = Trainer(config, data, tmp_path / "whole", ALONE)
    whole.run()
    cut = tmp_path / "cut"
    Trainer(config, data, cut, ALONE).run(stop_after_steps=4)
    content = bytearray((cut / "checkpoint.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (cut / "checkpoint.pt").write_bytes(content)
    with pytest.raises(DamagedCheckpointError, match=r"before\.pt is the one before"):
        read_checkpoint(cut / "checkpoint.pt")
    resumed = Trainer(config, data, cut, ALONE)
    assert resumed.progress.step == 3
    assert (cut / "checkpoint.pt.damaged").read_bytes() == content
    assert not (cut / "checkpoint.pt").exists()
    assert "checkpoint.pt was set aside" in caplog.text
    resumed.run()
    assert_equal_weights(whole, resumed)
    assert (tmp_path / "whole" / "log.csv").read_text() == (cut / "log.csv").read_text()


def test_without_a_sound_checkpoint_a_run_says_so_and_then_begins_anew(
    folder: Path, tmp_path: Path
) -> None:
    config = dataclasses.replace(CONFIG, checkpoint_steps=1)
    data = FaceDataset(folder, "train")
    Trainer(config, data, tmp_path, ALONE).run(stop_after_steps=4)
    for name in ("checkpoint.pt", "checkpoint-before.pt"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-1])
    with pytest.raises(ValueError, match="no checkpoint is sound"):
        Trainer(config, data, tmp_path, ALONE)
    assert Trainer(config, data, tmp_path, ALONE).progress.step == 0


@pytest.mark.parametrize("earlier", ["fg3d-checkpoint-1", "fg3d-checkpoint-2"])
def test_a_checkpoint_of_an_earlier_version_is_named_and_stays(
    earlier: str, tmp_path: Path
) -> None:
    torch.save({"schema": "fg3d-checkpoint-1"}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="no seal: an earlier version wrote it"):
        newest_checkpoint(tmp_path / "checkpoint.pt")
    assert (tmp_path / "checkpoint.pt").is_file()
    write_sealed(tmp_path / "checkpoint.pt", earlier, b"sound, but of another kind")
    with pytest.raises(ValueError, match="an earlier version wrote it, and only that reads it"):
        newest_checkpoint(tmp_path / "checkpoint.pt")
    assert (tmp_path / "checkpoint.pt").is_file()


def test_altered_shards_stop_a_training_before_it_begins(folder: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    shutil.copytree(folder, dataset)
    content = bytearray((dataset / "train-00000.h5").read_bytes())
    content[len(content) // 2] ^= 1
    (dataset / "train-00000.h5").write_bytes(content)
    with pytest.raises(ValueError, match=r"train-00000\.h5: SHA-256 differs.*fg3d verify"):
        train(dataset, tmp_path / "run", CONFIG, "cpu")
    assert not (tmp_path / "run").exists()


def test_a_dataset_without_a_training_split_says_so(folder: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "tested"
    assert main(["split", str(folder), "--test", "1", "--out", str(dataset), "--no-verify"]) == 0
    with pytest.raises(ValueError, match=r"its train split is empty.* two subjects or more"):
        train(dataset, tmp_path / "run", CONFIG, "cpu")
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_not_trained_again(folder: Path, tmp_path: Path) -> None:
    data = FaceDataset(folder, "train")
    first = Trainer(CONFIG, data, tmp_path, ALONE)
    first.run()
    again = Trainer(CONFIG, data, tmp_path, ALONE)
    assert again.run()
    assert again.progress.step == first.progress.step
    with pytest.raises(ValueError, match="another configuration"):
        Trainer(dataclasses.replace(CONFIG, seed=4), data, tmp_path, ALONE)


def test_a_trained_network_is_read_back(folder: Path, tmp_path: Path) -> None:
    trainer = Trainer(CONFIG, FaceDataset(folder, "train"), tmp_path, ALONE)
    trainer.run()
    test = FaceDataset(folder, "test")
    reconstructor, config = Reconstructor.load(trainer.checkpoint, test.model, ALONE.device)
    assert config == CONFIG
    for fed in Feeder(test, trainer.simulator, trainer.network.needs, ALONE.device).batches(
        [[0, 1]]
    ):
        wanted = trainer.predict(fed)
    batch = next(iter(torch.utils.data.DataLoader(test, batch_size=2)))
    found = reconstructor.reconstruct(batch.fit.to(ALONE.device))
    assert torch.equal(found.shape_obj_mm, wanted)
    other = dataclasses.replace(test.model, triangles=test.model.triangles[:, [1, 2, 0]])
    with pytest.raises(ValueError, match="trained for topology"):
        Reconstructor.load(trainer.checkpoint, other, ALONE.device)


def test_a_run_is_not_gone_on_with_on_other_data(folder: Path, tmp_path: Path) -> None:
    Trainer(CONFIG, FaceDataset(folder, "train"), tmp_path / "run", ALONE).run()
    write_toy_shards(tmp_path / "data", train=4)
    with pytest.raises(ValueError, match="another dataset"):
        Trainer(CONFIG, FaceDataset(tmp_path / "data", "train"), tmp_path / "run", ALONE)


def test_training_lowers_the_loss_and_computes_no_other(folder: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, epochs=25, drop_epochs=(20,), picture_epochs=())
    trainer = Trainer(config, FaceDataset(folder, "train"), tmp_path, ALONE)
    trainer.run()
    rows = read_log(tmp_path / "log.csv")
    assert rows[-1]["total"] < 0.6 * rows[0]["total"]
    assert math.isnan(rows[-1]["vgd"])


def test_pictures_and_curves_are_drawn(folder: Path, tmp_path: Path) -> None:
    test = FaceDataset(folder, "test")
    trainer = Trainer(CONFIG, FaceDataset(folder, "train"), tmp_path, ALONE, test)
    trainer.run()
    names = sorted(p.name for p in (tmp_path / "pictures").iterdir())
    assert names == ["epoch-001.png", "epoch-003.png"]
    assert (tmp_path / "curves.png").is_file()
    assert 0 < read_log(tmp_path / "log.csv")[-1]["test_nme"] < 0.1


@pytest.mark.parametrize("base", [FIT, CALIBRATED, LOOK])
def test_an_untrained_network_is_as_good_as_what_it_adds_to(
    folder: Path, tmp_path: Path, base: str
) -> None:
    test = FaceDataset(folder, "test")
    config = dataclasses.replace(CONFIG, base=KEYS[base])
    trainer = Trainer(config, FaceDataset(folder, "train"), tmp_path, ALONE)
    found = trainer.assess(test)
    np.testing.assert_allclose(found.nme[PREDICTED], found.nme[base], rtol=1e-5)
    assert abs(found.lowered_by(PREDICTED, base)) < 1e-5
    table = assessment_table(found)
    for name in (FIT, CONSTANT, CALIBRATED, PREDICTED):
        assert name in table


def test_what_a_network_adds_to_is_kept_in_the_checkpoint(folder: Path, tmp_path: Path) -> None:
    data = FaceDataset(folder, "train")
    config = dataclasses.replace(CONFIG, base="look")
    trainer = Trainer(config, data, tmp_path, ALONE)
    trainer.run()
    again = Trainer(config, data, tmp_path, ALONE)
    features = torch.from_numpy(data.displacements([0, 1]).features).float()
    assert torch.equal(trainer.calibration(features), again.calibration(features))
    assert trainer.first_look is not None
    assert again.first_look is not None
    assert torch.equal(trainer.first_look.weights, again.first_look.weights)


def test_dace_is_at_most_the_vertex_error(folder: Path, tmp_path: Path) -> None:
    test = FaceDataset(folder, "test")
    found = Trainer(CONFIG, FaceDataset(folder, "train"), tmp_path, ALONE).assess(test, True)
    assert found.dace is not None
    for method, errors in found.dace.items():
        assert np.all(errors < found.nme[method])  # the nearest point is no farther than the own
        assert np.all(errors > 0)


def test_the_truth_has_no_error(folder: Path) -> None:
    test = FaceDataset(folder, "test")
    simulator = MultiviewSimulator(test.model, CONFIG.simulation)
    feeder = Feeder(test, simulator, frozenset({"image"}), ALONE.device)
    compared = {FIT: lambda fed: fed.shape_mm, PREDICTED: lambda fed: fed.target_mm}
    found = assess(compared, test, feeder, 2, with_psd=True)
    assert found.psd is not None
    assert np.all(found.psd[PREDICTED] < 1e-5)
    assert np.all(found.psd[FIT] > 5e-3)
    assert np.all(found.nme[PREDICTED] < 1e-6)
    assert np.all(found.nme[FIT] > 1e-4)
    assert found.lowered_by() > 0.999


def test_kept_inputs_are_those_that_are_streamed_but_for_rounding(folder: Path) -> None:
    data = FaceDataset(folder, "train")
    simulator = MultiviewSimulator(data.model, CONFIG.simulation)
    needs = frozenset({"views", "uv_from_view", "view_visible"})
    order = [[2, 0], [1, 4], [2, 3]]
    streamed = list(Feeder(data, simulator, needs, ALONE.device).batches(order))
    kept = Feeder(data, simulator, needs, ALONE.device, keep_mib=100)
    for _ in range(2):
        for one, other in zip(streamed, kept.batches(order), strict=True):
            assert torch.equal(one.number, other.number)
            assert torch.equal(one.shape_mm, other.shape_mm)
            # Half precision of at most 32 mm, 8 bits of colour, places of 0.004 pixels.
            assert (one.target_mm - other.target_mm).abs().max() < 0.01
            given, again = one.given, other.given
            assert torch.equal(given.view_visible, again.view_visible)  # type: ignore[arg-type]
            assert (given.views - again.views).abs().max() <= 0.5 / 127.5 + 1e-6  # type: ignore
            assert given.uv_from_view is not None
            assert again.uv_from_view is not None
            inside = given.uv_from_view.abs() < 1.9
            assert inside.float().mean() > 0.9
            wrong = (given.uv_from_view - again.uv_from_view)[inside].abs().max()
            assert wrong <= 0.5 / 8192 + 1e-6


def test_inputs_in_files_are_those_in_memory(folder: Path, tmp_path: Path) -> None:
    data = FaceDataset(folder, "train")
    simulator = MultiviewSimulator(data.model, CONFIG.simulation)
    needs = frozenset({"image", "pncc"})
    order = [[3, 1], [0, 2]]
    memory = list(Feeder(data, simulator, needs, ALONE.device, keep_mib=100).batches(order))
    for _ in range(2):  # made, then found
        feeder = Feeder(data, simulator, needs, ALONE.device)
        feeder.share(tmp_path)
        for one, other in zip(memory, feeder.batches(order), strict=True):
            assert torch.equal(one.target_mm, other.target_mm)
            assert torch.equal(one.given.pncc, other.given.pncc)  # type: ignore[arg-type]
    assert len(list(tmp_path.iterdir())) == 1
    assert not list(tmp_path.rglob("*.part"))
    part = FaceDataset(folder, "train", selection=SelectionConfig(limit=2))
    Feeder(part, simulator, needs, ALONE.device).share(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_files_that_were_not_finished_are_made_again(folder: Path, tmp_path: Path) -> None:
    def interrupted() -> Iterator[Fed]:
        yield next(Feeder(data, simulator, needs, ALONE.device).batches([[0, 1]]))
        raise KeyboardInterrupt

    data = FaceDataset(folder, "train")
    simulator = MultiviewSimulator(data.model, CONFIG.simulation)
    needs = frozenset({"image"})
    store = SharedInputs(tmp_path, len(data), {})
    with pytest.raises(KeyboardInterrupt):
        store.open_or_make(interrupted)
    assert {p.name for p in store.folder.iterdir()} == {"lock"}
    whole = [list(range(len(data)))]
    again = SharedInputs(tmp_path, len(data), {})
    again.open_or_make(lambda: Feeder(data, simulator, needs, ALONE.device).batches(whole))
    assert not again.missing(range(len(data)))


def test_a_perturbed_run_resumes_exactly(folder: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(
        CONFIG, perturbation=1.0, optimiser="adamw", schedule="cosine", learning_rate=2e-3
    )
    data = FaceDataset(folder, "train")
    whole = Trainer(config, data, tmp_path / "whole", ALONE)
    whole.run()
    cut = tmp_path / "cut"
    Trainer(config, data, cut, ALONE).run(stop_after_steps=5)
    resumed = Trainer(config, data, cut, ALONE)
    resumed.run()
    assert_equal_weights(whole, resumed)


def test_reading_draws_no_random_numbers(folder: Path) -> None:
    data = FaceDataset(folder, "train")
    simulator = MultiviewSimulator(data.model, CONFIG.simulation)
    before = torch.get_rng_state()
    list(Feeder(data, simulator, frozenset({"image"}), ALONE.device).batches([[0, 1]]))
    assert torch.equal(before, torch.get_rng_state())


def test_random_generators_go_on_where_they_were(tmp_path: Path) -> None:
    torch.save(random_state(), tmp_path / "state.pt")
    drawn = torch.rand(3), np.random.rand(3)  # noqa: NPY002
    set_random_state(torch.load(tmp_path / "state.pt", weights_only=True))
    again = torch.rand(3), np.random.rand(3)  # noqa: NPY002
    assert torch.equal(drawn[0], again[0])
    np.testing.assert_array_equal(drawn[1], again[1])


def test_the_rate_rises_and_drops() -> None:
    factor = rate_factor(dataclasses.replace(TRAIN_PRESETS["paper"], warmup_steps=10), 100)
    assert factor(0) == pytest.approx(0.1)
    assert factor(9) == factor(2999) == 1.0
    wanted = [0.1, 0.1, 0.01, 0.001]
    assert [factor(s) for s in (3000, 3499, 3500, 4400)] == pytest.approx(wanted)


def test_the_cosine_falls_to_nothing() -> None:
    config = dataclasses.replace(
        TRAIN_PRESETS["paper"], schedule="cosine", epochs=10, warmup_steps=0
    )
    factor = rate_factor(config, 20)
    assert [factor(s) for s in (0, 100, 200)] == pytest.approx([1.0, 0.5, 0.0])


def test_a_failing_compiler_is_logged_and_done_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(network: nn.Module) -> object:
        def call(*_given: object) -> None:
            raise RuntimeError("no such compiler\nand a long trace")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    network = nn.Linear(2, 1)
    wrapped = CompiledWherePossible(network)
    given = torch.ones(1, 2)
    assert torch.equal(wrapped(given), network(given))
    assert torch.equal(wrapped(given), network(given))
    assert [r.getMessage() for r in caplog.records] == [
        "torch.compile: not used; RuntimeError: no such compiler"
    ]


def test_progress_says_how_much_longer() -> None:
    row = {"epoch": 6.0, "total": 1.25, "test_nme": 0.0172}
    line = progress_line(row, epochs=10, took_s=[900.0, 9.0, 10.0, 11.0])
    assert line == "epoch 6/10: loss 1.25, test NME 1.720 %, about 40 s left"
    assert "NME" not in progress_line({**row, "test_nme": math.nan}, 10, [10.0])
    assert progress_line(row, epochs=10, took_s=[]).endswith("test NME 1.720 %")  # not yet known
    assert progress_line(row, epochs=6, took_s=[10.0]).endswith("test NME 1.720 %")


def test_spread_out_numbers() -> None:
    assert spread_out(2, 4) == [0, 1]
    assert spread_out(12, 4) == [0, 3, 6, 9]


def test_training_needs_torch_numpy_scipy_h5py_and_opencv_alone() -> None:
    code = """
import sys
OTHERS = {"numba", "open3d", "anny", "luigi", "trimesh", "mediapipe", "sksparse", "matplotlib",
          "tqdm", "jinja2", "PIL", "skimage", "tensorboard", "face_alignment", "tomli_w"}
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in OTHERS:
            raise ImportError(name)
sys.meta_path.insert(0, Blocker())
from fg3d_builder.cli import main
import fg3d_builder.fgnet.session, fg3d_builder.fgnet.packing, fg3d_builder.fgnet.parity
import fg3d_builder.fgnet.networks.complexity
assert main(["train", "nowhere", "--out", "run", "--device", "cpu"]) == 2
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "no such" in done.stderr or "manifest.json" in done.stderr


@pytest.mark.slow
def test_overfits_a_few_samples(tmp_path: Path) -> None:
    """32 faces to less than 5 % of the fit's squared error: photo to vertices, all of the chain."""
    write_toy_shards(tmp_path / "data", train=32, test=1, size=96)
    config = dataclasses.replace(
        CONFIG,
        network=NetworkConfig(size=32, base_channels=16, levels=3, view_set="1"),
        epochs=200,
        drop_epochs=(150, 180),
        learning_rate=0.03,
        warmup_steps=20,
        batch_size=8,
        weight_decay=0.0,
        confidence_floor=1.0,
        checkpoint_steps=10_000,
    )
    data = FaceDataset(tmp_path / "data", "train", confidence_floor=1.0)
    trainer = Trainer(config, data, tmp_path / "run", ALONE)
    trainer.run()
    samples = [data[i] for i in range(len(data))]
    initial = np.mean(
        [float((s.target_obj_mm - s.fit.shape_obj_mm).square().sum(-1).mean()) for s in samples]
    )
    left = read_log(tmp_path / "run" / "log.csv")[-1]["mse"]
    assert left < 0.05 * initial


@pytest.mark.slow
def test_two_processes_train_one_network(tmp_path: Path) -> None:
    write_toy_shards(tmp_path / "data", train=8, test=2)
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "fg3d_builder.cli", "train", str(tmp_path / "data")),
        *("--out", str(tmp_path / "run"), "--preset", "tiny", "--epochs", "2"),
        *("--batch-size", "2", "--device", "cpu"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    # 8 samples over 2 processes in batches of 2: 2 steps an epoch.
    assert [row["step"] for row in read_log(tmp_path / "run" / "log.csv")] == [2, 4]
    assert done.stdout.count("| network |") == 1


def test_network_input_moves_whole() -> None:
    given = NetworkInput(image=torch.zeros(1, 3, 4, 4)).to("cpu")
    assert given.image is not None
    assert given.views is None
