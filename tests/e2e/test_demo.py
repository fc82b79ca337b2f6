"""`headrace demo`: the whole loop with one command."""

import json
import subprocess
from pathlib import Path

import psutil
import pytest
from headrace_command import ARGV, ROOT, Headrace, eventually, left

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]


def test_the_demo_ends_with_balanced_accounts_and_leaves_no_process_behind(tmp_path: Path) -> None:
    result, log = tmp_path / "result.json", tmp_path / "demo.log"
    home = Headrace({"XDG_STATE_HOME": str(tmp_path / "state"), "TMPDIR": str(tmp_path)})
    seen: dict[int, psutil.Process] = {}
    with log.open("wb") as sink:
        demo = subprocess.Popen(
            [*ARGV, "demo", "--days", "3", "--json", str(result)],
            cwd=ROOT,
            env=home.environment(),
            stdout=sink,
            stderr=sink,
        )

    def ended() -> bool:
        seen.update((child.pid, child) for child in psutil.Process(demo.pid).children(recursive=True))
        return demo.poll() is not None

    try:
        eventually(ended, within=500, what="the end of the demo")
    except AssertionError as error:
        error.add_note(log.read_text())
        error.add_note(_last_words(tmp_path))
        raise
    finally:
        demo.kill()
        demo.wait()

    told = log.read_text()
    assert demo.returncode == 0, told
    assert "Traceback" not in told
    document = json.loads(result.read_text())
    assert document["balanced"]
    assert document["events"]["rejected"] > 0
    assert document["events"]["duplicates"] > 0
    assert document["events"]["dead_letters"] > 0
    assert document["events"]["rerouted"] > 0
    assert document["champion"] >= 1
    assert document["counts"]["performance windows"] >= 3
    assert document["counts"]["quality windows"] >= 1
    assert document["counts"]["promotions"] >= 1
    assert document["slack_messages"] >= 1, "at least that the first version waits for its approval"
    served = document["models"]["flight-delay"]
    assert served["ok"] == served["owed"] > 1000
    assert (served["failed"], served["repeated"]) == (0, 0)
    assert len(seen) > 8
    assert left(list(seen.values())) == []
    assert not list(tmp_path.glob("headrace-demo-*")), "the temporary directory is gone"


def _last_words(directory: Path, lines: int = 15) -> str:
    """The ends of the services' logs: what a demo that did not end was waiting for."""
    return "\n".join(
        f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
        for log in sorted(directory.glob("headrace-demo-*/logs/*.log"))
    )
