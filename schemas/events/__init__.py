"""The records on each topic, one module per producer, and the codec between them and bytes."""
