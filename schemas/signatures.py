"""Signatures of records: Ed25519 (RFC 8032) over a domain tag, topic, key, id, type, key id, expiry and the body's bytes.

They travel as CloudEvents extensions ``keyid``, ``signature`` and, where there is one, ``expiry``; so a record that is moved to
another topic, given another key or another body no longer carries a valid one. Pure: who signs and what is trusted is given.
"""

import base64
import binascii
import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from schemas.definitions.key import KeySpec, key_id
from schemas.envelope import Envelope, format_time, parse_time
from schemas.reasons import shortened

DOMAIN: Final = b"headrace-signature-v1"
UNSIGNED: Final = "unsigned"
REVOKED: Final = "revoked_key"
INVALID: Final = "signature"
EXPIRED: Final = "expired"


class SignatureError(Exception):
    """A record whose signature does not count. ``code``: unsigned, signature, revoked_key, expired."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Signed:
    """What a signature covers. ``topic``: the physical name of where the record belongs; a replayed dead letter stands elsewhere."""

    topic: str
    key: bytes | None
    value: bytes | None
    envelope: Envelope
    appended: datetime  # by the broker; a signer cannot choose it

    @property
    def body_digest(self) -> str:
        """SHA-256 of the body."""
        return hashlib.sha256(self.value or b"").hexdigest()

    def covered(self) -> bytes:
        """The bytes that are signed: each part behind its length, so that no two records share them."""
        return _text(self.topic, self.key, self.value or b"", self.envelope, self.envelope.extensions)


def covered(*parts: bytes) -> bytes:
    """``parts`` as one text that tells where each begins, behind the domain tag."""
    return b"".join((DOMAIN, b"\0", *(struct.pack(">I", len(part)) + part for part in parts)))


def _text(topic: str, key: bytes | None, value: bytes, envelope: Envelope, named: Mapping[str, str]) -> bytes:
    """What signer and verifier both have to mean. ``named``: ``keyid`` and, where there is one, ``expiry``."""
    about = (topic, envelope.id, envelope.type, named.get("keyid", ""), named.get("expiry", ""))
    return covered(key or b"", *(part.encode() for part in about), value)


def public_key(private: Ed25519PrivateKey) -> str:
    """The public half, as a Key definition writes it."""
    return base64.b64encode(private.public_key().public_bytes_raw()).decode()


def signature(
    private: Ed25519PrivateKey,
    topic: str,
    key: bytes | None,
    value: bytes,
    envelope: Envelope,
    expires: datetime | None = None,
) -> dict[str, str]:
    """The extensions that sign a record on ``topic`` (its physical name). ``expires``: when it is no longer to be appended, None for never."""
    own = key_id(private.public_key().public_bytes_raw())
    named = {"keyid": own} | ({"expiry": format_time(expires)} if expires is not None else {})
    text = _text(topic, key, value, envelope, named)
    return {**named, "signature": base64.b64encode(private.sign(text)).decode()}


class Keyring:
    """The keys that count, by key id. Immutable."""

    def __init__(self, keys: Iterable[KeySpec] = ()) -> None:
        """``keys``: trust roots and Key definitions; of two with one public key the revoked one stands."""
        self._keys: Final[Mapping[str, KeySpec]] = {
            key.key_id: key for key in sorted(keys, key=lambda each: each.revoked is not None)
        }

    def verify(self, signed: Signed) -> KeySpec:
        """Whose signature ``signed`` carries. Raises `SignatureError` where it carries none that counts."""
        extensions = signed.envelope.extensions
        named, text = extensions.get("keyid"), extensions.get("signature")
        if named is None or text is None:
            message = "it is not signed: sign it with a key that is in force (`headrace keys list`)"
            raise SignatureError(UNSIGNED, message)
        key = self._keys.get(named)
        if key is None:
            message = f"it is signed with the key {shortened(named)}, which is no trust root and no Key in force (`headrace keys list`)"
            raise SignatureError(INVALID, message)
        if not _holds(key, text, signed.covered()):
            message = f"its signature with the key {named} of {key.principal} belongs to something else: it was altered, or moved here"
            raise SignatureError(INVALID, message)
        _check_times(key, signed)
        return key


def _check_times(key: KeySpec, signed: Signed) -> None:
    if key.revoked is not None and signed.appended >= key.revoked.since:
        message = (
            f"the key {key.key_id} of {key.principal} was revoked as of {format_time(key.revoked.since)} ({key.revoked.reason}); "
            "sign with another"
        )
        raise SignatureError(REVOKED, message)
    expiry = signed.envelope.extensions.get("expiry")
    if expiry is None:
        return
    try:
        late = signed.appended > parse_time(expiry)
    except ValueError as error:
        raise SignatureError(INVALID, f"its expiry is {error}") from error
    if late:
        message = f"it expired at {shortened(expiry)} and arrived at {format_time(signed.appended)}; give it again"
        raise SignatureError(EXPIRED, message)


def _holds(key: KeySpec, text: str, covered_bytes: bytes) -> bool:
    try:
        raw = base64.b64decode(text, validate=True)
        Ed25519PublicKey.from_public_bytes(base64.b64decode(key.public_key)).verify(raw, covered_bytes)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
