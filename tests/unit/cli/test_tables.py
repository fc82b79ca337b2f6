"""Tables on terminals and in pipes."""

import pytest

from cli import columns, output

NAME = "headrace.inference.responses-of-a-long-name"
ROWS = [["topic", "content"], [NAME, "what a service answers to a request " * 4]]


def test_without_a_terminal_each_row_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    output.show([{"topic": NAME, "content": "a sentence " * 40}] * 2, as_json=False, empty="")
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 3
    assert all(NAME in line and line.endswith("a sentence") for line in told[1:])


@pytest.mark.parametrize("width", [40, 80, 200])
def test_names_are_whole_however_narrow_the_terminal_is(width: int) -> None:
    told = columns.lines(ROWS, width)
    assert any(NAME in line for line in told)
    assert " ".join(" ".join(told[1:]).split()).replace(NAME, "").split() == ROWS[1][1].split()


def test_sentences_are_wrapped_where_a_terminal_is_narrow_and_not_where_it_is_wide() -> None:
    assert max(map(len, columns.lines(ROWS, 80))) <= 80
    assert len(columns.lines(ROWS, 80)) > 2
    assert len(columns.lines(ROWS, 300)) == 2


def test_truth_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    output.show(
        [{"ready": True, "lag": None, "share": 0.123456}, {"ready": False, "lag": 3, "share": 1.0}],
        as_json=False,
        empty="",
    )
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["yes", "–", "0.1235"],
        ["no", "3", "1"],
    ]
