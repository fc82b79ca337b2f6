"""The registry's domain without a bus: a log that grows by commands, candidates, probes, windows and statuses."""

from datetime import datetime, timedelta
from typing import Any

import registry_models as samples

from schemas.events.inference import ModelStatus
from schemas.events.monitoring import ChannelResult, ClosedWindow, Comparison, WindowBounds
from schemas.events.registry import ApplyDefinitions, Deployment, RegistryCommand, RegistryEvent, RegistryReply
from services.registry import automatic, candidates
from services.registry.answers import Answers, reply
from services.registry.candidates import ProbeResult
from services.registry.decisions import decide
from services.registry.deployments import deployment
from services.registry.journal import Author, record
from services.registry.state import ModelState, State
from services.registry.verdicts import Accepted, Entry


class Play:
    """One registry's life; time passes a minute a decision."""

    def __init__(self) -> None:
        self.state = State()
        self.events: list[RegistryEvent] = []
        self.now = samples.NOW
        self._answers = Answers()
        self._count = 0

    def command(
        self,
        action: Any,
        *,
        model: str | None = "shade",
        actor: str = "ann",
        id: str | None = None,
        revision: int | None = None,
    ) -> RegistryReply:
        self._count += 1
        asked = RegistryCommand(
            command_id=id or f"command-{self._count}",
            model=model,
            action=action,
            actor=actor,
            expected_revision=revision,
            issued_at=self.now,
        )
        earlier = self._answers.earlier(self.state, asked)
        if earlier is not None:
            return earlier
        verdict = decide(self.state, asked)
        if isinstance(verdict, Accepted):
            self._record(verdict.entries, asked.actor, asked.command_id)
        answer = reply(asked, verdict, self.state)
        self._answers.remember(answer)
        return answer

    def apply(self, *definitions: dict[str, Any], **options: Any) -> RegistryReply:
        dry_run = options.pop("dry_run", False)
        return self.command(ApplyDefinitions(definitions=definitions, dry_run=dry_run), model=None, **options)

    def offer(self, content: bytes = b"model", **changes: Any) -> None:
        offered = samples.candidate(content, **changes)
        self._record(candidates.consider(self.state, offered), "training")

    def probe(self, version: int, *, code: str | None = None, latency_ms: float = 1.0) -> None:
        result = ProbeResult("shade", version, passed=code is None, code=code, latency_ms=latency_ms)
        self._record(candidates.probed(self.state, result), "registry")

    def train(self, content: bytes, **changes: Any) -> int:
        self.offer(content, **changes)
        version = max(self.shade.versions)
        self.probe(version)
        return version

    def compare(self, pairs: list[tuple[dict[str, float], dict[str, float]]], *looks: Comparison) -> None:
        seen: dict[str, list[Comparison]] = {}
        for look in looks:
            seen.setdefault(look.metric, []).append(look)
        self._record(automatic.on_evidence(self.state, "shade", list(pairs), seen), "registry")

    def report(self, version: int, state: str, *, instance: str = "i-1", revision: int | None = None) -> None:
        status = ModelStatus(
            model="shade",
            instance=instance,
            version=version,
            digest=self.shade.versions[version].digest,
            route="champion",
            state=state,  # type: ignore[arg-type]
            code="not_loadable" if state == "refused" else None,
            deployment_revision=self.shade.revision if revision is None else revision,
            at=self.now,
        )
        self._record(automatic.on_status(self.state, status), "inference")

    @property
    def shade(self) -> ModelState:
        return self.state.model("shade")

    @property
    def champion(self) -> int | None:
        return self.shade.champion.number if self.shade.champion is not None else None

    @property
    def deployment(self) -> Deployment | None:
        return deployment(self.shade, self.now)

    def facts(self, since: int = 0) -> list[str]:
        return [event.fact.type for event in self.events[since:]]

    def _record(self, entries: tuple[Entry, ...], actor: str, command_id: str | None = None) -> None:
        self.now += timedelta(minutes=1)
        recorded = record(self.state, entries, Author(actor, self.now, "because", command_id))
        self.state = recorded.state
        self.events += recorded.events


def started(**spec: Any) -> Play:
    """A registry with the feature set and the model ``shade`` in force."""
    play = Play()
    assert play.apply(samples.FEATURE_SET, samples.model_definition(**spec)).status == "accepted"
    return play


def look(windows: int, lower: float | None, upper: float | None, *, metric: str = "roc_auc") -> Comparison:
    """What monitoring says of version 2 beside version 1."""
    middle = 0.0 if lower is None or upper is None else (lower + upper) / 2
    return Comparison(
        champion=1,
        challenger=2,
        route="shadow",
        metric=metric,
        windows=windows,
        events=100 * windows,
        estimate=middle,
        lower=lower,
        upper=upper,
        alpha=0.05,
    )


def window(
    version: int,
    start: datetime,
    *,
    revision: int = 1,
    lane: str = "quality",
    comparisons: tuple[Comparison, ...] = (),
    **metrics: float,
) -> ClosedWindow:
    return ClosedWindow(
        model="shade",
        version=version,
        route="champion",
        lane=lane,  # type: ignore[arg-type]
        window=WindowBounds(start=start, end=start + timedelta(days=1)),
        revision=revision,
        rows=100,
        channels=tuple(
            ChannelResult(channel=f"quality:{name}", statistic=name, value=v) for name, v in metrics.items()
        ),
        closed_at=start,
        comparisons=comparisons,
    )
