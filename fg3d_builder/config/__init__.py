"""Settings of a build: dataclasses with defaults, TOML presets, digests that identify both."""

from fg3d_builder.config.presets import digest, load_preset, read_toml, to_table, toml_text
from fg3d_builder.config.reading import from_table, require
from fg3d_builder.config.settings import (
    DETECTORS,
    MIN_QUALITY,
    BuildConfig,
    FaceModelConfig,
    FitConfig,
    FullViewConfig,
    LandmarkConfig,
    RegistrationConfig,
    ReviewConfig,
    SensorConfig,
    ShardConfig,
    SourceConfig,
    StiffnessLevel,
    TextureConfig,
    TransformConfig,
)

__all__ = [
    "DETECTORS",
    "MIN_QUALITY",
    "BuildConfig",
    "FaceModelConfig",
    "FitConfig",
    "FullViewConfig",
    "LandmarkConfig",
    "RegistrationConfig",
    "ReviewConfig",
    "SensorConfig",
    "ShardConfig",
    "SourceConfig",
    "StiffnessLevel",
    "TextureConfig",
    "TransformConfig",
    "digest",
    "from_table",
    "load_preset",
    "read_toml",
    "require",
    "to_table",
    "toml_text",
]
