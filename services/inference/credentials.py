"""Which candidates may be loaded: those that a key in force vouches for. Pure; without trust roots nothing is asked."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.definitions import KeySpec
from schemas.events.training import Candidate
from schemas.signatures import REVOKED, UNSIGNED, Keyring, SignatureError, Signed
from schemas.vouching import vouched
from services.inference.errors import Refusal, VersionRefusedError

# Of one artifact: who repeats it unsigned must neither replace the signed offer nor fill the memory.
OFFERS_KEPT: Final = 16
_CODES: Final[Mapping[str, Refusal]] = {UNSIGNED: Refusal.UNSIGNED, REVOKED: Refusal.REVOKED_KEY}
DISTRUSTED: Final = frozenset({Refusal.UNSIGNED, Refusal.UNTRUSTED, Refusal.REVOKED_KEY})


@dataclass(frozen=True, slots=True)
class Offer:
    """A candidate as it arrived."""

    candidate: Candidate
    signed: Signed


class Credentials:
    """Trust roots and Key definitions as of now."""

    def __init__(self, roots: Sequence[KeySpec] = ()) -> None:
        """Without ``roots`` every candidate counts."""
        self._roots = tuple(roots)
        self._keys: dict[str, KeySpec] = {}
        self._keyring = Keyring(self._roots)

    def trust(self, name: str, key: KeySpec) -> None:
        """The Key definition ``name`` came into force."""
        self._keys[name] = key
        self._keyring = Keyring((*self._roots, *self._keys.values()))

    def kept(self, offers: tuple[Offer, ...], meant: Container[str] = ()) -> tuple[Offer, ...]:
        """The ``offers`` that are remembered, each body once. ``meant``: bodies that a deployment names, which are never given up,
        as one that counts is never given up for one that does not.
        """
        found = tuple({each.signed.body_digest: each for each in offers}.values())
        if len(found) <= OFFERS_KEPT:
            return found
        spare = [each for each in found if each.signed.body_digest not in meant]
        given_up = next((each for each in spare if self._doubt(each) is not None), spare[0] if spare else found[0])
        return tuple(each for each in found if each is not given_up)

    def candidate(self, offers: Sequence[Offer]) -> Candidate:
        """The newest of ``offers`` that counts. Raises `VersionRefusedError` where none does: unsigned, untrusted, revoked_key."""
        doubt: SignatureError | None = None
        for offer in reversed(offers):
            found = self._doubt(offer)
            if found is None:
                return offer.candidate
            doubt = doubt or found
        assert doubt is not None  # noqa: S101 - there is at least one offer
        message = f"Its candidate is not loaded: {doubt}."
        raise VersionRefusedError(_CODES.get(doubt.code, Refusal.UNTRUSTED), message)

    def _doubt(self, offer: Offer) -> SignatureError | None:
        if not self._roots:
            return None
        try:
            vouched(self._keyring, offer.candidate, offer.signed)
        except SignatureError as error:
            return error
        return None
