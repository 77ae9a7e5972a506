"""The records of one capture, out of the products of its chunk; those of others stay packed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fg3d_builder.browser.listing import ListedCapture
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.products import SUFFIX
from fg3d_builder.files.sealed import DamagedFileError
from fg3d_builder.layout import STAGES, BuildLayout
from fg3d_builder.pipeline.augmentation import shape_keys
from fg3d_builder.pipeline.stages import CaptureFits, cached_model
from fg3d_builder.records import Capture, Landmarks, Registration
from fg3d_builder.shards.rows import TransformedShape, ViewSet
from fg3d_builder.shards.schema import SampleImage
from fg3d_builder.tasks.base import product_at

KEPT = 6
"""Captures whose records are kept: those on the page and around it, megabytes each."""

_model_lock = threading.Lock()


class NotThereError(Exception):
    """What is asked for is not there (yet, or any more); the message says why, for a person."""


@dataclass(frozen=True)
class Face:
    """A capture and its registration: all that a thumbnail needs.

    Attributes
    ----------
    model : FaceModel
    capture : Capture
    registration : Registration
    """

    model: FaceModel
    capture: Capture
    registration: Registration


@dataclass(frozen=True)
class Registered(Face):
    """What all stages know of one registered capture.

    Attributes
    ----------
    landmarks : Landmarks
    fits : CaptureFits
    views : tuple of SampleImage
        Turned views; empty before they are made.
    shapes : tuple of TransformedShape
        New shapes under the capture's photo; empty before they are made.
    """

    landmarks: Landmarks
    fits: CaptureFits
    views: tuple[SampleImage, ...] = ()
    shapes: tuple[TransformedShape, ...] = ()


@dataclass
class RecordReader:
    """Reads the records of captures, and keeps those of a few.

    Everything about one capture is asked for at once by a browser: the first request reads, the
    others wait for it.
    """

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _known: OrderedDict[tuple[str, str], Registered] = field(default_factory=OrderedDict)

    def read(self, layout: BuildLayout, listed: ListedCapture) -> Registered:
        """Return the records of a registered capture.

        Raises
        ------
        NotThereError
            A product is gone, as after a lean build, or damaged.
        """
        key = listed.capture_id, listed.stamp
        with self._lock:
            if key not in self._known:
                model, *records = _records(layout, listed, STAGES)
                capture, landmarks, fits, registration = records
                views, shapes = _views(layout, listed), _shapes(layout, listed)
                self._known[key] = Registered(
                    model, capture, registration, landmarks, fits, views, shapes
                )
            self._known.move_to_end(key)
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
            return self._known[key]


def read_face(layout: BuildLayout, listed: ListedCapture) -> Face:
    """Return what a thumbnail needs of a registered capture.

    Raises
    ------
    NotThereError
        As `RecordReader.read`.
    """
    return Face(*_records(layout, listed, ("captures", "registration")))


def _records(layout: BuildLayout, listed: ListedCapture, stages: Sequence[str]) -> list[Any]:
    """Return the face model, and the records of a capture in some stages."""
    name, chunk = listed.capture_id, listed.chunk
    try:
        found = [_record(layout, stage, layout.product(stage, chunk), name) for stage in stages]
        return [face_model(layout), *found]
    except FileNotFoundError as error:
        if not layout.config.lean:
            text = f"{error.filename} of {name} is not there; build again to have it made"
            raise NotThereError(text) from None
        raise NotThereError(f"a lean build has dropped the products of {name}") from None
    except KeyError:
        raise NotThereError(f"{name} is not registered (yet)") from None
    except DamagedFileError as error:
        raise NotThereError(f"{error}; build again to have it made again") from None


def face_model(layout: BuildLayout) -> FaceModel:
    """Return the build's face model, which takes a second to load, once.

    Raises
    ------
    FileNotFoundError, DamagedFileError
    """
    with _model_lock:
        return cached_model(layout.facemodel)


def _record(layout: BuildLayout, stage: str, path: Path, name: str) -> Any:
    return product_at(layout, stage, path, [name]).records[name]


def _views(layout: BuildLayout, listed: ListedCapture) -> tuple[SampleImage, ...]:
    try:
        path = layout.product("views", listed.chunk)
        found: ViewSet = _record(layout, "views", path, listed.capture_id)
    except (FileNotFoundError, KeyError, DamagedFileError):
        return ()
    return found.views


def _shapes(layout: BuildLayout, listed: ListedCapture) -> tuple[TransformedShape, ...]:
    """Return the new shapes of the newest draws."""
    folder, count = layout.stage_folder("transform"), layout.config.transform.shapes_per_capture
    keys = shape_keys({listed.capture_id: range(count)}, [listed.capture_id])
    try:
        files = sorted(folder.glob(f"{listed.chunk}-*{SUFFIX}"), key=lambda f: f.stat().st_mtime)
        if not files:
            return ()
        records = product_at(layout, "transform", files[-1], keys).records
    except (FileNotFoundError, DamagedFileError):
        return ()
    return tuple(records[key] for key in keys if key in records)
