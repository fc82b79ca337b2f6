"""Slack's form of a notice: Block Kit with a text fallback, everything from outside escaped.

Slack reads ``<…>`` as mentions and links, and ``& < >`` must be written as entities; so a feature called ``<!channel>``
mentions nobody. Texts are plain, never mrkdwn, except the title, which is fenced by our own asterisks.
"""

from typing import Any, Final

from services.notifier.notices import Notice

HEADER_LIMIT: Final = 150
TEXT_LIMIT: Final = 2900
FIELD_LIMIT: Final = 1900
FIELDS_A_SECTION: Final = 10
COLOURS: Final = {"page": ":red_circle:", "warn": ":large_orange_circle:", "inform": ":large_blue_circle:"}
RESOLVED: Final = ":white_check_mark:"


def escape(text: str) -> str:
    """``text`` so that Slack shows it as it is: entities, and a zero-width space that keeps ``@here`` a word."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "@\u200b")


def fallback(notice: Notice) -> str:
    """What notifications and screen readers show."""
    return escape(f"{notice.title}: {notice.text}")[:TEXT_LIMIT]


def blocks(notice: Notice) -> list[dict[str, Any]]:
    """The message as Block Kit blocks."""
    mark = RESOLVED if notice.state == "resolved" else COLOURS[notice.severity]
    found: list[dict[str, Any]] = [
        {
            "type": "header",
            "text": {"type": "plain_text", "text": _cut(f"{mark} {_plain(notice.title)}", HEADER_LIMIT), "emoji": True},
        },
        {
            "type": "section",
            "text": {"type": "plain_text", "text": _cut(_plain(notice.text) or "-", TEXT_LIMIT), "emoji": False},
        },
    ]
    fields = [
        {"type": "plain_text", "text": _cut(f"{_plain(name)}\n{_plain(value)}", FIELD_LIMIT), "emoji": False}
        for name, value in notice.facts
    ]
    found += [
        {"type": "section", "fields": fields[place : place + FIELDS_A_SECTION]}
        for place in range(0, len(fields), FIELDS_A_SECTION)
    ]
    return found


def _plain(text: str) -> str:
    """plain_text is shown as it is, but Slack's entities are decoded in it too."""
    return escape(text)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rsplit("&", 1)[0] + "…"
