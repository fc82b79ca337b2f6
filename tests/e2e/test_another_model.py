"""A model on another data set is YAML and nothing else: no line of code knows parcels or patients."""

import statistics
from collections.abc import Callable
from pathlib import Path

import pytest
from example_models import LABEL_TIMEOUT, ROWS_A_WINDOW, WINDOW, Example, parcels, patients
from example_producer import ExampleProducer, balance, records_of, serves
from headrace_command import Headrace, eventually

from deploy.local.stack import Stack
from schemas.events.inference import Prediction
from schemas.events.monitoring import ClosedWindow
from schemas.topics import METRICS_WINDOWS, PREDICTIONS

pytestmark = pytest.mark.kafka


def train_and_stream(headrace: Headrace, stack: Stack, definitions: Path, example: Example) -> None:
    """From YAML to the end of the last window."""
    definitions.write_text(example.definitions)
    headrace.say("apply", "-f", definitions)
    producer = ExampleProducer(stack.settings, stack.urls["ingestion"], example)
    history, stream = example.rows[: example.history], example.rows[example.history :]
    producer.send(history, until=history[-1].occurred_at + LABEL_TIMEOUT)
    result = headrace.json("train", example.model, "--wait")
    assert result["version"] == 1
    eventually(lambda: serves(stack.settings, example.model), within=60, what="serving the first version")
    for start in range(0, len(stream), ROWS_A_WINDOW):
        part = stream[start : start + ROWS_A_WINDOW]
        producer.send(part, until=part[-1].occurred_at)
    producer.tick(stream[-1].occurred_at + WINDOW + LABEL_TIMEOUT)


@pytest.mark.parametrize("make", [parcels, patients], ids=["three classes", "regression"])
def test_yaml_alone_brings_another_model_from_events_to_predictions_and_quality(
    headrace: Headrace, stack: Stack, definitions: Path, make: Callable[[], Example]
) -> None:
    example = make()
    stream = example.rows[example.history :]

    train_and_stream(headrace, stack, definitions, example)

    sheet = balance(stack.settings)
    assert sheet.balanced, sheet.document()
    assert sheet.models[example.model].ok == len(stream)
    assert sheet.models[example.model].repeated == 0
    predictions = [each for each in records_of(stack.settings, PREDICTIONS, Prediction) if each.model == example.model]
    assert {each.event_id for each in predictions} == {row.event_id for row in stream}
    _good_predictions(example, predictions)
    windows = eventually(
        lambda: _quality_windows(stack, example, labelled=len(stream)), within=60, what="quality windows of every label"
    )
    channels = {result.channel for window in windows for result in window.channels}
    assert channels & {"quality:accuracy", "quality:rmse"}, channels
    _a_changed_byte_is_found(headrace, stack, example)


def _a_changed_byte_is_found(headrace: Headrace, stack: Stack, example: Example) -> None:
    """`datasets verify` holds what was trained on against the version's name."""
    store = {"HEADRACE_DATA_DIR": str(stack.data_dir)}
    (version,) = [row["version"] for row in headrace.json("datasets", "list") if row["model"] == example.model]
    intact = headrace("datasets", "verify", version, env=store)
    assert intact.returncode == 0, intact.stderr
    (file,) = (stack.data_dir / "training").rglob(f"{example.model}/{version}*.parquet")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert "altered" in headrace.refusal("datasets", "verify", version, env=store)


def _good_predictions(example: Example, predictions: list[Prediction]) -> None:
    """Better than always saying the same."""
    truth = {row.event_id: row.value for row in example.rows}
    outputs = [(each.outputs or {}, truth[each.event_id]) for each in predictions]
    if isinstance(outputs[0][1], str):
        right = sum(output["label"] == value for output, value in outputs) / len(outputs)
        assert right > 0.85
        assert {len(output["probabilities"]) for output, _ in outputs} == {3}
    else:
        errors = [(output["value"] - value) ** 2 for output, value in outputs]
        assert statistics.fmean(errors) < 0.8 * statistics.pvariance([value for _, value in outputs])


def _quality_windows(stack: Stack, example: Example, *, labelled: int) -> list[ClosedWindow]:
    """The closed quality windows of the model in their last revision, once they hold that many labels."""
    latest: dict[object, ClosedWindow] = {}
    for window in records_of(stack.settings, METRICS_WINDOWS, ClosedWindow):
        if window.model == example.model and window.lane == "quality":
            latest[window.window] = window
    return list(latest.values()) if sum(each.labelled or 0 for each in latest.values()) == labelled else []
