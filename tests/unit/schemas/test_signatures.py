"""Signatures: what they cover, whose count, and until when."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.definitions import KeySpec, Revocation, Role
from schemas.envelope import Envelope
from schemas.signatures import Keyring, SignatureError, Signed, covered, public_key, signature

COMMANDS = "staging.registry.commands"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ADA = KeySpec(principal="ada", public_key=public_key(PRIVATE), roles=(Role.OPERATOR,))
ENVELOPE = Envelope(id="c-1", source="test", type="headrace.registry-command.v1")


def signed(expires: datetime | None = None) -> Signed:
    extensions = signature(PRIVATE, COMMANDS, b"shade", b"{}", ENVELOPE, expires)
    envelope = Envelope(ENVELOPE.id, ENVELOPE.source, ENVELOPE.type, extensions=extensions)
    return Signed(COMMANDS, b"shade", b"{}", envelope, NOW)


def code(signed: Signed, *keys: KeySpec) -> str | None:
    try:
        Keyring(keys or (ADA,)).verify(signed)
    except SignatureError as error:
        return error.code
    return None


def with_extension(item: Signed, **changes: str | None) -> Signed:
    extensions = {name: text for name, text in {**item.envelope.extensions, **changes}.items() if text is not None}
    envelope = Envelope(item.envelope.id, item.envelope.source, item.envelope.type, extensions=extensions)
    return replace(item, envelope=envelope)


def test_a_signature_of_a_key_in_force_says_whose_it_is() -> None:
    assert Keyring((ADA,)).verify(signed()) == ADA


@pytest.mark.parametrize(
    "altered",
    [
        replace(signed(), topic="prod.registry.commands"),
        replace(signed(), key=b"other"),
        replace(signed(), value=b"{ }"),
        replace(signed(), key=None),
        with_extension(signed(), expiry="2030-01-01T00:00:00Z"),
        with_extension(signed(NOW), expiry=None),
        with_extension(signed(), signature="AAAA"),
        with_extension(signed(), signature="no base64!"),
        with_extension(signed(), keyid="0123456789abcdef"),
    ],
)
def test_whatever_is_altered_makes_the_signature_worthless(altered: Signed) -> None:
    assert code(altered) == "signature"


def test_a_signature_of_another_record_is_worthless() -> None:
    other = Envelope("c-2", ENVELOPE.source, ENVELOPE.type, extensions=signed().envelope.extensions)
    assert code(replace(signed(), envelope=other)) == "signature"


def test_what_nobody_signed_is_unsigned() -> None:
    assert code(replace(signed(), envelope=ENVELOPE)) == "unsigned"
    assert code(with_extension(signed(), signature=None)) == "unsigned"


def test_a_revoked_key_counts_for_what_kafka_had_before() -> None:
    def revoked(since: datetime) -> KeySpec:
        return ADA.model_copy(update={"revoked": Revocation(since=since, reason="stolen")})

    assert code(signed(), revoked(NOW + timedelta(seconds=1))) is None
    assert code(signed(), revoked(NOW)) == "revoked_key"
    assert code(signed(), revoked(NOW), ADA) == "revoked_key"  # a trust root and a revocation of the same key
    assert code(signed(), ADA, revoked(NOW)) == "revoked_key"


def test_an_expiry_counts_when_kafka_got_the_record() -> None:
    assert code(signed(NOW)) is None
    assert code(signed(NOW - timedelta(milliseconds=1))) == "expired"


@given(st.lists(st.binary(max_size=5), max_size=4), st.lists(st.binary(max_size=5), max_size=4))
def test_no_two_different_records_are_covered_by_the_same_bytes(one: list[bytes], other: list[bytes]) -> None:
    assert (covered(*one) == covered(*other)) == (one == other)


@pytest.mark.parametrize("text", ["", "AAAA", "not base64", base64.b64encode(bytes(33)).decode()])
def test_what_is_no_ed25519_public_key_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="expected an Ed25519 public key"):
        KeySpec(principal="ada", public_key=text, roles=(Role.OPERATOR,))
