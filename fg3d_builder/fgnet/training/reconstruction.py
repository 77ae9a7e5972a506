"""A trained network and its simulation as one: photos and their 3DMM fits in, shapes out."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fgnet.calibration import Calibration, features_of
from fg3d_builder.fgnet.data.fits import FitBatch
from fg3d_builder.fgnet.data.simulation import MultiviewSimulator
from fg3d_builder.fgnet.first_look import FirstLook, inputs_of
from fg3d_builder.fgnet.networks.architectures import CVN, MVN, VMN, NetworkInput, build_network
from fg3d_builder.fgnet.training.checkpoint import (
    checkpoint_config,
    load_calibration,
    load_first_look,
    load_weights,
    read_checkpoint,
)
from fg3d_builder.fgnet.training.settings import TrainConfig


def placed(network: CVN | MVN | VMN, device: torch.device) -> CVN | MVN | VMN:
    """Move a network to a device, its weights channels-last as convolutions like them."""
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


LOG_ERROR = (-6.0, 4.0)
"""What networks may say of expected errors: with 3 mm as unit, 7 micrometres to 16 cm."""


class Answer(NamedTuple):
    """Reconstructed faces.

    Attributes
    ----------
    shape_obj_mm : (B, n, 3) float32
        ``S + delta_S`` in the fit's object frame.
    expected_error_mm : (B, n) float32 or None
        Distance from the truth, once pose and size agree, that the network expects; None of a
        network without certainty.
    trust : (B,) float32
        See `Base`.
    """

    shape_obj_mm: Tensor
    expected_error_mm: Tensor | None
    trust: Tensor


class Base(NamedTuple):
    """What a network adds to.

    Attributes
    ----------
    shape_obj_mm : (B, n, 3) float32
    trust : (B,) float32
        How near fits and pictures are to those of the training, in (0, 1]: all that is added to a
        fit is multiplied by it.
    """

    shape_obj_mm: Tensor
    trust: Tensor


class Reconstructor:
    """What a network answers, as vertices.

    Parameters
    ----------
    network : CVN, MVN or VMN
        On the device, in the precision of its weights.
    simulator : MultiviewSimulator
        On the device.
    precision : str
        Precision of the computation on CUDA, see `TrainConfig`; elsewhere it is float32.
    base : Calibration or FirstLook, optional
        Answers what the network adds to besides the fit; on the device.
    """

    def __init__(
        self,
        network: CVN | MVN | VMN,
        simulator: MultiviewSimulator,
        precision: str,
        base: Calibration | FirstLook | None = None,
    ) -> None:
        self.network, self.simulator = network, simulator
        self._base = base
        self.device = simulator.triangles.device
        self._precision = precision

    @classmethod
    def load(
        cls, checkpoint: Path, model: FaceModel, device: torch.device
    ) -> tuple[Reconstructor, TrainConfig]:
        """Read a trained network, and how it was trained.

        Raises
        ------
        FileNotFoundError
        ValueError
            No checkpoint, or one for another face model.
        """
        state = read_checkpoint(checkpoint)
        trained_for = state["identity"]["topology_hash"]
        if trained_for != model.topology_hash:
            raise ValueError(
                f"{checkpoint}: trained for topology {trained_for}, the face model "
                f"'{model.name}' has {model.topology_hash}"
            )
        config = checkpoint_config(state, checkpoint)
        network = build_network(config.network)
        load_weights(state, network)
        simulator = MultiviewSimulator(model, config.simulation).to(device)
        base: Calibration | FirstLook | None = load_first_look(state)
        if config.base == "look" and base is None:
            raise ValueError(f"{checkpoint}: holds no first look, and its network adds to one")
        if config.base == "ridge":
            base = load_calibration(state)
        if base is not None:
            base = base.to(device)
        return cls(placed(network, device), simulator, config.precision, base), config

    @torch.no_grad()
    def reconstruct(self, fit: FitBatch) -> Answer:
        """Return ``S + delta_S`` in the fit's object frame, and how sure the network is."""
        given = self.simulator.network_input(fit, self.network.needs)
        return self.answer(given, fit.shape_obj_mm, features_of(fit.alpha, fit.rotation))

    @torch.no_grad()
    def predict(self, given: NetworkInput, shape_obj_mm: Tensor, features: Tensor) -> Tensor:
        """Return the shapes (B, n, 3) of `answer`, for `features` (B, k) of the fits."""
        return self.answer(given, shape_obj_mm, features).shape_obj_mm

    @torch.no_grad()
    def answer(self, given: NetworkInput, shape_obj_mm: Tensor, features: Tensor) -> Answer:
        """Like `reconstruct`, with the simulation done; the network stays as it is, in eval.

        Parameters
        ----------
        given : NetworkInput
        shape_obj_mm : (B, n, 3) float
            Fits.
        features : (B, k) float
            Of the fits, see `calibration.features_of`.
        """
        self.network.eval()
        return self.moved(self.base(given, shape_obj_mm, features), given, self.network)

    @torch.no_grad()
    def base(
        self,
        given: NetworkInput,
        shape_obj_mm: Tensor,
        features: Tensor,
        fold: Tensor | None = None,
    ) -> Base:
        """Return what the network adds to.

        Parameters
        ----------
        given : NetworkInput
        shape_obj_mm : (B, n, 3) float
            Fits.
        features : (B, k) float
            Of the fits.
        fold : (B,) int64, optional
            In training: the fold of a `FirstLook` that each sample is in.
        """
        if self._base is None:
            return Base(shape_obj_mm, shape_obj_mm.new_ones(len(shape_obj_mm)))
        if isinstance(self._base, FirstLook):
            inputs = inputs_of(given, features)
            return Base(shape_obj_mm + self._base(inputs, fold), self._base.trust(inputs))
        return Base(shape_obj_mm + self._base(features), self._base.trust(features))

    def moved(self, base: Base, given: NetworkInput, network: nn.Module) -> Answer:
        """Add what `network`, perhaps a wrapped one, answers to a base; with gradients."""
        with self.autocast():
            out = network(given)
        at_vertices = self.simulator.uv_map.vertices_from_uv_map(out.float())
        shape = base.shape_obj_mm + base.trust[:, None, None] * at_vertices[..., :3]
        if at_vertices.shape[-1] == 3:
            return Answer(shape, None, base.trust)
        expected = at_vertices[..., 3].clamp(*LOG_ERROR).exp() * self.network.displacement_mm
        return Answer(shape, expected, base.trust)

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which the network computes in its precision."""
        if self.device.type != "cuda" or self._precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast("cuda", dtype=getattr(torch, self._precision))
