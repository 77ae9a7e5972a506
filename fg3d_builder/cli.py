"""The ``fg3d`` command: joins what is in `fg3d_builder.commands`."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from typing import NoReturn

from fg3d_builder import __version__
from fg3d_builder.commands import (
    assess,
    build,
    captures,
    check,
    clean,
    completion,
    evaluate,
    experiments,
    export,
    info,
    merge,
    models,
    networks,
    new,
    pack,
    parity,
    predict,
    register,
    report,
    review,
    split,
    status,
    train,
    verify,
    view,
)
from fg3d_builder.commands.arguments import OneLineParser
from fg3d_builder.commands.saying import forget_output, say
from fg3d_builder.errors import (
    CaptureError,
    ConfigError,
    MissingDependencyError,
    sentence,
)
from fg3d_builder.files.sealed import DamagedFileError
from fg3d_builder.guidance import page_for_error

COMMANDS = (
    new,
    check,
    build,
    status,
    register,
    captures,
    verify,
    info,
    export,
    merge,
    split,
    models,
    review,
    view,
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
    completion,
)
"""In the order in which the help lists them."""

_OVERVIEW = """\
Turns RGB-D captures of faces into a training set of registered, high-fidelity 3D faces.

A first round:
  fg3d build tasks/demo.toml            build a small dataset of synthetic captures
  fg3d status build/demo                what is there, what failed, how to go on
  fg3d verify build/demo/dataset        check it
  (open build/demo/report/index.html)   look at every registration
  fg3d review build/demo                the worst ones; --reject ID throws one out
  fg3d view build/demo                  go through all of them in a browser

With your own captures:
  fg3d captures check FOLDER            what is read from a folder, what is rejected and why
  fg3d captures show FOLDER             a sheet of pictures of it
  fg3d register FOLDER/CAPTURE --out out    register a single one and look at it
  fg3d new FOLDER --out my-preset.toml  write a preset for a folder
  fg3d check my-preset.toml             what would be built, how long it takes, what is wrong
  fg3d build my-preset.toml --workers 8     build

With finished datasets:
  fg3d info DATASET                     whose faces, how many samples, views, sizes, licences
  fg3d export webdataset DATASET --out FOLDER   for other programs; also images, shapes
  fg3d merge DATASET DATASET --out BOTH one dataset of several
  fg3d split DATASET --test 0.2 --val 0.1 --out FOLDER   other subjects to test, or a third split

With the network (`make train` trains a small one on the demo's dataset):
  fg3d train DATASET --out RUN          train a network; fg3d assess: on other datasets
  fg3d networks                         how large the networks are and what they cost
  fg3d predict PHOTO... --out faces     a mesh, depth, pose and pictures for each photo
  fg3d evaluate florence FOLDER --out DIR   errors on Florence, NoW or Stirling/ESRC
  fg3d experiments table1 --scale tiny  the paper's tables, with its rows beside yours

`fg3d COMMAND --help` begins with examples and says what to do next. `fg3d completion bash` (zsh,
fish) lets your shell complete commands, options and files. Errors end with the page of the guide
that helps.
"""


_READER_GONE = 128 + signal.SIGPIPE
_INTERRUPTED = 128 + signal.SIGINT
_EXPECTED = (
    CaptureError,
    ConfigError,
    MissingDependencyError,
    OSError,
    ValueError,
    MemoryError,
    RecursionError,
)
"""Errors of files, settings and the machine; any other is a fault of the program."""


def entry_point() -> NoReturn:
    """Run the command line and end the process with its exit status.

    What is there is there, and said: Ctrl-C while the interpreter tidies up changes nothing.
    """
    status = main()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if status == _INTERRUPTED:
        from fg3d_builder.stopping import end_at_latest

        end_at_latest()  # what was stopped may leave threads that the interpreter waits for
    sys.exit(status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        Exit status: 0; 1 where the result is bad; 2 where the command cannot be run, with one
        sentence about it on stderr; 130 after Ctrl-C; 141 where nobody reads the output any more.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names of files may hold what this terminal's encoding has not: shown as an escape.
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    given = sys.argv[1:] if arguments is None else arguments
    try:
        options = parser.parse_args(captures.with_action(given))
    except SystemExit as stop:  # after --help and --version, or a sentence about wrong arguments
        return int(stop.code or 0)
    if not getattr(options, "all_cores", False):
        # One BLAS thread per process, before numpy loads: chunks run side by side instead.
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
            os.environ.setdefault(name, "1")
    if not hasattr(options, "run"):
        parser.print_help()
        return 0
    try:
        status = _carried_out(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # e.g. `fg3d captures ... | head`
        forget_output()
        return _READER_GONE
    except KeyboardInterrupt:
        say("stopped")
        return _INTERRUPTED
    except DamagedFileError as error:
        say(f"{error}; the same command makes it again", page_for_error(error))
        return 2
    except _EXPECTED as error:
        say(sentence(error), page_for_error(error))
        return 2
    except Exception as error:
        say(f"{type(error).__name__}: {sentence(error)} (a fault of fg3d; {_kept_trace()})")
        return 2


def _carried_out(options: argparse.Namespace) -> int:
    """Run a command; one that goes on later ends by ``SIGTERM`` as by Ctrl-C, with all processes.

    That is one whose options have the default ``goes_on``. Signals are the main thread's: a program
    that runs a command in another one stops it by itself, and one that runs a command in its main
    thread goes on after it.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not (getattr(options, "goes_on", False) and is_main):
        return int(options.run(options))
    from fg3d_builder.stopping import STATUS, end_children, say_stopped, stoppable

    with stoppable():
        try:
            return int(options.run(options))
        except KeyboardInterrupt:
            end_children()
            say_stopped()
            return STATUS


def _kept_trace() -> str:
    """Keep where an error arose in a file, for those who mend it; say where the file is."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="fg3d-error-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(traceback.format_exc())
    except OSError:
        return "there is no room to keep where it arose"
    return f"where it arose is in {file.name}"


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="fg3d", description=_OVERVIEW, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"fg3d-builder {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    parser.set_defaults(parser=parser)  # `fg3d completion` tells a shell what there is
    return parser


if __name__ == "__main__":
    entry_point()
