"""What people run into: odd addresses, hostile names, daemons that go away, tokens that expire."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.learning_operations import FL_START
from ambientd.api.learning_values import StartStudy
from ambientd.api.operations import MODULE_PUBLISH
from ambientd.api.routes import Scope
from ambientd.api.tokens import create_token
from ambientd.client import Mesh
from ambientd.config.load import load_config
from ambientd.config.places import Places
from tests.browser.conftest import PATIENCE_MS, PHONE, fits_a_phone, http_port, open_http, until
from tests.browser.test_dashboard import PAGES, violations
from tests.mesh.cluster import Cluster, Daemon
from tests.modules import compiled
from tests.modules.publishing import wanted

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

MARKUP = "<img src=x onerror=\"document.title='taken'\"><b>bold</b>"
LONG_NAME = "a" + "very-long-name-without-an-end"[:29] * 2 + "abcd"
TOKEN_MS = 20_000


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One daemon, which is enough for pages."""
    plan = ClusterPlan(block_interval_ms=1_000, bitcoin="off")
    cluster = Cluster(tmp_path_factory.mktemp("mesh") / "mesh", 1, plan)
    open_http(cluster.daemons[0].data_dir / "config.toml", http_port(cluster, 0))
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def at(browser: "Browser", mesh: Cluster) -> Iterator["Page"]:
    """A page of the daemon; what its script complains about fails the test."""
    with visiting(browser, mesh) as page:
        yield page


@contextmanager
def visiting(browser: "Browser", mesh: Cluster) -> Iterator["Page"]:
    faults: list[str] = []
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"http://127.0.0.1:{http_port(mesh, 0)}/")
    yield page
    context.close()
    assert faults == []


def go(at: "Page", path: str) -> None:
    at.evaluate("(hash) => { location.hash = hash }", f"#/{path}")


def is_for_everybody(at: "Page", what: str) -> None:
    """See that axe finds nothing and that nothing is wider than a phone, in either scheme."""
    at.set_viewport_size(PHONE)  # type: ignore[arg-type]
    for scheme in ("dark", "light"):
        at.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert violations(at) == [], (what, scheme)
    fits_a_phone(at, what)


@pytest.mark.parametrize(
    "path", ["constructor", "__proto__", "toString/1", "no-such-page", "tasks/%", "nodes/%E0%A4%A"]
)
def test_an_address_that_nobody_made_shows_a_page_that_says_so(at: "Page", path: str) -> None:
    at.get_by_test_id("link").get_by_text("live").wait_for()
    go(at, path)
    at.get_by_role("heading", level=1).wait_for()
    missing = at.get_by_role("heading", name="There is no such page")
    missing.or_(at.get_by_role("alert")).first.wait_for()
    is_for_everybody(at, path)
    at.get_by_role("link", name="Tasks").click()
    at.get_by_role("heading", name="Tasks", level=1).wait_for()


def test_whoever_goes_by_keyboard_skips_the_navigation_and_begins_where_a_page_does(
    at: "Page",
) -> None:
    at.get_by_test_id("link").get_by_text("live").wait_for()
    go(at, "tasks")
    at.get_by_role("heading", name="Tasks", level=1).wait_for()
    until(at, at.title, "Tasks · Ambient")
    until(at, lambda: at.evaluate("document.activeElement.id"), "content")
    at.get_by_role("button", name="Skip to the content").focus()
    at.keyboard.press("Enter")
    until(at, lambda: at.evaluate("document.activeElement.id"), "content")
    at.get_by_role("heading", name="Tasks", level=1).wait_for()
    at.keyboard.press("Tab")
    assert at.evaluate("document.activeElement.closest('main') !== null")


def test_markup_and_names_without_an_end_are_text_and_fit_a_phone(
    at: "Page", mesh: Cluster
) -> None:
    daemon = mesh.daemons[0]
    words = wanted(compiled.module("echo"), LONG_NAME[:63], summary=MARKUP)
    publisher = daemon.ask(MODULE_PUBLISH, words).publisher
    study = daemon.ask(
        FL_START,
        StartStudy(name=MARKUP[:60], model="mlp:64,8,10", rounds=1, participants_min=2),
    ).study
    for path, said in (
        ("modules", MARKUP),
        (f"modules/{publisher}/{LONG_NAME[:63]}", MARKUP),
        ("studies", MARKUP[:60]),
        (f"studies/{study}", MARKUP[:60]),
    ):
        go(at, path)
        at.get_by_text(said).first.wait_for()
        assert at.locator("main img, main b").count() == 0
        is_for_everybody(at, path)
    assert "taken" not in at.title()


