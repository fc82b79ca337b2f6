"""What services of the embedded stack are told."""

from pathlib import Path

import pytest

from deploy.local.stack import _spec
from shared.settings import PlatformSettings

SWITCH = "HEADRACE_INGESTION__V2"


def environment(service: str, extra: dict[str, str] | None = None) -> dict[str, str]:
    return _spec(service, 1234, PlatformSettings(), Path("/data"), extra or {}).env


def test_the_edge_of_this_machine_speaks_the_inference_protocol_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(SWITCH, raising=False)
    assert environment("ingestion")[SWITCH] == "true"
    assert environment("ingestion", {SWITCH: "false"})[SWITCH] == "false"
    assert SWITCH not in environment("inference")
    monkeypatch.setenv(SWITCH, "false")
    assert environment("ingestion")[SWITCH] == "false"
