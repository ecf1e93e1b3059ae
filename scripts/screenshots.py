"""Take the pictures of the dashboard in the README: `python -m scripts.screenshots`.

Four real daemons work for a while, with their own chain, and a real Chromium looks at them. Needs
the dashboard (`make dashboard`), playwright, and Chromium.
"""

import argparse
import sys
import time
from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ambientd.client import Mesh
from scripts.dashboard_checks import mesh
from tests.browser.conftest import http_port, launched
from tests.mesh.cluster import Cluster
from tests.modules import compiled

if TYPE_CHECKING:
    from playwright.sync_api import Page

FOLDER = Path(__file__).parents[1] / "docs" / "images"
SIZE = (1_000, 640)
QUALITY_PERCENT = 55
BYTES_MAX = 300_000
WORK_S = 150.0
PAUSE_S = 3.0
SETTLE_MS = 4_000


def take(folder: Path, work_s: float) -> list[Path]:
    """Let a mesh work, look at it in light and dark, and give the files that were written."""
    folder.mkdir(parents=True, exist_ok=True)
    with mesh() as cluster:
        task = work(cluster, work_s)
        return pictures(folder, http_port(cluster, 0), peer_of(cluster), task)


def peer_of(cluster: Cluster) -> str:
    """Give the second node's id."""
    status = cluster.daemons[1].status()
    assert status is not None, "it has been ready"
    return status.node


def work(cluster: Cluster, work_s: float) -> str:
    """Have tasks executed, so that there is something to see; give the first."""
    until, first = time.monotonic() + work_s, ""
    with Mesh(cluster.daemons[0].data_dir) as library:
        while not first or time.monotonic() < until:
            task = library.run(compiled.module("echo"), b"hello %d" % time.monotonic_ns())
            task.wait()
            first = first or task.task_id
            time.sleep(PAUSE_S)
    return first


def pictures(folder: Path, port: int, node: str, task: str) -> list[Path]:
    """Take the picture of each page in each colour scheme."""
    pages = {
        "mesh": ("", "h2:has-text('Map')"),
        "node": (f"nodes/{node}", "h2:has-text('Telemetry')"),
        "task": (f"tasks/{task}", "h1"),
        "anchors": ("anchors", "h1"),
    }
    found = []
    with launched() as browser:
        for scheme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme=scheme
            )
            at = context.new_page()
            at.goto(f"http://127.0.0.1:{port}/")
            for name, (path, first) in pages.items():
                at.goto(f"http://127.0.0.1:{port}/#/{path}")
                at.get_by_test_id("link").get_by_text("live").wait_for()
                at.locator(first).wait_for()
                at.wait_for_timeout(SETTLE_MS)
                at.locator(first).evaluate("each => each.scrollIntoView()")
                file = folder / f"{name}-{scheme}.webp"
                file.write_bytes(webp(at))
                found.append(file)
            context.close()
    return found


def webp(page: "Page") -> bytes:
    """Give what the page looks like; Chromium writes WebP itself, playwright alone does not."""
    session = page.context.new_cdp_session(page)
    said = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY_PERCENT})
    return b64decode(said["data"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Take them, and say how large they are."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--work-s", type=float, default=WORK_S, help="for how long tasks come")
    chosen = parser.parse_args(arguments)
    files = take(chosen.folder, chosen.work_s)
    size_bytes = sum(file.stat().st_size for file in files)
    print(f"{len(files)} pictures, {size_bytes:,} bytes, in {chosen.folder}")
    if size_bytes > BYTES_MAX:
        print(f"that is more than {BYTES_MAX:,} bytes: lower QUALITY_PERCENT", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
