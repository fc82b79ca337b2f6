"""W3C trace context."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.tracing import child, new, parse

EXAMPLE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_the_standards_example_is_understood() -> None:
    trace = parse(EXAMPLE)
    assert trace is not None
    assert (trace.trace_id, trace.span_id, trace.sampled) == (
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "00f067aa0ba902b7",
        True,
    )
    assert str(trace) == EXAMPLE


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "",
        "nonsense",
        EXAMPLE.upper(),
        EXAMPLE + "-extra",
        "ff" + EXAMPLE[2:],
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
    ],
)
def test_a_malformed_trace_is_ignored(bad: str | None) -> None:
    assert parse(bad) is None
    assert parse(child(bad)) is not None


def test_a_child_stays_in_its_trace_under_a_span_of_its_own() -> None:
    parent, step = parse(EXAMPLE), parse(child(EXAMPLE))
    assert parent is not None
    assert step is not None
    assert step.trace_id == parent.trace_id
    assert step.span_id != parent.span_id


def test_new_traces_differ() -> None:
    assert new().trace_id != new().trace_id


@given(st.text())
def test_no_text_raises(text: str) -> None:
    parse(text)
