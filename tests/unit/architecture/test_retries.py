"""Whoever writes dead letters reads what is replayed of them."""

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest

from schemas.topics import CATALOGUE, RETRYING, SERVICES, retry
from shared.settings import PlatformSettings, TopicSettings


@pytest.mark.parametrize("service", RETRYING)
async def test_a_service_subscribes_to_its_retry_topic(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_INFERENCE__DATA_DIR", str(tmp_path))
    settings_cls: type[PlatformSettings] = importlib.import_module(f"services.{service}.settings").Settings
    built: Any = importlib.import_module(f"services.{service}.app").build(
        settings_cls(topics=TopicSettings(prefix="p."), data_dir=tmp_path)
    )
    app = await built if inspect.isawaitable(built) else built
    topics = {topic.name for subscriber in app.broker.subscribers for topic in subscriber.topics}
    assert f"p.{service}.retry" in topics


def test_only_ingestion_takes_no_replays() -> None:
    names = {topic.name for topic in CATALOGUE}
    assert {service for service in SERVICES if retry(service).name not in names} == {"ingestion"}
