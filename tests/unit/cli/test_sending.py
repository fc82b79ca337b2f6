"""Every line of a file reaches ingestion, and every refusal is told at the end. Answers are written here; the real ingestion's are met in tests/e2e."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from cli import sending
from cli.failures import DetailedError
from cli.rows import Line
from cli.sending import LINES, Outcome, batches, send
from shared.errors import TransientError

Answer = Callable[[list[str]], tuple[int, list[dict[str, object]]]]


def lines(count: int) -> list[Line]:
    return [Line(f"line {number}", json.dumps({"id": str(number)}).encode()) for number in range(1, count + 1)]


@asynccontextmanager
async def ingestion(answer: Answer) -> AsyncIterator[tuple[httpx.AsyncClient, list[list[str]]]]:
    """An ingestion that answers the ids of each body as ``answer`` says; and the bodies that it got."""
    got: list[list[str]] = []

    async def app(request: httpx.Request) -> httpx.Response:
        ids = [json.loads(line)["id"] for line in request.content.splitlines()]
        got.append(ids)
        status, results = answer(ids)
        if status >= 400:
            return httpx.Response(status, json={"detail": "Try again in a second."})
        return httpx.Response(status, content=b"".join(json.dumps(each).encode() + b"\n" for each in results))

    async with httpx.AsyncClient(transport=httpx.MockTransport(app), base_url="http://ingestion") as http:
        yield http, got


def judged(*wrong: str) -> Answer:
    return lambda ids: (207, [{"status": 422, "detail": "wrong"} if each in wrong else {"status": 202} for each in ids])


async def test_a_refused_line_in_the_first_batch_holds_nothing_back() -> None:
    outcome = Outcome()
    async with ingestion(judged("5")) as (http, got):
        for batch in batches(lines(3000)):
            await send(http, "/v1/events:batch", batch, outcome)
    assert sum(map(len, got)) == 3000
    assert outcome.accepted == 2999
    with pytest.raises(DetailedError) as refusal:
        outcome.check()
    assert str(refusal.value) == "2999 accepted, 1 refused:\n  line 5: wrong"
    assert refusal.value.details == {"accepted": 2999, "refused": [{"place": "line 5", "why": "wrong"}]}


async def test_what_ingestion_cannot_take_now_is_sent_again_with_the_same_ids(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sending, "PAUSE_SECONDS", 0.001)
    answers = iter([(503, []), (200, [{"status": 202}, {"status": 503, "detail": "busy"}]), (202, [{"status": 202}])])
    outcome = Outcome()
    async with ingestion(lambda _: next(answers)) as (http, got):
        await send(http, "/v1/events:batch", lines(2), outcome)
    assert got == [["1", "2"], ["1", "2"], ["2"]]
    assert (outcome.accepted, outcome.refused) == (2, [])


async def test_an_ingestion_that_takes_nothing_ends_the_sending_and_says_how_far_it_got(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sending, "PAUSE_SECONDS", 0.001)
    outcome = Outcome(accepted=2000)
    async with ingestion(lambda _: (503, [])) as (http, got):
        with pytest.raises(TransientError, match=r"took no more: Try again in a second\.\. 2000 records were accepted"):
            await asyncio.wait_for(send(http, "/v1/events:batch", lines(1), outcome), 20)
    assert len(got) == sending.ATTEMPTS


def test_batches_keep_below_what_ingestion_takes() -> None:
    assert [len(batch) for batch in batches(lines(LINES + 1))] == [LINES, 1]
    big = [Line("line", b"x" * (sending.BYTES // 2 - 1))] * 3
    assert [len(batch) for batch in batches(big)] == [2, 1]
    assert list(batches([])) == []
