"""The options that name a face model, the same in every command."""

from __future__ import annotations

import argparse

from fg3d_builder.commands.arguments import name
from fg3d_builder.config import FaceModelConfig
from fg3d_builder.errors import ConfigError


def add_model_options(command: argparse.ArgumentParser) -> None:
    """Add ``--model`` and ``--model-path``."""
    command.add_argument("--model", type=name, help="default, ict or a model file (.h5)")
    command.add_argument("--model-path", type=name, help="ICT-FaceKit folder, for --model ict")


def model_config(options: argparse.Namespace, otherwise: FaceModelConfig) -> FaceModelConfig:
    """Return the face model that the options name, `otherwise` where they name none.

    Raises
    ------
    ConfigError
        A folder that the model does not need.
    """
    if options.model_path and options.model != "ict":
        raise ConfigError("--model-path: only --model ict reads it")
    if not options.model:
        return otherwise
    return FaceModelConfig(model=options.model, path=options.model_path or "")
