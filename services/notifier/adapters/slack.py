"""Slack by slack-sdk: an incoming webhook, or the Web API where an alert is one thread.

The SDK's synchronous clients run in a thread: its asynchronous ones need aiohttp, and a few messages a minute do not.
"""

import asyncio
import urllib.error
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeVar
from urllib.request import Request

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.webhook import WebhookClient, WebhookResponse

from schemas.events.monitoring import Severity
from services.notifier.adapters.guarded import GuardedHttp
from services.notifier.adapters.webhook import retry_after
from services.notifier.blocks import blocks, fallback
from services.notifier.delivery import BusyError
from services.notifier.notices import Notice
from shared.errors import HeadraceError, PermanentError, TransientError
from shared.logs import get_logger

T = TypeVar("T")

log = get_logger(__name__)

HALF_SENT_KEPT: Final = 1000

_OK: Final = 200
_TOO_MANY: Final = 429
_SERVER: Final = 500
PASSING: Final = frozenset(
    {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "ratelimited", "rate_limited"}
)


class SlackWebhookChannel:
    """A `services.notifier.delivery.Channel` over an incoming webhook."""

    name = "slack"
    for_people = True

    def __init__(self, url: str, *, least: Severity, allowed: Collection[str], timeout: float) -> None:
        """``timeout`` in seconds."""
        self.least: Severity = least
        self._client = _GuardedWebhookClient(url, GuardedHttp(allowed=allowed, timeout=timeout))

    async def send(self, notice: Notice, opened: str | None) -> None:
        """See `Channel`; a webhook cannot continue a message."""
        del opened
        answer = await _call(lambda: self._client.send(text=fallback(notice), blocks=blocks(notice)))
        _judge(answer.status_code, answer.body, answer.headers)


class SlackApiChannel:
    """A `services.notifier.delivery.Channel` over the Web API: one thread an alert, its first message shows the state."""

    name = "slack"
    for_people = True

    def __init__(
        self, token: str, channel: str, *, api_url: str, least: Severity, allowed: Collection[str], timeout: float
    ) -> None:
        """``timeout`` in seconds; ``api_url`` ends in a slash."""
        self.least: Severity = least
        self._channel = channel
        self._half_sent: dict[tuple[str, str, str], str] = {}  # replies whose update failed: they are not posted again
        self._client = _GuardedWebClient(token, api_url, GuardedHttp(allowed=allowed, timeout=timeout))

    async def send(self, notice: Notice, opened: str | None) -> str:
        """See `Channel`; the reference is ``channel/ts``."""
        if opened is None:
            return await self._post(self._channel, notice, None)
        channel, _, thread = opened.partition("/")
        told = (notice.subject, notice.episode, notice.state)
        reference = self._half_sent.pop(told, None)
        if reference is not None:
            await self._show_state(channel, thread, notice, last=True)
            return reference
        reference = await self._post(channel, notice, thread)
        self._half_sent[told] = reference
        if len(self._half_sent) > HALF_SENT_KEPT:
            del self._half_sent[next(iter(self._half_sent))]
        await self._show_state(channel, thread, notice, last=False)
        del self._half_sent[told]
        return reference

    async def _show_state(self, channel: str, thread: str, notice: Notice, *, last: bool) -> None:
        """Have the thread's first message show the state: best effort, for the reply has told it already."""
        try:
            await self._api(
                lambda: self._client.chat_update(
                    channel=channel, ts=thread, text=fallback(notice), blocks=blocks(notice)
                )
            )
        except (PermanentError, TransientError) as error:
            if not last and isinstance(error, TransientError):
                raise
            log.warning(f"a thread's first message does not show its state: {error}", state=notice.state)

    async def _post(self, channel: str, notice: Notice, thread: str | None) -> str:
        answer = await self._api(
            lambda: self._client.chat_postMessage(
                channel=channel, text=fallback(notice), blocks=blocks(notice), thread_ts=thread, unfurl_links=False
            )
        )
        return f"{answer['channel']}/{answer['ts']}"

    async def _api(self, call: Callable[[], Any]) -> Any:
        try:
            return await _call(call)
        except SlackApiError as error:
            response = error.response
            code = str(response.get("error") or f"status {response.status_code}")
            if response.status_code == _TOO_MANY or code in ("ratelimited", "rate_limited"):
                raise BusyError(_said(code), retry_after(_header(response.headers, "retry-after"))) from None
            if code in PASSING or response.status_code >= _SERVER:
                raise TransientError(_said(code)) from None
            raise PermanentError(_said(code)) from None


class _GuardedWebhookClient(WebhookClient):
    """slack-sdk's client, sending through `GuardedHttp`."""

    def __init__(self, url: str, guarded: GuardedHttp) -> None:
        super().__init__(url, retry_handlers=[])
        self._guarded = guarded

    def _perform_http_request_internal(self, url: str, req: Request) -> WebhookResponse:
        answer = self._guarded.send_raising(req)
        return WebhookResponse(url=url, status_code=answer.status, body=answer.body, headers=dict(answer.headers))


class _GuardedWebClient(WebClient):
    """slack-sdk's client, sending through `GuardedHttp`."""

    def __init__(self, token: str, api_url: str, guarded: GuardedHttp) -> None:
        super().__init__(token, base_url=api_url, retry_handlers=[])
        self._guarded = guarded

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        del url  # the request's own
        answer = self._guarded.send_raising(req)
        return {"status": answer.status, "headers": answer.headers, "body": answer.body}


async def _call(call: Callable[[], T]) -> T:
    try:
        return await asyncio.to_thread(call)
    except (SlackApiError, HeadraceError):
        raise
    except (OSError, SlackClientError, urllib.error.URLError) as error:
        message = f"Slack cannot be reached: {type(error).__name__}."
        raise TransientError(message) from error


def _judge(status: int, body: str, headers: Mapping[str, str]) -> None:
    if status == _OK and body == "ok":
        return
    message = _said(f"{status} {body[:200]}")
    if status == _TOO_MANY:
        raise BusyError(message, retry_after(_header(headers, "retry-after")))
    if status >= _SERVER:
        raise TransientError(message)
    raise PermanentError(message)


def _header(headers: Mapping[str, Any], name: str) -> str | None:
    for key, value in headers.items():
        if key.lower() == name:
            return str(value[0] if isinstance(value, list) else value)
    return None


def _said(what: str) -> str:
    return f"Slack refused the message: {what}."
