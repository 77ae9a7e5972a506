"""Luigi: one thin task per stage, `BuildFG3D` on top; `TrainFGNet` and `EvaluateFGNet` follow.

``luigi --module fg3d_builder.tasks BuildFG3D --preset tasks/demo.toml`` builds a dataset.
"""

import os

# One BLAS thread per process, before numpy loads: chunks run side by side instead.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from fg3d_builder.tasks.build import BuildFG3D, TooManyFailuresError  # noqa: E402
from fg3d_builder.tasks.by_luigi import set_defaults, stop_in_order  # noqa: E402
from fg3d_builder.tasks.running import set_exit_statuses  # noqa: E402
from fg3d_builder.tasks.training import EvaluateFGNet, TrainFGNet  # noqa: E402

set_defaults()
stop_in_order()
set_exit_statuses()

__all__ = ["BuildFG3D", "EvaluateFGNet", "TooManyFailuresError", "TrainFGNet"]
