"""Named places in a service where it may be made to die, stop or dawdle. Installed by the launcher; products know nothing of it.

A point is armed by a file: ``{"point": "after-offsets", "stage": "judge", "nth": 3, "action": "kill"}``. The file is read at
every pass, so that a warm process can be armed; it is removed before the action, so that the next process is not.
"""

import asyncio
import functools
import json
import os
import signal
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

TRANSACTIONAL: Final = (
    "before-process",
    "before-produce",  # after process
    "mid-produce",  # some batches are sent
    "before-offsets",  # after produce
    "before-commit",  # after offsets
    "after-commit",  # before bookkeeping
    "on-assign",
    "before-settlement",  # the producer has its id; the empty transactions of a takeover begin
    "before-seek",  # assigned, producer started, state rebuilt
    "on-revoke",
)
CONSUMING: Final = ("before-handle", "before-publish", "before-offset-commit", "after-offset-commit")
PUBLISHING: Final = ("before-send", "after-ack")
NOTIFYING: Final = ("before-message", "after-message")
PROJECTING: Final = ("before-document", "before-projection-offset")
POINTS: Final = (*TRANSACTIONAL, *CONSUMING, *PUBLISHING, *NOTIFYING, *PROJECTING)

_ACTIONS: Final = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Trap:
    """The armed point of one process, if there is one."""

    def __init__(self, file: Path) -> None:
        """``file`` may appear and disappear at any time; ``.fired`` beside it says that the action was taken."""
        self._file = file
        self._counts: dict[str, int] = {}

    async def reached(self, point: str, stage: str = "") -> None:
        """The process passes ``point``; it may not come back from here."""
        try:
            armed = json.loads(self._file.read_text())
        except (FileNotFoundError, ValueError):
            return
        if armed["point"] != point or armed.get("stage", "") not in stage:
            return
        self._counts[point] = self._counts.get(point, 0) + 1
        if self._counts[point] < armed.get("nth", 1):
            return
        self._counts.clear()
        fired_file(self._file).write_text(json.dumps({**armed, "pid": os.getpid()}))
        self._file.unlink(missing_ok=True)
        if armed["action"] == "dawdle":
            await asyncio.sleep(armed["seconds"])
        else:
            os.kill(os.getpid(), _ACTIONS[armed["action"]])


def fired_file(armed: Path) -> Path:
    """What stands beside the arming once it was acted on."""
    return armed.with_suffix(".fired")


def arm(file: Path, point: str, *, stage: str = "", nth: int = 1, action: str = "kill", seconds: float = 0.0) -> None:
    """Arm a process; a name that is no point is a mistake."""
    if point not in POINTS:
        raise ValueError(point)
    fired_file(file).unlink(missing_ok=True)
    draft = file.with_suffix(".draft")
    armed = {"point": point, "stage": stage, "nth": nth, "action": action, "seconds": seconds}
    draft.write_text(json.dumps(armed))
    draft.replace(file)


def install(trap: Trap, module: str) -> None:
    """Put the points in: around what the product calls anyway. Only what ``module`` has: imports cost seconds."""
    _transactional(trap)
    _publishing(trap)
    if module in ("services.notifier", "services.training"):
        _consuming(trap)
    if module == "services.notifier":
        _notifying(trap)
    if module == "services.registry":
        _projecting(trap)


def _before(owner: Any, name: str, hook: Callable[..., Any]) -> None:
    """Await ``hook`` with the call's arguments before the coroutine method ``name``."""
    original = getattr(owner, name)

    @functools.wraps(original)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        await hook(*args, **kwargs)
        return await original(*args, **kwargs)

    setattr(owner, name, wrapped)


def _after(owner: Any, name: str, hook: Callable[..., Any]) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = await original(*args, **kwargs)
        await hook(*args, **kwargs)
        return result

    setattr(owner, name, wrapped)


def _transactional(trap: Trap) -> None:
    from shared import partition_handover
    from shared.transactions import _Stage

    def at_stage(point: str) -> Callable[..., Any]:
        async def hook(stage: Any, *_: Any, **__: Any) -> None:
            await trap.reached(point, stage.label)

        return hook

    async def before_seek(*_: Any, **__: Any) -> None:
        await trap.reached("before-seek")

    _before(_Stage, "_run", at_stage("before-process"))
    _before(partition_handover.PartitionHandover, "on_partitions_assigned", at_stage("on-assign"))
    _before(partition_handover.PartitionHandover, "on_partitions_revoked", at_stage("on-revoke"))
    _before(partition_handover, "next_offset", before_seek)
    _producing(trap)


def _producing(trap: Trap) -> None:
    from aiokafka import AIOKafkaProducer

    from shared.transaction_producer import PartitionProducer

    of_a_batch = ContextVar("of_a_batch", default=False)  # not one of a takeover, which has no records

    def at(point: str) -> Callable[..., Any]:
        async def hook(producer: Any, *_: Any, **__: Any) -> None:
            if of_a_batch.get():
                await trap.reached(point, str(producer._txn_manager.transactional_id))

        return hook

    async def before_produce(producer: Any, *_: Any, **__: Any) -> None:
        of_a_batch.set(True)
        await trap.reached("before-produce", producer.transactional_id)

    async def before_settlement(producer: Any, *_: Any, **__: Any) -> None:
        await trap.reached("before-settlement", producer.transactional_id)

    _before(PartitionProducer, "commit", before_produce)
    _before(PartitionProducer, "_settle", before_settlement)
    _after(AIOKafkaProducer, "send_batch", at("mid-produce"))
    _before(AIOKafkaProducer, "send_offsets_to_transaction", at("before-offsets"))
    _before(AIOKafkaProducer, "commit_transaction", at("before-commit"))
    _after(AIOKafkaProducer, "commit_transaction", at("after-commit"))


def _consuming(trap: Trap) -> None:
    from shared.consuming import _Consumption

    def at(point: str) -> Callable[..., Any]:
        async def hook(loop: Any, *_: Any, **__: Any) -> None:
            await trap.reached(point, loop._stage)

        return hook

    _before(_Consumption, "_one", at("before-handle"))
    _before(_Consumption, "_publish", at("before-publish"))
    _before(_Consumption, "_commit", at("before-offset-commit"))
    _after(_Consumption, "_commit", at("after-offset-commit"))


def _publishing(trap: Trap) -> None:
    from shared.publishing import Publisher

    def at(point: str) -> Callable[..., Any]:
        async def hook(_: Any, *outgoing: Any) -> None:
            await trap.reached(point, outgoing[0].topic.name if outgoing else "")

        return hook

    _before(Publisher, "publish", at("before-send"))
    _after(Publisher, "publish", at("after-ack"))


def _notifying(trap: Trap) -> None:
    """Before a message leaves for a channel, and after the channel took it; the ledger's word comes later."""
    from services.notifier.adapters.slack import SlackWebhookChannel

    def at(point: str) -> Callable[..., Any]:
        async def hook(*_: Any, **__: Any) -> None:
            await trap.reached(point)

        return hook

    _before(SlackWebhookChannel, "send", at("before-message"))
    _after(SlackWebhookChannel, "send", at("after-message"))


def _projecting(trap: Trap) -> None:
    from shared.store import Projection

    def at(point: str) -> Callable[..., Any]:
        async def hook(*_: Any, **__: Any) -> None:
            await trap.reached(point)

        return hook

    _before(Projection, "put", at("before-document"))
    _before(Projection, "applied", at("before-projection-offset"))
