"""The dataset on disk: schema, writer, reader, manifest, verification."""
