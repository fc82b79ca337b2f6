"""One record after the other: what it is, what is decided on it, and what is published for it, all in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from schemas.events.contract import Contract
from schemas.events.inference import ModelStatus
from schemas.events.monitoring import Alert, ClosedWindow
from schemas.events.registry import CommandRefused, RegistryCommand, RegistryNudge, RegistryReply
from schemas.events.training import ArtifactManifest, Candidate
from schemas.reasons import RefusedRecordError, shortened
from schemas.signatures import Signed
from schemas.topics import (
    ALERTS,
    INFERENCE_STATUS,
    METRICS_WINDOWS,
    MODELS_ARTIFACTS,
    MODELS_CANDIDATES,
    REGISTRY_COMMANDS,
    Topic,
    retry,
)
from services.registry import automatic, candidates, publications
from services.registry.answers import MESSAGE_LIMIT, Answers, reply
from services.registry.attempts import Attempts
from services.registry.authority import UNAUTHORISED, UNVERIFIED, Authority
from services.registry.candidates import ProbeResult
from services.registry.decisions import decide
from services.registry.journal import REGISTRY, Author, record
from services.registry.probing import ProbeRequest, Probes
from services.registry.promotion import QualityWindows
from services.registry.state import Check, State
from services.registry.unreadable import refusal
from services.registry.verdicts import Accepted, Entry, Refused, too_long
from shared.clock import Clock
from shared.dead_letters import code_of, dead_letter
from shared.records import Outgoing, Record, TopicNames, read
from shared.signing import arrived

SERVICE: Final = "registry"
RETRY: Final = retry(SERVICE)
TOPICS: Final = (
    REGISTRY_COMMANDS,
    MODELS_CANDIDATES,
    MODELS_ARTIFACTS,
    METRICS_WINDOWS,
    ALERTS,
    INFERENCE_STATUS,
    RETRY,
)

Handler = Callable[["RegistryProcessor", Any, Signed], list[Outgoing]]


class RegistryProcessor:
    """The registry's side of its one partition: `shared.transactions.PartitionProcessor`."""

    def __init__(
        self,
        state: State,
        *,
        answers: Answers,
        windows: QualityWindows,
        probes: Probes,
        names: TopicNames,
        clock: Clock,
        authority: Authority,
    ) -> None:
        """``state`` is the fold of registry.events; ``answers`` and ``windows`` what else was remembered."""
        self.state = state
        self._answers = answers
        self._windows = windows
        self._probes = probes
        self._names = names
        self._clock = clock
        self._authority = authority
        self._attempts = Attempts()

    def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        """What follows from ``records``, and from the probes that ended since."""
        outgoing: list[Outgoing] = []
        for item in records:
            try:
                outgoing += self._one(item)
            except RefusedRecordError as error:
                outgoing += self._refused(item, error)
        for result in self._probes.finished():
            outgoing += self._probed(result)
        return outgoing

    def close(self) -> None:
        """Stop probing; the next owner probes again what had no result."""
        self._probes.close()

    def _one(self, item: Record) -> list[Outgoing]:
        if item.value is None:
            return []  # a tombstone of a compacted topic: nothing that was decided depends on it
        topic = self._names.logical(item.topic)
        kind = publications.type_header(item)
        found = _HANDLERS.get(kind)
        if found is None or topic is None:
            if topic is not None and kind in topic.messages:
                return []  # artifact chunks, first served offsets: not the registry's affair
            raise publications.unknown_type(topic, kind)
        cls, home, handler = found
        if topic.name not in (home.name, RETRY.name):  # a replayed dead letter is judged by its type alone
            raise publications.unknown_type(topic, kind)
        envelope, body = read(cls, item)
        return handler(self, body, arrived(self._names.name(home), item, envelope))

    def _refused(self, item: Record, error: RefusedRecordError) -> list[Outgoing]:
        topic = self._names.logical(item.topic)
        answer = refusal(item.value, error) if topic is not None and topic.name == REGISTRY_COMMANDS.name else None
        if answer is not None:
            return [publications.reply(answer, self._clock.now(), None)]
        return [dead_letter(item, service=SERVICE, code=code_of(error), message=str(error), clock=self._clock)]

    # ---- each kind of input

    def _command(self, command: RegistryCommand, signed: Signed) -> list[Outgoing]:
        trace = signed.envelope.traceparent
        denied = self._authority.denial(self.state, command, signed)
        if denied is not None:  # not remembered: whoever may give this command may still do so, under the same id
            recorded = denied.actor != UNVERIFIED or self._attempts.take(self._clock.now())
            entries = self._audited(command, denied.refusal, denied.actor, trace) if recorded else []
            return [*entries, publications.reply(reply(command, denied.refusal, self.state), self._clock.now(), trace)]
        earlier = self._answers.earlier(self.state, command)
        if earlier is not None:
            return [publications.reply(earlier, self._clock.now(), trace)]
        verdict = decide(self.state, command)
        outgoing: list[Outgoing] = []
        if isinstance(verdict, Accepted):
            author = Author(command.actor, self._clock.now(), command.reason, command.command_id)
            try:
                outgoing = self._record(verdict.entries, author, trace)
            except RefusedRecordError as error:
                verdict = too_long(error.reasons[0])
        elif isinstance(verdict, Refused) and verdict.code == UNAUTHORISED:
            outgoing = self._audited(command, verdict, command.actor, trace)
        answer: RegistryReply = reply(command, verdict, self.state)
        self._answers.remember(answer)
        return [*outgoing, publications.reply(answer, self._clock.now(), trace)]

    def _audited(self, command: RegistryCommand, refused: Refused, actor: str, trace: str | None) -> list[Outgoing]:
        """Who tried what without being allowed to belongs into the log that nobody can edit."""
        more = self._attempts.passed_over()
        also = f" {more} further attempts without a signature were not recorded." if more else ""
        fact = CommandRefused(
            action=command.action.action,
            claimed_actor=command.actor,
            model=None if command.model is None else shortened(command.model),
            code=refused.code,
            message=shortened(refused.message, MESSAGE_LIMIT) + also,
        )
        known = command.model is not None and command.model in self.state.models
        subject = command.model if known and command.model is not None else REGISTRY
        author = Author(actor, self._clock.now(), command.reason, command.command_id)
        return self._record((Entry(subject, fact),), author, trace)

    def _candidate(self, candidate: Candidate, signed: Signed) -> list[Outgoing]:
        before = self.state.model(candidate.model).versions.keys()
        voucher = self._authority.voucher(self.state, candidate, signed)
        if voucher.code is not None and not self._attempts.take(self._clock.now()):
            return []  # it stays on its topic, and may be offered again, signed
        entries = candidates.consider(self.state, candidate, voucher, signed.body_digest)
        run = candidate.lineage.run_id
        signer = candidate.lineage.imported_by or voucher.principal or "training"
        actor = signer if voucher.code is None else UNVERIFIED
        author = Author(actor, self._clock.now(), f"run {run}" if run else "offered")
        outgoing = self._record(entries, author, signed.envelope.traceparent)
        feature_set = self.state.feature_set(candidate.feature_set)
        versions = self.state.model(candidate.model).versions
        for version in versions.keys() - before:
            if feature_set is not None and versions[version].probe is Check.PENDING:
                self._probes.request(ProbeRequest(candidate.model, version, candidate, feature_set))
        return outgoing

    def _manifest(self, manifest: ArtifactManifest, _: Signed) -> list[Outgoing]:
        self._probes.arrived(manifest.digest)
        return []

    def _window(self, window: ClosedWindow, signed: Signed) -> list[Outgoing]:
        model = self.state.models.get(window.model)
        if model is None or window.version not in model.versions or not self._windows.observe(window, signed.appended):
            return []
        if model.champion is None or model.challenger is None:
            self._windows.keep(model.name, model.line[-1:])
            return []
        pair = (model.champion.number, model.challenger.version)
        self._windows.keep(model.name, pair)
        rollout = model.challenger
        looks = self._windows.looks(model.name, *pair, rollout.route, rollout.since)
        pairs = self._windows.pairs(model.name, *pair, rollout.since)
        entries = automatic.on_evidence(self.state, model.name, pairs, looks)
        author = Author(REGISTRY, self._clock.now(), "quality windows")
        return self._record(entries, author, signed.envelope.traceparent)

    def _alert(self, alert: Alert, signed: Signed) -> list[Outgoing]:
        reason = f"alert {alert.fingerprint}, episode {alert.episode}"
        author = Author(REGISTRY, self._clock.now(), reason)
        return self._record(automatic.on_alert(self.state, alert), author, signed.envelope.traceparent)

    def _status(self, status: ModelStatus, signed: Signed) -> list[Outgoing]:
        entries = automatic.on_status(self.state, status)
        author = Author("inference", self._clock.now(), f"reported by {status.instance}")
        return self._record(entries, author, signed.envelope.traceparent)

    def _nudged(self, _: RegistryNudge, __: Signed) -> list[Outgoing]:
        return []  # `process` looks at the probes after every batch

    def _probed(self, result: ProbeResult) -> list[Outgoing]:
        author = Author(REGISTRY, self._clock.now(), "probe")
        return self._record(candidates.probed(self.state, result), author, None)

    def _record(self, entries: tuple[Entry, ...], author: Author, trace: str | None) -> list[Outgoing]:
        if not entries:
            return []
        before = self.state
        recorded = record(before, entries, author)
        outgoing = publications.of_decision(before, recorded, trace)
        self.state = recorded.state
        return outgoing


_HANDLERS: Final[Mapping[str | None, tuple[type[Contract], Topic, Handler]]] = {
    RegistryCommand.ce_type: (RegistryCommand, REGISTRY_COMMANDS, RegistryProcessor._command),  # noqa: SLF001 - its own table
    RegistryNudge.ce_type: (RegistryNudge, REGISTRY_COMMANDS, RegistryProcessor._nudged),  # noqa: SLF001
    Candidate.ce_type: (Candidate, MODELS_CANDIDATES, RegistryProcessor._candidate),  # noqa: SLF001
    ArtifactManifest.ce_type: (ArtifactManifest, MODELS_ARTIFACTS, RegistryProcessor._manifest),  # noqa: SLF001
    ClosedWindow.ce_type: (ClosedWindow, METRICS_WINDOWS, RegistryProcessor._window),  # noqa: SLF001
    Alert.ce_type: (Alert, ALERTS, RegistryProcessor._alert),  # noqa: SLF001
    ModelStatus.ce_type: (ModelStatus, INFERENCE_STATUS, RegistryProcessor._status),  # noqa: SLF001
}
