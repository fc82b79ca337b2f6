"""What one batch of a transactional stage adds to the metrics."""

from collections import Counter
from collections.abc import Sequence

from schemas.envelope import header
from shared import metrics
from shared.records import Outgoing, Record


def count_batch(stage: str, records: Sequence[Record], outputs: Sequence[Outgoing]) -> None:
    """``records`` were processed and ``outputs`` published."""
    metrics.batch_records.labels(stage).observe(len(records))
    for topic, count in Counter([r.topic for r in records]).items():
        metrics.records_in.labels(stage, topic).inc(count)
    for topic, count in Counter([item.topic.name for item in outputs]).items():
        metrics.records_out.labels(topic).inc(count)


def count_letters(service: str, letters: Sequence[Outgoing]) -> None:
    """``letters`` of ``service`` are about to be published."""
    for letter in letters:
        metrics.dead_letters.labels(service, header(letter.headers, "ce_code") or "unknown").inc()
