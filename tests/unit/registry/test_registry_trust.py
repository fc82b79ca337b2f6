"""With a trust root, only what is signed by somebody who may do it changes anything; every other attempt stands in the audit log."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
import registry_models as samples
from signing_scene import SHORTLY, Person

from schemas.definitions import Role
from schemas.events.contract import decode
from schemas.events.registry import (
    ApplyDefinitions,
    Approve,
    CandidateRegistered,
    ChampionRolledBack,
    CommandRefused,
    Promote,
    RegistryCommand,
    RegistryEvent,
    RegistryReply,
    Rollback,
    VersionRejected,
)
from schemas.events.training import Lineage
from schemas.topics import MODELS_CANDIDATES, REGISTRY_COMMANDS, REGISTRY_EVENTS, REGISTRY_REPLIES
from services.registry import audit
from services.registry.answers import Answers
from services.registry.attempts import RECORDED
from services.registry.authority import Authority
from services.registry.candidates import ProbeResult
from services.registry.evolution import fold
from services.registry.probing import ProbeRequest
from services.registry.processor import RegistryProcessor
from services.registry.promotion import QualityWindows
from services.registry.state import State
from shared.clock import FixedClock
from shared.records import Outgoing, StoredRecord, TopicNames, message

ROOT = Person("root", (Role.ADMIN,))
ANN = Person("ann", (Role.OPERATOR,))
BOB = Person("bob", (Role.APPROVER,))
EVE = Person("eve", (Role.ADMIN,))  # whose key nobody has let in
TRAINING = Person("training", (Role.TRAINER,))


class Probes:
    """Each probe passes at once; which versions were probed is remembered."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self._done: list[ProbeResult] = []

    def request(self, request: ProbeRequest) -> None:
        self.asked.append(request.version)
        self._done.append(ProbeResult(request.model, request.version, passed=True, latency_ms=1.0))

    def arrived(self, digest: str) -> None:
        pass

    def finished(self) -> Sequence[ProbeResult]:
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        pass


class Registry:
    """A registry with one trust root, and what it has said so far."""

    def __init__(self) -> None:
        self.probes = Probes()
        self.events: list[RegistryEvent] = []
        self.now = samples.NOW
        self._processor = RegistryProcessor(
            State(),
            answers=Answers(),
            windows=QualityWindows(),
            probes=self.probes,
            names=TopicNames("t."),
            clock=FixedClock(samples.NOW),
            authority=Authority((ROOT.spec,)),
        )

    @property
    def state(self) -> State:
        return self._processor.state

    def take(self, outgoing: Outgoing) -> RegistryReply | None:
        record = StoredRecord(
            f"t.{outgoing.topic.name}",
            0,
            7,
            int(self.now.timestamp() * 1000),
            outgoing.key,
            outgoing.value,
            outgoing.headers,
        )
        answer = None
        for out in self._processor.process([record]):
            if out.topic is REGISTRY_EVENTS:
                self.events.append(decode(RegistryEvent, out.value or b""))
            elif out.topic is REGISTRY_REPLIES:
                answer = decode(RegistryReply, out.value or b"")
        return answer

    def told(self, action: Any, by: Person, **changes: Any) -> RegistryReply:
        answer = self.take(by.signs(command(action, by.name, **changes), self.now + SHORTLY))
        assert answer is not None
        return answer

    def offered(self, content: bytes, by: Person | None, **changes: Any) -> None:
        record = offer(content, **changes)
        self.take(by.signs(record) if by is not None else record)

    def facts(self, kind: type[Any]) -> list[Any]:
        return [event.fact for event in self.events if isinstance(event.fact, kind)]

    def code(self, version: int) -> str | None:
        return self.state.model("shade").versions[version].probe_code


def command(action: Any, actor: str, *, id: str = "c-1", model: str | None = "shade") -> Outgoing:
    body = RegistryCommand(command_id=id, model=model, action=action, actor=actor, issued_at=samples.NOW)
    return message(REGISTRY_COMMANDS, body, key=model or "definitions", source="test", id=id)


