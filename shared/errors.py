"""Every error of headrace that a person may read, as one tree. A message is a sentence: what was wrong, where, what to do."""

from typing import Final

EXIT_CONFIGURATION: Final = 1  # settings refused: restarting cannot help
EXIT_RESTART: Final = 70  # something inside went wrong: restart me, I resume from the log


class HeadraceError(Exception):
    """The root: catch it where a sentence is shown instead of a traceback."""


class ConfigurationError(HeadraceError):
    """Settings that cannot be used; the process refuses to start (exit code 1)."""


class TransientError(HeadraceError):
    """It may work when tried again: a time-out, a refused connection, a 503."""


class OutcomeUnknownError(TransientError):
    """A publish that was neither acknowledged nor refused in time: retry with the same id."""


class UnansweredError(TransientError):
    """The deadline of a request passed: it was not scored in time, or its answer did not come."""


class PermanentError(HeadraceError):
    """It will never work for this record, however often it is tried: it goes to the dead letters at once."""


class RefusedError(PermanentError):
    """A request that breaks a rule; the message says which."""


class PlatformError(HeadraceError):
    """Kafka or the store cannot be used: unreachable, topics missing, wrong partition count."""


class FatalError(HeadraceError):
    """The process cannot go on safely (fenced, outcome of a transaction unknown): exit code 70, the supervisor restarts it."""