def test_every_page_says_that_its_daemon_went_away_and_goes_on_when_it_is_back(
    browser: "Browser", mesh: Cluster
) -> None:
    with visiting(browser, mesh) as at:
        at.get_by_test_id("link").get_by_text("live").wait_for()
        mesh.daemons[0].stop()
        at.get_by_test_id("link").get_by_text("away").wait_for()
        for path in (*PAGES, "nodes/" + "ab" * 32, "tasks/" + "ab" * 32, "studies/" + "ab" * 32):
            go(at, path)
            at.get_by_role("heading", level=1).wait_for()
            if path not in {"submit", "invite", "verify"}:
                at.get_by_role("alert").first.wait_for()
            is_for_everybody(at, path)
        go(at, "submit")
        at.get_by_label("Module").set_input_files(
            {"name": "m.wasm", "mimeType": "application/wasm", "buffer": b"\0asm"}
        )
        at.get_by_role("button", name="Show what it costs").click()
        at.get_by_role("alert").get_by_text("the daemon was not reached").wait_for()
        go(at, "tasks/" + "ab" * 32)
        mesh.daemons[0].start()
        at.get_by_test_id("link").get_by_text("live").wait_for()
        at.get_by_text("no task").first.wait_for()
        go(at, "")
        at.get_by_role("row").filter(has_text="node1").get_by_text("takes work").wait_for()
        until(at, at.get_by_role("alert").filter(has_text="not reached").count, 0)


def test_a_token_that_expires_is_asked_for_anew_and_what_was_filled_in_stays(
    browser: "Browser", mesh: Cluster
) -> None:
    daemon = mesh.daemons[0]
    config = daemon.data_dir / "config.toml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("open_on_loopback = true", "open_on_loopback = false"))
    daemon.stop()
    daemon.start()
    mesh.until(lambda: daemon.status() is not None, "it is back")
    try:
        with visiting(browser, mesh) as at:
            use = at.get_by_role("button", name="Use it in this tab")
            use.wait_for()
            is_for_everybody(at, "who are you")
            give(at, "ambient_0123_not-one")
            at.get_by_role("alert").get_by_text("takes the token of this tab no more").wait_for()
            give(at, token_of(daemon, TOKEN_MS))
            at.get_by_test_id("link").get_by_text("live").wait_for()
            go(at, "submit")
            at.get_by_label("or a published one").fill("half/filled-in")
            use.wait_for()
            is_for_everybody(at, "it has expired")
            give(at, token_of(daemon, 600_000))
            use.wait_for(state="detached")
            at.get_by_test_id("link").get_by_text("live").wait_for()
            until(at, at.get_by_label("or a published one").input_value, "half/filled-in")
            # A token stays in its tab.
            other = at.context.new_page()
            other.goto(f"http://127.0.0.1:{http_port(mesh, 0)}/")
            other.get_by_role("button", name="Use it in this tab").wait_for()
    finally:
        config.write_text(text)
        daemon.stop()
        daemon.start()
        mesh.until(lambda: daemon.status() is not None, "it is back")


def give(at: "Page", words: str) -> None:
    at.get_by_label("Token").fill(words)
    at.get_by_role("button", name="Use it in this tab").click()


def token_of(daemon: Daemon, lasts_ms: int) -> str:
    file: Path = Places(daemon.data_dir).http_file(load_config(daemon.data_dir).http.tokens)
    now_ms = time.time_ns() // 1_000_000
    _, words = create_token(file, "a browser", Scope.SUBMIT, now_ms, now_ms + lasts_ms)
    return words


def test_two_tabs_show_the_same_and_a_long_list_is_shown_piece_by_piece(
    browser: "Browser", at: "Page", mesh: Cluster
) -> None:
    with visiting(browser, mesh) as other, Mesh(mesh.daemons[0].data_dir) as library:
        for each in (at, other):
            go(each, "tasks")
            each.get_by_role("heading", name="Tasks", level=1).wait_for()
        tasks = [
            library.run(compiled.module("echo"), b"%d" % number, assurance="none")
            for number in range(60)
        ]
        for each in (at, other):
            each.locator(f"a[href='#/tasks/{tasks[-1].task_id}']").wait_for()
            each.get_by_role("button", name="More (50 of").click()
            each.locator(f"a[href='#/tasks/{tasks[0].task_id}']").wait_for()
            is_for_everybody(each, "sixty tasks")
