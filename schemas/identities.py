"""Deterministic identities: the same inputs give the same id anywhere, so a repeated step can be recognised as one.

Every field is length-prefixed before hashing, so ("ab", "c") and ("a", "bc") differ. Golden vectors are in the tests.
"""

import hashlib
from typing import Final

SERVING: Final = "serving"
_ID_CHARACTERS: Final = 32  # 128 bits in hexadecimal


def shadow_slot(version: int) -> str:
    """The slot of a shadow version; champion and canary share the slot `SERVING`."""
    return f"shadow:{version}"


def prediction_id(source: str, event_id: str, model: str, slot: str) -> str:
    """Identity of the one prediction that ``model`` makes of an event in ``slot``."""
    return _digest("prediction", source, event_id, model, slot)


def alert_fingerprint(model: str, lane: str, subject: str) -> str:
    """Identity of what an alert is about, across its episodes."""
    return _digest("alert", model, lane, subject)


def episode_id(fingerprint: str, first_window: str) -> str:
    """Identity of one episode of an alert; ``first_window`` is the window's start, RFC 3339."""
    return _digest("episode", fingerprint, first_window)


def run_id(request_id: str) -> str:
    """Identity of the training run that answers a request."""
    return _digest("run", request_id)


def candidate_id(run: str) -> str:
    """Identity of the candidate that a training run ends with."""
    return derived_id("candidate", run)


def derived_id(*parts: str) -> str:
    """An id for an event that follows from others, e.g. the one retraining request of an alert episode."""
    return _digest("derived", *parts)


def payload_hash(payload: bytes) -> str:
    """What tells a repeated record from another record under the same id."""
    return hashlib.blake2b(payload, digest_size=16).hexdigest()


def artifact_digest(artifact: bytes) -> str:
    """SHA-256 of an artifact, in hexadecimal."""
    return hashlib.sha256(artifact).hexdigest()


def canary_position(model: str, entity_id: str) -> float:
    """Where an entity stands in [0, 1): it is served by the canary if this is below the canary's share."""
    head = hashlib.sha256(f"{model}|{entity_id}".encode()).digest()[:8]
    return int.from_bytes(head, "big") / 2**64


def partition_of(key: bytes, partitions: int) -> int:
    """The partition Kafka's default (Java) partitioner gives ``key``: murmur2, positive, modulo ``partitions``."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """MurmurHash2 with Kafka's seed, unsigned 32 bit. Source: org.apache.kafka.common.utils.Utils.murmur2."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    length = len(data)
    h = (0x9747B28C ^ length) & mask
    whole = length - length % 4
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little")
        k = (k * m) & mask
        k ^= k >> 24
        k = (k * m) & mask
        h = ((h * m) & mask) ^ k
    tail = data[whole:]
    if tail:
        h ^= int.from_bytes(tail, "little")
        h = (h * m) & mask
    h ^= h >> 13
    h = (h * m) & mask
    return h ^ (h >> 15)


def _digest(domain: str, *parts: str) -> str:
    hasher = hashlib.sha256()
    for part in (domain, *parts):
        encoded = part.encode()
        hasher.update(len(encoded).to_bytes(4, "big"))
        hasher.update(encoded)
    return hasher.hexdigest()[:_ID_CHARACTERS]
