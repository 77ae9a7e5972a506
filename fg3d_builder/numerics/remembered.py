"""Results that follow from arrays which nobody writes to: found once per process.

A build looks at thousands of captures with one face model. What follows from the model alone is
the same for all of them, and some of it costs as much as a step of a fit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from fg3d_builder.records import Array

S = TypeVar("S")
T = TypeVar("T")

KEPT = 4
"""Results of each function that are kept; a process rarely sees more models than one."""


def remembered(
    parts: Callable[[Any], tuple[Array, ...]],
) -> Callable[[Callable[[S], T]], Callable[[S], T]]:
    """Make a function of one argument keep its last `KEPT` results.

    Parameters
    ----------
    parts : callable
        Returns the arrays of the argument that the result follows from. They are told apart by
        identity, not by content: neither they nor the result may be written to.
    """

    def decorated(function: Callable[[S], T]) -> Callable[[S], T]:
        kept: OrderedDict[tuple[int, ...], tuple[tuple[Array, ...], T]] = OrderedDict()

        @wraps(function)
        def found(argument: S) -> T:
            arrays = parts(argument)
            # Kept together with the arrays, so that no others get their identities.
            key = tuple(map(id, arrays))
            entry = kept.pop(key, None)
            if entry is None:
                entry = arrays, function(argument)
            kept[key] = entry
            while len(kept) > KEPT:
                kept.popitem(last=False)
            return entry[1]

        return found

    return decorated
