"""Where the registry touches the world: topics read to their end, artifacts, the probe's process, Mongo."""
