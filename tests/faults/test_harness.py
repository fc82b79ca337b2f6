"""The harness's own parts, without a platform."""

import itertools
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.local import ports
from tests.faults import crash_points, ledger
from tests.faults.crash_points import Trap, arm, fired_file
from tests.faults.drawing import CRASH_POINTS
from tests.faults.faults import KINDS
from tests.faults.generator import Course, Item, Sequence
from tests.faults.ledger import Ledger
from tests.faults.profiles import CI, LONG, PROFILES, Profile
from tests.faults.proxy import Link, Network


def sent(seed: int, rounds: int = 400) -> list[Item]:
    course = Course(seed, "kafka", timedelta(seconds=10), 4, over_kafka=True)
    return list(itertools.chain.from_iterable(itertools.islice(Sequence(course).rounds(), rounds)))


class TestLedger:
    def test_an_attempt_that_was_never_answered_is_unknown(self, tmp_path: Path) -> None:
        with Ledger(tmp_path / "ledger") as book:
            first, second = book.intend([("event", "a", "d", "valid", "batch"), ("label", "b", "d", "valid", "batch")])
            book.settle([(second, "ok")])
        found = list(ledger.read(tmp_path / "ledger"))
        assert [(each.sending.seq, each.outcome) for each in found] == [(first, "unknown"), (second, "ok")]

    def test_a_line_that_was_torn_by_a_crash_is_left_out(self, tmp_path: Path) -> None:
        with Ledger(tmp_path / "ledger") as book:
            book.intend([("event", "a", "d", "valid", "batch")])
        with (tmp_path / "ledger").open("ab") as file:
            file.write(b'[1,"event","b')
        assert [each.sending.id for each in ledger.read(tmp_path / "ledger")] == ["a"]


class TestGenerator:
    def test_the_same_seed_sends_the_same(self) -> None:
        assert sent(1) == sent(1)
        assert sent(1) != sent(2)

    def test_a_fifth_is_sent_again_and_one_in_a_hundred_ids_is_used_for_another_body(self) -> None:
        items = sent(3, 4000)
        first: dict[tuple[str, str], str] = {}
        again = conflicts = 0
        for item in items:
            if item.expectation != "valid":
                continue
            known = first.setdefault((item.kind, item.id), item.digest)
            conflicts += known != item.digest
        again = sum(item.expectation == "valid" for item in items) - len(first) - conflicts
        assert 0.18 < again / 4000 < 0.22
        assert 0.006 < conflicts / 4000 < 0.014

    def test_a_tenth_of_the_labels_comes_before_its_event(self) -> None:
        seen: set[str] = set()
        early = 0
        for item in sent(4, 4000):
            if item.kind == "label" and item.id not in seen:
                early += item.id.removesuffix(":label") not in seen
            seen.add(item.id)
        assert 0.08 < early / 4000 < 0.12

    def test_every_kind_of_poison_is_sent_sooner_or_later(self) -> None:
        poison = [item for item in sent(5, 20_000) if item.expectation == "dead"]
        assert any(item.body is None for item in poison)
        assert any(item.key is None for item in poison)
        assert any(len(item.headers or ()) > 1000 for item in poison)
        assert len({item.digest for item in poison}) == len(poison)

    def test_labels_years_late_are_not_in_the_future_of_a_clock_that_is_ten_years_slow(self) -> None:
        latest = max(json.loads(i.body or b"{}")["observed_at"] for i in sent(6, 4000) if i.kind == "label")
        assert latest < "2016"


class TestProfiles:
    @pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
    def test_a_schedule_follows_from_its_seed(self, profile: Profile) -> None:
        assert profile.schedule(7) == profile.schedule(7)

    @pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
    def test_a_schedule_holds_more_faults_than_must_take_place(self, profile: Profile) -> None:
        assert len(profile.schedule(1)) >= profile.least_faults

    def test_ci_and_long_hold_every_kind(self) -> None:
        for profile in (CI, LONG):
            assert {step.kind for step in profile.schedule(1)} == set(KINDS)

    def test_every_crash_point_that_can_be_drawn_exists(self) -> None:
        assert {point for _, point, _ in CRASH_POINTS} <= set(crash_points.POINTS)


