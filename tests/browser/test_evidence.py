"""What the pages show of a mesh with a liar in it, and what they find in a file that is dropped."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ambientd.api.account_values import Accounts, ListAccounts
from ambientd.api.anchor_replies import AnchorInfo
from ambientd.api.cluster import ClusterPlan
from ambientd.api.operations import (
    ACCOUNT_LIST,
    ACCOUNT_TRANSFER,
    ANCHOR_STATUS,
    BLAME_EXPORT,
    BLAME_LIST,
    MODULE_LIST,
    MODULE_PUBLISH,
    MODULE_SHOW,
)
from ambientd.api.registry_values import ListModules, ShowModule
from ambientd.api.requests import ExportBlame, GetAnchors, ListBlames, TransferCredits
from ambientd.client import Mesh
from tests.browser.conftest import PATIENCE_MS, Open, fits_a_phone, http_port, open_http, until
from tests.browser.test_dashboard import violations
from tests.mesh.cluster import Cluster
from tests.mesh.test_liars import lie
from tests.modules import compiled
from tests.modules.publishing import wanted

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

EXPLORER = "https://explorer.example"
TASKS_MAX = 40
DROP = """(label, [name, bytes]) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([new Uint8Array(bytes)], name));
  const options = { bubbles: true, cancelable: true, dataTransfer };
  label.dispatchEvent(new DragEvent("drop", options));
}"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four daemons, of which the last lies; the first links to an explorer."""
    plan = ClusterPlan(block_interval_ms=200)
    cluster = Cluster(tmp_path_factory.mktemp("mesh") / "mesh", 4, plan)
    for place, daemon in enumerate(cluster.daemons):
        open_http(daemon.data_dir / "config.toml", http_port(cluster, place))
    config = cluster.daemons[0].data_dir / "config.toml"
    text = config.read_text(encoding="utf-8")
    config.write_text(
        text.replace("[bitcoin]\n", f'[bitcoin]\nexplorer_url = "{EXPLORER}"\n', 1),
        encoding="utf-8",
    )
    lie(cluster.daemons[3], 'lie = "corrupt_output"')
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def liar(mesh: Cluster) -> str:
    """Have the liar found out; give its id."""
    with Mesh(mesh.daemons[0].data_dir) as library:
        for number in range(TASKS_MAX):
            library.run(compiled.module("echo"), b"for the liar %d" % number).wait()
            found = mesh.daemons[0].ask(BLAME_LIST, ListBlames()).blames
            if any(each.exportable for each in found):
                return found[0].node
    pytest.fail(f"no liar was found in {TASKS_MAX} tasks")


def drop(at: "Page", name: str, data: bytes) -> str:
    """Drop a file where a person would; give the verdict on it."""
    label = at.locator("label.drop").first
    label.evaluate(DROP, [name, list(data)])
    verdict = at.get_by_test_id("verdict")
    verdict.get_by_text(name).wait_for()
    return str(verdict.text_content())


def is_for_everybody(at: "Page") -> None:
    """See that nothing stands in anybody's way: dark and light, and at a phone's width."""
    schemes: tuple[Any, ...] = ("dark", "light")
    for scheme in schemes:
        at.emulate_media(color_scheme=scheme)
        assert violations(at) == [], scheme
    fits_a_phone(at)
    assert violations(at) == [], "phone"


