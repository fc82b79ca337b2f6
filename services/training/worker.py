"""The worker process: one job, one run, reports as JSON lines on standard output. ``python -m services.training.worker JOB``.

It dies with its parent (standard input is a pipe that nobody else holds) and never talks to Kafka. Exit code 0 whenever the
last line says how the run ended; anything else is the crash of the worker itself.
"""

import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Final

import msgspec

from services.training.errors import RunError
from services.training.job import DISK, Failed, Job, Report, encode_report

ORPHANED: Final = 3


def main(path: str) -> int:
    """Run the job in ``path``."""
    threading.Thread(target=_die_with_parent, daemon=True, name="leash").start()
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a library prints goes to the log, not between the reports

    def tell(report: Report) -> None:
        out.write(encode_report(report))

    try:
        job = msgspec.json.decode(Path(path).read_bytes(), type=Job)
        from services.training.run import execute  # noqa: PLC0415 - the heavy imports come once the leash is on
        from shared.clock import SystemClock  # noqa: PLC0415

        tell(execute(job, tell, SystemClock()))
    except RunError as error:
        tell(Failed(error.code, str(error)))
    except MemoryError:
        tell(
            Failed(
                "out_of_memory", "The run needs more memory than there is; narrow spec.dataset.window or the recipe."
            )
        )
    except OSError as error:  # the job's inputs are there and pinned: what fails is writing
        tell(
            Failed(
                DISK,
                f"The run's files cannot be written: {error}. If the disk is full, free space in the data directory.",
            )
        )
    except Exception as error:
        traceback.print_exc()
        tell(
            Failed(
                "internal",
                f"The run stopped on an error of ours: {type(error).__name__}: {error}. The log has the trace.",
            )
        )
    return 0


def _die_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os._exit(ORPHANED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
