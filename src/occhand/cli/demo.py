"""`occhand demo`."""

from __future__ import annotations

import threading
from contextlib import suppress

from occhand.demo.serve import serve
from occhand.demo.shelf import Shelf
from occhand.pretrained import DEFAULT_MODEL


def demo(model: str = DEFAULT_MODEL, port: int | None = None, browser: bool = True) -> int:
    """Open a page to play with: pictures, an occluder to drag, the estimate and how sure it is. It stays on this computer.

    Args:
        model: What the page begins with: a bundled network, fit, or weights of your own, which it offers beside them.
        port: Of the page; without it the first free one from 7860.
        browser: Open it in the browser.
    """
    with serve(Shelf(model), port, browser) as address:
        print(f"The page is at {address}, for this computer only. Ctrl-C ends it.", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
    return 0