def test_a_certificate_is_dropped_and_checked_offline_and_every_changed_one_refused(
    browser: "Browser", page: Open, mesh: Cluster, liar: str
) -> None:
    found = mesh.daemons[0].ask(BLAME_EXPORT, ExportBlame(about=liar))
    at = page("blames")
    at.get_by_text(f"ambientctl blame export {liar[:12]}").wait_for()
    is_for_everybody(at)
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    for path in ("verify.html", "#/verify"):
        alone = context.new_page()
        alone.goto(f"http://127.0.0.1:{http_port(mesh, 0)}/{path}")
        alone.get_by_role("heading", level=1).wait_for()
        context.set_offline(True)
        assert "✓ valid" in drop(alone, "liar.blame", found.data)
        alone.get_by_text("lied, in cluster").get_by_text(liar).wait_for()
        size = len(found.data)
        for place in range(0, size, size // 12):
            changed = bytearray(found.data)
            changed[place] ^= 1
            assert "✗ not valid" in drop(alone, f"changed-{place}.blame", bytes(changed)), place
            assert alone.get_by_text("lied, in cluster").count() == 0
        assert "✗ not valid" in drop(alone, "cut.blame", found.data[:-1])
        is_for_everybody(alone)
        context.set_offline(False)
    context.close()


def test_seats_and_terms_are_shown_and_a_new_term_with_who_coordinates_it_by_itself(
    browser: "Browser", mesh: Cluster
) -> None:
    status = mesh.daemons[0].status()
    assert status is not None
    ids = [daemon.status().node for daemon in mesh.daemons]  # type: ignore[union-attr]
    place = next(n for n, each in enumerate(ids) if each != status.coordinator)
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    at = context.new_page()
    at.goto(f"http://127.0.0.1:{http_port(mesh, place)}/#/committee")
    seats = at.get_by_role("region", name="Seats").locator("tbody tr")
    seats.nth(3).wait_for()
    until(at, seats.filter(has_text="member").count, 4)
    fact = at.locator("dl div, dl").filter(has_text="coordinator").first
    at.get_by_text(str(status.coordinator)[:12]).first.wait_for()
    until(at, lambda: "quorum" in str(fact.text_content()), wanted=True)
    leading = next(n for n, each in enumerate(ids) if each == status.coordinator)
    mesh.daemons[leading].kill()
    try:
        mesh.until(
            lambda: (
                (now := mesh.daemons[place].status()) is not None
                and now.term > status.term
                and now.coordinator is not None
            ),
            "another coordinates",
        )
        now = mesh.daemons[place].status()
        assert now is not None
        at.get_by_text(str(now.coordinator)[:12]).first.wait_for()
        is_for_everybody(at)
    finally:
        mesh.daemons[leading].start()
        mesh.until(lambda: mesh.daemons[leading].status() is not None, "it is back")
    context.close()


def test_batches_lead_to_their_transactions_and_blocks_where_an_explorer_is_chosen(
    page: Open, mesh: Cluster
) -> None:
    with Mesh(mesh.daemons[0].data_dir) as library:
        library.run(compiled.module("echo"), b"to be anchored").wait()

    def anchored() -> list[AnchorInfo]:
        anchors = mesh.daemons[0].ask(ANCHOR_STATUS, GetAnchors()).anchors
        return [each for each in anchors if each.block is not None]

    mesh.until(lambda: bool(anchored()), "a batch is in a block")
    first = anchored()[-1]  # the oldest, which stays on the page
    at = page("anchors")
    batch = at.locator(".timeline li").filter(
        has=at.locator(f"a[href='{EXPLORER}/tx/{first.txid}']")
    )
    batch.wait_for()
    link = batch.locator(f"a[href='{EXPLORER}/block/{first.block}']")
    assert link.get_attribute("rel") == "noreferrer"
    assert str(first.root)[:12] in str(batch.text_content())
    sizes = [each.size for each in mesh.daemons[0].ask(ANCHOR_STATUS, GetAnchors()).anchors]
    assert sizes == sorted(sizes, reverse=True), "the newest first"
    is_for_everybody(at)


def test_every_account_is_listed_with_what_it_has_and_moves_as_credits_do(
    page: Open, mesh: Cluster
) -> None:
    def known() -> Accounts:
        return mesh.daemons[0].ask(ACCOUNT_LIST, ListAccounts())

    at = page("account")
    rows = at.get_by_role("region", name="Accounts").locator("tbody tr")
    rows.nth(3).wait_for()
    assert len(known().accounts) == 4
    until(at, rows.count, 4)
    third = next(each for each in known().accounts if each.name == "node3")
    mesh.daemons[0].ask(ACCOUNT_TRANSFER, TransferCredits(to="node3", amount_msat=77_000_000))
    moved_sat = (third.balance_msat + 77_000_000) // 1_000
    rows.filter(has_text="node3").get_by_text(f"{moved_sat:,}").wait_for()
    is_for_everybody(at)


def test_a_module_is_found_by_keyboard_and_pinned_on_this_node(page: Open, mesh: Cluster) -> None:
    words = wanted(compiled.module("echo"), "magpie", summary="brings things home")
    with Mesh(mesh.daemons[1].data_dir) as library:
        done = library.call(MODULE_PUBLISH, words)
    named = ShowModule(publisher=done.publisher, name="magpie", version="1.0.0")
    mesh.until(
        lambda: any(
            each.name == "magpie"
            for each in mesh.daemons[0].ask(MODULE_LIST, ListModules()).modules
        ),
        "the first node knows it",
    )
    at = page("modules")
    at.get_by_label("Search").focus()
    at.keyboard.type("no bird is called so")
    at.get_by_text("None is published").wait_for()
    for _ in "no bird is called so":
        at.keyboard.press("Backspace")
    at.keyboard.type("things home")
    at.get_by_role("link", name="magpie").wait_for()
    at.keyboard.press("Tab")
    while at.evaluate("document.activeElement.textContent") != "magpie":
        assert at.evaluate("document.activeElement.tagName") != "BODY", "the link is not reached"
        at.keyboard.press("Tab")
    at.keyboard.press("Enter")
    pin = at.get_by_role("button", name="Pin it: keep it on this node")
    pin.focus()
    at.keyboard.press("Enter")
    at.get_by_text("on this node, pinned").wait_for()
    assert mesh.daemons[0].ask(MODULE_SHOW, named).pinned
    is_for_everybody(at)
    at.get_by_role("button", name="Let it go").click()
    pin.wait_for()
    assert not mesh.daemons[0].ask(MODULE_SHOW, named).pinned


def test_forms_with_their_answers_are_for_everybody(page: Open, tmp_path: Path) -> None:
    module = tmp_path / "echo.wasm"
    module.write_bytes(compiled.module("echo"))
    at = page("submit")
    at.get_by_label("Module").set_input_files(module)
    at.get_by_text("Module: echo.wasm").wait_for()
    at.get_by_role("button", name="Show what it costs").focus()
    at.keyboard.press("Enter")
    at.get_by_role("button", name="Submit it").wait_for()
    is_for_everybody(at)
    at = page("invite")
    at.get_by_role("button", name="Make a join token").focus()
    at.keyboard.press("Enter")
    at.get_by_test_id("join").wait_for()
    is_for_everybody(at)
