"""Start the page on this computer, with a folder of its own that goes when it stops."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from occhand.demo.examples import load_examples
from occhand.demo.shelf import Shelf
from occhand.demo.visits import MAX_VISITORS, Visits

_LAST_PORT = 65535


@contextmanager
def serve(shelf: Shelf, port: int | None = None, open_browser: bool = False) -> Iterator[str]:
    """The page, for as long as the block runs. It is reachable from this computer only, and asks nothing of any other.

    Args:
        shelf: Estimators on offer.
        port: None takes a free one, from 7860.
        open_browser: Show it at once.

    Yields:
        Its address.

    Raises:
        ImportError: The extra `demo` is not installed.
        ValueError: The port is taken, or none.
    """
    if port is not None and not 1 <= port <= _LAST_PORT:
        raise ValueError(f"There is no port {port}. Choose a --port from 1 to {_LAST_PORT}, or leave it out.")
    with _own_folder():
        try:
            from starlette.middleware import Middleware
            from starlette.middleware.trustedhost import TrustedHostMiddleware

            from occhand.demo.limits import MAX_UPLOAD_BYTES, BodyLimit
            from occhand.demo.own_page import HOSTS, OwnPage
            from occhand.demo.page import build_page, looks
        except ImportError as error:
            raise ImportError(f"The page needs gradio ({error}). Install it: pip install 'occhand[demo]'.") from None
        examples = load_examples()
        guards = [Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS), Middleware(OwnPage), Middleware(BodyLimit)]
        page = build_page(shelf, Visits(shelf, examples), examples)
        try:
            _, address, _ = page.launch(
                server_name=HOSTS[0],
                server_port=port,
                inbrowser=open_browser,
                prevent_thread_lock=True,
                share=False,
                quiet=True,
                ssr_mode=False,
                enable_monitoring=False,
                max_file_size=MAX_UPLOAD_BYTES,
                state_session_capacity=MAX_VISITORS,
                allowed_paths=[],
                app_kwargs={"middleware": guards},
                **looks(),
            )
        except OSError as error:
            raise ValueError(f"The page cannot be served ({error}). Choose another --port, or leave it out.") from None
        try:
            yield address
        finally:
            page.close(verbose=False)


@contextmanager
def _own_folder() -> Iterator[None]:
    """Gradio keeps uploads in a temporary folder that only its environment names; without analytics and its like, too."""
    with tempfile.TemporaryDirectory(prefix="occhand-demo-", ignore_cleanup_errors=True) as folder:
        wanted = {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
