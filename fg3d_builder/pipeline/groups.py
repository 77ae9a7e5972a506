"""Captures of one subject in one expression, registered to one shape.

What a source with ``fuse`` asks for, after each of its captures has been registered alone. A group
that cannot be registered together keeps what its captures have.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from fg3d_builder.config import RegistrationConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fitting.closed_lids import blinking
from fg3d_builder.pipeline.register import frame_to_fuse
from fg3d_builder.pipeline.working import working_capture
from fg3d_builder.records import Capture, CoarseFit, Fusion, Landmarks, Registration
from fg3d_builder.registration.fuse import fuse

log = logging.getLogger("fg3d")


def fuse_all(
    model: FaceModel,
    captures: Mapping[str, Capture],
    landmarks: Mapping[str, Landmarks],
    fits: Mapping[str, CoarseFit],
    alone: Mapping[str, Registration],
    config: RegistrationConfig,
) -> dict[str, Registration]:
    """Register captures of one subject and expression together.

    Parameters
    ----------
    model : FaceModel
    captures, landmarks, fits : mapping of capture id to a record
        Landmarks as detected, and the 3DMM fits.
    alone : mapping of capture id to Registration
        The captures that could be registered; others take no part.
    config : RegistrationConfig

    Returns
    -------
    dict of str to Registration
        In the order of `alone`, each with its `Registration.fusion`. Captures that disagree with
        their group, or have none, are as they were.
    """
    out = dict(alone)
    for group in groups_of(captures, alone).values():
        if len(group) < 2:
            out[group[0]] = replace(alone[group[0]], fusion=Fusion(1, 0.0))
            continue
        workings = [working_capture(captures[name], landmarks[name]) for name in group]
        frames = [
            frame_to_fuse(model, working, fits[name], alone[name])
            for working, name in zip(workings, group, strict=True)
        ]
        able = blinking(model, frames[0].landmarks.scheme, frames[0].eyes)
        try:
            found = fuse(able, frames, config)
        except CaptureError as error:
            log.warning("%s: not fused: %s: %s", ", ".join(group), error.code, error.message)
            found = [replace(frame.alone, fusion=Fusion(1, 0.0)) for frame in frames]
        for name, working, registration in zip(group, workings, found, strict=True):
            out[name] = registration
            if registration.fusion is not None and registration.fusion.captures > 1:
                out[name] = working.registration_in_original(registration)
            elif registration.fusion is not None:
                log.warning(
                    "%s: registered alone, %.2f mm from the other captures of %s (%s)",
                    name,
                    registration.fusion.disagreement_mm,
                    captures[name].subject_id,
                    captures[name].expression,
                )
    return out


def groups_of(
    captures: Mapping[str, Capture], chosen: Mapping[str, Registration]
) -> dict[tuple[str, str], list[str]]:
    """Return the ids of `chosen` captures by subject and expression, all in their order."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name in chosen:
        capture = captures[name]
        groups.setdefault((capture.subject_id, capture.expression), []).append(name)
    return groups
