"""A body in a person's editor."""

import pytest

from cli.editing import edited
from shared.errors import RefusedError


@pytest.fixture(autouse=True)
def no_visual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VISUAL", raising=False)


def test_what_the_editor_saves_is_what_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "sed -i s/1/2/")
    assert edited(b'{"n": 1}') == b'{"n": 2}'


def test_a_line_feed_that_the_editor_adds_is_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "sed -i -e '$a\\'")
    assert edited(b"{}") == b"{}"


@pytest.mark.parametrize(
    ("editor", "words"), [("", "set EDITOR"), ("false", "code 1"), ("/nowhere/vi", "cannot be started")]
)
def test_an_editor_that_does_not_work_is_named(editor: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", editor)
    with pytest.raises(RefusedError, match=words):
        edited(b"{}")
