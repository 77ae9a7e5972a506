"""Tables and figures of an evaluation."""

from __future__ import annotations

from pathlib import Path

from fg3d_builder.protocols.results import ProtocolResults


def write_report(results: ProtocolResults, out: Path) -> Path:
    """Write ``report.md``, ``results.csv`` and ``ced.png``; return the report."""
    raise NotImplementedError
