"""Streams in which a champion has a challenger, and what monitoring makes of them."""

import random
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from monitoring_stream import START, Partition, Rows, Verdicts, knowledge, records, tick

from schemas.events.contract import Contract
from schemas.events.inference import Prediction
from schemas.topics import LABELS_VALIDATED, PREDICTIONS
from services.monitoring.knowledge import Knowledge

OTHER = "cd" * 32
Stream = tuple[list[Contract], list[Contract]]


def known() -> Knowledge:
    """Monitoring's knowledge with a second version."""
    found = knowledge()
    found.remember("trip-late", 2, OTHER)
    return found


def challenged(
    count: int,
    route: Any,
    *,
    per_hour: int = 70,
    first: int = 0,
    version: int = 2,
    champion: int = 1,
    guesses: Literal["challenger", "champion"] = "challenger",
) -> Stream:
    """Hours in which ``version`` answers the champion's events too (shadow), or every other one instead (canary).

    One of both guesses half of each answer, so it is the worse one.
    """
    rows, dice = Rows(seed=first + 3), random.Random(first)
    predictions: list[Contract] = []
    labels: list[Contract] = []
    for hour in range(first, first + count):
        start = START + timedelta(hours=hour)
        for place in range(per_hour):
            made = rows.prediction(start + timedelta(minutes=60 * place / per_hour), version=champion)
            sharp = made.model_copy(update={"event_id": f"e{hour}-{place}"})
            old, new = (sharp, _guessed(sharp, dice)) if guesses == "challenger" else (_guessed(sharp, dice), sharp)
            new = new.model_copy(
                update={"prediction_id": f"{hour}-{place}-{version}", "version": version, "route": route}
            )
            predictions += [old, new] if route == "shadow" else [new if place % 2 else old]
            labels.append(rows.label(sharp, after=timedelta(minutes=1)))
        predictions.append(tick(start + timedelta(hours=1)))
        labels.append(tick(start + timedelta(hours=1)))
    return predictions, labels


def _guessed(sharp: Prediction, dice: random.Random) -> Prediction:
    """The answer of a version that guesses half of it."""
    if sharp.outputs is None:
        return sharp
    score = 0.5 * sharp.outputs["score"] + 0.5 * dice.random()
    outputs = {"label": score > 0.5, "score": score, "probabilities": [1 - score, score]}
    return sharp.model_copy(update={"outputs": outputs})


def profiled(directory: Path, *streams: Stream) -> Partition:
    """The first stage after ``streams``, one after the other."""
    partition, places = Partition(directory, known()), [0, 0]
    for stream in streams:
        for topic, bodies in zip((PREDICTIONS, LABELS_VALIDATED), stream, strict=True):
            number = topic is LABELS_VALIDATED
            partition.process(records(topic, bodies, first=places[number]))
            places[number] += len(bodies)
    return partition


def judged(directory: Path, *streams: Stream) -> Verdicts:
    """Both stages after ``streams``."""
    partition, verdicts = profiled(directory, *streams), Verdicts(known())
    verdicts.process(partition.published)
    partition.profiling.close()
    return verdicts
