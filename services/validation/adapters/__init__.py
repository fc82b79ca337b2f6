"""Vendors' parts: Kafka as the store of the duplicate window."""
