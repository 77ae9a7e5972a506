"""The dataset on disk: schema, writer, reader, sampling, manifest, verification."""

from fg3d_builder.shards.reader import ShardReader
from fg3d_builder.shards.sample import Sample
from fg3d_builder.shards.sampling import EpochBatches
from fg3d_builder.shards.verify import VerifyReport, verify_dataset

__all__ = ["EpochBatches", "Sample", "ShardReader", "VerifyReport", "verify_dataset"]
