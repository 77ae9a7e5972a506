"""Keeps what is derived from a face model, for as long as the model lives."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from fg3d_builder.facemodel.model import FaceModel

T = TypeVar("T")


def once_per_model(derive: Callable[..., T]) -> Callable[..., T]:
    """Let a function of a model compute each result once.

    A model holds arrays and has no hash: it is known again by being the same object. Its results
    are forgotten together with it, so they must not refer to it. They are shared: arrays in them
    are not to be written to.

    Parameters
    ----------
    derive : callable
        Takes the model, then any number of hashable arguments by position.
    """
    kept: dict[int, tuple[weakref.ref[FaceModel], dict[tuple[Hashable, ...], T]]] = {}

    @functools.wraps(derive)
    def derived(model: FaceModel, *arguments: Any) -> T:
        known = kept.get(id(model))
        if known is None or known[0]() is not model:
            place = id(model)

            def forget(gone: weakref.ref[FaceModel]) -> None:
                # Another model may have moved in at this address meanwhile.
                if place in kept and kept[place][0] is gone:
                    del kept[place]

            known = kept[place] = (weakref.ref(model, forget), {})
        results = known[1]
        if arguments not in results:
            results[arguments] = derive(model, *arguments)
        return results[arguments]

    return derived
