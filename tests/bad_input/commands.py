"""What the registry refuses: commands as bytes, each with the answer. Version 1 of ``shade`` is live, 2 is in quarantine,
3 waits for approval and was imported by ann, 4 waits too."""

import json
from dataclasses import dataclass
from typing import Any, Final

LIVE, QUARANTINED, WAITING, FURTHER = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class BadCommand:
    """A command's bytes and its answer: status and code of the reply; status None: a dead letter with ``code``."""

    name: str
    payload: bytes
    status: str | None
    code: str | None


def body(action: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A command by ann about ``shade``."""
    return {
        "command_id": "c-1",
        "model": "shade",
        "action": action,
        "actor": "ann",
        "issued_at": "2026-01-02T03:04:05Z",
        **changes,
    }


def _command(
    name: str, code: str | None, action: dict[str, Any], status: str = "refused", **changes: Any
) -> BadCommand:
    return BadCommand(name, json.dumps(body(action, command_id=name, **changes)).encode(), status, code)


def _promote(name: str, code: str | None, version: Any, status: str = "refused", **changes: Any) -> BadCommand:
    return _command(name, code, {"action": "promote", "version": version}, status, **changes)


def _raw(name: str, payload: bytes, code: str, status: str | None = None) -> BadCommand:
    return BadCommand(name, payload, status, code)


_PROMOTE: Final = json.dumps(body({"action": "promote", "version": WAITING}))
_NAMES: Final = {
    "a-path-upwards": "../etc",
    "two-dots": "..",
    "a-slash": "a/b",
    "a-fragment": "a#b",
    "an-address": "http://127.0.0.1/model",
    "an-object-store": "s3://bucket/model",
    "empty": "",
    "capitals": "Shade",
    "a-homoglyph": "shаde",
    "a-newline": "shade\n",
    "too-long": "x" * 64,
    "nothing": None,
}
_VERSIONS: Final = {
    "a-path": "../models/model.onnx",
    "an-address": "https://example.com/model.onnx",
    "an-object-store": "s3://bucket/model.onnx",
    "a-digest": "ab" * 32,
    "numeric-text": "3",
    "a-float": 3.0,
    "a-boolean": True,
    "nought": 0,
    "negative": -1,
    "null": None,
    "a-list": [3],
}

COMMANDS: Final = (
    _promote("unknown-version", "not_found", 9),
    _promote("unknown-model", "not_found", 1, model="nobody"),
    _promote("promote-what-is-live", None, LIVE, "unchanged"),
    _promote("stale-revision", "conflict", WAITING, expected_revision=1),
    _promote("future-revision", "conflict", WAITING, expected_revision=10**6),
    _promote("promote-quarantined", "rejected", QUARANTINED),
    _promote("promote-unapproved", "rejected", WAITING),
    _command("approve-quarantined", "rejected", {"action": "approve", "version": QUARANTINED}),
    _command("challenge-with-quarantined", "rejected", {"action": "challenge", "version": QUARANTINED, "route": "shadow"}),
    _command("self-approval", "unauthorised", {"action": "approve", "version": WAITING}),
    _command("reject-what-is-live", "rejected", {"action": "reject", "version": LIVE}),
    _command("roll-back-to-nothing", "not_found", {"action": "rollback"}),
    _command("canary-of-everything", "invalid", {"action": "challenge", "version": WAITING, "route": "canary", "share": 1.0}),
    _command("canary-share-negative", "invalid", {"action": "challenge", "version": WAITING, "route": "canary", "share": -0.1}),
    _command("unknown-action", "invalid", {"action": "delete", "version": LIVE}),
    _command("unknown-field", "invalid", {"action": "promote", "version": WAITING, "force": True}),
    _command("artifact-by-path", "invalid", {"action": "promote", "version": WAITING, "path": "/models/model.onnx"}),
    _promote("nobody-asks", "invalid", WAITING, actor=""),
    _promote("naive-time", "invalid", WAITING, issued_at="2026-01-02T03:04:05"),
    _promote("endless-reason", "invalid", WAITING, reason="x" * 2001),
    _command("definitions-of-nothing", "invalid", {"action": "apply", "definitions": []}, model=None),
    _command("definition-of-another-kind", "invalid", {"action": "apply", "definitions": [{"kind": "Pod"}]}, model=None),
    *(_promote(f"model-name-{name}", "invalid", 1, model=value) for name, value in _NAMES.items()),
    *(_promote(f"version-{name}", "invalid", value) for name, value in _VERSIONS.items()),
    _raw("repeated-key", _PROMOTE.replace('"actor": "ann"', '"actor": "ann", "actor": "bob"').encode(), "invalid", "refused"),
    _raw("not-a-number", _PROMOTE.replace('"version": 3', '"version": NaN').encode(), "not_finite"),
    _raw("no-json", b"not json", "json_syntax"),
    _raw("array", b"[]", "type"),
    _raw("id-is-a-number", b'{"command_id": 7}', "type"),
    _raw("not-utf-8", b"\xff\xfe", "encoding"),
    _raw("empty", b"", "empty"),
    _raw("nested-too-deep", b"[" * 100_000, "nesting"),
)  # fmt: skip
