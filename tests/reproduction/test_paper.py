"""Spot values of the paper, and the equalities between its tables that rows rely on."""

from __future__ import annotations

from fg3d_builder.reproduction import paper
from fg3d_builder.testsets.paper import OURS, TABLE5


def test_published_values() -> None:
    assert paper.TABLE1["3DMM fit"] == (6.13, 6.13, 6.09, 6.11)
    assert paper.TABLE1["CVN"][0] == 3.68
    assert paper.TABLE2["7"] == 3.35
    assert paper.TABLE3["face profiling"][2] == 3.58
    assert paper.TABLE4["MSE + PSD"] == (2.75, 1.47)
    table5 = {name: {row.method: row for row in rows} for name, rows in TABLE5.items()}
    assert table5["florence"]["Deng et al."].mean == 2.57
    assert table5["now"]["FaceScape"].intervals == (3.67, 4.02, 5.49)
    assert table5["stirling"][OURS] == (OURS, None, 2.29)


def test_tables_share_runs() -> None:
    """What `tables` concludes about losses and samples."""
    pose = paper.TABLE3["full view"]
    assert paper.TABLE1["VMN"] == pose
    assert paper.TABLE2["5"] == pose[-1]
    assert paper.TABLE4["MSE"][0] == paper.TABLE3["full view and shapes"][-1]
