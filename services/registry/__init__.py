"""The registry: versions, gates, probe, approval, champion and challenger, all decided from one hash-chained log."""
