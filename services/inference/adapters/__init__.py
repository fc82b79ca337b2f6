"""What speaks to the outside: ONNX Runtime, the disk, Prometheus. Vendor errors are translated here."""
