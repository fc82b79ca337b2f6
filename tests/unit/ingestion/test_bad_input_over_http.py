"""Every defect of the catalogue at HTTP: its status, its reason code, and nothing that reaches the broker."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import httpx
import pytest
from bad_input.envelopes import ENVELOPES, HTTP, BadEnvelope
from bad_input.records import BODIES, BadBody
from ingestion_scene import EdgeScene
from rides import FEATURES, event_body

PATHS = {"event": "/v1/events", "label": "/v1/labels"}
NDJSON = {"content-type": "application/x-ndjson"}
STRUCTURED = {"content-type": "application/cloudevents+json"}


def structured(data: bytes, **attributes: Any) -> bytes:
    found = {"specversion": "1.0", "id": "id-1", "source": "tests", "type": "headrace.event.v1", **attributes}
    return json.dumps(found)[:-1].encode() + b', "data": ' + data + b"}"


def first_reason(scene: EdgeScene, answer: httpx.Response) -> tuple[int, str]:
    """Status and code of an answer that is a problem document by the letter, after which nothing was published."""
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == answer.status_code
    assert problem["type"].startswith("urn:headrace:problem:")
    assert problem["title"]
    assert problem["detail"]
    assert scene.published == []
    return answer.status_code, problem["reasons"][0]["rule"]


@pytest.mark.parametrize("row", BODIES, ids=lambda row: row.name)
async def test_a_bad_body_is_told_its_status_and_code(row: BadBody) -> None:
    scene = EdgeScene()
    answer = await scene.post(row.body, PATHS[row.kind])
    assert first_reason(scene, answer) == (row.status, row.code)


@pytest.mark.parametrize("row", [row for row in ENVELOPES if row.http is not None], ids=lambda row: row.name)
async def test_a_bad_envelope_is_told_its_status_and_code(row: BadEnvelope) -> None:
    scene = EdgeScene()
    async with scene.client() as client:
        answer = await client.post("/v1/events", content=event_body(), headers=list(row.http or ()))
    assert first_reason(scene, answer) == (row.status, row.code)


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (structured(b"[1]"), "not_an_object"),
        (b'{"specversion": "1.0", "id": "a"}', "missing_field"),
        (b'{"specversion": "1.0", "data_base64": "e30="}', "content_type"),
        (structured(event_body(), id=7), "type"),
        (structured(event_body(), type="headrace.label.v1"), "unknown_type"),
    ],
)
async def test_a_structured_event_is_judged_by_the_same_rules(body: bytes, rule: str) -> None:
    scene = EdgeScene()
    assert first_reason(scene, await scene.post(body, headers=STRUCTURED))[1] == rule


async def test_every_reason_is_told_at_once_and_the_id_comes_back() -> None:
    body = event_body(features={"distance": -1.0, "hour": 99, "city": "Z", "phone": None})
    answer = await EdgeScene().post(body, headers=HTTP)
    assert answer.json()["id"] == "id-1"
    assert [each["field"] for each in answer.json()["reasons"]] == [
        "features.distance",
        "features.hour",
        "features.city",
    ]


async def test_a_personal_value_is_not_repeated_in_its_reason() -> None:
    answer = await EdgeScene().post(event_body(features={**FEATURES, "phone": "secret"}))
    assert answer.status_code == 422
    assert "secret" not in answer.text


async def test_bad_lines_of_a_batch_are_answered_like_bad_records_and_good_lines_between_them_are_taken() -> None:
    rows = [
        row for row in BODIES if row.kind == "event" and row.body.strip() == row.body != b"" and b"\n" not in row.body
    ]
    lines: list[bytes] = []
    for row in rows:
        lines += [row.body, structured(event_body(), id=row.name)]
    scene = EdgeScene()
    status, answers = await scene.batch(*lines)
    assert status == 207
    found = {row.name: _verdict(answer) for row, answer in zip(rows, answers[0::2], strict=True)}
    assert found == {row.name: _in_a_batch(row) for row in rows}
    assert [answer["status"] for answer in answers[1::2]] == [202] * len(rows)
    assert len(scene.published) == len(rows)


def _verdict(answer: Mapping[str, Any]) -> tuple[int, str]:
    return answer["status"], answer["reasons"][0]["rule"]


def _in_a_batch(row: BadBody) -> tuple[int, str]:
    """A line that says ``specversion`` is a structured event, so that one is judged as such."""
    return (422, "specversion") if row.body.startswith(b'{"specversion"') else (row.status, row.code)


async def test_a_body_beyond_its_cap_is_refused_before_it_is_parsed() -> None:
    scene = EdgeScene()
    assert first_reason(scene, await scene.post(b"[" * (256 * 1024 + 1))) == (413, "too_large")
    big = await scene.post(b" " * (8 * 1024 * 1024 + 1), "/v1/events:batch", NDJSON)
    assert first_reason(scene, big) == (413, "too_large")


@pytest.mark.parametrize("path", ["/v1/events", "/v1/events:batch"])
async def test_an_endless_body_is_cut_off_at_the_cap(path: str) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65536
            yield b" " * 65536

    scene = EdgeScene()
    answer = await scene.post(endless(), path, NDJSON if path.endswith("batch") else None)
    assert first_reason(scene, answer) == (413, "too_large")
    assert sent <= (8 * 1024 * 1024 if path.endswith("batch") else 256 * 1024) + 3 * 65536


async def test_an_oversized_line_is_refused_alone() -> None:
    status, answers = await EdgeScene().batch(b"{" + b" " * 300_000 + b"}", structured(event_body()))
    assert (status, [each["status"] for each in answers]) == (207, [413, 202])


async def test_an_empty_batch_is_refused() -> None:
    scene = EdgeScene()
    assert first_reason(scene, await scene.post(b"\n\n", "/v1/events:batch", NDJSON)) == (400, "empty")


def names(rows: Sequence[BadBody | BadEnvelope]) -> list[str]:
    return [row.name for row in rows]


def test_rows_have_names_of_their_own() -> None:
    for rows in (names(BODIES), names(ENVELOPES)):
        assert len(rows) == len(set(rows))
