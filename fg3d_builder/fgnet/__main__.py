"""``python -m fg3d_builder.fgnet``: training and assessment, also on machines with torch alone.

Several devices: ``torchrun --nproc-per-node N -m fg3d_builder.fgnet train ...``.
"""

from __future__ import annotations

import sys

from fg3d_builder.fgnet.command import main

sys.exit(main())
