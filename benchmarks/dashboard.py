"""How fast the dashboard is in a real browser: `python -m benchmarks.dashboard`.

No daemon: the browser's requests are answered here, with a mesh of as many nodes as are asked for.
"""

import argparse
import itertools
import json
import os
import random
import statistics
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, CDPSession, Route, sync_playwright

from tests.browser.conftest import browser_path

PAGES = Path(__file__).parents[1] / "src" / "ambientd" / "dashboard"
SITE = "http://dashboard.test"
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
QUIET = ("--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run", "--no-sandbox")  # fmt: skip
FRAMES = """async () => {
  const times = [];
  await new Promise((resolve) => {
    const step = (now) => {
      times.push(now);
      if (now - times[0] < 5000) requestAnimationFrame(step); else resolve();
    };
    requestAnimationFrame(step);
  });
  return times;
}"""
PAINTED = """() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime"""


def nodes(count: int) -> dict[str, Any]:
    """Give a mesh as `nodes` answers."""
    draw = random.Random(1)
    return {
        "self_id": f"{0:064x}",
        "nodes": [
            {
                "id": f"{number:064x}",
                "name": f"node{number}",
                "region": "eu",
                "kind": "compute",
                "committee": number < 7,
                "connected": draw.random() < 0.9,
                "health_percent": draw.randrange(100),
                "reputation": draw.random(),
                "safe_mode": draw.random() < 0.05,
                "engine": "wasmtime",
                "balance_msat": 0,
                "bond_msat": 0,
                "tombstoned": draw.random() < 0.01,
                "accepting": True,
                "causes": [],
                "link_us": draw.randrange(200_000) if number < 64 else None,
            }
            for number in range(count)
        ],
    }


def links(count: int) -> dict[str, Any]:
    """Give this node's links and those that others told, as `links` answers."""
    draw = random.Random(2)
    told = [(0, each) for each in range(1, min(count, 64))]
    told += [(draw.randrange(count), draw.randrange(count)) for _ in range(count)]
    rows = [
        {
            "by": f"{one:064x}",
            "to": f"{other:064x}",
            "one_way_us": draw.randrange(200_000),
            "age_ms": 0 if one == 0 else draw.randrange(600_000),
        }
        for one, other in told
        if one != other
    ]
    return {"self_id": f"{0:064x}", "links": rows}


def answer(route: Route, mesh: dict[str, Any]) -> None:
    """Answer what the page asks for."""
    path = route.request.url.removeprefix(SITE)
    if path.startswith("/api/v1/nodes"):
        route.fulfill(json=mesh)
    elif path.startswith("/api/v1/links"):
        route.fulfill(json=links(len(mesh["nodes"])))
    elif path.startswith("/api/"):
        route.fulfill(status=503, body=json.dumps({"title": "not measured"}))
    else:
        file = PAGES / (path.lstrip("/") or "index.html")
        route.fulfill(body=file.read_bytes(), content_type=KINDS[file.suffix])


def busy_ms(session: CDPSession) -> float:
    """Give what the page has taken of a processor so far, whatever else the machine does."""
    found = session.send("Performance.getMetrics")["metrics"]
    return 1000 * float(next(each["value"] for each in found if each["name"] == "TaskDuration"))


def measure(browser: Browser, count: int) -> tuple[float, float, float, float]:
    """Give milliseconds to the first paint, frames a second, the longest frame, and their work."""
    page = browser.new_context().new_page()
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.route("**/*", lambda route: answer(route, nodes(count)))
    page.goto(f"{SITE}/")
    page.get_by_role("heading", name="Map").wait_for()
    before = busy_ms(session)
    times: list[float] = page.evaluate(FRAMES)
    work_ms = (busy_ms(session) - before) / len(times)
    painted_ms: float = page.evaluate(PAINTED)
    frames = [after - before for before, after in itertools.pairwise(times)]
    page.context.close()
    return painted_ms, 1000 * len(frames) / (times[-1] - times[0]), max(frames), work_ms


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=list(QUIET))
        runs = [measure(browser, arguments.nodes) for _ in range(arguments.runs)]
        browser.close()
    painted, rates, longest, work = (statistics.median(each) for each in zip(*runs, strict=True))
    print(f"{arguments.nodes} nodes, {arguments.runs} runs, load {os.getloadavg()[0]:.1f}")
    print(f"first paint {painted:.0f} ms, {rates:.0f} frames/s, longest frame {longest:.0f} ms")
    print(f"each frame takes {work:.1f} ms of a processor")


if __name__ == "__main__":
    main()
