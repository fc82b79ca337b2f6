"""``python -m bench.throughput [--rounds 5] [--latency-rounds 1] [--rates 1000 5000] [--only NAME …]
[--curve 1 2 4 8 16] [--cold] [--out DIRECTORY]``.

Starts the embedded Kafka, lets every contestant in turn score the same events with the same model, in another order each round,
and writes results.json, table.md and throughput.svg. One round goes before that does not count: until the broker's Java is compiled it takes twice
the time for an event. A peer that cannot be started is named and left out. ``--curve`` has headrace alone
score on so many partitions each.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil

from bench.throughput import report
from bench.throughput.contest import Arena
from bench.throughput.contestants import CONTESTANTS, Contestant
from bench.timing import machine
from deploy.local.platform import running


def compete(arena: Arena, contestants: Sequence[Contestant], options: argparse.Namespace) -> dict[str, Any]:
    """All rounds of all contestants."""
    order = random.Random(options.seed)
    found: dict[str, Any] = {
        "cold": options.cold,
        "machine": [],
        "throughput": [],
        "latency": {rate: [] for rate in options.rates},
    }
    scoring = [each for each in contestants if not each.echo]
    if not options.cold:
        print("a round that does not count", file=sys.stderr, flush=True)
        _round(arena, random.Random(options.seed), scoring, lambda each: asdict(arena.throughput(each)))
    for _ in range(options.rounds):
        found["machine"].append(machine())
        found["throughput"].append(_round(arena, order, scoring, lambda each: asdict(arena.throughput(each))))
        _keep(found, options.out)
    rates = {each.name: _best(found["throughput"], each.name) for each in scoring}
    for _ in range(options.latency_rounds):
        for rate in options.rates:
            able = [each for each in contestants if each.echo or rates[each.name] > rate or not options.rounds]
            found["latency"][rate].append(
                _round(arena, order, able, lambda each, rate=rate: asdict(arena.latency(each, rate, options.seconds)))
            )
            _keep(found, options.out)
    return found


def curve(arenas: dict[int, Arena], ours: Contestant, options: argparse.Namespace) -> dict[int, list[dict[str, Any]]]:
    """Rounds of headrace alone by number of partitions, in another order each round."""
    order = random.Random(options.seed)
    found: dict[int, list[dict[str, Any]]] = {partitions: [] for partitions in arenas}
    for _ in range(options.rounds if arenas else 0):
        for partitions in order.sample(list(arenas), len(arenas)):
            found[partitions].append(asdict(arenas[partitions].throughput(ours)))
            print(f"{partitions} partitions: {found[partitions][-1]}", file=sys.stderr, flush=True)
    return found


def _round(arena: Arena, order: random.Random, contestants: Sequence[Contestant], measure: Any) -> dict[str, Any]:
    del arena
    found: dict[str, Any] = {}
    for each in order.sample(list(contestants), len(contestants)):
        began = time.monotonic()
        try:
            found[each.name] = measure(each)
        except Exception as error:  # a peer that does not start must not end the run
            print(f"{each.name}: {type(error).__name__}: {error}", *getattr(error, "__notes__", ()), file=sys.stderr)
            found[each.name] = None
        print(f"{each.name}: {found[each.name]} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
    return found


def _best(rounds: Sequence[dict[str, Any]], name: str) -> float:
    return max((each[name]["rate"] for each in rounds if each.get(name)), default=0.0)


def _keep(found: dict[str, Any], out: Path) -> None:
    (out / "results.json").write_text(json.dumps(found, indent=1))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.throughput", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency-rounds", type=int, default=1)
    parser.add_argument("--rates", type=int, nargs="*", default=[1000, 5000])
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--curve", type=int, nargs="*", default=[], help="numbers of partitions for headrace alone")
    parser.add_argument("--features", type=int, default=12)
    parser.add_argument("--estimator", default="LogisticRegression")
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of events of a throughput round")
    parser.add_argument("--only", nargs="*", help="names of contestants")
    parser.add_argument(
        "--cold", action="store_true", help="count the first round, too, in which the broker's Java is not compiled yet"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True, parents=True)
    contestants = [
        replace(each, events=int(each.events * options.scale))
        for each in CONTESTANTS
        if not options.only or each.name in options.only
    ]
    with (
        tempfile.TemporaryDirectory(prefix="headrace-bench-") as directory,
        running(Path(directory) / "platform", with_mongo=False, report=lambda _: None) as platform,
    ):
        arena = Arena(
            platform.bootstrap_servers, psutil.Process(platform.kafka_pid), Path(directory), partitions=options.partitions,
            width=options.features, estimator=options.estimator,
        )  # fmt: skip
        found = compete(arena, contestants, options)
        found["curve"] = curve({number: arena.on(number) for number in options.curve}, CONTESTANTS[0], options)
        _keep(found, options.out)
    names = [(each.name, each.promise) for each in contestants]
    table = report.table(names, found["throughput"], found["latency"], "headrace")
    if options.curve:
        table += "\n\n" + report.curve(found["curve"])
    (options.out / "table.md").write_text(table + "\n")
    title = (
        f"Events a second, saturated; {options.features} features, {options.estimator}, {options.partitions} partitions"
    )
    (options.out / "throughput.svg").write_text(report.bars(names, found["throughput"], title))
    print("\n".join(dict.fromkeys(found["machine"])), table, sep="\n\n")


if __name__ == "__main__":
    main()
