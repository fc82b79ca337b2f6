"""The person in the loop, played by the demo: reads what the registry says, approves what passed its gates, tells the story.

It also says when the replay has to wait. In the demo weeks pass in seconds while a training run takes real ones, so event
time stands still between the request for a new version and its roll-out; in real life nobody would notice the difference.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

from cli.following import follow
from cli.registry import command
from schemas.envelope import header
from schemas.events import registry as facts
from schemas.events.contract import Contract
from schemas.events.monitoring import Alert, ClosedWindow
from schemas.events.registry import Approve, RegistryEvent
from schemas.events.training import DatasetMaterialized, RunCompleted, RunFailed, TrainingRequest
from schemas.topics import ALERTS, METRICS_WINDOWS, REGISTRY_EVENTS, TRAINING_EVENTS, TRAINING_REQUESTS
from shared.errors import HeadraceError
from shared.records import read
from shared.settings import PlatformSettings

APPROVER: Final = "demo-approver"
_KINDS: Final[dict[str, type[Contract]]] = {
    kind.ce_type: kind
    for kind in (Alert, ClosedWindow, DatasetMaterialized, RegistryEvent, RunCompleted, RunFailed, TrainingRequest)
}


class Governor:
    """Follows the governance topics for as long as `run` runs."""

    def __init__(self, settings: PlatformSettings, model: str, say: Callable[[str, str], None]) -> None:
        self._settings = settings
        self._model = model
        self._say = say
        self.may_stream = asyncio.Event()
        self.may_stream.set()
        self.serving = asyncio.Event()
        self.champion: int | None = None
        self.counts: Counter[str] = Counter()
        self.metrics: dict[int, dict[str, float | None]] = {}
        self.following = asyncio.Event()
        self._approvals: set[asyncio.Task[Any]] = set()
        self._told: set[tuple[str, str, str]] = set()

    async def clear_to_stream(self, *, seconds: float) -> None:
        """Return once event time may go on. Raises `TimeoutError` that says what it waited for."""
        try:
            async with asyncio.timeout(seconds):
                await self.may_stream.wait()
        except TimeoutError:
            message = (
                f"The replay waited {seconds:g} s for the training run that was asked for to end in a roll-out or a refusal; "
                "`headrace models history` and the logs of training and registry say how far it came."
            )
            raise TimeoutError(message) from None

    async def run(self) -> None:
        """Read, tell and decide until cancelled."""
        topics = (TRAINING_REQUESTS, TRAINING_EVENTS, REGISTRY_EVENTS, METRICS_WINDOWS, ALERTS)
        async with follow(self._settings, *topics) as records:
            self.following.set()
            async for record in records:
                kind = _KINDS.get(header(record.headers, "ce_type") or "")
                if kind is not None and record.value is not None:
                    self._take(read(kind, record)[1])

    def _take(self, event: Contract) -> None:
        match event:
            case TrainingRequest():
                self.counts["training requests"] += 1
                self.may_stream.clear()
                self._say(f"training asked for ({event.reason}): {event.detail or event.requested_by}", "cyan")
            case DatasetMaterialized():
                data = event.dataset
                self._say(
                    f"data set {data.version[:12]}: {data.rows} rows up to {data.end:%d %b}, {data.test_rows} of them for the test",
                    "cyan",
                )
            case RunFailed():
                self._say(f"training failed ({event.code}): {event.message}", "red")
                self.may_stream.set()
            case ClosedWindow():
                self.counts[f"{event.lane} windows"] += 1
            case Alert():
                self._alert(event)
            case RegistryEvent() if event.model == self._model:
                self._decided(event)
            case _:
                pass

    def _alert(self, alert: Alert) -> None:
        news = (alert.fingerprint, alert.episode, alert.state)
        if news in self._told:
            return  # the same alert with the evidence of one more window
        self._told.add(news)
        self.counts[f"alerts {alert.state}"] += 1
        if alert.state in ("firing", "resolved"):
            self._say(
                f"alert {alert.state}, {alert.severity}: {alert.summary}",
                "yellow" if alert.state == "firing" else "green",
            )

    def _decided(self, event: RegistryEvent) -> None:
        match event.fact:
            case facts.CandidateRegistered() as fact:
                self.metrics[fact.version] = fact.metrics
                auc = fact.metrics.get("roc_auc")
                self._say(
                    f"version {fact.version} registered" + (f", ROC AUC {auc:.3f} on the last weeks" if auc else ""),
                    "cyan",
                )
            case facts.GatesEvaluated() as fact:
                verdict = "passed" if fact.passed else "did not pass"
                self._say(
                    f"version {fact.version} {verdict} its gates: " + ", ".join(_gate(gate) for gate in fact.results),
                    "cyan",
                )
                if fact.passed:
                    self._approve(fact.version)
            case facts.VersionRejected() | facts.CandidateRefused() as fact:
                self._say(f"the registry said no ({fact.code}): {fact.message}", "red")
                self.may_stream.set()
            case facts.ChallengerStarted() as fact:
                self._say(f"version {fact.version} runs beside the champion as {fact.route}", "cyan")
                self.may_stream.set()
            case facts.ChallengerStopped() as fact:
                self._say(f"version {fact.version} is no challenger any more: {fact.message}", "yellow")
            case facts.ChampionPromoted() as fact:
                self.champion = fact.version
                self.counts["promotions"] += 1
                why = "; ".join(fact.evidence) or event.reason
                self._say(f"version {fact.version} is champion" + (f": {why}" if why else ""), "bold green")
                self.may_stream.set()
            case facts.ServingConfirmed() as fact:
                self._say(f"inference serves version {fact.version}", "cyan")
                self.serving.set()
            case facts.ServingRefused() as fact:
                self._say(f"inference refused version {fact.version}: {fact.message}", "red")
            case _:
                pass

    def _approve(self, version: int) -> None:
        task = asyncio.create_task(self._send_approval(version))
        self._approvals.add(task)
        task.add_done_callback(self._approvals.discard)

    async def _send_approval(self, version: int) -> None:
        try:
            reply = await command(
                self._settings, Approve(version=version), model=self._model, reason="passed every gate", by=APPROVER
            )
        except HeadraceError as error:
            self._say(f"version {version} could not be approved: {error}", "red")
            self.may_stream.set()
        else:
            self._say(f"{APPROVER} approves version {version}: {reply.message}", "green")


def _gate(gate: facts.GateResult) -> str:
    value = "absent" if gate.value is None else f"{gate.value:.3g}"
    return f"{gate.gate} {value} ({gate.bound})"


async def until(
    condition: Callable[[], bool],
    *,
    seconds: float,
    what: str,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Return once ``condition`` holds. Raises `TimeoutError` that says ``what`` did not happen."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        if loop.time() > deadline:
            message = f"{what} did not happen within {seconds:g} s"
            raise TimeoutError(message)
        await pause(0.2)
