"""Errors that a person can act on, as sentences; with ``--json`` as a document too. Anything else keeps its traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from cli import output
from shared.errors import HeadraceError, RefusedError

# An error can only have been raised where its module is loaded: nothing is imported to find out.
_SENTENCES: Final = (
    ("shared.errors", "HeadraceError"),
    ("deploy.local.errors", "PlatformError"),
    ("schemas.definitions", "DefinitionError"),
    ("schemas.reasons", "RefusedRecordError"),
)


class DetailedError(RefusedError):
    """A refusal of which programs are told more than the sentence."""

    def __init__(self, sentence: str, **details: Any) -> None:
        """``details`` stand beside the sentence in what ``--json`` prints."""
        super().__init__(sentence)
        self.details = details


@contextmanager
def told(*, exit_code: int) -> Iterator[None]:
    """Tell an error that the block raises, and exit with ``exit_code``."""
    try:
        yield
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        output.complain(sentence)
        output.refused(document(sentence, error))
        sys.exit(exit_code)


def document(sentence: str, error: Exception) -> dict[str, Any]:
    """What programs read of a refusal."""
    if isinstance(error, DetailedError):
        return {"error": sentence, **error.details}
    problems = getattr(error, "problems", None)
    return {"error": sentence, **({} if problems is None else {"problems": [str(problem) for problem in problems]})}


def _sentence(error: Exception) -> str | None:
    if any(_is(error, module, name) for module, name in _SENTENCES):
        return str(error)
    if _is(error, "aiokafka.errors", "KafkaError"):
        return _kafka_sentence(error)
    if isinstance(error, OSError):
        return _file_sentence(error)
    return None


def _is(error: Exception, module: str, name: str) -> bool:
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(error, getattr(loaded, name))


def _kafka_sentence(error: Exception) -> str:
    from cli.connection import connect  # noqa: PLC0415 - the failed command has loaded it already

    if not _is(error, "aiokafka.errors", "KafkaConnectionError"):
        return f"Kafka refused: {error}. See `headrace doctor`."
    try:
        where = f"Kafka at {connect().settings.kafka.bootstrap_servers}"
    except HeadraceError:
        where = "Kafka"
    return f"{where} does not answer: check that it runs, and HEADRACE_KAFKA__BOOTSTRAP_SERVERS."


def _file_sentence(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}."
