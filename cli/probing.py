"""What the registry's probe made of a version, for whoever has offered it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from schemas.envelope import header
from schemas.events.registry import RegistryEvent, VersionProbed
from shared.errors import RefusedError, TransientError
from shared.records import Record, read

PROBE_TIMEOUT: Final = 120.0  # seconds: a probe takes a few, and waits for the probes before it


async def after_probe(
    events: AsyncIterator[Record], model: str, registered: dict[str, Any], *, seconds: float = PROBE_TIMEOUT
) -> dict[str, Any]:
    """``registered`` with what the probe found. Raises `RefusedError` for a quarantined version, `TransientError` if none comes."""
    version = registered["version"]
    try:
        async with asyncio.timeout(seconds):
            fact = await _verdict(events, model, version)
    except TimeoutError:
        problem = (
            f"{model} version {version} is registered, and was not probed within {seconds:g} s. The probe goes on; "
            f"`headrace models show {model}` tells its result, `headrace doctor` whether the registry runs."
        )
        raise TransientError(problem) from None
    if not fact.passed:
        problem = f"{model} version {version} is in quarantine ({fact.code}): {fact.message}"
        raise RefusedError(problem)
    text = f"{model} version {version} is registered and has passed its probe; `headrace models show {model}` tells how its gates went."
    return {**registered, "probe": {"state": "passed", "latency_ms": fact.latency_ms}, "message": text}


async def _verdict(events: AsyncIterator[Record], model: str, version: int) -> VersionProbed:
    async for record in events:
        if header(record.headers, "ce_type") != RegistryEvent.ce_type:
            continue
        event = read(RegistryEvent, record)[1]
        if event.model == model and isinstance(event.fact, VersionProbed) and event.fact.version == version:
            return event.fact
    raise AssertionError
