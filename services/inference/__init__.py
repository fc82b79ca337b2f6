"""Inference: scores validated events with the deployed ONNX models, and swaps those models without dropping a record."""
