"""Measure the dashboard as its visitors meet it: `python -m scripts.dashboard_checks`.

Four real daemons, a real Chromium. Of each page: when something is painted and when its heading is
there, what came over the wire, how far the layout jumped, what a script complained of, and what axe
finds serious. What is over a budget fails. `benchmarks.dashboard` measures the map.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.browser.conftest import http_port, launched, open_http
from tests.browser.test_dashboard import PAGES, violations
from tests.mesh.cluster import Cluster

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage

READY_MS_MAX = 1_000
BYTES_MAX = 110_000
SHIFT_MAX = 0.1

_OBSERVE = """
window.shift = 0;
new PerformanceObserver((list) => {
  for (const each of list.getEntries()) if (!each.hadRecentInput) window.shift += each.value;
}).observe({ type: "layout-shift", buffered: true });
new MutationObserver(() => {
  if (window.readyMs === undefined && document.querySelector("h1")) {
    window.readyMs = performance.now();
  }
}).observe(document, { childList: true, subtree: true });
"""
_FIGURES = """() => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  const files = performance.getEntriesByType("resource").filter(({ name }) => /assets/.test(name));
  const [page] = performance.getEntriesByType("navigation");
  return {
    paint_ms: paint?.startTime ?? -1,
    ready_ms: window.readyMs ?? -1,
    size_bytes: [page, ...files].reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0),
    shift: window.shift,
  };
}"""


class Figures(NamedTuple):
    """What one page showed."""

    page: str
    paint_ms: float
    ready_ms: float
    size_bytes: int
    shift: float
    complaints: int
    barriers: int

    @property
    def faults(self) -> tuple[str, ...]:
        """Give what is over its budget."""
        found = {
            "ready": self.ready_ms > READY_MS_MAX,
            "bytes": self.size_bytes > BYTES_MAX,
            "shift": self.shift > SHIFT_MAX,
            "complaints": self.complaints > 0,
            "axe": self.barriers > 0,
        }
        return tuple(name for name, is_over in found.items() if is_over)


@contextmanager
def mesh() -> Iterator[Cluster]:
    """Run four daemons that answer HTTP to everybody on this machine."""
    with TemporaryDirectory() as place:
        cluster = Cluster(Path(place) / "mesh", 4)
        for number, daemon in enumerate(cluster.daemons):
            open_http(daemon.data_dir / "config.toml", http_port(cluster, number))
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()


def figures(browser: "Browser", base: str, path: str) -> Figures:
    """Visit a page as for the first time, and measure."""
    context = browser.new_context()
    at, complaints = context.new_page(), list[str]()
    at.on("pageerror", lambda error: complaints.append(str(error)))
    at.on("console", lambda said: complaints.append(said.text) if is_complaint(said) else None)
    at.add_init_script(_OBSERVE)
    at.goto(f"{base}/#/{path}")
    at.get_by_role("heading", level=1).wait_for()
    at.get_by_test_id("link").get_by_text("live").wait_for()
    found: dict[str, Any] = at.evaluate(_FIGURES)
    barriers = len(violations(at))
    context.close()
    return Figures(path or "(mesh)", **found, complaints=len(complaints), barriers=barriers)


def is_complaint(said: "ConsoleMessage") -> bool:
    """Tell whether a script complains; that the daemon refused something, the page says itself."""
    return said.type == "error" and not said.text.startswith("Failed to load resource")


def main() -> int:
    """Print a line for each page; give 1 when a budget is exceeded."""
    with mesh() as cluster, launched() as browser:
        base = f"http://127.0.0.1:{http_port(cluster, 0)}"
        found = [figures(browser, base, path) for path in (*PAGES, "nodes/node2")]
    print(f"{'page':<12} paint ms  ready ms  bytes    shift  complaints  axe")
    for each in found:
        print(
            f"{each.page:<12} {each.paint_ms:8.0f}  {each.ready_ms:8.0f}  {each.size_bytes:7,}"
            f"  {each.shift:.3f}  {each.complaints:10}  {each.barriers:3}  {' '.join(each.faults)}"
        )
    return int(any(each.faults for each in found))


if __name__ == "__main__":
    sys.exit(main())
