"""Logs for people (one readable line per event) or machines (JSON). Libraries speak from WARNING up."""

import logging
import sys
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from shared.settings import PlatformSettings

QUIETED: Final = ("aiokafka", "faststream", "uvicorn", "uvicorn.error", "uvicorn.access", "asyncio", "pymongo", "httpx")
SILENCED: Final = (  # their warnings and errors are what a rebalance or a broker's restart looks like; they retry
    "aiokafka.consumer.group_coordinator",
    "aiokafka.producer.sender",
    "aiokafka.consumer.fetcher",
    "aiokafka.conn",
)


def configure(settings: PlatformSettings, service: str) -> None:
    """Set logging up for this process; every line says which service speaks."""
    level = logging.getLevelNamesMapping()[settings.log.level]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _service(service),
    ]
    if settings.log.format == "json":
        renderers: list[Processor] = [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
    else:
        renderers = [_readable]
    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIETED:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    for name in SILENCED:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger: ``log.info("a sentence", key=value)``."""
    logger: FilteringBoundLogger = structlog.get_logger(module=name)
    return logger


def _service(service: str) -> Processor:
    def add(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["service"] = service
        return event

    return add


def _readable(_logger: object, _method: str, event: structlog.typing.EventDict) -> str:
    time = str(event.pop("timestamp", ""))[11:23]
    level = str(event.pop("level", "")).upper()
    service = event.pop("service", "")
    text = event.pop("event", "")
    event.pop("module", None)
    trace = event.pop("exc_info", None)
    pairs = " ".join(f"{key}={value}" for key, value in event.items())
    line = f"{time} {level:<7} {service:<11} {text}" + (f"  ({pairs})" if pairs else "")
    if isinstance(trace, BaseException):
        trace = (type(trace), trace, trace.__traceback__)
    if trace is True:
        trace = sys.exc_info()
    if isinstance(trace, tuple) and trace[0] is not None:
        line += "\n" + structlog.processors.format_exc_info(None, "", {"exc_info": trace})["exception"]
    return line
