"""Slack and webhooks; vendors' errors are translated here."""
