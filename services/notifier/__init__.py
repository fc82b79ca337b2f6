"""notifier: alerts and decisions that people should hear of, brought to Slack and to webhooks."""
