"""`occhand demo`."""

from __future__ import annotations

import threading
from contextlib import suppress

from occhand.demo.serve import serve
from occhand.demo.shelf import Shelf


def demo(model: str = "fit", port: int | None = None, browser: bool = True) -> int:
    """Open a page to play with: pictures, an occluder to drag, the estimate and how sure it is. It stays on this computer.

    Args:
        model: Weights of your own to offer beside the bundled ones, as for predict.
        port: Of the page; without it the first free one from 7860.
        browser: Open it in the browser.
    """
    with serve(Shelf(model), port, browser) as address:
        print(f"The page is at {address}, for this computer only. Ctrl-C ends it.", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
    return 0
