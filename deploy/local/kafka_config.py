"""The broker's configuration files as text: one node that is broker and controller."""

from deploy.local.ports import HOST

_LIMITS = {
    # One node: whatever Kafka keeps three times elsewhere is kept once.
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    # Each internal partition costs files and start-up time.
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.num.partitions": 4,
    # Kafka 4.3.1 loads a group coordinator twice after kill -9: at once, and again when the broker, fenced meanwhile for its old
    # session, is let in. The first load's end opens the coordinator that the second is still filling, and it answers with offsets of
    # long ago. Every transaction adds an entry and a marker, so these logs grow quickly; kept at a megabyte, loading is over before
    # anyone asks. Our own topics say themselves how long a tombstone stays (schemas/topics.py).
    "offsets.topic.segment.bytes": 1024 * 1024,
    "transaction.state.log.segment.bytes": 1024 * 1024,
    "log.cleaner.delete.retention.ms": 10_000,
    "log.cleaner.backoff.ms": 5_000,
    # Topics come from the catalogue; a mistyped name must be an error.
    "auto.create.topics.enable": "false",
    # No waiting for further group members: tests and demo start theirs one at a time.
    "group.initial.rebalance.delay.ms": 0,
    # After kill -9 the controller accepts the new broker once the old one's session has ended: 9 s by default.
    "broker.session.timeout.ms": 3000,
    "broker.heartbeat.interval.ms": 500,
    # Memory: two cores and a laptop; the cleaner alone takes 128 MiB by default.
    "num.network.threads": 2,
    "num.io.threads": 4,
    "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
    # Index files are preallocated, two a partition, at 10 MiB each by default.
    "log.index.size.max.bytes": 1024 * 1024,
}

LOG4J = """\
<Configuration>
  <Appenders>
    <Console name="out"><PatternLayout pattern="%d{ISO8601} %p %m (%c{1})%n"/></Console>
  </Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""


def server_properties(broker_port: int, controller_port: int) -> str:
    """Return ``server.properties``; data lies in ``data`` below the broker's working directory.

    The quorum is static (``controller.quorum.voters``): its address comes from here at each start, so ports may change
    between two starts on the same data, and formatting needs nothing but two small files.
    """
    settings: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "listeners": f"BROKER://{HOST}:{broker_port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"BROKER://{HOST}:{broker_port}",
        "inter.broker.listener.name": "BROKER",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": "data",
        **_LIMITS,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def meta_properties(cluster_id: str, directory_id: str) -> str:
    """Return the identity that Kafka expects in a formatted data directory."""
    return f"version=1\nnode.id=1\ncluster.id={cluster_id}\ndirectory.id={directory_id}\n"


def cluster_id_in(meta: str) -> str | None:
    """Return the cluster id that a ``meta.properties`` names."""
    for line in meta.splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "cluster.id":
            return value.strip()
    return None
