"""The Mongo-wire server's own process: ``python -m deploy.local.mongo_server FILE PORT JAR…``.

Runs mongo-java-server in a JVM inside this Python process, on a durable H2 file, until SIGTERM or SIGINT.
Writes one line ``listening PORT`` once it accepts connections; exits with 1 and a Java error when it cannot.
"""

import os
import signal
import sys
from typing import Any

import jpype

from deploy.local import java
from deploy.local.ports import HOST

# What kill -9 may lose; H2's own default is 1 s, mongod's journal is written every 0.1 s.
_COMMIT_EVERY_MS = 100
_COMPACT_EVERY = 100  # commits
_FILL_RATE = 50  # percent of the file below which it is compacted
_COMPACT_BYTES = 4 * 1024 * 1024

_JVM = (
    "-Xrs",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-XX:TieredStopAtLevel=1",
    "--enable-native-access=ALL-UNNAMED",
    "-Dio.netty.eventLoopThreads=1",
)


def _serve(file: str, port: int, jars: list[str]) -> None:
    awaited = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)  # before the JVM makes threads that would inherit the open mask
    jpype.startJVM(java.library(), *_JVM, classpath=jars, convertStrings=True)
    store = (
        jpype.JClass("org.h2.mvstore.MVStore$Builder")()
        .fileName(file)
        .autoCommitDisabled()
        .autoCommitBufferSize(0)
        .open()
    )
    server = jpype.JClass("de.bwaldvogel.mongo.MongoServer")(
        jpype.JClass("de.bwaldvogel.mongo.backend.h2.H2Backend")(store)
    )
    server.bind(HOST, port)
    commits = _commit_between_requests(server, store)
    sys.stdout.write(f"listening {server.getLocalAddress().getPort()}\n")
    sys.stdout.flush()
    signal.sigwait(awaited)
    server.shutdown()  # commits and closes the file too
    if commits.failure:
        sys.exit(f"ERROR {commits.failure}")


def _commit_between_requests(server: Any, store: Any) -> Any:
    """Write the file on the one thread that serves requests, so never in the middle of one.

    H2 writes on a thread of its own whenever it likes: after kill -9 a document stood without its index entry, or a write was
    there and one before it was gone, even in one of four kills under load.
    """

    @jpype.JImplements("java.lang.Runnable")
    class Commits:
        def __init__(self) -> None:
            self.count = 0
            self.failure: str | None = None

        @jpype.JOverride  # type: ignore[untyped-decorator]
        def run(self) -> None:
            try:
                if store.hasUnsavedChanges():
                    store.commit()
                    self.count += 1
                    if self.count % _COMPACT_EVERY == 0:
                        store.compact(_FILL_RATE, _COMPACT_BYTES)
            except jpype.JException as error:
                self.failure = str(error)
                os.kill(os.getpid(), signal.SIGTERM)
                raise

    field = server.getClass().getDeclaredField("workerGroup")
    field.setAccessible(True)
    threads = field.get(server)
    if len(list(threads)) != 1:
        message = "the server uses several threads: nothing says when a request is done"
        raise RuntimeError(message)
    commits = Commits()
    every = jpype.JClass("java.util.concurrent.TimeUnit").MILLISECONDS
    threads.scheduleWithFixedDelay(commits, _COMMIT_EVERY_MS, _COMMIT_EVERY_MS, every)
    return commits


if __name__ == "__main__":
    try:
        _serve(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
    except jpype.JException as error:
        sys.exit(f"ERROR {error}")
