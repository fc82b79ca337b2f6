"""The Key definition: whose signatures count, for what, and since when they no longer do."""

import base64
import binascii
import hashlib
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, AwareDatetime

from schemas.definitions.metadata import API_VERSION, Metadata, Strict, like

PUBLIC_KEY_BYTES: Final = 32  # Ed25519, RFC 8032
PRINCIPAL: Final = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,98}$"
_KEY_ID_CHARACTERS: Final = 16


class Role(StrEnum):
    """What a key may sign."""

    ADMIN = "admin"  # keys, and everything below
    OPERATOR = "operator"  # definitions, imports, and decisions about versions other than approval
    APPROVER = "approver"  # approvals
    TRAINER = "trainer"  # candidates that were trained


def key_id(public: bytes) -> str:
    """How signatures name a key: the first 16 hexadecimal digits of the SHA-256 of its 32 bytes."""
    return hashlib.sha256(public).hexdigest()[:_KEY_ID_CHARACTERS]


def _public_key(text: str) -> str:
    try:
        size = len(base64.b64decode(text, validate=True))
    except binascii.Error:
        size = 0
    if size != PUBLIC_KEY_BYTES:
        message = "expected an Ed25519 public key: 32 bytes in base64, as `headrace keys create` prints it"
        raise ValueError(message)
    return text


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        message = "expected a moment between the years 1 and 9999 in UTC"
        raise ValueError(message) from error


class Revocation(Strict):
    """From when on signatures of a key are worth nothing."""

    since: Annotated[AwareDatetime, AfterValidator(_in_utc), like("2026-03-01T09:30:00Z")]
    """Commands and candidates that Kafka appended at this moment or later do not count; it may be moved back, never forward."""
    reason: Annotated[str, like("laptop stolen", min_length=1, max_length=2000)]
    """Why, for people and the audit log."""


class KeySpec(Strict):
    """A public key, who holds its private half, and what that person or service may do."""

    principal: Annotated[str, like("ada", pattern=PRINCIPAL)]
    """The person or service that signs with it; commands carry it as their actor."""
    public_key: Annotated[
        str,
        AfterValidator(_public_key),
        like("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", alias="publicKey"),
    ]
    """The Ed25519 public key, 32 bytes in base64."""
    roles: Annotated[tuple[Role, ...], like(["operator", "approver"], min_length=1)]
    """`admin` may everything; `operator` definitions, imports and decisions; `approver` approvals; `trainer` trained candidates."""
    revoked: Revocation | None = None
    """Set once it is in the wrong hands; it cannot be taken back."""

    @property
    def key_id(self) -> str:
        """How signatures name it."""
        return key_id(base64.b64decode(self.public_key))

    def may(self, role: Role) -> bool:
        """Whether it may do what takes ``role``."""
        return role in self.roles or Role.ADMIN in self.roles


class Key(Strict):
    """A key whose signatures count."""

    api_version: Annotated[Literal["headrace/v1"], like("headrace/v1", alias="apiVersion")] = API_VERSION
    """The version of this notation."""
    kind: Annotated[Literal["Key"], like("Key")] = "Key"
    """Tells a Key from the other kinds."""
    metadata: Metadata
    """Name, owner, description."""
    spec: KeySpec
    """The content."""

    @property
    def topic_key(self) -> str:
        """Key on the ``definitions`` topic."""
        return f"Key/{self.metadata.name}/1"
