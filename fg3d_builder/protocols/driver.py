"""From a protocol to one row per image and method: what the command `fg3d evaluate` runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.protocols.records import Protocol, ProtocolConfig
from fg3d_builder.protocols.results import ProtocolResults

if TYPE_CHECKING:
    from fg3d_builder.fgnet.trained import Trained


def evaluate_protocol(
    protocol: Protocol,
    out: Path,
    model: FaceModel,
    networks: Mapping[str, Trained] | None = None,
    methods: Mapping[str, Path] | None = None,
    *,
    config: ProtocolConfig | None = None,
    truth_folder: Path | None = None,
    progress: bool = False,
) -> ProtocolResults:
    """Measure the 3DMM fit, trained networks and other methods on a protocol.

    Resumable: what a folder already holds for the same scans, images, methods and settings
    is not computed again. Deterministic: the same input gives the same rows.

    Parameters
    ----------
    protocol : Protocol
        See `open_protocol`.
    out : Path
        Gets ``truth/`` (registrations with a picture each), ``images/`` (rendered images),
        ``measured/`` (one file per image and method) and ``results.json``.
    model : FaceModel
        Of the 3DMM fit and the ground truth. Every network must have been trained on it.
    networks : mapping of name to Trained, optional
        See `fg3d_builder.fgnet.trained.load_trained`.
    methods : mapping of name to folder, optional
        Other methods' meshes, see `fg3d_builder.protocols.foreign`.
    config : ProtocolConfig, optional
    truth_folder : Path, optional
        Where registrations are kept, to share them between evaluations; default ``out/truth``.
    progress : bool
        Show a progress bar on stderr.

    Returns
    -------
    ProtocolResults
        The method `results.FIT` first, then networks and other methods in the given order.

    Raises
    ------
    ConfigError
        A network of another face model, a method's name that is taken, a folder without a
        readable description of landmarks.
    """
    raise NotImplementedError
