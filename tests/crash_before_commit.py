"""Runs a service that dies by kill -9 right before its consumer commits for the nth time: outputs stand, offsets do not.

``python tests/crash_before_commit.py SERVICE NTH``. The service itself knows nothing of it.
"""

import itertools
import os
import runpy
import signal
import sys
from typing import Any

from aiokafka import AIOKafkaConsumer

commits = itertools.count(1)
commit = AIOKafkaConsumer.commit


async def dying_commit(self: Any, offsets: Any = None) -> None:
    if next(commits) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    await commit(self, offsets)


if __name__ == "__main__":
    AIOKafkaConsumer.commit = dying_commit
    runpy.run_module(f"services.{sys.argv[1]}", run_name="__main__")
