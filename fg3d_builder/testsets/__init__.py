"""Published evaluation protocols (Sec. 7.1, 8.5): Florence, NoW, Stirling/ESRC.

`open_protocol` reads a data set as it was published, `evaluate_protocol` measures methods on it
against ground truth that this project registers itself, `read_results` reads what an earlier
run has found, `write_report` makes tables and figures of it. See docs/protocols.md.

Stands above the stages: may use all of them, and nothing below may import it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fg3d_builder.testsets.records import (
    PROTOCOL_NAMES,
    Protocol,
    ProtocolConfig,
    ProtocolImage,
    ProtocolScan,
)

if TYPE_CHECKING:
    from fg3d_builder.testsets.driver import evaluate_protocol
    from fg3d_builder.testsets.layouts import open_protocol
    from fg3d_builder.testsets.report import write_report
    from fg3d_builder.testsets.results import (
        ImageResult,
        ProtocolResults,
        Unusable,
        read_results,
    )

__all__ = [
    "PROTOCOL_NAMES",
    "ImageResult",
    "Protocol",
    "ProtocolConfig",
    "ProtocolImage",
    "ProtocolResults",
    "ProtocolScan",
    "Unusable",
    "evaluate_protocol",
    "open_protocol",
    "read_results",
    "write_report",
]

_HOME = {
    "evaluate_protocol": "driver",
    "open_protocol": "layouts",
    "write_report": "report",
    **dict.fromkeys(("ImageResult", "ProtocolResults", "Unusable", "read_results"), "results"),
}


def __getattr__(name: str) -> Any:
    # The command line reads this package's help, and should not wait for torch to do so.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
