"""What became of records, as metrics and in the log."""

from services.validation.processing import Tally
from shared.logs import get_logger
from shared.metrics import counter

outcomes = counter(
    "headrace_validation_outcomes",
    "Records by outcome: validated, rejected, duplicate, dead-letter, re-routed, forwarded (ticks).",
    unit="records",
    labels=("kind", "outcome"),
)
broken_rules = counter(
    "headrace_validation_broken_rules",
    "Reasons given in rejections and dead letters.",
    unit="reasons",
    labels=("rule",),
)

log = get_logger(__name__)


def report(tally: Tally) -> None:
    """Count a batch's outcomes; say it once where records were refused."""
    for (kind, outcome), count in tally.outcomes.items():
        outcomes.labels(kind, outcome).inc(count)
    for rule, count in tally.rules.items():
        broken_rules.labels(rule).inc(count)
    rejected = sum(count for (_, outcome), count in tally.outcomes.items() if outcome == "rejected")
    dead = sum(count for (_, outcome), count in tally.outcomes.items() if outcome == "dead-letter")
    if rejected:
        log.info("records rejected; see `headrace rejected list`", records=rejected, rules=dict(tally.rules))
    if dead:
        log.warning("dead letters; see `headrace dlq list validation`", records=dead, rules=dict(tally.rules))
