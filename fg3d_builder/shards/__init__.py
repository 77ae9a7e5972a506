"""The dataset on disk: schema, writer, reader, manifest, verification."""

from fg3d_builder.shards.reader import Sample, ShardReader
from fg3d_builder.shards.verify import VerifyReport, verify_dataset

__all__ = ["Sample", "ShardReader", "VerifyReport", "verify_dataset"]
