"""Who may ask: a browser that shows this page, and programs of this computer; no other page that is open in a browser.

Needs gradio: import it only through `occhand.demo.serve`.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

HOSTS = ("127.0.0.1", "localhost")
"""Names that the page is served under. Another one leads here only where somebody's name server says so."""


class OwnPage:
    """ASGI middleware: a request from a page has this page's address as its origin. The host itself is checked before."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(raw=scope.get("headers", []))
        origin = headers.get("origin")
        if origin is None or origin == f"http://{headers.get('host')}":
            await self._app(scope, receive, send)
            return
        await PlainTextResponse(f"Not for pages of {origin}. Open http://{headers.get('host')} itself.", status_code=403)(
            scope, receive, send
        )
