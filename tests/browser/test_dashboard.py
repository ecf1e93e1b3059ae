"""The dashboard in a real browser, served by real daemons."""

import gzip
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ambientd
from ambientd.api.invitation import read_token
from ambientd.api.learning_operations import FL_JOIN, FL_LIST, FL_SHOW, FL_START
from ambientd.api.learning_values import JoinStudy, ListStudies, ShowStudy, StartStudy
from ambientd.api.operations import MODULE_PUBLISH
from ambientd.client import Mesh
from tests.browser.conftest import Open, fits_a_phone, http_port, until
from tests.mesh.cluster import Cluster
from tests.modules import compiled
from tests.modules.publishing import wanted

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

pytestmark = [pytest.mark.browser, pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

SERVED = Path(ambientd.__file__).parent / "dashboard"
AXE = Path(__file__).parents[2] / "dashboard" / "node_modules" / "axe-core" / "axe.min.js"
PAGES = (
    "",
    "tasks",
    "submit",
    "modules",
    "studies",
    "anchors",
    "committee",
    "account",
    "peg",
    "invite",
    "blames",
    "verify",
)


def a_task(mesh: Cluster, data: bytes) -> str:
    with Mesh(mesh.daemons[0].data_dir) as library:
        task = library.run(compiled.module("echo"), data)
        task.wait()
        mesh.until(lambda: task.show().receipt.state in {"batched", "anchored"}, "a checkpoint")
        return task.task_id


def test_a_task_is_submitted_watched_and_its_receipt_checked_in_the_page(
    page: Open, tmp_path: Path
) -> None:
    module, data = tmp_path / "echo.wasm", tmp_path / "input"
    module.write_bytes(compiled.module("echo"))
    data.write_bytes(b"from a browser")
    at = page("submit")
    asked: list[Request] = []
    at.on("request", lambda each: asked.append(each))  # noqa: PLW0108 - no method of a list
    at.get_by_label("Module").set_input_files(module)
    at.get_by_label("Input").set_input_files(data)
    at.get_by_role("button", name="Show what it costs").click()
    at.get_by_role("button", name="Submit it").dblclick()
    at.get_by_test_id("state").get_by_text("final").wait_for()
    posted = [each.post_data_json for each in asked if each.url.endswith("/api/v1/tasks")]
    # However often it is pressed, it is one task.
    assert len({each["nonce"] for each in posted if each}) == 1
    at.get_by_role("button", name="Show the output").click()
    at.get_by_text("from a browser").wait_for()
    at.get_by_text("batched").or_(at.get_by_text("anchored")).first.wait_for()
    at.get_by_role("button", name="Check the receipt").click()
    verdict = at.get_by_test_id("verdict")
    verdict.wait_for()
    assert "✓ valid" in str(verdict.text_content())
    at.get_by_test_id("why").get_by_text("every worker gave the same answer", exact=True).wait_for()


def test_a_task_is_submitted_by_a_published_modules_name(
    page: Open, mesh: Cluster, tmp_path: Path
) -> None:
    words = wanted(compiled.module("echo"), "parrot", version="2.0.0", gas_max=2_000_000)
    with Mesh(mesh.daemons[0].data_dir) as library:
        done = library.call(MODULE_PUBLISH, words)
    data = tmp_path / "input"
    data.write_bytes(b"by name")
    at = page("submit")
    at.get_by_label("or a published one").fill("no name")
    at.get_by_role("button", name="Show what it costs").click()
    at.get_by_role("alert").get_by_text("this names no module").wait_for()
    at = page(f"modules/{done.publisher}/parrot")
    at.get_by_role("link", name="submit a task with it here").click()
    named = at.get_by_label("or a published one")
    until(at, named.input_value, f"{done.publisher}/parrot@2.0.0")
    at.get_by_label("Input").set_input_files(data)
    at.get_by_role("button", name="Show what it costs").click()
    at.get_by_test_id("named").get_by_text(done.module_sha256).wait_for()
    at.get_by_role("button", name="Submit it").click()
    at.get_by_test_id("state").get_by_text("final").wait_for()
    at.get_by_text("of at most 2,000,000").wait_for()
    at.get_by_role("button", name="Show the output").click()
    at.get_by_text("by name", exact=True).wait_for()


def test_links_as_other_nodes_say_are_listed_and_drawn(page: Open) -> None:
    at = page("")
    at.get_by_text("reach port").wait_for()
    at.get_by_text("Links, as the nodes themselves say").click()
    rows = at.get_by_role("region", name="Links").get_by_role("row")
    rows.filter(has_text="node2").filter(has_text="node3").filter(has_text="ago").first.wait_for()
    drawn = (
        "map => map.getContext('2d').getImageData(0, 0, map.width, map.height).data.some(Boolean)"
    )
    until(at, lambda: at.locator("canvas.map").evaluate(drawn), wanted=True)
    assert violations(at) == []


def test_what_happens_is_shown_without_asking(page: Open, mesh: Cluster) -> None:
    at = page("tasks")
    at.get_by_test_id("link").get_by_text("live").wait_for()
    task = a_task(mesh, b"watched")
    at.locator(f"a[href='#/tasks/{task}']").wait_for()


def test_a_receipt_is_checked_without_a_network_and_a_changed_one_refused(
    browser: "Browser", mesh: Cluster, tmp_path: Path
) -> None:
    with Mesh(mesh.daemons[0].data_dir) as library:
        receipt = library.task(a_task(mesh, b"offline")).receipt()
    whole, changed = tmp_path / "whole.receipt", tmp_path / "changed.receipt"
    whole.write_bytes(receipt)
    changed.write_bytes(receipt[:900] + bytes([receipt[900] ^ 1]) + receipt[901:])
    context = browser.new_context()
    at = context.new_page()
    at.goto(f"http://127.0.0.1:{http_port(mesh, 0)}/verify.html")
    context.set_offline(True)
    for file, says in ((whole, "✓ valid"), (changed, "✗ not valid")):
        at.get_by_label("Receipt").set_input_files(file)
        at.get_by_test_id("verdict").get_by_text(file.name).wait_for()
        assert says in str(at.get_by_test_id("verdict").text_content())
    context.close()


def test_a_node_that_is_killed_is_seen_to_be_away_and_to_come_back(
    page: Open, mesh: Cluster
) -> None:
    at = page("")
    row = at.get_by_role("row").filter(has_text="node4")
    row.get_by_text("takes work").wait_for()
    mesh.daemons[3].kill()
    row.get_by_text("away").wait_for()
    mesh.daemons[3].start()
    row.get_by_text("takes work").wait_for()


def test_the_page_finds_its_daemon_again_after_a_restart(page: Open, mesh: Cluster) -> None:
    at = page("")
    at.get_by_test_id("link").get_by_text("live").wait_for()
    mesh.daemons[0].stop()
    at.get_by_test_id("link").get_by_text("away").wait_for()
    mesh.daemons[0].start()
    at.get_by_test_id("link").get_by_text("live").wait_for()
    task = a_task(mesh, b"afterwards")
    at.goto(f"http://127.0.0.1:{http_port(mesh, 0)}/#/tasks/{task}")
    at.get_by_test_id("state").get_by_text("final").wait_for()


def test_a_published_module_is_searched_and_shown(page: Open, mesh: Cluster) -> None:
    words = wanted(compiled.module("echo"), "echo", summary="gives back what it is given")
    with Mesh(mesh.daemons[0].data_dir) as library:
        done = library.call(MODULE_PUBLISH, words)
    at = page("modules")
    at.get_by_label("Search").fill("gives back")
    at.get_by_role("link", name="echo").click()
    at.get_by_test_id("sha256").get_by_text(done.module_sha256).wait_for()
    at.get_by_text("MIT (its publisher’s word)").wait_for()
    fits_a_phone(at)
    assert violations(at) == []


def test_a_nodes_charts_are_drawn_and_said_in_words(page: Open) -> None:
    at = page("nodes/node2")
    at.locator("figure canvas").first.wait_for()
    memory = at.get_by_text("memory available: last").first
    memory.wait_for()
    until(at, lambda: " %" in str(memory.text_content()), wanted=True)
    at.get_by_text("from here: last").first.wait_for()
    at.get_by_text("Figures of Load").click()
    at.get_by_role("columnheader", name="memory available (%)").wait_for()
    at.get_by_label("the last day").check()
    at.locator("figure canvas").first.wait_for()


def test_an_invitation_is_made_and_every_account_has_a_page(page: Open, mesh: Cluster) -> None:
    task = a_task(mesh, b"paid for")
    at = page("invite")
    at.get_by_label("It expires in").select_option("an hour")
    at.get_by_role("button", name="Make a join token").click()
    command = str(at.get_by_test_id("join").text_content())
    assert read_token(command.removeprefix("ambientctl join ")).genesis.name == "ambient"
    at = page("account")
    at.locator(f"a[href='#/tasks/{task}']").wait_for()
    at.get_by_role("region", name="Accounts").get_by_role("link", name="node3").click()
    at.get_by_role("heading", name="Account of node3").wait_for()


def test_a_batch_is_on_the_timeline_with_its_block_and_no_link_that_nobody_chose(
    page: Open, mesh: Cluster
) -> None:
    a_task(mesh, b"anchored")
    at = page("anchors")
    at.locator(".timeline li[data-state=anchored]").first.get_by_text("confirmations").wait_for()
    assert at.locator(".timeline a").count() == 0


def test_charts_and_checks_are_not_what_the_first_page_waits_for() -> None:
    index = (SERVED / "index.html").read_text(encoding="utf-8")
    named = set(re.findall(r"assets/[^\"]+", index))
    files = [SERVED / "index.html", *(SERVED / each for each in named)]
    assert sum(len(gzip.compress(each.read_bytes())) for each in files) < 45_000
    assert not any("uplot" in each.read_text(encoding="utf-8").lower() for each in files)


def test_a_check_is_here_before_it_is_asked_for_and_works_with_the_network_off(
    page: Open, mesh: Cluster, tmp_path: Path
) -> None:
    with Mesh(mesh.daemons[0].data_dir) as library:
        receipt = library.task(a_task(mesh, b"gone offline")).receipt()
    whole = tmp_path / "whole.receipt"
    whole.write_bytes(receipt)
    at = page("")
    at.get_by_test_id("link").get_by_text("live").wait_for()
    at.wait_for_function(
        "() => performance.getEntriesByType('resource')"
        ".some(({ name }) => /verify-.*js/.test(name))"
    )
    at.context.set_offline(True)
    at.get_by_role("link", name="Verify").click()
    at.get_by_label("Receipt").set_input_files(whole)
    at.get_by_test_id("verdict").get_by_text("✓ valid").wait_for()


def test_all_pages_together_stay_below_what_a_slow_link_brings_at_once() -> None:
    files = [SERVED / "index.html", *(SERVED / "assets").iterdir()]
    assert sum(len(gzip.compress(each.read_bytes())) for each in files) < 110_000


def violations(page: "Page") -> list[Any]:
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found: dict[str, Any] = page.evaluate("axe.run()")
    return [
        (each["id"], each["nodes"][0]["html"])
        for each in found["violations"]
        if each["impact"] in {"serious", "critical"}
    ]


def test_every_page_fits_a_phone_and_stands_in_no_screen_readers_way_in_either_scheme(
    page: Open, mesh: Cluster
) -> None:
    task = a_task(mesh, b"read aloud on a phone")
    for path in (*PAGES, f"tasks/{task}", "nodes/node2"):
        at = page(path)
        desk = at.viewport_size
        assert desk is not None
        at.get_by_role("heading", level=1).wait_for()
        fits_a_phone(at, path)
        at.set_viewport_size(desk)
        at.get_by_test_id("link").get_by_text("live").wait_for()
        for scheme in ("dark", "light"):
            at.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert violations(at) == [], (path, scheme)
        at.close()


def test_every_page_is_reached_by_keyboard(page: Open) -> None:
    at = page("")
    at.get_by_test_id("link").get_by_text("live").wait_for()
    reached = set()
    for _ in range(2 + len(PAGES)):
        at.keyboard.press("Tab")
        reached.add(at.evaluate("document.activeElement.textContent"))
    assert {"Skip to the content", "Mesh", "Tasks", "Verify"} <= reached


def test_a_study_is_shown_round_by_round(page: Open, mesh: Cluster) -> None:
    founder = mesh.daemons[0]
    request = StartStudy(
        name="shown", model="mlp:64,8,10", rounds=3, participants_min=1, invite_s=30.0, train_s=30.0
    )
    begun = founder.ask(FL_START, request)
    founder.ask(FL_JOIN, JoinStudy(study=begun.study, data="digits:1/20"))
    mesh.until(
        lambda: founder.ask(FL_SHOW, ShowStudy(study=begun.study)).study.state == "done",
        "the study is done",
    )
    at = page("studies")
    at.locator(f"a[href='#/studies/{begun.study}']").click()
    at.get_by_text("Accuracy on held-out data", exact=True).wait_for()
    rows = at.get_by_role("region", name="Rounds").locator("tbody tr")
    until(at, rows.count, 3)
    until(at, lambda: "%" in str(rows.last.text_content()), wanted=True)
    at.get_by_text("all can have the updates").wait_for()


def test_a_private_studys_page_draws_the_epsilon_of_each_round_under_what_is_allowed(
    page: Open, mesh: Cluster
) -> None:
    founder, other = mesh.daemons[:2]
    request = StartStudy(
        name="spent",
        model="mlp:64,4,10",
        private=True,
        clip=1.0,
        noise=8.0,
        group=2,
        rounds=3,
        participants_min=2,
        train_s=30.0,
        step_s=30.0,
    )
    begun = founder.ask(FL_START, request)
    for number, daemon in enumerate((founder, other), start=1):
        mesh.until(
            lambda d=daemon: (
                begun.study in {s.study for s in d.ask(FL_LIST, ListStudies()).studies}
            ),
            "the study is known",
        )
        daemon.ask(FL_JOIN, JoinStudy(study=begun.study, data=f"digits:{number}/9", epsilon=9.0))
    mesh.until(
        lambda: founder.ask(FL_SHOW, ShowStudy(study=begun.study)).study.state == "done",
        "the study is done",
        120,
    )
    told = founder.ask(FL_SHOW, ShowStudy(study=begun.study))
    ended = [each.epsilon for each in told.rounds]
    assert ended == sorted(ended)  # type: ignore[type-var]
    at = page(f"studies/{begun.study}")
    curve = at.get_by_role("figure").filter(has_text="Privacy spent by who was in every round")
    curve.get_by_text("allowed here: last 9").wait_for()
    last = float(f"{ended[-1]:.3g}")
    curve.get_by_text(f"epsilon: last {last:g}").wait_for()
    curve.get_by_text("Figures of Privacy spent").click()
    rows = curve.locator("tbody tr")
    assert len(ended) >= 3
    until(at, rows.count, len(ended))
    assert at.get_by_text("Accuracy on held-out data").count() == 0, "nobody scores it"
    assert violations(at) == []


def test_a_studys_page_follows_it_to_its_end_and_is_for_everybody(
    page: Open, mesh: Cluster
) -> None:
    founder = mesh.daemons[0]
    begun = founder.ask(
        FL_START,
        StartStudy(
            name="followed", model="mlp:64,8,10", rounds=2, participants_min=1, train_s=30.0
        ),
    )
    at = page(f"studies/{begun.study}")
    at.get_by_role("heading", name="followed", level=1).wait_for()
    at.get_by_text("inviting", exact=True).wait_for()
    at.get_by_text("No round has begun.").wait_for()
    founder.ask(FL_JOIN, JoinStudy(study=begun.study, data="digits:2/20"))
    rounds = at.get_by_role("region", name="Rounds").locator("tbody tr")
    rounds.filter(has_text="done").nth(1).wait_for()
    at.get_by_text("2 of 2", exact=True).wait_for()
    author = at.get_by_role("link", name=founder.status().node[:8])  # type: ignore[union-attr]
    author.nth(1).wait_for()  # who began it, and who takes part
    for scheme in ("dark", "light"):
        at.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert violations(at) == [], scheme
    fits_a_phone(at)
    at = page("studies/" + "00" * 32)
    at.get_by_role("alert").get_by_text("no study").wait_for()
