"""What a request may bring: bodies above a limit are refused before they are kept in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Message, _Receive, _Send], Awaitable[None]]

MAX_UPLOAD_BYTES = 20 * 2**20
_MAX_EVENT_BYTES = 2**20
_UPLOAD_PATH = "/upload"
_FORM_BYTES = 2**16
"""What an upload's form takes around the file."""


class _TooLargeError(Exception):
    pass


class BodyLimit:
    """ASGI middleware: an upload may have `MAX_UPLOAD_BYTES`, anything else, such as the disc's place, far less."""

    def __init__(self, app: _App) -> None:
        self._app = app

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = MAX_UPLOAD_BYTES + _FORM_BYTES if scope["path"].endswith(_UPLOAD_PATH) else _MAX_EVENT_BYTES
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        received, has_started = 0, False

        async def counted() -> _Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _TooLargeError
            return message

        async def watched(message: _Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            if not announced.isdigit() or int(announced) > limit:
                raise _TooLargeError
            await self._app(scope, counted, watched)
        except _TooLargeError:
            if not has_started:
                await send({"type": "http.response.start", "status": 413, "headers": [(b"content-type", b"text/plain")]})
                text = f"Too large: at most {MAX_UPLOAD_BYTES // 2**20} MB. Scale the picture down first."
                await send({"type": "http.response.body", "body": text.encode()})
