"""Inference and its peers side by side on one Kafka: ``python -m bench.throughput``."""
