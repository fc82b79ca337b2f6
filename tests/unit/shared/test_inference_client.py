"""How rows become tensors of a request, and how replies find those who wait for them."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from schemas.envelope import Envelope, decode_headers, encode_headers
from schemas.events.open_inference import InferenceResponse
from schemas.topics import INFERENCE_RESPONSES
from shared.clock import FixedClock
from shared.errors import OutcomeUnknownError, PermanentError, RefusedError, TransientError, UnansweredError
from shared.inference_client import InferenceClient, Reply, tensors_of
from shared.records import Outgoing, StoredRecord
from shared.settings import PlatformSettings

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


class Stream:
    """A client whose publisher keeps what it is given."""

    def __init__(self, source: str = "shop") -> None:
        self.requests: list[Outgoing] = []
        self.failure: Exception | None = None
        self.client = InferenceClient(PlatformSettings(), source=source, clock=FixedClock(NOW), publish=self._publish)

    async def _publish(self, *outgoing: Outgoing) -> Sequence[object]:
        if self.failure is not None:
            raise self.failure
        self.requests.extend(outgoing)
        return outgoing

    async def asked(self, count: int) -> list[Envelope]:
        """The envelopes of the first ``count`` requests."""
        async with asyncio.timeout(5):
            while len(self.requests) < count:
                await asyncio.sleep(0)
        return [decode_headers(each.headers) for each in self.requests]


def reply(request: Envelope, body: bytes, *, status: str = "ok", source: str | None = None) -> StoredRecord:
    """A response to ``request`` as it stands on its topic."""
    extensions = {"correlationid": request.id, "requestsource": source or request.source, "status": status}
    headers = encode_headers(Envelope("r", "inference", InferenceResponse.ce_type, NOW, extensions=extensions))
    return StoredRecord(INFERENCE_RESPONSES.name, 0, 0, 0, b"k", body, tuple(headers))


async def test_replies_find_their_own_requests_in_whatever_order_they_come() -> None:
    stream = Stream()
    asking = [asyncio.create_task(stream.client.ask("late", b"{}", key="k", seconds=5)) for _ in range(3)]
    for number, request in reversed(list(enumerate(await stream.asked(3)))):
        stream.client.take(reply(request, b"%d" % number))
    assert [await each for each in asking] == [Reply("ok", b"0"), Reply("ok", b"1"), Reply("ok", b"2")]


async def test_replies_to_others_are_passed_over_and_a_second_reply_changes_nothing() -> None:
    stream, other = Stream(), Stream()
    asking = asyncio.create_task(stream.client.ask("late", b"{}", key="k", seconds=5))
    [request] = await stream.asked(1)
    other.client.take(reply(request, b"not mine"))
    stream.client.take(reply(request, b"another source", source="else"))
    stream.client.take(StoredRecord(INFERENCE_RESPONSES.name, 0, 0, 0, None, None, ()))
    stream.client.take(reply(request, b"first"))
    stream.client.take(reply(request, b"second"))
    assert (await asking).body == b"first"
    stream.client.take(reply(request, b"nobody waits any more"))


async def test_without_a_reply_the_deadline_ends_the_wait_and_nothing_is_kept() -> None:
    stream = Stream()
    with pytest.raises(UnansweredError, match=r"late did not answer within 0\.01 s"):
        await stream.client.ask("late", b"{}", key="k", seconds=0.01)
    assert not stream.client._waiting


async def test_a_publisher_that_hangs_does_not_outlive_the_deadline() -> None:
    async def hang(*outgoing: Outgoing) -> Sequence[object]:
        await asyncio.Event().wait()
        return outgoing

    client = InferenceClient(PlatformSettings(), publish=hang)
    with pytest.raises(OutcomeUnknownError, match="did not acknowledge"):
        await client.ask("late", b"{}", key="k", seconds=0.01)


async def test_what_the_broker_says_is_passed_on() -> None:
    stream = Stream()
    stream.failure = OutcomeUnknownError("no word")
    with pytest.raises(OutcomeUnknownError):
        await stream.client.ask("late", b"{}", key="k", seconds=5)


async def test_whoever_leaves_lets_those_who_wait_be_answered_and_tells_the_others() -> None:
    stream = Stream()
    asking = [asyncio.create_task(stream.client.ask("late", b"{}", key="k", seconds=60)) for _ in range(2)]
    [answered, _] = await stream.asked(2)
    leaving = asyncio.create_task(stream.client.__aexit__(None, None, None))
    await asyncio.sleep(0)
    stream.client.take(reply(answered, b"in time"))
    await leaving
    assert (await asking[0]).body == b"in time"
    with pytest.raises(TransientError, match="closed before an answer came"):
        await asking[1]


@pytest.mark.parametrize(
    ("status", "error"), [("expired", UnansweredError), ("refused", RefusedError), ("failed", PermanentError)]
)
async def test_a_reply_without_outputs_is_raised_as_what_it_is(status: str, error: type[Exception]) -> None:
    stream = Stream()
    asking = asyncio.create_task(stream.client.infer("late", [{"a": 1}], key="k", seconds=5))
    [request] = await stream.asked(1)
    stream.client.take(reply(request, b'{"model_name": "late", "error": "why"}', status=status))
    with pytest.raises(error, match="late: why"):
        await asking


def test_each_feature_becomes_a_tensor_of_its_own_type_with_null_where_a_row_lacks_it() -> None:
    rows = [{"a": 1, "b": True, "c": 1, "d": "x"}, {"a": None, "b": False, "c": 2.5}]
    found = {tensor.name: (tensor.datatype, tensor.data) for tensor in tensors_of(rows)}
    assert found == {
        "a": ("INT64", (1, None)),
        "b": ("BOOL", (True, False)),
        "c": ("FP64", (1, 2.5)),
        "d": ("BYTES", ("x", None)),
    }


@pytest.mark.parametrize("values", [[[1]], [True, "x"], [1, True]])
def test_what_no_tensor_can_hold_is_refused_by_its_name(values: list[object]) -> None:
    with pytest.raises(RefusedError, match="feature a holds"):
        tensors_of([{"a": value} for value in values])
