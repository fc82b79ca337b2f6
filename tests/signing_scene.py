"""People with keys, and records that they sign."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from schemas.definitions import Key, KeySpec, Metadata, Revocation, Role
from schemas.envelope import decode_headers
from schemas.signatures import public_key, signature
from shared.records import Outgoing


@dataclass(frozen=True)
class Person:
    """Somebody with a key."""

    name: str
    roles: tuple[Role, ...]
    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def spec(self) -> KeySpec:
        return KeySpec(principal=self.name, public_key=public_key(self.private), roles=self.roles)

    def definition(self, *, revoked: datetime | None = None, **changes: Any) -> dict[str, Any]:
        spec = self.spec.model_copy(
            update={"revoked": Revocation(since=revoked, reason="stolen") if revoked else None} | changes
        )
        metadata = Metadata(name=self.name, owner="team", description=f"Key of {self.name}")
        return Key(metadata=metadata, spec=spec).model_dump(mode="json", by_alias=True, exclude_none=True)

    def signs(self, outgoing: Outgoing, expires: datetime | None = None, prefix: str = "t.") -> Outgoing:
        envelope = decode_headers(outgoing.headers)
        found = signature(
            self.private, prefix + outgoing.topic.name, outgoing.key, outgoing.value or b"", envelope, expires
        )
        headers = [(f"ce_{name}", text.encode()) for name, text in found.items()]
        return msgspec.structs.replace(outgoing, headers=[*outgoing.headers, *headers])


SHORTLY = timedelta(minutes=5)
