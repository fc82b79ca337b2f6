"""The service's own metrics, declared once."""

from typing import Final

from shared import metrics

rows_stored: Final = metrics.counter(
    "headrace_training_rows_stored", "Rows made durable in the data-set store.", unit="rows"
)
flush_seconds: Final = metrics.histogram(
    "headrace_training_flush_seconds", "Time to make a batch of the store durable.", unit="seconds"
)
runs: Final = metrics.counter("headrace_training_runs", "Runs that ended.", unit="runs", labels=("outcome",))
run_seconds: Final = metrics.histogram(
    "headrace_training_run_seconds",
    "From the start of a run to its outcome.",
    unit="seconds",
    buckets=(1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0),
)
requests_derived: Final = metrics.counter(
    "headrace_training_requests_derived",
    "Training requests made by alerts and schedules.",
    unit="requests",
    labels=("reason",),
)
