"""The commands that look and the commands that produce, against everything real."""

import csv
import json
from pathlib import Path

import pytest
from example_models import Example, unique
from example_producer import balance
from headrace_command import Headrace

from deploy.local.stack import Stack

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize(
    "command",
    [
        ("get", "features"),
        ("get", "models"),
        ("models", "list"),
        ("datasets", "list"),
        ("alerts", "list"),
        ("rejected", "list"),
        ("dlq", "list", "validation"),
        ("topics", "list"),
        ("audit", "verify"),
        ("lag",),
    ],
    ids=" ".join,
)
def test_what_a_command_tells_people_it_tells_programs_as_json(headrace: Headrace, command: tuple[str, ...]) -> None:
    assert headrace.say(*command).strip()
    assert isinstance(headrace.json(*command), list | dict)


def test_diff_shows_what_apply_would_change_and_apply_changes_it(
    headrace: Headrace, example: Example, definitions: Path
) -> None:
    assert headrace.say("diff", "-f", definitions).strip() == "Nothing would change."
    definitions.write_text(example.definitions.replace("min: 0.7", "min: 0.8"))
    changed = headrace("diff", "-f", definitions)
    assert changed.returncode == 1
    lines = changed.stdout.splitlines()
    assert [line for line in lines if line.startswith("-") and not line.startswith("---")] == ["-    min: 0.7"]
    assert [line for line in lines if line.startswith("+") and not line.startswith("+++")] == ["+    min: 0.8"]
    headrace.say("apply", "-f", definitions)
    assert headrace.say("diff", "-f", definitions).strip() == "Nothing would change."


def test_a_csv_file_is_replayed_with_its_ticks_and_balances(
    headrace: Headrace, stack: Stack, example: Example, tmp_path: Path
) -> None:
    before = balance(stack.settings)
    rows = example.rows[:50]
    file = tmp_path / "pumps.csv"
    with file.open("w", newline="") as text:
        writer = csv.writer(text)
        writer.writerow(["id", "entity_id", "occurred_at", "pressure", "vibration"])
        for row in reversed(rows):
            writer.writerow([row.event_id, row.entity_id, row.occurred_at.isoformat(), *row.features.values()])
    assert "Replayed 50 events up to 2024-03-04T08:10:00Z" in headrace.say("replay", file, "--feature-set", example.ref)
    after = balance(stack.settings)
    assert after.balanced, after.document()
    assert after.events.validated - before.events.validated == 50


def test_labels_from_a_file_arrive_and_their_repeats_are_duplicates(
    headrace: Headrace, stack: Stack, example: Example, tmp_path: Path
) -> None:
    before = balance(stack.settings)
    file = tmp_path / "labels.ndjson"
    lines = []
    for row in example.rows[:20]:
        label = json.loads(example.label_line(row))
        lines.append(
            json.dumps(
                {"id": unique("label"), **{name: value for name, value in label["data"].items() if name != "model"}}
            )
        )
    file.write_text("\n".join(lines))
    for _ in range(2):
        assert "Accepted 20 records" in headrace.say("labels", "send", file, "--model", example.model)
    after = balance(stack.settings)
    assert after.labels.balanced, after.document()
    assert after.labels.validated - before.labels.validated == 20
    assert after.labels.duplicates - before.labels.duplicates == 20


def test_labels_in_a_table_may_have_numbers_for_ids_and_times_without_an_offset(
    headrace: Headrace, stack: Stack, example: Example, tmp_path: Path
) -> None:
    before = balance(stack.settings)
    file = tmp_path / "labels.csv"
    file.write_text(
        "event_id,entity_id,observed_at,value\n1001,7,2024-03-04T12:00:00,true\n1002,8,2024-03-04T12:00:00,false\n"
    )
    assert "Accepted 2 records" in headrace.say("labels", "send", file, "--model", example.model)
    after = balance(stack.settings)
    assert after.labels.validated - before.labels.validated == 2
