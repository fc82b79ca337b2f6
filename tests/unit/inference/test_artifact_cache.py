"""Artifacts on disk: a disk that was full for a while does not refuse a version for ever."""

import shutil
from pathlib import Path

import pytest

from schemas.identities import artifact_digest
from services.inference.adapters.artifact_cache import ArtifactCache
from services.inference.artifacts import Complete
from services.inference.errors import Refusal, VersionRefusedError

CONTENT = b"a model"
ARTIFACT = Complete(artifact_digest(CONTENT), CONTENT)


def refusal(cache: ArtifactCache, digest: str = ARTIFACT.digest) -> VersionRefusedError:
    with pytest.raises(VersionRefusedError) as refused:
        cache.read(digest)
    return refused.value


def test_what_was_admitted_is_read_back(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    cache.admit(ARTIFACT)
    assert cache.read(ARTIFACT.digest) == CONTENT


def test_a_failed_write_is_the_disks_fault_and_another_fetch_heals_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    cache = ArtifactCache(tmp_path)
    with monkeypatch.context() as disk:
        disk.setattr("os.fsync", full)
        cache.admit(ARTIFACT)
    said = refusal(cache)
    assert said.code is Refusal.STORAGE
    assert "No space left on device" in str(said)
    cache.admit(ARTIFACT)
    assert cache.read(ARTIFACT.digest) == CONTENT
    assert [path.suffix for path in tmp_path.iterdir()] == [".onnx"]


def test_a_directory_that_was_deleted_meanwhile_is_made_again(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path / "artifacts")
    cache.admit(ARTIFACT)
    shutil.rmtree(tmp_path / "artifacts")
    assert refusal(cache).code is Refusal.ARTIFACT_MISSING
    cache.admit(ARTIFACT)
    assert cache.read(ARTIFACT.digest) == CONTENT


def test_an_artifact_that_is_not_what_its_digest_says_stays_refused(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path)
    cache.admit(Complete(ARTIFACT.digest, b"another model"))
    assert refusal(cache).code is refusal(cache).code is Refusal.DIGEST_MISMATCH
