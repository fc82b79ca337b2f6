"""Where each microsecond of inference goes, without Kafka: ``python -m bench.inference_path``."""
