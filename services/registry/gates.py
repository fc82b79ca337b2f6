"""Gates: bounds of the Model definition that a version's metrics must keep before anyone is asked to approve it."""

from schemas.definitions import Gate, Model
from schemas.events.registry import GateResult
from services.registry.measures import improvement
from services.registry.state import Version


def evaluate(model: Model, version: Version, champion: Version | None) -> tuple[GateResult, ...]:
    """Each bound of each gate with its value. A metric that ``version`` does not have fails its gate."""
    return tuple(result for gate in model.spec.gates for result in _bounds(gate, version, champion))


def failures(results: tuple[GateResult, ...]) -> str:
    """What did not hold, as a sentence."""
    failed = [
        f"{result.gate} must be {result.bound} and "
        + ("was not measured" if result.value is None else f"is {result.value:.6g}")
        for result in results
        if not result.passed
    ]
    return (
        f"{'; '.join(failed)}. Improve the model or change the gates of its definition." if failed else "all gates hold"
    )


def metric(version: Version, name: str, group: str | None = None) -> float | None:
    """A metric of a version. Besides what the candidate brought: ``latency_ms`` of the probe and ``size_bytes``."""
    if group is not None:
        return version.group_metrics.get(group, {}).get(name)
    if name == "latency_ms":
        return version.latency_ms
    if name == "size_bytes" and version.size is not None:
        return float(version.size)
    return version.metrics.get(name)


def _bounds(gate: Gate, version: Version, champion: Version | None) -> list[GateResult]:
    name = gate.metric if gate.group is None else f"{gate.metric} by {gate.group}"
    value = metric(version, gate.metric, gate.group)
    results = []
    if gate.min is not None:
        results.append(
            GateResult(gate=name, bound=f">= {gate.min:g}", value=value, passed=value is not None and value >= gate.min)
        )
    if gate.max is not None:
        results.append(
            GateResult(gate=name, bound=f"<= {gate.max:g}", value=value, passed=value is not None and value <= gate.max)
        )
    if gate.min_delta is not None:
        results.append(_against_champion(gate, name, value, champion))
    return results


def _against_champion(gate: Gate, name: str, value: float | None, champion: Version | None) -> GateResult:
    minimum = gate.min_delta or 0.0
    base = None if champion is None else metric(champion, gate.metric, gate.group)
    if champion is None or base is None:
        reason = "there is no champion" if champion is None else f"champion {champion.number} was not measured by it"
        return GateResult(
            gate=name,
            bound=f"{_margin(minimum)} the champion ({reason})",
            value=value,
            passed=value is not None,
        )
    return GateResult(
        gate=name,
        bound=f"{_margin(minimum)} champion {champion.number} ({base:.6g})",
        value=value,
        passed=value is not None and improvement(gate.metric, value, base) >= minimum,
    )


def _margin(minimum: float) -> str:
    if minimum > 0:
        return f"at least {minimum:g} better than"
    return f"at most {-minimum:g} worse than" if minimum else "no worse than"
