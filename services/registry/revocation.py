"""What the revocation of a key comes to: versions that it signed at or after that moment are not served any more. Pure."""

from collections.abc import Container, Sequence
from dataclasses import replace

from schemas.definitions import KeySpec
from schemas.envelope import format_time
from schemas.events.registry import VersionRejected
from schemas.signatures import REVOKED
from services.registry import rollout
from services.registry.state import Check, ModelState, State, Version
from services.registry.verdicts import Entry


def consequences(model: ModelState, keys: Sequence[KeySpec]) -> tuple[Entry, ...]:
    """What ``keys`` in force mean for ``model``; () where nothing is left to do.

    Affected versions are rejected; a champion among them gives way to the last one that is not affected. Where there is none it
    stays champion until it has a successor: a model without one would leave its events unanswered.
    """
    lost = _affected(model, keys)
    champion, challenger, entries = model.champion, model.challenger, list[Entry]()
    if challenger is not None and challenger.version in lost:
        entries += rollout.stop_challenger(model, f"its key {lost[challenger.version].key_id} was revoked")
        model = replace(model, challenger=None)
    if champion is not None and champion.number in lost:
        target = _sound_champion(model, lost)
        if target is None:
            del lost[champion.number]
        else:
            entries += rollout.roll_back(model, champion, target)
    return (*entries, *(Entry(model.name, _rejected(number, lost[number])) for number in sorted(lost)))


def stranded(state: State, keys: Sequence[KeySpec]) -> str:
    """What people must know of champions that ``keys`` revoke and that nothing can replace; "" where there are none."""
    found = [
        f"version {model.champion.number} of {model.name}"
        for model in state.models.values()
        if model.champion is not None
        and model.champion.number in (lost := _affected(model, keys))
        and _sound_champion(model, lost) is None
    ]
    if not found:
        return ""
    return f" Still champion, because there was no other: {', '.join(found)}. Promote another; inference does not load it again."


def _affected(model: ModelState, keys: Sequence[KeySpec]) -> dict[int, KeySpec]:
    """Versions that rest on a signature that no longer counts, with its key."""
    revoked = {key.key_id: key for key in keys if key.revoked is not None}
    return {
        number: key
        for number, version in model.versions.items()
        if (key := revoked.get(version.key_id or "")) is not None and _signed_too_late(version, key)
    }


def _signed_too_late(version: Version, key: KeySpec) -> bool:
    if version.rejected is not None or version.probe is Check.FAILED:
        return False  # it is not served anyway
    return key.revoked is not None and version.offered_at is not None and version.offered_at >= key.revoked.since


def _sound_champion(model: ModelState, lost: Container[int]) -> Version | None:
    found = [number for number in model.line if number not in lost and model.versions[number].deployable]
    return model.versions[found[-1]] if found else None


def _rejected(number: int, key: KeySpec) -> VersionRejected:
    assert key.revoked is not None  # noqa: S101 - only those are asked for
    since = format_time(key.revoked.since)
    message = f"the key {key.key_id} of {key.principal} that signed it was revoked as of {since}: {key.revoked.reason}"
    return VersionRejected(version=number, code=REVOKED, message=message[:2000])
