"""The ``fg3d`` command: joins what is in `fg3d_builder.commands`."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from fg3d_builder import __version__
from fg3d_builder.commands import (
    assess,
    build,
    captures,
    clean,
    evaluate,
    experiments,
    models,
    networks,
    pack,
    parity,
    predict,
    register,
    report,
    review,
    train,
    verify,
)
from fg3d_builder.errors import ConfigError, MissingDependencyError
from fg3d_builder.files.sealed import DamagedFileError

COMMANDS = (
    build,
    register,
    captures,
    verify,
    models,
    review,
    train,
    assess,
    predict,
    networks,
    pack,
    parity,
    experiments,
    evaluate,
    report,
    clean,
)
"""In the order in which the help lists them."""

_OVERVIEW = """\
Turns RGB-D captures of faces into a training set of registered, high-fidelity 3D faces.

A first round:
  fg3d build tasks/demo.toml            build a small dataset of synthetic captures
  fg3d verify build/demo/dataset        check it
  (open build/demo/report/index.html)   look at every registration
  fg3d review build/demo                the worst ones; --reject ID throws one out

With your own captures:
  fg3d captures FOLDER                  what is read from a folder, what is rejected and why
  fg3d register FOLDER/CAPTURE --out out    register a single one and look at it
  fg3d build my-preset.toml --workers 8     build; see tasks/*.toml for presets

With the network (`make train` trains a small one on the demo's dataset):
  fg3d train DATASET --out RUN          train a network; fg3d assess: on other datasets
  fg3d networks                         how large the networks are and what they cost
  fg3d predict PHOTO... --out faces     a mesh, depth, pose and pictures for each photo
  fg3d evaluate florence FOLDER --out DIR   errors on Florence, NoW or Stirling/ESRC
  fg3d experiments table1 --scale tiny  the paper's tables, with its rows beside yours
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status.

    0, 1 (the result is bad), 2 (it cannot run) or 130 (a person stopped it).
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names of files may hold what this terminal's encoding has not: shown as an escape.
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    options = parser.parse_args(arguments)
    if not getattr(options, "all_cores", False):
        # One BLAS thread per process, before numpy loads: chunks run side by side instead.
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
            os.environ.setdefault(name, "1")
    if not hasattr(options, "run"):
        parser.print_help()
        return 0
    try:
        return int(options.run(options))
    except (ConfigError, MissingDependencyError, FileNotFoundError, ValueError) as error:
        print(f"fg3d: {error}", file=sys.stderr)
        return 2
    except DamagedFileError as error:
        print(f"fg3d: {error}; the same command makes it again", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fg3d: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # e.g. `fg3d captures ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fg3d", description=_OVERVIEW, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"fg3d-builder {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
