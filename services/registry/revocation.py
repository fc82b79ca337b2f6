"""What the revocation of a key comes to: versions that it signed at or after that moment are not served any more. Pure."""

from collections.abc import Container, Sequence
from dataclasses import replace

from schemas.definitions import KeySpec
from schemas.envelope import format_time
from schemas.events.registry import VersionRejected
from schemas.signatures import REVOKED
from services.registry import rollout
from services.registry.state import ModelState, State, Version
from services.registry.verdicts import Entry


def consequences(state: State, keys: Sequence[KeySpec]) -> tuple[Entry, ...]:
    """Affected versions are rejected; a champion among them gives way to the last one that is not affected.

    Where there is none it stays champion: a model without one would leave its events unanswered. Inference does not load it again,
    and people promote another.
    """
    revoked = [key for key in keys if key.revoked is not None]
    return tuple(entry for model in state.models.values() for entry in _of(model, revoked))


def _of(model: ModelState, revoked: Sequence[KeySpec]) -> list[Entry]:
    lost = {number: key for number, version in model.versions.items() for key in revoked if affected(version, key)}
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
    return [
        *entries,
        *(Entry(model.name, _rejected(number, key)) for number, key in sorted(lost.items(), key=lambda each: each[0])),
    ]


def affected(version: Version, key: KeySpec) -> bool:
    """Whether ``version`` rests on a signature that no longer counts."""
    if (
        version.rejected is not None
        or key.revoked is None
        or version.key_id != key.key_id
        or version.offered_at is None
    ):
        return False
    return version.offered_at >= key.revoked.since


def _sound_champion(model: ModelState, lost: Container[int]) -> Version | None:
    found = [number for number in model.line if number not in lost and model.versions[number].deployable]
    return model.versions[found[-1]] if found else None


def _rejected(number: int, key: KeySpec) -> VersionRejected:
    assert key.revoked is not None  # noqa: S101 - only those are asked for
    since = format_time(key.revoked.since)
    message = f"the key {key.key_id} of {key.principal} that signed it was revoked as of {since}: {key.revoked.reason}"
    return VersionRejected(version=number, code=REVOKED, message=message[:2000])
