"""``python -m deploy.local --data-dir D [--ready-file F]``: the embedded platform until Ctrl-C, for developers."""

import argparse
import json
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from deploy.local.errors import PlatformError
from deploy.local.keeping import Keeper, kept
from deploy.local.platform import Platform

_LOOK_S = 0.5


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM (0), or until the platform cannot start or be kept running (1)."""
    options = _parser().parse_args(argv)
    try:
        _run(options)
    except PlatformError as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:  # while it was starting
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="everything the platform keeps; made when missing")
    parser.add_argument(
        "--ready-file", type=Path, help="JSON with addresses and process ids, written once all is ready"
    )
    parser.add_argument("--kafka-port", type=int, default=0, help="0 takes any free one")
    parser.add_argument("--mongo-port", type=int, default=0, help="0 takes any free one")
    parser.add_argument("--no-mongo", action="store_true", help="Kafka alone")
    return parser


def _run(options: argparse.Namespace) -> None:
    ready_file: Path | None = options.ready_file
    if ready_file:
        ready_file.unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # while starting: as Ctrl-C
    with Platform(
        options.data_dir,
        kafka_port=options.kafka_port,
        mongo_port=options.mongo_port,
        with_mongo=not options.no_mongo,
        report=_say,
    ) as platform:
        try:
            asked = _end_when_asked()  # before anybody can know that all is ready
            if ready_file:
                _write_ready(ready_file, platform)
            with kept(platform, _say) as keeper:
                _wait(keeper, asked)
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C does not wait for an orderly end
            if ready_file:
                ready_file.unlink(missing_ok=True)


def _end_when_asked() -> threading.Event:
    """Set by SIGINT and SIGTERM from now on."""
    asked = threading.Event()

    def ask(_signal: int, _frame: FrameType | None) -> None:
        asked.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    return asked


def _wait(keeper: Keeper, asked: threading.Event) -> None:
    """Return once asked to end; raises PlatformError when a part cannot be kept running."""
    while not asked.wait(_LOOK_S):
        if keeper.failure:
            raise PlatformError(keeper.failure)


def _write_ready(file: Path, platform: Platform) -> None:
    at = platform.endpoints
    content = {
        "bootstrap_servers": at.bootstrap_servers,
        "mongo_uri": at.mongo_uri,
        "pids": {"kafka": at.kafka_pid, "mongo": at.mongo_pid},
    }
    draft = file.with_name(file.name + ".draft")
    draft.write_text(json.dumps(content))
    draft.replace(file)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
