"""What is known of a version: its probe, each of its gates, why it was rejected."""

from typing import TYPE_CHECKING, Any

from schemas.events.registry import RegistryEvent

if TYPE_CHECKING:  # the registry's state is another service's; nothing of it is needed to tell about it
    from services.registry.state import Version


def evidence(version: "Version") -> dict[str, Any]:
    """Metrics, probe, gates and rejection, as ``--json`` shows them."""
    return {
        "metrics": dict(version.metrics),
        "probe": {
            "state": str(version.probe),
            "code": version.probe_code,
            "message": version.probe_message,
            "latency_ms": version.latency_ms,
        },
        "gates": [result.model_dump(mode="json") for result in version.gate_results],
        "rejection": None
        if version.rejected is None
        else {"code": version.rejected, "message": version.rejected_because},
    }


def lines(version: "Version") -> list[str]:
    """The same for people, a line each."""
    metrics = ", ".join(f"{name} {number(value)}" for name, value in sorted(version.metrics.items()))
    found = [metrics] if metrics else []
    probe = f"probe {version.probe}"
    if version.probe_code is not None:
        probe += f" ({version.probe_code}): {version.probe_message}"
    elif version.latency_ms is not None:
        probe += f", {number(version.latency_ms)} ms for a row"
    found.append(probe)
    found += [
        f"gate {result.gate}: {number(result.value) if result.value is not None else 'not measured'}, must be {result.bound}: "
        + ("holds" if result.passed else "FAILED")
        for result in version.gate_results
    ]
    if version.rejected is not None:
        found.append(f"rejected ({version.rejected}): {version.rejected_because}")
    return found


def because(event: RegistryEvent) -> str:
    """Why an entry of the log came about: what a person wrote, or the code and the message of the fact itself."""
    code, message = getattr(event.fact, "code", None), getattr(event.fact, "message", "")
    said = f"{code}: {message}" if code and message else message or code or ""
    return f"{said} ({event.reason})" if event.reason and said and event.reason != message else event.reason or said


def number(value: float | None) -> str:
    """Four digits; a dash where there is none."""
    return "–" if value is None else f"{value:.4g}"
