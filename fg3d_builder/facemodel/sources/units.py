"""The unit of a model's file: read from its size, since no two makers agree and no file says."""

from __future__ import annotations

import numpy as np

from fg3d_builder.records import Array

HEIGHT_MM = (110.0, 560.0)
"""Heights of what models show: a face without its forehead, up to a head with its shoulders."""

_UNITS = (("metres", 1000.0), ("centimetres", 10.0), ("millimetres", 1.0), ("micrometres", 0.001))


def plausible_unit(vertices: Array) -> tuple[float, str]:
    """Return the length of a mesh's unit in mm, and a sentence that says how it was found.

    Parameters
    ----------
    vertices : (n, 3) float
        Of a face or head, y upwards, in the file's unit.

    Raises
    ------
    ValueError
        With no usual unit is it as high as a face or a head.
    """
    height = float(np.ptp(vertices[:, 1]))
    low, high = HEIGHT_MM
    for name, unit_mm in _UNITS:
        if low <= height * unit_mm <= high:
            said = f"its unit is taken as {name}: the mean is {height * unit_mm:.0f} mm high"
            return unit_mm, said
    raise ValueError(
        f"the mean is {height:.4g} units high: in no usual unit (metres, centimetres, "
        f"millimetres, micrometres) a face or a head, which have {low:g} to {high:g} mm"
    )