def offer(content: bytes, **changes: Any) -> Outgoing:
    candidate = samples.candidate(content, **changes)
    return message(MODELS_CANDIDATES, candidate, key=candidate.model, source="test", id=candidate.candidate_id)


@pytest.fixture
def registry() -> Registry:
    found = Registry()
    keys = tuple(person.definition() for person in (ANN, BOB, TRAINING))
    assert found.told(ApplyDefinitions(definitions=keys), ROOT, model=None, id="keys").status == "accepted"
    definitions = (samples.FEATURE_SET, samples.model_definition(approval={"mode": "manual"}))
    assert found.told(ApplyDefinitions(definitions=definitions), ANN, model=None, id="all").status == "accepted"
    found.offered(b"one", TRAINING)
    assert found.state.model("shade").versions[1].probe == "passed"
    return found


def refused(registry: Registry, outgoing: Outgoing) -> CommandRefused:
    """What the log says of a command that must change nothing."""
    before, known = registry.state, len(registry.events)
    answer = registry.take(outgoing)
    assert answer is not None
    assert (answer.status, answer.code) == ("refused", "unauthorised")
    assert (registry.state.models, registry.state.definitions) == (before.models, before.definitions)
    (event,) = registry.events[known:]
    assert isinstance(event.fact, CommandRefused)
    assert event.fact.message.startswith(answer.message)
    return event.fact


def test_an_unsigned_command_does_nothing_and_is_audited(registry: Registry) -> None:
    fact = refused(registry, command(Approve(version=1), "bob"))
    assert (fact.claimed_actor, registry.events[-1].actor) == ("bob", "unverified")
    assert "not signed" in fact.message


def test_who_signs_as_somebody_else_is_refused_under_the_own_name(registry: Registry) -> None:
    fact = refused(registry, ANN.signs(command(Approve(version=1), "bob"), registry.now + SHORTLY))
    assert (fact.claimed_actor, registry.events[-1].actor) == ("bob", "ann")


def test_a_key_that_nobody_has_let_in_does_not_count(registry: Registry) -> None:
    refused(registry, EVE.signs(command(Approve(version=1), "eve"), registry.now + SHORTLY))


def test_a_role_bounds_what_a_key_may_sign(registry: Registry) -> None:
    later = registry.now + SHORTLY
    assert "role approver" in refused(registry, ANN.signs(command(Approve(version=1), "ann"), later)).message
    assert "role operator" in refused(registry, BOB.signs(command(Promote(version=1), "bob"), later)).message
    key = command(ApplyDefinitions(definitions=(EVE.definition(),)), "ann", model=None)
    assert "role admin" in refused(registry, ANN.signs(key, later)).message


def test_a_command_without_expiry_or_after_it_is_refused(registry: Registry) -> None:
    assert "must expire" in refused(registry, BOB.signs(command(Approve(version=1), "bob"))).message
    eternal = BOB.signs(command(Approve(version=1), "bob"), registry.now + timedelta(days=365))
    assert "must expire" in refused(registry, eternal).message
    late = BOB.signs(command(Approve(version=1), "bob"), registry.now - timedelta(seconds=1))
    assert "expired" in refused(registry, late).message


def test_a_body_that_was_changed_after_signing_is_refused(registry: Registry) -> None:
    good = BOB.signs(command(Approve(version=1), "bob"), registry.now + SHORTLY)
    other = command(Approve(version=2), "bob")
    assert "altered" in refused(registry, Outgoing(good.topic, good.key, other.value, good.headers)).message


def test_a_forged_command_does_not_take_the_id_from_the_true_one(registry: Registry) -> None:
    refused(registry, command(Approve(version=1), "bob", id="same"))
    assert registry.told(Approve(version=1), BOB, id="same").status == "accepted"
    assert registry.state.model("shade").champion is not None