class TestCrashPoints:
    def test_everything_that_is_hooked_is_there(self, tmp_path: Path) -> None:
        script = (
            "from pathlib import Path; from tests.faults.crash_points import Trap, install;"
            f"[install(Trap(Path({str(tmp_path)!r}) / name), name) for name in ('services.notifier', 'services.registry')]"
        )
        subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parent.parent.parent, timeout=120)

    async def test_an_armed_point_acts_at_its_nth_pass_and_then_no_more(self, tmp_path: Path) -> None:
        trap = Trap(tmp_path / "armed")
        await trap.reached("before-commit")
        arm(tmp_path / "armed", "before-commit", nth=2, action="dawdle")
        await trap.reached("before-produce")
        await trap.reached("before-commit")
        assert not fired_file(tmp_path / "armed").exists()
        await trap.reached("before-commit")
        assert fired_file(tmp_path / "armed").exists()
        assert not (tmp_path / "armed").exists()

    async def test_a_point_of_another_stage_is_passed(self, tmp_path: Path) -> None:
        trap = Trap(tmp_path / "armed")
        arm(tmp_path / "armed", "before-commit", stage="verdicts", action="dawdle")
        await trap.reached("before-commit", "monitoring.profiles")
        assert (tmp_path / "armed").exists()

    def test_a_name_that_is_no_point_cannot_be_armed(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="nowhere"):
            arm(tmp_path / "armed", "nowhere")


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that answers every line with itself."""
    listener = socket.create_server((ports.HOST, 0))
    stopping = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection:
            while not stopping.is_set():
                try:
                    data = connection.recv(1000)
                    if not data:
                        return
                    connection.sendall(data)
                except OSError:
                    return

    def accept() -> None:
        while not stopping.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    stopping.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


@pytest.fixture
def link(echo: int) -> Iterator[Link]:
    """A link to it."""
    with Network() as network:
        yield network.link("echo", ports.pick(1)[0], echo)


def connection(link: Link, seconds: float = 5.0) -> socket.socket:
    return socket.create_connection((ports.HOST, link.port), seconds)


class TestLink:
    def test_what_is_sent_arrives_and_comes_back(self, link: Link) -> None:
        with connection(link) as client:
            client.sendall(b"hello")
            assert client.recv(100) == b"hello"

    def test_a_cut_resets_what_is_open_and_lets_new_connections_through(self, link: Link) -> None:
        with connection(link) as client:
            client.sendall(b"hello")
            client.recv(100)
            link.cut()
            with pytest.raises(ConnectionResetError):
                client.recv(100)
        with connection(link) as client:
            client.sendall(b"again")
            assert client.recv(100) == b"again"

    def test_a_blackhole_delivers_later_what_was_sent_into_it(self, link: Link) -> None:
        with connection(link, 0.3) as client:
            client.sendall(b"one")
            assert client.recv(100) == b"one"
            link.blackhole()
            client.sendall(b"two")
            with pytest.raises(TimeoutError):
                client.recv(100)
            link.heal()
            client.settimeout(5)
            assert client.recv(100) == b"two"

    def test_a_deaf_client_that_is_cut_never_learns_of_the_answer(self, link: Link) -> None:
        with connection(link, 0.3) as client:
            client.sendall(b"one")
            client.recv(100)
            link.deafen()
            client.sendall(b"two")
            with pytest.raises(TimeoutError):
                client.recv(100)
            link.cut()
            link.heal()
            client.settimeout(5)
            with pytest.raises(ConnectionResetError):
                client.recv(100)

    def test_a_delay_holds_an_answer_back(self, link: Link) -> None:
        with connection(link) as client:
            link.delay(0.2)
            started = time.monotonic()
            client.sendall(b"hello")
            assert client.recv(100) == b"hello"
            assert time.monotonic() - started >= 0.4
