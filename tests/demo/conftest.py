"""One page for all tests here, and a browser that may ask nothing of any other host."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from occhand.demo.examples import load_examples
from occhand.demo.scene import Scene
from occhand.demo.shelf import OWN_HAND, Choice, Shelf

FIT = Choice("fit", True, OWN_HAND)


class FindsNothing:
    """A detector for pictures without hands."""

    def detect(self, image):
        return []

    def find_joints(self, image, bbox_xyxy, side):
        return None


@pytest.fixture(scope="session")
def examples() -> dict[str, Scene]:
    return load_examples()


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    pytest.importorskip("gradio", reason="the page needs the extra demo")
    from occhand.demo.serve import serve

    with serve(Shelf(detector=FindsNothing())) as address:
        yield address


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this computer (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--enable-unsafe-swiftshader"])
        yield browser
        browser.close()


class Visitor:
    """A browser of its own on the page; remembers requests to other hosts, and errors of the page's code."""

    def __init__(self, browser, address: str, width: int, height: int) -> None:
        self.address, self.elsewhere, self.errors = address, [], []
        self.context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
        self.context.route("**/*", self._let_through)
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(address)
        self.wait_for_answer(1)

    def _let_through(self, route) -> None:
        url = route.request.url
        if url.startswith(("data:", "blob:")) or urlsplit(url).netloc == urlsplit(self.address).netloc:
            route.continue_()
        else:
            self.elsewhere.append(url)
            route.abort()

    @property
    def answers(self) -> int:
        return int(self.page.locator("[data-answers]").get_attribute("data-answers"))

    def wait_for_answer(self, number: int) -> None:
        """Until the page has shown this many estimates."""
        self.page.wait_for_function("n => Number(document.querySelector('[data-answers]')?.dataset.answers) >= n", arg=number)

    @property
    def facts(self) -> str:
        return self.page.locator("[data-part=facts]").inner_text()


@pytest.fixture
def visit(browser, address):
    """Opens the page for one more visitor."""
    visitors = []

    def open_page(width: int = 1280, height: int = 900) -> Visitor:
        visitors.append(Visitor(browser, address, width, height))
        return visitors[-1]

    yield open_page
    for visitor in visitors:
        assert visitor.elsewhere == []
        assert visitor.errors == []
        visitor.context.close()
