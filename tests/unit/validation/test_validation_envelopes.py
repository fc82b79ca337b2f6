"""The fast reading of usual headers says what the contract's reading says."""

import pytest
from validation_scene import NOW

from schemas.envelope import Envelope, decode_headers, encode_headers
from schemas.reasons import RefusedRecordError
from services.validation.admission import usual_envelope

USUAL = encode_headers(Envelope("id-1", "src", "headrace.event.v1"))


@pytest.mark.parametrize(
    "envelope",
    [
        Envelope("id-1", "src", "headrace.event.v1"),
        Envelope("id-1", "src", "headrace.event.v1", time=NOW),
        Envelope("id-1", "src", "headrace.event.v1", time=NOW, traceparent="00-x"),
    ],
)
def test_usual_headers_are_read_alike(envelope: Envelope) -> None:
    assert usual_envelope(encode_headers(envelope)) == decode_headers(encode_headers(envelope)) == envelope


@pytest.mark.parametrize("place", range(len(USUAL)))
@pytest.mark.parametrize("value", [b"\xff", b"", None, b"other thing", b"0.3", b"text/xml"])
def test_unusual_values_are_left_to_the_contract_unless_it_agrees(place: int, value: bytes | None) -> None:
    headers = [*USUAL[:place], (USUAL[place][0], value), *USUAL[place + 1 :]]
    fast = usual_envelope(headers)
    try:
        slow = decode_headers(headers)
    except RefusedRecordError:
        slow = None
    assert fast in (None, slow)


def test_repeated_and_missing_and_further_headers_are_left_to_the_contract() -> None:
    assert usual_envelope([*USUAL, ("ce_id", b"other")]) is None
    assert usual_envelope(USUAL[1:]) is None
    assert usual_envelope([*USUAL, ("ce_subject", b"x")]) is None
    assert usual_envelope([*USUAL, ("ce_time", b"yesterday")]) is None
