"""The deterministic faults of scenes, and the mutants that each of them unmasks for certain."""

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import httpx

from schemas.topics import EVENTS_RAW, EVENTS_VALIDATED
from tests.faults import world
from tests.faults.broker import Ground
from tests.faults.digests import body_digest
from tests.faults.members import Member
from tests.faults.oracle.findings import Findings
from tests.faults.scenes import EVENTS, PATIENCE, Scene, event_body, scene, until


def killed_before_produce(scene: Scene) -> None:
    """kill -9 after the batch is processed, before anything is produced."""
    scene.send()
    with scene.member(point="before-produce") as member:
        until(member.fired, "the crash point")
        until(lambda: scene.judged() and member.ready, "judged, and ready again")


def killed_after_commit(scene: Scene) -> None:
    """kill -9 after the first commit of a transaction."""
    scene.send()
    with scene.member(point="after-commit") as member:
        until(member.fired, "the crash point")
        until(lambda: scene.judged() and member.ready, "judged, and ready again")


def stopped_before_commit(scene: Scene) -> None:
    """A process stands still before its commit, past the session time-out; another takes over; the first wakes up again."""
    scene.send()
    with scene.member(point="before-commit", action="stop") as first:
        until(first.fired, "the stop")
        with scene.member(number=2) as second:
            until(lambda: second.ready, "the second process has taken over")
            until(scene.judged, "judged by the second process")
            first.send_signal(signal.SIGCONT)
            until(lambda: first.restarts > 0 or _stable(scene), "the first process has seen what became of it")


def slow_to_open(scene: Scene) -> None:
    """Records wait while a partition that was assigned takes two seconds to be opened."""
    scene.send()
    with scene.member(point="before-seek", action="dawdle", seconds=2.0) as member:
        until(member.fired, "the slow handover")
        until(lambda: member.ready, "the partition is open")
        scene.send(20, first=EVENTS)
        until(scene.judged, "judged")


def sent_again_after_takeover(scene: Scene) -> None:
    """Everything is sent again after the process that judged it was killed."""
    scene.send()
    with scene.member() as member:
        until(scene.judged, "judged")
        member.kill()
        scene.send()
        until(scene.judged, "judged again")


def acknowledgement_lost(scene: Scene) -> None:
    """The broker writes what ingestion sends, and its answer is lost with the connection."""
    assert scene.link is not None
    link = scene.ground.network.links[scene.link]
    with scene.member("ingestion") as edge, scene.member() as judge:
        edge.until_ready(PATIENCE)
        judge.until_ready(PATIENCE)
        _post(scene, edge, 0)  # from now on the producer knows all it has to ask for
        with ThreadPoolExecutor(1) as thread:
            link.deafen()
            posting = thread.submit(_post, scene, edge, 1)
            until(lambda: sum(scene.reader.ends(EVENTS_RAW.name).values()) > 1, "written by the broker")
            link.cut()
            link.heal()
            assert posting.result() == httpx.codes.ACCEPTED
        until(scene.judged, "judged")


def _post(scene: Scene, edge: Member, number: int) -> int:
    """One event over HTTP, with its ledger entry; the status."""
    body, identity = event_body(number), f"e{number}"
    headers = {"ce-id": identity, "ce-source": world.SOURCE, "ce-specversion": "1.0", "ce-type": "headrace.event.v1"}
    [seq] = scene.ledger.intend([("event", identity, body_digest(body), "valid", "single")])
    answer = httpx.post(
        f"{edge.url}/v1/events", content=body, headers={**headers, "content-type": "application/json"}, timeout=60
    )
    scene.ledger.settle([(seq, "ok" if answer.status_code == httpx.codes.ACCEPTED else "unknown")])
    return answer.status_code


def _stable(scene: Scene) -> bool:
    """Whether no transaction is open any more on what validation writes."""
    open_end = scene.reader.consumer(**{"isolation.level": "read_uncommitted"})
    try:
        ends = {
            place.partition: open_end.get_watermark_offsets(place, timeout=10)[1]
            for place in scene.reader.places(open_end, [EVENTS_VALIDATED.name])
        }
    finally:
        open_end.close()
    return ends == {number: end for (_, number), end in scene.reader.ends(EVENTS_VALIDATED.name).items()}


Play = Callable[[Scene], None]
FAULTS: Final[dict[str, tuple[Play, tuple[str, ...]]]] = {
    # fault: what happens, and the mutants that it unmasks for certain
    "killed before produce": (killed_before_produce, ("ack-first",)),
    "killed after commit": (killed_after_commit, ("commit-before-produce", "one-deleted")),
    "stopped before commit": (stopped_before_commit, ("id-per-instance",)),
    "slow to open": (slow_to_open, ("no-pause",)),
    "sent again after takeover": (sent_again_after_takeover, ("forgetful",)),
    "acknowledgement lost": (acknowledgement_lost, ("not-idempotent",)),
}


CAUGHT_BY: Final = {
    "ack-first": "lost: fewer outcomes than acknowledged attempts",
    "commit-before-produce": "lost: fewer outcomes than acknowledged attempts",
    "one-deleted": "lost: fewer outcomes than acknowledged attempts",
    "id-per-instance": "repeated: more outcomes than attempts",
    "no-pause": "lost: fewer outcomes than acknowledged attempts",
    "forgetful": "an id was validated more than once",
    "not-idempotent": "repeated: more outcomes than attempts",
}


def play(ground: Ground, home: Path, fault: str, mutant: str | None) -> Findings:
    """Play one fault on a product that is whole (``mutant`` None) or wrong; what the oracle says."""
    act, _ = FAULTS[fault]
    link = link_of(fault, mutant)
    name = f"{fault.replace(' ', '-')}-{mutant or 'healthy'}"
    with scene(ground, home / name, mutant=mutant, link=link if link in ground.network.links else None) as stage:
        act(stage)
        return stage.findings()


def link_of(fault: str, mutant: str | None) -> str | None:
    """The link that a scene needs for itself."""
    if FAULTS[fault][0] is not acknowledgement_lost:
        return None
    return "scene_mutated" if mutant else "scene_healthy"


def everything() -> list[tuple[str, str | None]]:
    """Each fault on the healthy product, and on every mutant that it unmasks."""
    return [(fault, mutant) for fault, (_, mutants) in FAULTS.items() for mutant in (None, *mutants)]
