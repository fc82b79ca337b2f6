"""The embedded Kafka with one more listener a link, each advertised at its proxy's port; and the Mongo-wire server."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from deploy.local import artifacts, kafka_config, locks, places, ports
from deploy.local.kafka import KafkaProcess
from deploy.local.leash import Leash
from deploy.local.mongo import MongoProcess
from tests.faults.proxy import Link, Network

Report = Callable[[str], None]


class ProxiedKafka(KafkaProcess):
    """A broker that can be reached through links too. Its ports stay over restarts."""

    links: Mapping[str, Link] = {}

    def _spawn(self) -> None:
        plain = kafka_config.server_properties

        def with_links(broker_port: int, controller_port: int) -> str:
            return plain(broker_port, controller_port) + further_listeners(broker_port, controller_port, self.links)

        with mock.patch.object(kafka_config, "server_properties", with_links):
            super()._spawn()


def further_listeners(broker_port: int, controller_port: int, links: Mapping[str, Link]) -> str:
    """Properties that replace those about listeners: of two equal keys in a file, Java takes the later one."""
    names = {f"LINK_{name.upper()}": link for name, link in links.items()}
    listening = [f"BROKER://{ports.HOST}:{broker_port}", f"CONTROLLER://{ports.HOST}:{controller_port}"]
    advertised = [f"BROKER://{ports.HOST}:{broker_port}"]
    protocols = ["BROKER:PLAINTEXT", "CONTROLLER:PLAINTEXT"]
    threads = []
    for name, link in names.items():
        listening.append(f"{name}://{ports.HOST}:{link.target}")
        advertised.append(f"{name}://{ports.HOST}:{link.port}")
        protocols.append(f"{name}:PLAINTEXT")
        threads.append(f"listener.name.{name.lower()}.num.network.threads=1\n")
    return (
        f"listeners={','.join(listening)}\n"
        f"advertised.listeners={','.join(advertised)}\n"
        f"listener.security.protocol.map={','.join(protocols)}\n" + "".join(threads)
    )


@dataclass(frozen=True)
class Ground:
    """What services stand on."""

    kafka: KafkaProcess
    mongo: MongoProcess
    network: Network
    leash: Leash
    data_dir: Path


@contextmanager
def ground(data_dir: Path, links: Sequence[str], report: Report) -> Iterator[Ground]:
    """Kafka, the Mongo-wire server and the links, for the length of a block."""
    cache = places.cache_dir()
    kafka_jars, mongo_jars = artifacts.pinned("kafka"), artifacts.pinned("mongo")
    paths = artifacts.ensure(kafka_jars + mongo_jars, cache, report)
    with ExitStack() as life:
        lock = locks.claim(data_dir)
        life.callback(os.close, lock)
        leash = life.enter_context(Leash(holding=[lock]))
        network = life.enter_context(Network())
        for name in links:
            network.link(name, *ports.pick(2))
        kafka = ProxiedKafka(data_dir, paths[: len(kafka_jars)], leash=leash, cache=cache, report=report)
        kafka.links = dict(network.links)
        mongo = MongoProcess(data_dir, paths[len(kafka_jars) :], leash=leash)
        life.callback(kafka.stop)
        kafka.launch()
        life.callback(mongo.stop)
        mongo.start()
        kafka.wait_ready()
        yield Ground(kafka, mongo, network, leash, data_dir)
