"""The embedded platform: Kafka, a Mongo-wire server and a process supervisor, without Docker or installed Java."""
