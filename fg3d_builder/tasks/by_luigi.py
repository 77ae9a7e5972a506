"""What makes Luigi's own command work from any folder, without a configuration file."""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import luigi

from fg3d_builder.config import load_preset
from fg3d_builder.errors import ConfigError, sentence
from fg3d_builder.stopping import STATUS, end_children, say_stopped, stoppable

TRACEBACK = "Traceback (most recent call last)"

_DEFAULTS = {
    "local_scheduler": "true",
    # `BuildFG3D` keeps other builds out of its own folder; two builds in two folders may run.
    "no_lock": "true",
    "autoload_range": "false",
    "logging_conf_file": str(Path(__file__).with_name("logging.cfg")),
}
"""As luigi.cfg of the project has them."""


class WithoutTraceback(logging.Formatter):
    """Makes one line of what Luigi says of an error: its beginning, and the error itself."""

    def format(self, record: logging.LogRecord) -> str:
        """Leave out the traceback."""
        text = super().format(record)
        if TRACEBACK not in text:
            return text
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return f"{lines[0]} {lines[-1]}"


class PresetParameter(luigi.Parameter):
    """The file of a build preset; one that cannot be read ends the command with a sentence."""

    def parse(self, x: str) -> str:
        """Check what the command line or Luigi's configuration file names.

        Raises
        ------
        SystemExit
            Luigi would print any other error with a traceback.
        """
        try:
            load_preset(x)
        except (ConfigError, OSError) as error:
            raise SystemExit(f"luigi: {sentence(error)}") from None
        return x


def set_defaults() -> None:
    """Set what no configuration file of Luigi's has set."""
    config = luigi.configuration.get_config()
    elsewhere = any(config.has_option("core", f"scheduler_{name}") for name in ("host", "url"))
    for name, value in _DEFAULTS.items():
        if not config.has_option("core", name) and not (name == "local_scheduler" and elsewhere):
            config.set("core", name, value)


def stop_in_order() -> None:
    """Let Luigi's own command end by Ctrl-C and ``SIGTERM`` as ``fg3d build`` does.

    Programs that import the tasks keep the ends that they have.
    """
    program = getattr(sys.modules["__main__"], "__file__", None)
    if program is None or Path(program).stem not in ("luigi", "__main__"):
        return
    if Path(program).stem == "__main__" and Path(program).parent.name != "luigi":
        return
    _until_the_process_ends.enter_context(stoppable())
    sys.excepthook = _ended


_until_the_process_ends = ExitStack()


def _ended(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    end_children()
    say_stopped()
    raise SystemExit(STATUS)