def test_refusals_leave_revisions_alone_and_the_chain_whole(registry: Registry) -> None:
    revision = registry.state.model("shade").revision
    refused(registry, command(Approve(version=1), "bob"))
    assert registry.events[-1].model == "shade"
    assert registry.state.model("shade").revision == revision
    assert audit.verify(registry.events) is None
    assert fold(registry.events) == registry.state


def test_an_attempt_on_an_unknown_model_is_audited_without_making_one(registry: Registry) -> None:
    refused(registry, command(Approve(version=1), "bob", model="nowhere"))
    assert registry.events[-1].model == "registry"
    assert "nowhere" not in registry.state.models


def test_self_approval_is_audited_too(registry: Registry) -> None:
    both = Person("cyd", (Role.OPERATOR, Role.APPROVER))
    registry.told(ApplyDefinitions(definitions=(both.definition(),)), ROOT, model=None, id="cyd")
    registry.offered(b"two", both, candidate_id="two", lineage=Lineage(source="imported", imported_by="cyd"))
    assert registry.code(2) is None
    fact = refused(registry, both.signs(command(Approve(version=2), "cyd", id="own"), registry.now + SHORTLY))
    assert "imported version 2" in fact.message


# ---- candidates


def test_an_unsigned_candidate_is_quarantined_without_being_opened(registry: Registry) -> None:
    registry.offered(b"two", None, candidate_id="two")
    assert registry.state.model("shade").versions[2].stage == "quarantined"
    assert (registry.code(2), registry.probes.asked) == ("unsigned", [1])


def test_it_does_not_stand_in_the_way_of_the_same_bytes_signed(registry: Registry) -> None:
    for number in range(3):
        registry.offered(b"two", None, candidate_id="two" if number < 2 else "another")
    registry.offered(b"two", TRAINING, candidate_id="two")
    assert list(registry.state.model("shade").versions) == [1, 2, 3]
    assert (registry.code(3), registry.probes.asked) == (None, [1, 3])


def test_what_nobody_signed_brings_no_rejected_version_back(registry: Registry) -> None:
    strict = samples.model_definition(gates=[{"metric": "roc_auc", "min": 0.99}])
    registry.told(ApplyDefinitions(definitions=(strict,)), ANN, model=None, id="strict")
    registry.offered(b"two", TRAINING, candidate_id="two")
    assert registry.state.model("shade").versions[2].rejected == "gates"
    registry.told(ApplyDefinitions(definitions=(samples.model_definition(),)), ANN, model=None, id="lax")
    registry.offered(b"two", None, candidate_id="forged")
    assert registry.state.model("shade").versions[2].rejected == "gates"
    registry.offered(b"two", TRAINING, candidate_id="again")
    assert registry.state.model("shade").versions[2].rejected is None


def test_forgeries_fill_neither_the_log_nor_the_memory(registry: Registry) -> None:
    events = len(registry.events)
    for number in range(300):
        registry.offered(f"forged {number}".encode(), None, candidate_id=f"forged-{number}")
        registry.take(command(Approve(version=1), "bob", id=f"forged-{number}"))
    assert len(registry.events) - events <= 2 * RECORDED
    refused(registry, ANN.signs(command(Approve(version=1), "ann", id="mine"), registry.now + SHORTLY))
    assert "further attempts" in registry.events[-1].fact.message
    assert registry.facts(CandidateRegistered)[-1].key_id is None


def test_a_signature_of_another_digest_is_worth_nothing(registry: Registry) -> None:
    good = TRAINING.signs(offer(b"two", candidate_id="two"))
    registry.take(Outgoing(good.topic, good.key, offer(b"evil", candidate_id="two").value, good.headers))
    assert registry.code(2) == "signature"


def test_who_imports_in_another_ones_name_is_not_believed(registry: Registry) -> None:
    registry.offered(b"two", ANN, candidate_id="two", lineage=Lineage(source="imported", imported_by="bob"))
    assert registry.code(2) == "signer"


def test_only_a_trainer_offers_what_was_trained(registry: Registry) -> None:
    registry.offered(b"two", ANN, candidate_id="two")
    assert registry.code(2) == "signer"


