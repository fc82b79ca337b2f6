"""Rows of files as records: what is missing or contradicts is said with its place."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.rows import EVENT_COLUMNS, Line, Row, event_line, feature_set_of, label_line, rows_of, time_of
from shared.errors import RefusedError

EVENT = {"id": 1, "entity_id": 7, "occurred_at": "2024-03-01T00:00:00", "pressure": 2.5}
WHOLE = {"specversion": "1.0", "id": "a", "source": "s", "type": "headrace.event.v1"}


def data(line: Line) -> Any:
    return json.loads(line.content)["data"]


def test_a_table_row_is_an_event_whose_other_columns_are_features() -> None:
    line = event_line(Row("row 1", EVENT), "pumps@1", "plant")
    assert data(line) == {
        "feature_set": "pumps@1",
        "entity_id": "7",
        "occurred_at": "2024-03-01T00:00:00Z",
        "features": {"pressure": 2.5},
    }
    assert json.loads(line.content)["id"] == "1"


@pytest.mark.parametrize(
    "fields",
    [
        {**EVENT, "feature_set": "meters@1"},
        {"entity_id": "7", "feature_set": "pumps@2", "occurred_at": "2024-03-01T00:00:00Z", "features": {}},
        {**WHOLE, "data": {"feature_set": "meters@1"}},
    ],
)
def test_a_row_of_another_feature_set_than_the_option_is_refused_by_its_place(fields: dict[str, Any]) -> None:
    with pytest.raises(RefusedError, match=r"^line 5 is for .*, but --feature-set pumps@1 was given"):
        event_line(Row("line 5", fields), "pumps@1", "plant")


def test_a_bare_name_and_its_major_are_no_contradiction() -> None:
    fields = {"feature_set": "pumps", "features": {}}
    assert data(event_line(Row("line 1", fields), "pumps@1", "plant"))["feature_set"] == "pumps"


def test_a_whole_event_that_names_no_feature_set_gets_the_one_of_the_option() -> None:
    line = event_line(Row("line 1", {**WHOLE, "data": {"entity_id": "7"}}), "pumps@1", "plant")
    assert feature_set_of(line) == "pumps@1"


def test_a_label_of_another_model_than_the_option_is_refused_by_its_place() -> None:
    with pytest.raises(RefusedError, match=r"^row 3 is for wear, but --model leak was given"):
        label_line(Row("row 3", {"model": "wear", "value": True}), "leak", "plant")


def test_what_a_row_lacks_is_named_with_what_it_has() -> None:
    with pytest.raises(RefusedError, match=r"^line 2 has no occurred_at; it has id, at"):
        time_of(Row("line 2", {"id": "a", "at": "2024"}), "occurred_at")
    with pytest.raises(RefusedError, match=r"^row 2: occurred_at is empty"):
        time_of(Row("row 2", {"occurred_at": None}), "occurred_at")
    with pytest.raises(RefusedError, match=r"^row 2: occurred_at 'soon' is not a time"):
        time_of(Row("row 2", {"occurred_at": "soon"}), "occurred_at")


def test_the_time_of_a_whole_event_stands_in_its_data() -> None:
    row = Row("line 1", {**WHOLE, "data": {"occurred_at": "2024-03-01T00:00:00Z"}})
    assert time_of(row, "occurred_at").year == 2024


def test_a_table_without_a_column_is_refused_with_the_columns_it_has(tmp_path: Path) -> None:
    file = tmp_path / "pumps.csv"
    file.write_text("id,entity_id,at,pressure\n1,7,2024-03-01T00:00:00Z,2\n")
    with pytest.raises(RefusedError, match="has no column occurred_at; its columns are id, entity_id, at, pressure"):
        rows_of(file, EVENT_COLUMNS)


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    file.write_text('{"a": 1}\n\n{"a": 2}\n')
    assert [row.place for row in rows_of(file, EVENT_COLUMNS)] == ["line 1", "line 3"]
    file.write_text('{"a": 1}\n[]\n')
    with pytest.raises(RefusedError, match="line 2 is not a JSON object"):
        rows_of(file, EVENT_COLUMNS)
