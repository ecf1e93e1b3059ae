"""A real browser in front of real daemons."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from tests.mesh.cluster import Cluster
from tests.own_ports import own_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Without these a browser asks its maker's servers for updates and lists at every start.
QUIET = (
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
# As Debian, Google and Ubuntu call it; Ubuntu's may be but a word that it comes as a snap.
PROGRAMS = ("chromium", "google-chrome", "chromium-browser")
PATIENCE_MS = 60_000
PHONE = {"width": 360, "height": 740}

T = TypeVar("T")


def until(at: "Page", found: Callable[[], T], wanted: T, what: str = "") -> None:
    """Wait until a page has what is wanted: it follows whatever happens a moment later."""
    end = time.monotonic() + PATIENCE_MS / 1_000
    while (last := found()) != wanted and time.monotonic() < end:
        at.wait_for_timeout(50)
    assert last == wanted, what


def fits_a_phone(at: "Page", what: str = "") -> None:
    """See that nothing is wider than a phone, once charts have followed the window."""
    at.set_viewport_size(PHONE)  # type: ignore[arg-type]
    widths = "Math.max(innerWidth, document.documentElement.scrollWidth)"
    until(at, lambda: at.evaluate(widths), PHONE["width"], what)


def browser_path() -> str:
    """Give the Chromium of this machine, or the one that AMBIENT_CHROMIUM names."""
    named = os.environ.get("AMBIENT_CHROMIUM")
    found = [path for path in map(shutil.which, PROGRAMS) if path is not None]
    if not named and not found:
        pytest.fail(f"no {', '.join(PROGRAMS)}: install one, or name it in AMBIENT_CHROMIUM")
    return named or found[0]


@contextmanager
def launched() -> Iterator["Browser"]:
    """Start a browser, and end it."""
    from playwright.sync_api import sync_playwright

    arguments = [*QUIET, "--no-sandbox"] if os.getuid() == 0 else [*QUIET]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with launched() as found:
        yield found


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four daemons that answer HTTP to everybody on this machine."""
    cluster = Cluster(tmp_path_factory.mktemp("mesh") / "mesh", 4)
    for place, daemon in enumerate(cluster.daemons):
        open_http(daemon.data_dir / "config.toml", http_port(cluster, place))
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()


def http_port(cluster: Cluster, place: int) -> int:
    """Give a port next to those that this run of tests has for its nodes."""
    return own_port() + 10 + place


def open_http(config: Path, port: int) -> None:
    text = config.read_text(encoding="utf-8")
    head, tail = text.split("[http]", 1)
    for option, value in (
        ("open_on_loopback", "true"),
        ("listen", f'"127.0.0.1:{port}"'),
        ("enabled", "true"),
    ):
        tail = f"\n{option} = {value}{tail}"
    config.write_text(f"{head}[http]{tail}", encoding="utf-8")


Open = Callable[[str], "Page"]


@pytest.fixture
def page(browser: "Browser", mesh: Cluster) -> Iterator[Open]:
    """Open pages of the first node; whatever a page's script complains about fails the test."""
    faults: list[str] = []
    context = browser.new_context(accept_downloads=True)
    context.set_default_timeout(PATIENCE_MS)

    def open_page(path: str) -> "Page":
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"http://127.0.0.1:{http_port(mesh, 0)}/#/{path}")
        return page

    yield open_page
    context.close()
    assert faults == []
