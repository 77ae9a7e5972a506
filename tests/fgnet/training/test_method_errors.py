"""Errors that runs share, against errors that each measures for itself."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_shards import write_toy_shards

from fg3d_builder.evaluation import ScanSurface, dace, interocular_mm, outer_eye_corners
from fg3d_builder.fgnet.calibration import Calibration, learn
from fg3d_builder.fgnet.data.dataset import FaceDataset
from fg3d_builder.fgnet.data.feeding import Feeder
from fg3d_builder.fgnet.data.kept_inputs import Fed
from fg3d_builder.fgnet.data.simulation import MultiviewSimulator, SimulationConfig
from fg3d_builder.fgnet.training.assessment import (
    DACE_STEP,
    Assessment,
    Predictor,
    assess,
    methods,
    reliable_pairs,
)
from fg3d_builder.fgnet.training.method_errors import SharedErrors
from fg3d_builder.fgnet.training.names import CALIBRATED, CONSTANT, FIT, PREDICTED


class Case:
    """A dataset, what was learnt from it, and a network that knows half of the truth."""

    def __init__(self, folder: Path) -> None:
        write_toy_shards(folder)
        train = FaceDataset(folder, "train")
        self.test = FaceDataset(folder, "test")
        self.calibration = learn(train.displacements, len(train))
        simulator = MultiviewSimulator(self.test.model, SimulationConfig())
        self.feeder = Feeder(self.test, simulator, frozenset({"image"}), torch.device("cpu"))

    def compared(self) -> dict[str, Predictor]:
        return methods(lambda fed: (fed.shape_mm + fed.target_mm) / 2, self.calibration, None)

    def assess(
        self,
        compared: Mapping[str, Predictor],
        shared: SharedErrors | None = None,
        numbers: list[int] | None = None,
    ) -> Assessment:
        return assess(compared, self.test, self.feeder, 2, True, numbers, True, shared)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("toy"))


def _refuse(_fed: Fed) -> Tensor:
    raise AssertionError("measured again")


def _without_baselines(compared: Mapping[str, Predictor]) -> dict[str, Predictor]:
    return {**dict.fromkeys(compared, _refuse), PREDICTED: compared[PREDICTED]}


def _assert_same(one: Assessment, other: Assessment) -> None:
    assert one.samples == other.samples
    for of_one, of_other in zip(one[1:], other[1:], strict=True):
        assert list(of_one) == list(of_other)
        for method, errors in of_one.items():
            np.testing.assert_array_equal(errors, of_other[method])


def test_what_another_run_has_measured_is_what_this_one_would(case: Case, tmp_path: Path) -> None:
    compared = case.compared()
    alone = case.assess(compared)
    shared = SharedErrors(tmp_path, case.calibration)
    _assert_same(case.assess(compared, shared), alone)
    names = sorted(path.name.rsplit("-", 1)[0] for path in tmp_path.iterdir())
    assert names == ["errors-constant", "errors-fit", "errors-ridge"]
    again = SharedErrors(tmp_path, Calibration.from_state(case.calibration.state_dict()))
    _assert_same(case.assess(_without_baselines(compared), again), alone)


def test_dace_is_that_of_the_plain_search(case: Case) -> None:
    found = case.assess(case.compared()).dace
    assert found is not None
    model = case.test.model
    for row, index in enumerate(range(len(case.test))):
        sample = case.test.registered(index)
        truth = sample.shape_obj_mm.astype(np.float64)
        pairs = reliable_pairs(model, sample.confidence, DACE_STEP)
        surface = ScanSurface(truth, model.triangles)
        d = interocular_mm(truth, outer_eye_corners(model))
        fit = case.test[index].fit.shape_obj_mm.numpy()
        assert found[FIT][row] == pytest.approx(dace(fit, truth, pairs, surface, d).value, rel=1e-9)


def test_a_damaged_file_is_measured_again(case: Case, tmp_path: Path) -> None:
    compared = case.compared()
    shared = SharedErrors(tmp_path, case.calibration)
    alone = case.assess(compared, shared)
    (file,) = tmp_path.glob("errors-ridge-*")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(AssertionError, match="measured again"):
        case.assess(_without_baselines(compared), shared)
    assert file.with_name(f"{file.name}.damaged").is_file()
    _assert_same(case.assess(compared, shared), alone)
    _assert_same(case.assess(_without_baselines(compared), shared), alone)


def test_a_sound_file_under_another_name_is_not_believed(case: Case, tmp_path: Path) -> None:
    compared = case.compared()
    shared = SharedErrors(tmp_path, case.calibration)
    alone = case.assess(compared, shared)
    (constant,), (ridge,) = tmp_path.glob("errors-constant-*"), tmp_path.glob("errors-ridge-*")
    shutil.copyfile(constant, ridge)
    _assert_same(case.assess(compared, shared), alone)


def test_other_samples_or_another_ridge_are_measured_apart(case: Case, tmp_path: Path) -> None:
    compared = case.compared()
    case.assess(compared, SharedErrors(tmp_path, case.calibration))
    found = case.assess(compared, SharedErrors(tmp_path, case.calibration), [1])
    assert len(found.nme[FIT]) == 1
    state = {name: value.clone() for name, value in case.calibration.state_dict().items()}
    state["weights"] += 0.1
    other = Calibration.from_state(state)
    changed = methods(compared[PREDICTED], other, None)
    held_alone = case.assess(changed)
    with_files = case.assess(changed, SharedErrors(tmp_path, other))
    _assert_same(with_files, held_alone)
    own = case.assess(compared)
    np.testing.assert_array_equal(with_files.nme[CONSTANT], own.nme[CONSTANT])
    assert np.all(with_files.nme[CALIBRATED] != own.nme[CALIBRATED])
