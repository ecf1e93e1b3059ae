"""A module's page shows which image the module becomes, who said so, and when it was decided."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.image_operations import IMAGE_NAME, IMAGE_SHOW
from ambientd.api.image_values import NameImage, ShowImage
from ambientd.api.operations import MODULE_PUBLISH
from tests.browser.conftest import http_port, open_http
from tests.browser.test_everyday import go, is_for_everybody, visiting
from tests.mesh.cluster import Cluster
from tests.modules import compiled
from tests.modules.publishing import wanted

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

TRUE, FALSE = "5a" * 32, "ab" * 32


def test_a_modules_page_shows_its_image_whose_word_it_is_and_the_epoch(
    browser: "Browser", tmp_path: Path
) -> None:
    mesh = Cluster(tmp_path / "mesh", 4, ClusterPlan(bitcoin="off"))
    first, second, liar, _ = mesh.daemons
    for place, daemon in enumerate(mesh.daemons):
        open_http(daemon.data_dir / "config.toml", http_port(mesh, place))
    try:
        mesh.start()
        done = first.ask(MODULE_PUBLISH, wanted(compiled.module("echo"), "parrot"))
        module = done.module_sha256
        with visiting(browser, mesh) as at:
            at.get_by_test_id("link").get_by_text("live").wait_for()
            path = f"modules/{done.publisher}/parrot"
            go(at, path)
            at.get_by_test_id("sha256").get_by_text(module).wait_for()
            assert at.get_by_text("Own image").count() == 0, "nobody has named one"
            liar.ask(IMAGE_NAME, NameImage(module_sha256=module, image=FALSE))
            mesh.until(
                lambda: bool(first.ask(IMAGE_SHOW, ShowImage(module_sha256=module)).words),
                "the first word has come",
            )
            go(at, "modules")
            go(at, path)
            undecided = "not decided: 2 members must say the same"
            at.get_by_test_id("own-image").get_by_text(undecided).wait_for()
            for daemon in (second, first):
                daemon.ask(IMAGE_NAME, NameImage(module_sha256=module, image=TRUE))
            go(at, "modules")
            go(at, path)
            at.get_by_test_id("own-image").get_by_text(TRUE).wait_for()
            said = at.get_by_test_id("own-image-decided").text_content() or ""
            assert said.endswith("in epoch 1")
            rows = at.get_by_role("region", name="Who said what the module becomes")
            rows.get_by_role("row").filter(has_text=FALSE).get_by_text(
                "not what members"
            ).wait_for()
            assert rows.get_by_role("row").filter(has_text=TRUE).count() == 2
            is_for_everybody(at, path)
        mesh.check_alive()
    finally:
        mesh.stop()
