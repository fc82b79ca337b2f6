"""Which candidates inference loads: those that a key in force vouches for."""

from datetime import UTC, datetime, timedelta

import pytest
from signing_scene import Person

from schemas.definitions import Revocation, Role, TargetType
from schemas.envelope import decode_headers
from schemas.events.training import Candidate, Lineage, ModelInput, ModelOutputs
from schemas.signatures import Signed
from schemas.topics import MODELS_CANDIDATES
from services.inference.credentials import OFFERS_KEPT, Credentials, Offer
from services.inference.errors import Refusal, VersionRefusedError
from services.inference.roster import Roster, Wanted
from shared.records import message

NOW = datetime(2026, 1, 2, tzinfo=UTC)
TRAINING = Person("training", (Role.TRAINER,))
ANN = Person("ann", (Role.OPERATOR,))


def offer(by: Person | None, name: str = "c", *, at: datetime = NOW, lineage: Lineage | None = None) -> Offer:
    candidate = Candidate(
        candidate_id=name,
        model="shade",
        digest="0" * 64,
        size=1,
        feature_set="points@1",
        definition_version="1.0.0",
        target_type=TargetType.REGRESSION,
        inputs=(ModelInput(name="x", kind="numeric", features=("x",)),),
        outputs=ModelOutputs(value="y"),
        lineage=lineage or Lineage(source="trained"),
        created_at=NOW,
    )
    record = message(MODELS_CANDIDATES, candidate, key="shade", source="test", id=name)
    record = record if by is None else by.signs(record)
    return Offer(
        candidate, Signed(f"t.{MODELS_CANDIDATES.name}", record.key, record.value, decode_headers(record.headers), at)
    )


def wanted(offered: str) -> Wanted:
    return Wanted("shade", "points@1", 1, "0" * 64, "champion", 1, offered)


def refusal(credentials: Credentials, *offers: Offer) -> Refusal:
    with pytest.raises(VersionRefusedError) as raised:
        credentials.candidate(offers)
    return raised.value.code


def test_without_a_trust_root_the_newest_offer_counts() -> None:
    assert Credentials().candidate((offer(None, "a"), offer(None, "b"))).candidate_id == "b"


def test_an_unsigned_offer_is_not_loaded_and_does_not_replace_a_signed_one() -> None:
    credentials = Credentials((TRAINING.spec,))
    assert refusal(credentials, offer(None)) is Refusal.UNSIGNED
    assert credentials.candidate((offer(TRAINING, "good"), offer(None, "forged"))).candidate_id == "good"


def test_who_is_not_known_or_may_not_offer_it_is_not_believed() -> None:
    credentials = Credentials((TRAINING.spec,))
    imported = Lineage(source="imported", imported_by="ann")
    assert refusal(credentials, offer(ANN, lineage=imported)) is Refusal.UNTRUSTED
    assert refusal(credentials, offer(TRAINING, lineage=imported)) is Refusal.UNTRUSTED
    credentials.trust("ann", ANN.spec)
    assert credentials.candidate((offer(ANN, lineage=imported),)).candidate_id == "c"


def test_a_revocation_counts_from_its_moment_on() -> None:
    credentials = Credentials((TRAINING.spec,))
    revoked = TRAINING.spec.model_copy(update={"revoked": Revocation(since=NOW, reason="stolen")})
    credentials.trust("training", revoked)
    assert refusal(credentials, offer(TRAINING)) is Refusal.REVOKED_KEY
    assert credentials.candidate((offer(TRAINING, at=NOW - timedelta(seconds=1)),)).candidate_id == "c"


def test_a_later_offer_by_another_key_that_counts_changes_nothing_about_what_was_approved() -> None:
    roster = Roster(Credentials((TRAINING.spec,)))
    good, other = offer(TRAINING, "good"), offer(TRAINING, "other")
    for each in (good, other):
        roster.offer(each.candidate, each.signed)
    found = roster.candidate(wanted(good.signed.body_digest))
    assert found is not None
    assert found.candidate_id == "good"
    assert roster.candidate(wanted("f" * 64)) is None  # has not arrived


def test_what_a_deployment_means_is_not_driven_out_before_its_key_is_known() -> None:
    good = offer(TRAINING, "good")
    kept: tuple[Offer, ...] = ()
    credentials = Credentials((ANN.spec,))
    for made in (good, *(offer(None, f"forged-{number}") for number in range(3 * OFFERS_KEPT))):
        kept = credentials.kept((*kept, made), {good.signed.body_digest})
    credentials.trust("training", TRAINING.spec)
    assert credentials.candidate(kept).candidate_id == "good"


def test_any_number_of_forgeries_neither_fills_the_memory_nor_drives_the_signed_offer_out() -> None:
    credentials = Credentials((TRAINING.spec,))
    kept: tuple[Offer, ...] = ()
    for number in range(3 * OFFERS_KEPT):
        made = offer(TRAINING, "good") if number == 3 else offer(None, f"forged-{number}")
        kept = credentials.kept((*kept, made))
    assert len(kept) <= OFFERS_KEPT
    assert credentials.candidate(kept).candidate_id == "good"
