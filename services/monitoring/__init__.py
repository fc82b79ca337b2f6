"""monitoring: profiles of windows per partition, verdicts per model, and the life of alerts."""
