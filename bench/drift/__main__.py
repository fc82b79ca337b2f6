"""``uv run python -m bench.drift [PART …] [--quick]``: measures, then writes tables and plots into docs/.

Parts: comparison, delays, throughput, false_alarms, calibrators, breaks, year, injected; all without a name. The comparison makes an environment for every
other tool with uv. All parts take about an hour of one core; ``--quick`` a few minutes, with wide intervals. Figures go to ``--json`` too.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any, Final

PARTS: Final = ("comparison", "delays", "throughput", "false_alarms", "calibrators", "breaks", "year", "injected")


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")  # before numpy is imported
    from bench.drift import report

    results = {part: measured(part, quick=given.quick, workers=given.workers) for part in given.parts or PARTS}
    if given.json is not None:
        given.json.write_text(json.dumps(results, indent=1) + "\n")
    report.write(results)


def measured(part: str, *, quick: bool, workers: int) -> Any:
    """One part's figures."""
    from bench.drift import breaks, calibrators, comparison, delays, false_alarms, injected, throughput, year

    match part:
        case "comparison":
            return comparison.compare()
        case "delays":
            return delays.measure(5 if quick else 20, (60, 100), workers)
        case "throughput":
            return throughput.measure(wide_rows=100_000 if quick else 3_000_000)
        case "false_alarms":
            found = false_alarms.measure(10 if quick else 200, 15 if quick else 60, workers)
            return [each.document() for each in found]
        case "breaks":
            return breaks.measure(27 if quick else 6, workers)
        case "injected":
            return injected.measure(3, 75) if quick else injected.measure(10, 306)
        case "calibrators":
            return calibrators.measure(10 if quick else 100)
        case _:
            return year.run(60 if quick else 306)


if __name__ == "__main__":
    main()
