"""Everything that is kept on disk: shards, manifests, the generation of scenes and the readers of datasets."""
