"""Published evaluation sets (Sec. 7.1, 8.5): Florence, NoW, Stirling/ESRC.

`open_protocol` reads a data set as it was published, `evaluate_protocol` measures methods on it
against ground truth that this project registers itself, `read_results` reads what an earlier
run has found, `write_report` makes tables and figures of it. See docs/protocols.md.

Above the stages: may use all of them, and nothing below may import it.
"""

from fg3d_builder.testsets.driver import evaluate_protocol
from fg3d_builder.testsets.layouts import open_protocol
from fg3d_builder.testsets.records import (
    Protocol,
    ProtocolConfig,
    ProtocolImage,
    ProtocolScan,
    Unusable,
)
from fg3d_builder.testsets.report import write_report
from fg3d_builder.testsets.results import ImageResult, ProtocolResults, read_results

__all__ = [
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
