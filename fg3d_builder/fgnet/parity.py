"""Whether a device computes what the CPU computes: simulated inputs and answers, side by side.

``fg3d parity`` compares, on some samples, float32 on the CPU with float32 on the device, and with
the precision that training uses there. What differs by more than it may is a failure.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from fg3d_builder.fgnet.calibration import features_of
from fg3d_builder.fgnet.data.dataset import FaceDataset, TrainingSample
from fg3d_builder.fgnet.data.simulation import MultiviewSimulator
from fg3d_builder.fgnet.networks.architectures import CVN, MVN, VMN, NetworkInput, build_network
from fg3d_builder.fgnet.training.checkpoint import checkpoint_config, load_weights, read_checkpoint
from fg3d_builder.fgnet.training.reconstruction import Reconstructor, placed
from fg3d_builder.fgnet.training.settings import TrainConfig

SAMPLES = 4
ALIKE = 1e-3
"""Inputs that differ by more count as different; colours and places are in [-1, 1]."""

INPUT_SHARE = 1e-3
"""At most this share of an input's values may differ: those at borders, where the last bit decides
which triangle a pixel shows or whether a texel is seen."""

ANSWER_SHARES = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 5e-2}
"""What the answer may differ by, as a share of its own length (root mean squares): a few hundred
roundings, and the inputs that differ."""


class Parity(NamedTuple):
    """Differences of a device from the CPU.

    Attributes
    ----------
    device : str
    samples : int
    inputs : dict of str to float
        For each field of `NetworkInput`, the share of its values that are not `ALIKE`.
    answer_rms_mm : float
        Length of the displacements that the CPU answers with, to compare with.
    float32_mm, float32_max_mm : float
        Root mean square and largest distance of vertices, both sides in float32, each with the
        inputs that it simulated.
    precision : str
        Precision that training uses on the device.
    precision_mm, precision_max_mm : float
        The same with the device in that precision.
    """

    device: str
    samples: int
    inputs: dict[str, float]
    answer_rms_mm: float
    float32_mm: float
    float32_max_mm: float
    precision: str
    precision_mm: float
    precision_max_mm: float


def compare(data: FaceDataset, config: TrainConfig, weights: nn.Module, device: str) -> Parity:
    """Compare a device with the CPU on the first samples of a dataset.

    Parameters
    ----------
    data : FaceDataset
    config : TrainConfig
    weights : CVN, MVN or VMN
        Its weights are what both sides compute with.
    device : torch device name
    """
    batch = default_collate([data[i] for i in range(min(SAMPLES, len(data)))])
    given, reference, fit = _answered(data, config, weights, batch, "cpu", "float32")
    # Without TF32, which recent cards take for float32 and which keeps ten bits.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        on_device, single, _ = _answered(data, config, weights, batch, device, "float32")
    _, trained, _ = _answered(data, config, weights, batch, device, config.precision)
    plain, mixed = (single - reference).norm(dim=-1), (trained - reference).norm(dim=-1)
    return Parity(
        device=torch.cuda.get_device_name() if device.startswith("cuda") else device,
        samples=len(reference),
        inputs=_unlike(given, on_device),
        answer_rms_mm=_rms((reference - fit).norm(dim=-1)),
        float32_mm=_rms(plain),
        float32_max_mm=float(plain.max()),
        precision=config.precision,
        precision_mm=_rms(mixed),
        precision_max_mm=float(mixed.max()),
    )


def failures(found: Parity) -> list[str]:
    """Name each output that differs by more than it may, how much, and what it may.

    Values that are not finite fail.
    """
    failed = [
        f"{name}: {100 * share:.4f} % of its values differ by more than {ALIKE:g}; "
        f"at most {100 * INPUT_SHARE:g} % may"
        for name, share in found.inputs.items()
        if not share <= INPUT_SHARE
    ]
    if not found.answer_rms_mm > 0.0:
        failed.append(f"answer: displacements of {found.answer_rms_mm} mm compare nothing")
    # A training in float32 computes products in the device's own way, TF32 on recent cards.
    trained = max(ANSWER_SHARES[found.precision], ANSWER_SHARES["float16"])
    for name, difference, share in (
        ("float32", found.float32_mm, ANSWER_SHARES["float32"]),
        (f"{found.precision} of training", found.precision_mm, trained),
    ):
        allowed = share * found.answer_rms_mm
        if not difference <= allowed:
            failed.append(
                f"answer in {name}: differs by {difference:.2e} mm (root mean square); "
                f"at most {allowed:.2e} mm may, {100 * share:g} % of its length"
            )
    return failed


def answering_network(config: TrainConfig) -> CVN | MVN | VMN:
    """Make an untrained network that answers displacements of about a millimetre.

    Its last layer gets weights, which are zero in a fresh network.
    """
    torch.manual_seed(config.seed)
    network = build_network(config.network)
    nn.init.normal_(network.hourglass.decoder.out.weight, std=0.5)
    return network


def parity_text(found: Parity) -> str:
    """Markdown list of the differences."""
    inputs = ", ".join(f"{name} {100 * share:.4f} %" for name, share in found.inputs.items())
    return (
        f"* {found.device} against the CPU on {found.samples} samples; "
        f"displacements of {found.answer_rms_mm:.3f} mm\n"
        f"* values of the inputs that differ by more than {ALIKE:g}: {inputs}\n"
        f"* float32: {found.float32_mm:.2e} mm, at most {found.float32_max_mm:.2e} mm\n"
        f"* {found.precision}: {found.precision_mm:.2e} mm, "
        f"at most {found.precision_max_mm:.2e} mm\n"
        + "".join(f"* **fails**: {line}\n" for line in failures(found))
    )


def read_network(checkpoint: Path) -> tuple[TrainConfig, CVN | MVN | VMN]:
    """Read the settings and the network of a checkpoint."""
    state = read_checkpoint(checkpoint)
    config = checkpoint_config(state, checkpoint)
    network = build_network(config.network)
    load_weights(state, network)
    return config, network


def _answered(
    data: FaceDataset,
    config: TrainConfig,
    weights: nn.Module,
    batch: TrainingSample,
    device: str,
    precision: str,
) -> tuple[NetworkInput, Tensor, Tensor]:
    """Inputs, answered shapes and fitted shapes of a batch, back on the CPU."""
    there = torch.device(device)
    network = build_network(config.network)
    network.load_state_dict(weights.state_dict())
    simulator = MultiviewSimulator(data.model, config.simulation).to(there)
    reconstructor = Reconstructor(placed(network, there), simulator, precision)
    fit = batch.fit.to(there)
    given = simulator.network_input(fit, network.needs)
    features = features_of(fit.alpha, fit.rotation)
    shapes = reconstructor.predict(given, fit.shape_obj_mm, features)
    return given.to("cpu"), shapes.float().cpu(), fit.shape_obj_mm.cpu()


def _unlike(one: NetworkInput, other: NetworkInput) -> dict[str, float]:
    shares = {}
    for name, a, b in zip(NetworkInput._fields, one, other, strict=True):
        if a is not None and b is not None:
            alike = (a.float() - b.float()).abs() <= ALIKE  # not a number is not alike
            shares[name] = float((~alike).double().mean())
    return shares


def _rms(lengths: Tensor) -> float:
    return float(lengths.double().square().mean().sqrt())
