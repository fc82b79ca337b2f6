"""How every Kafka client of headrace is configured: one place, so that no client can be declared unsafe."""

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CorruptRecordException, KafkaConnectionError, KafkaError, UnsupportedCodecError

from shared.errors import PlatformError
from shared.header_names import tolerate_header_names
from shared.logs import get_logger
from shared.settings import KafkaSettings

if TYPE_CHECKING:
    from faststream.security import BaseSecurity

MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024
MAX_BATCH_BYTES: Final = 256 * 1024  # a batch must fit the smallest max.message.bytes of the catalogue
# Said in the middle of a fetch, after aiokafka has moved the positions of the partitions before: whoever goes on passes over
# records that it never saw.
UNREADABLE: Final = (CorruptRecordException, UnsupportedCodecError)

log = get_logger(__name__)


def connection_options(kafka: KafkaSettings) -> dict[str, Any]:
    """What every aiokafka client needs to connect."""
    options: dict[str, Any] = {
        "bootstrap_servers": [part.strip() for part in kafka.bootstrap_servers.split(",")],
        "security_protocol": kafka.security_protocol,
        "request_timeout_ms": int(kafka.request_timeout * 1000),
    }
    if kafka.security_protocol.endswith("SSL"):
        options["ssl_context"] = tls_context(kafka)
    if kafka.security_protocol.startswith("SASL") and kafka.sasl_password is not None:
        options["sasl_mechanism"] = kafka.sasl_mechanism
        options["sasl_plain_username"] = kafka.sasl_username
        options["sasl_plain_password"] = kafka.sasl_password.get_secret_value()
    return options


def tls_context(kafka: KafkaSettings) -> ssl.SSLContext:
    """A verifying TLS context, with the client's certificate where there is one."""
    context = ssl.create_default_context(cafile=str(kafka.ssl_ca_file) if kafka.ssl_ca_file else None)
    if kafka.ssl_certificate_file:
        context.load_cert_chain(
            str(kafka.ssl_certificate_file), str(kafka.ssl_key_file) if kafka.ssl_key_file else None
        )
    return context


def faststream_security(kafka: KafkaSettings) -> "BaseSecurity":
    """The same as FastStream wants it."""
    from faststream.security import (  # noqa: PLC0415 - whoever only reads or writes topics does without FastStream
        BaseSecurity,
        SASLPlaintext,
        SASLScram256,
        SASLScram512,
    )

    tls = kafka.security_protocol.endswith("SSL")
    context = tls_context(kafka) if tls else None
    if not kafka.security_protocol.startswith("SASL") or kafka.sasl_username is None or kafka.sasl_password is None:
        return BaseSecurity(ssl_context=context, use_ssl=tls)
    kinds = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
    kind = kinds[kafka.sasl_mechanism]
    return kind(kafka.sasl_username, kafka.sasl_password.get_secret_value(), ssl_context=context, use_ssl=tls)


def reader(kafka: KafkaSettings, *, committed_only: bool = True, **options: Any) -> AIOKafkaConsumer:
    """A consumer without a group that sees committed records only, unless told otherwise. Not started."""
    tolerate_header_names()
    return AIOKafkaConsumer(
        **connection_options(kafka),
        isolation_level="read_committed" if committed_only else "read_uncommitted",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **options,
    )


def idempotent_producer(kafka: KafkaSettings, **options: Any) -> AIOKafkaProducer:
    """A producer that neither loses nor repeats what it acknowledged. Not started."""
    return AIOKafkaProducer(
        **connection_options(kafka),
        acks="all",
        enable_idempotence=True,
        max_request_size=MAX_REQUEST_BYTES,
        max_batch_size=MAX_BATCH_BYTES,
        **options,
    )


def admin_client(kafka: KafkaSettings) -> AIOKafkaAdminClient:
    """An admin client. Not started."""
    return AIOKafkaAdminClient(**connection_options(kafka))


async def wait_for_kafka(kafka: KafkaSettings) -> None:
    """Return once a broker answers. Raises `PlatformError` after ``kafka.startup_timeout`` seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + kafka.startup_timeout
    pause, said = 0.2, False
    while True:
        admin = admin_client(kafka)
        try:
            await asyncio.wait_for(admin.start(), max(1.0, deadline - loop.time()))
        except (KafkaConnectionError, KafkaError, OSError, TimeoutError) as error:
            if loop.time() + pause > deadline:
                message = (
                    f"Kafka at {kafka.bootstrap_servers} did not answer within {kafka.startup_timeout:g} s; "
                    "check that it runs and HEADRACE_KAFKA__BOOTSTRAP_SERVERS."
                )
                raise PlatformError(message) from error
            if not said:
                log.warning("Kafka does not answer yet; trying again", servers=kafka.bootstrap_servers)
                said = True
        else:
            return
        finally:
            await admin.close()
        await asyncio.sleep(pause)
        pause = min(pause * 2, 3.0)
