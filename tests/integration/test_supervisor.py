"""The supervisor with real processes: small HTTP servers that can be told to misbehave."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deploy.local import ports
from deploy.local.errors import PlatformError
from deploy.local.leash import Leash
from deploy.local.service import ProcessSpec
from deploy.local.service_logs import LogLine
from deploy.local.supervisor import Supervisor

SERVER = """
import http.server, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
print("WARNING serving", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
"""
NOTES_ITS_END = """
import signal, sys, time
def end(*_):
    print("ended in order", flush=True); sys.exit(0)
signal.signal(signal.SIGTERM, end)
time.sleep(600)
"""
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
CRASHES_ONCE = """
import os, pathlib, sys, time
seen = pathlib.Path(sys.argv[1])
if not seen.exists():
    seen.touch()
    os._exit(3)
time.sleep(600)
"""
PARENT = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"


@pytest.fixture
def leash() -> Iterator[Leash]:
    with Leash() as leash:
        yield leash


def eventually(fact: Callable[[], bool], within_s: float = 20.0) -> bool:
    deadline = time.monotonic() + within_s
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def python(name: str, code: str, *arguments: str) -> ProcessSpec:
    return ProcessSpec(name, [sys.executable, "-I", "-c", code, *arguments])


def server(name: str) -> ProcessSpec:
    (port,) = ports.pick(1)
    spec = python(name, SERVER, str(port))
    return ProcessSpec(spec.name, spec.argv, {}, f"http://127.0.0.1:{port}/health/ready")


def test_a_killed_service_is_started_again_and_its_siblings_are_not(leash: Leash, tmp_path: Path) -> None:
    with Supervisor([server("one"), server("two")], tmp_path, leash=leash) as supervisor:
        before = supervisor.pids()
        supervisor.kill("one")
        assert gone(before["one"])
        assert eventually(lambda: supervisor.restarts() == {"one": 1, "two": 0} and len(supervisor.pids()) == 2)
        after = supervisor.pids()
        assert after["one"] != before["one"]
        assert after["two"] == before["two"]
    assert supervisor.pids() == {}
    assert gone(after["one"])
    assert gone(after["two"])


def test_a_refused_configuration_ends_the_start_with_the_services_own_words(leash: Leash, tmp_path: Path) -> None:
    bad = python("bad", "import sys; sys.exit('kafka.bootstrap_servers: field required')")
    with pytest.raises(PlatformError, match=r"bad refused to start: kafka\.bootstrap_servers: field required"):
        Supervisor([server("good"), bad], tmp_path, leash=leash).start()


def test_a_service_that_crashes_while_starting_is_tried_again(leash: Leash, tmp_path: Path) -> None:
    once = [sys.executable, "-I", "-c", CRASHES_ONCE, str(tmp_path / "seen")]
    with Supervisor([ProcessSpec("shaky", once)], tmp_path, leash=leash) as supervisor:
        assert supervisor.restarts() == {"shaky": 1}


def test_a_service_that_never_becomes_ready_is_named_at_the_deadline(leash: Leash, tmp_path: Path) -> None:
    mute = ProcessSpec("mute", python("mute", DEAF).argv, {}, f"http://127.0.0.1:{ports.pick(1)[0]}/")
    with pytest.raises(PlatformError, match="Not ready after 1 s: mute"):
        Supervisor([mute], tmp_path, leash=leash, ready_s=1, grace_s=0.1).start()


def test_sigterm_comes_first_and_the_end_is_logged(leash: Leash, tmp_path: Path) -> None:
    with Supervisor([python("tidy", NOTES_ITS_END)], tmp_path, leash=leash):
        pass
    assert (tmp_path / "logs" / "tidy.log").read_text() == "ended in order\n"


def test_a_service_deaf_to_sigterm_is_killed_after_the_grace_time(leash: Leash, tmp_path: Path) -> None:
    with Supervisor([python("deaf", DEAF)], tmp_path, leash=leash, grace_s=0.2) as supervisor:
        pid = supervisor.pids()["deaf"]
    assert gone(pid)


def test_what_a_service_started_ends_with_it(leash: Leash, tmp_path: Path) -> None:
    with Supervisor([python("parent", PARENT)], tmp_path, leash=leash):
        child = int((tmp_path / "logs" / "parent.log").read_text())
        assert not gone(child)
    assert eventually(lambda: gone(child)), "it is not ours to wait for: the kernel ends it a moment later"


def test_every_line_reaches_the_file_and_the_sink_with_its_service_and_level(leash: Leash, tmp_path: Path) -> None:
    seen: list[LogLine] = []
    with Supervisor([server("web")], tmp_path, leash=leash, sink=seen.append):
        assert eventually(lambda: bool(seen))
    assert seen[0] == LogLine("web", "WARNING serving", logging.WARNING)
    assert (tmp_path / "logs" / "web.log").read_text() == "WARNING serving\n"


def test_a_sink_that_fails_does_not_hurt_the_service(leash: Leash, tmp_path: Path) -> None:
    def broken(_line: LogLine) -> None:
        raise BrokenPipeError

    with Supervisor([server("web")], tmp_path, leash=leash, sink=broken) as supervisor:
        assert supervisor.restarts() == {"web": 0}


def test_a_program_that_does_not_exist_is_named(leash: Leash, tmp_path: Path) -> None:
    absent = ProcessSpec("absent", ["/nowhere/program"])
    with pytest.raises(PlatformError, match="absent"):
        Supervisor([absent], tmp_path, leash=leash, ready_s=1).start()
    assert "cannot start /nowhere/program: No such file" in (tmp_path / "logs" / "absent.log").read_text()


def test_a_child_outlives_the_thread_that_started_it(leash: Leash) -> None:
    started = []
    thread = threading.Thread(target=lambda: started.append(leash.spawn(["/bin/sleep", "600"], env={}, output=-3)))
    thread.start()
    thread.join()
    (process,) = started
    assert process.poll() is None
    assert leash.kill(process) == -9


def test_a_killed_watchdog_is_replaced_at_the_next_start(tmp_path: Path) -> None:
    leash = Leash()
    first = leash.spawn(["/bin/sleep", "600"], env={}, output=-3)
    assert eventually(lambda: psutil.Process(first.pid).name() == "sleep")  # before, it is on its way to register
    leash._watchdog.kill()
    leash._watchdog.wait()
    second = leash.spawn(["/bin/sleep", "600"], env={}, output=-3)
    leash.close()
    assert eventually(lambda: first.poll() == -9 and second.poll() == -9)


def test_a_service_that_was_never_ready_and_does_not_hear_is_not_waited_for_as_long_as_others(
    leash: Leash, tmp_path: Path
) -> None:
    (port,) = ports.pick(1)
    deaf = ProcessSpec("deaf", [sys.executable, "-I", "-c", DEAF], {}, f"http://127.0.0.1:{port}/health/ready")
    supervisor = Supervisor([deaf], tmp_path, leash=leash, ready_s=2, grace_s=120)
    begun = time.monotonic()
    with pytest.raises(PlatformError, match="Not ready after 2 s: deaf"):
        supervisor.start()
    assert time.monotonic() - begun < 60
    assert supervisor.pids() == {}
