"""One of the tools that people use today over the windows in a file: ``python peers.py NAME WINDOWS.npz``; prints JSON.

Runs in an environment of its own (see `comparison.py`); default settings throughout, and a window alarms if any column does.
"""

import contextlib
import io
import json
import logging
import resource
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Window = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]  # numbers [rows, 17], category codes [rows, 3]
Judge = Callable[[list[Window]], list[bool]]
REFERENCE = 10_000  # rows
SHORTENED = {"evidently": (12, 4)}  # half a second a window: so many quiet ones, so many changed ones
CATEGORIES = np.array(["a", "b", "c", "d", "e", "new"], dtype=object)


def frame(window: Window) -> Any:
    """The window as pandas has it."""
    import pandas as pd

    numbers, codes = window
    columns: dict[str, Any] = {f"n{place}": numbers[:, place] for place in range(numbers.shape[1])}
    columns |= {f"c{place}": CATEGORIES[codes[:, place]] for place in range(codes.shape[1])}
    return pd.DataFrame(columns)


def evidently(reference: Window) -> Judge:
    """DataDriftPreset; alarms if any column drifts."""
    from evidently import Report
    from evidently.presets import DataDriftPreset

    known = frame(reference)

    def alarms(window: Window) -> bool:
        result = Report([DataDriftPreset()]).run(frame(window), known).dict()
        drifted = next(item for item in result["metrics"] if "DriftedColumnsCount" in str(item))
        return bool(drifted["value"]["count"] > 0)

    return lambda windows: [alarms(window) for window in windows]


def nannyml(reference: Window) -> Judge:
    """UnivariateDriftCalculator; alarms if any column is out of its thresholds."""
    import nannyml as nml

    known = frame(reference)
    calculator = nml.UnivariateDriftCalculator(column_names=list(known.columns), chunk_size=1000)
    calculator.fit(known)

    def alarms(windows: list[Window]) -> list[bool]:
        import pandas as pd

        analysed = calculator.calculate(pd.concat([frame(window) for window in windows], ignore_index=True))
        table = analysed.filter(period="analysis").to_df()
        columns = [column for column in table.columns if column[-1] == "alert"]
        return [bool(row) for row in table[columns].any(axis=1).tolist()]

    return alarms


def alibi(reference: Window) -> Judge:
    """TabularDrift: KS and chi-square per column, Bonferroni at 0.05."""
    from alibi_detect.cd import TabularDrift

    def joined(window: Window) -> Any:
        return np.concatenate([window[0], window[1].astype(np.float64)], axis=1)

    known = joined(reference)
    places = range(reference[0].shape[1], known.shape[1])
    detector = TabularDrift(known, p_val=0.05, categories_per_feature={place: list(range(5)) for place in places})
    return lambda windows: [bool(detector.predict(joined(window))["data"]["is_drift"]) for window in windows]


def _river(make: Callable[[], Any]) -> Callable[[Window], Judge]:
    def ready(reference: Window) -> Judge:
        detectors = [make() for _ in range(reference[0].shape[1])]
        for detector, column in zip(detectors, reference[0].T, strict=True):
            for value in column.tolist():
                detector.update(value)

        def alarms(window: Window) -> bool:
            found = False
            for detector, column in zip(detectors, window[0].T, strict=True):
                for value in column.tolist():
                    if value == value:
                        detector.update(value)
                        found = found or detector.drift_detected
            return found

        return lambda windows: [alarms(window) for window in windows]

    return ready


def river_adwin(reference: Window) -> Judge:
    """ADWIN, one a numeric column, fed row by row."""
    from river.drift import ADWIN

    return _river(ADWIN)(reference)


def river_page_hinkley(reference: Window) -> Judge:
    """Page-Hinkley, one a numeric column, fed row by row."""
    from river.drift import PageHinkley

    return _river(PageHinkley)(reference)


def headrace(reference: Window) -> Judge:
    """This project: 40 windows of the same world to learn from come first in the file."""
    from bench.drift.ours import Monitor, artifact_from, profile
    from bench.drift.streams import Rows

    known = artifact_from([Rows(*part) for part in _parts(reference)])

    def alarms(windows: list[Window]) -> list[bool]:
        monitor = Monitor(known)
        return [bool(monitor.judge(profile(Rows(*window), known))) for window in windows]

    return alarms


def _parts(reference: Window) -> list[Window]:
    size = len(reference[0]) // 40
    return [
        (reference[0][first : first + size], reference[1][first : first + size]) for first in range(0, 40 * size, size)
    ]


PEERS: dict[str, Callable[[Window], Judge]] = {
    each.__name__: each for each in (evidently, nannyml, alibi, river_adwin, river_page_hinkley, headrace)
}


def main(name: str, file: str) -> dict[str, Any]:
    """Alarms by world, rows a second over all worlds, and the process's peak memory."""
    held = np.load(file)
    found: dict[str, Any] = {}
    rows, seconds = 0, 0.0
    worlds = [key.removesuffix("/reference") for key in held.files if key.endswith("/reference")]
    for world in worlds:
        known = f"reference {held[f'{world}/reference']}"
        reference = held[f"{known}/numbers"], held[f"{known}/codes"]
        if (
            name != "headrace"
        ):  # it alone learns from windows; the others have a reference of rows, as their guides show it
            reference = reference[0][:REFERENCE], reference[1][:REFERENCE]
        windows = list(zip(held[f"{world}/numbers"], held[f"{world}/codes"], strict=True))
        if name in SHORTENED:
            windows = windows[: SHORTENED[name][0 if world.startswith("quiet") else 1]]
        judge = PEERS[name](reference)
        begun = time.process_time()
        try:
            found[world] = judge(windows)
        except Exception as error:
            found[world] = f"{type(error).__name__}: {str(error)[:200]}"
            continue
        seconds += time.process_time() - begun
        rows += sum(len(numbers) for numbers, _ in windows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"alarms": found, "rows_per_second": rows / max(seconds, 1e-9), "peak_mb": peak / 1024}


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    with contextlib.redirect_stdout(io.StringIO()):
        told = main(*sys.argv[1:3])
    print(json.dumps(told))