def revoke(registry: Registry, person: Person, since: Any, id: str = "revoke") -> RegistryReply:
    action = ApplyDefinitions(definitions=(person.definition(revoked=since),))
    return registry.told(action, ROOT, model=None, id=id)


def test_a_revoked_key_offers_nothing_more(registry: Registry) -> None:
    registry.now += timedelta(hours=1)
    revoke(registry, TRAINING, registry.now)
    assert registry.facts(VersionRejected) == []  # what it signed before stands
    registry.offered(b"two", TRAINING, candidate_id="two")
    assert registry.code(2) == "revoked_key"


def test_versions_that_it_signed_since_are_rejected_and_a_live_one_gives_way(registry: Registry) -> None:
    registry.told(Approve(version=1), BOB, id="approve")
    registry.now += timedelta(hours=1)
    stolen_at = registry.now
    registry.offered(b"two", TRAINING, candidate_id="two")
    registry.offered(b"three", TRAINING, candidate_id="three")
    for version in (2, 3):
        registry.told(Approve(version=version), BOB, id=f"approve-{version}")
    registry.told(Promote(version=3), ANN, id="promote")
    assert registry.state.model("shade").line[-1] == 3
    assert revoke(registry, TRAINING, stolen_at).status == "accepted"
    shade = registry.state.model("shade")
    assert shade.line[-1] == 1
    assert [shade.versions[number].rejected for number in (1, 2, 3)] == [None, "revoked_key", "revoked_key"]
    assert [fact.version for fact in registry.facts(ChampionRolledBack)] == [1]
    assert fold(registry.events) == registry.state


def test_a_champion_without_a_predecessor_stays_until_people_promote_another(registry: Registry) -> None:
    registry.told(Approve(version=1), BOB, id="approve")
    told = revoke(registry, TRAINING, samples.NOW - timedelta(days=1))
    shade = registry.state.model("shade")
    assert (shade.line, shade.versions[1].rejected) == ((1,), None)
    assert "version 1 of shade" in told.message
    registry.now += timedelta(hours=1)
    fresh = Person("training-2", (Role.TRAINER,))
    registry.told(ApplyDefinitions(definitions=(fresh.definition(),)), ROOT, model=None, id="fresh")
    registry.offered(b"two", fresh, candidate_id="two")
    registry.told(Approve(version=2), BOB, id="approve-2")
    registry.told(Promote(version=2), ANN, id="promote-2")
    shade = registry.state.model("shade")
    assert (shade.line, shade.versions[1].rejected) == ((2,), "revoked_key")
    assert registry.told(Rollback(), ANN, id="back").code == "not_found"
    registry.offered(b"one", fresh, candidate_id="one-again")  # the same bytes, by a key that counts
    assert registry.code(3) is None
    assert fold(registry.events) == registry.state


def test_a_revocation_cannot_be_taken_back_nor_a_key_be_renamed(registry: Registry) -> None:
    revoke(registry, ANN, registry.now)
    for number, definition in enumerate((ANN.definition(), ANN.definition(principal="bob", revoked=registry.now))):
        answer = registry.told(ApplyDefinitions(definitions=(definition,)), ROOT, model=None, id=f"back-{number}")
        assert (answer.status, answer.code) == ("refused", "invalid")
    later = registry.now + timedelta(days=1)
    assert revoke(registry, ANN, later, id="later").code == "invalid"
    assert revoke(registry, ANN, registry.now - timedelta(days=1), id="sooner").status == "accepted"
    same = Person("dan", (Role.OPERATOR,), ANN.private)
    answer = registry.told(ApplyDefinitions(definitions=(same.definition(),)), ROOT, model=None, id="same")
    assert "same public key" in answer.message


def test_the_key_and_the_time_of_an_offer_stand_in_the_log(registry: Registry) -> None:
    (registered,) = registry.facts(CandidateRegistered)
    assert (registered.key_id, registered.offered_at) == (TRAINING.spec.key_id, samples.NOW)
