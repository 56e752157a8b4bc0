"""What a request may bring: bodies above a limit are refused before they are kept in memory, and nothing stays of a broken upload.

Needs gradio: import it only through `occhand.demo.serve`.
"""

from __future__ import annotations

from contextlib import suppress

from starlette.formparsers import MultiPartException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_UPLOAD_BYTES = 20 * 2**20
_MAX_EVENT_BYTES = 2**20
_UPLOAD_PATH = "/upload"
_FORM_BYTES = 2**16
"""What an upload's form takes around the file."""


class _TooLargeError(MultiPartException):
    pass


class BodyLimit:
    """ASGI middleware: an upload may have `MAX_UPLOAD_BYTES`, anything else, such as the disc's place, far less.

    An upload that is too large or breaks off ends in a `MultiPartException`, at which Gradio deletes what it has written of it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_upload = scope["path"].endswith(_UPLOAD_PATH)
        limit = MAX_UPLOAD_BYTES + _FORM_BYTES if is_upload else _MAX_EVENT_BYTES
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        received, is_whole, is_refused, has_started = 0, False, False, False

        async def counted() -> Message:
            nonlocal received, is_whole, is_refused
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                is_refused = True
                raise _TooLargeError("The body is too large.")
            if message["type"] == "http.disconnect" and is_upload and not is_whole:
                raise MultiPartException("The upload broke off.")
            is_whole = is_whole or not message.get("more_body", False)
            return message

        async def watched(message: Message) -> None:
            nonlocal has_started
            if is_refused and not has_started:
                return  # whatever Gradio makes of the exception; the reason is said below
            has_started = True
            await send(message)

        if not announced.isdigit() or int(announced) > limit:
            is_refused = True
        else:
            with suppress(_TooLargeError):
                await self._app(scope, counted, watched)
        if is_refused and not has_started:
            text = f"Too large: at most {MAX_UPLOAD_BYTES // 2**20} MB. Scale the picture down first."
            await PlainTextResponse(text, status_code=413)(scope, receive, send)
