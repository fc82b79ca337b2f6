"""Bearer tokens bound to sources. Only hashes are kept; without any token configured, whoever reaches the port may send."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Permission:
    """What a request may do. ``sources`` None: speak for any source."""

    sources: tuple[str, ...] | None = None

    def allows(self, source: str) -> bool:
        """Whether records of ``source`` are taken."""
        return self.sources is None or source in self.sources

    def default_source(self, otherwise: str) -> str:
        """Who speaks where a record does not say it: the token's first source."""
        return self.sources[0] if self.sources else otherwise


def permission(tokens: Mapping[str, tuple[str, ...]], authorization: str | None) -> Permission | None:
    """What the Authorization header permits; None where tokens are asked for and it holds no known one."""
    if not tokens:
        return Permission()
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return None
    digest = hashlib.sha256(token.strip().encode()).hexdigest()
    for known, sources in tokens.items():
        if hmac.compare_digest(known, digest):
            return Permission(sources)
    return None
