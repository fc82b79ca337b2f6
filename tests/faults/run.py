"""``python -m tests.faults.run --profile default|ci|long --seed N [--seed M …] [--output DIR]``: exit 0 if every check passed."""

import argparse
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.faults import report, scene_faults
from tests.faults.broker import Ground, ground
from tests.faults.oracle.findings import Findings
from tests.faults.playing import Run, busy, play
from tests.faults.profiles import PROFILES, Profile

SCENE_LINKS: Final = ("scene_healthy", "scene_mutated")
SCENES_AT_ONCE: Final = 4
WITH_MUTANTS: Final = ("default", "ci")

Verdicts = dict[tuple[str, str | None], Findings | str]


def say(text: str) -> None:
    """Progress for whoever waits."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def play_scenes(at: Ground, home: Path) -> Verdicts:
    """Every mutant and every healthy counterpart, several at once: they mostly wait for time-outs."""

    def one(scene: tuple[str, str | None]) -> Findings | str:
        try:
            return scene_faults.play(at, home, *scene)
        except Exception as error:  # told in the report
            return f"did not end: {type(error).__name__}: {error}"

    wanted = scene_faults.everything()
    with ThreadPoolExecutor(SCENES_AT_ONCE) as threads:
        return dict(zip(wanted, threads.map(one, wanted), strict=True))


def conduct(profile: Profile, seed: int, output: Path) -> tuple[Run, Verdicts]:
    """One run on a platform of its own; everything that tells of it goes to ``output``."""
    machine = busy()
    output.mkdir(parents=True, exist_ok=True)
    data = Path(tempfile.mkdtemp(prefix="headrace-faults-"))
    try:
        say(f"profile {profile.name}, seed {seed}: starting Kafka and Mongo")
        with ground(data, (*profile.services, *SCENE_LINKS), say) as at:
            run = play(profile, seed, at, output, say, machine)
            verdicts: Verdicts = {}
            if profile.name in WITH_MUTANTS:
                say("mutants and their healthy counterparts")
                verdicts = play_scenes(at, output / "scenes")
        if not run.passed:  # the topics themselves: what else would say what happened?
            shutil.move(data / "kafka" / "data", output / "kafka-data")
    finally:
        with suppress(OSError):
            shutil.copytree(data / "logs", output / "platform-logs", dirs_exist_ok=True)
        shutil.rmtree(data, ignore_errors=True)
    report.write(output, run, verdicts)
    return run, verdicts


def main(arguments: Sequence[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.run")
    parser.add_argument("--profile", choices=sorted(PROFILES), default="long")
    parser.add_argument("--seed", type=int, action="append", help="may be repeated; one run each (default 1)")
    parser.add_argument("--output", type=Path, help="where reports, ledgers, fault logs and service logs are kept")
    given = parser.parse_args(arguments)
    profile = PROFILES[given.profile]
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # connections that faults cut are no news
    failed = False
    for seed in given.seed or [1]:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        output = (given.output or Path(".faults")) / f"{profile.name}-seed{seed}-{stamp}"
        run, verdicts = conduct(profile, seed, output.absolute())
        failed |= not run.passed or bool(report.wrong_verdicts(verdicts))
        print(report.page(run, verdicts))
        print(f"Kept in {output}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
