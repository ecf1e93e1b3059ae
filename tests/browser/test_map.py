"""The map and a node's page say how nodes are: real daemons, one overheats and one dies."""

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from ambientd.api.cluster import ClusterPlan
from tests.browser.conftest import PATIENCE_MS, fits_a_phone, http_port, open_http
from tests.browser.test_dashboard import violations
from tests.mesh.cluster import Cluster
from tests.mesh.heating import COOL, HOT, warm

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

NAMES = ("node1", "node2", "node3")
# What the page draws of a frame is noted as it is drawn: a canvas says nothing of itself.
NOTE = """(() => {
  const drawn = { texts: [], lines: [] };
  let path = [];
  window.drawn = drawn;
  const around = (name, note) => {
    const made = CanvasRenderingContext2D.prototype[name];
    CanvasRenderingContext2D.prototype[name] = function (...given) {
      if (this.canvas.className === "map") note(this, ...given);
      return made.apply(this, given);
    };
  };
  around("clearRect", () => { drawn.texts = []; drawn.lines = []; });
  around("beginPath", () => { path = []; });
  around("moveTo", (_, x, y) => path.push([x, y]));
  around("lineTo", (_, x, y) => path.push([...path.pop(), x, y]));
  around("stroke", ({ strokeStyle }) => {
    for (const line of path) if (line.length === 4) drawn.lines.push([strokeStyle, ...line]);
  });
  around("fillText", (_, text, x, y) => drawn.texts.push([text, x, y]));
})();"""
# A name stands 10 to the right of its dot's middle, and 4 below.
COLOURS = """() => {
  const map = document.querySelector("canvas.map");
  const scale = devicePixelRatio || 1;
  const hex = (parts) => "#" + parts.map((each) => each.toString(16).padStart(2, "0")).join("");
  const meant = (tone) => {
    const { color } = getComputedStyle(document.querySelector(`.legend .${tone}`));
    return hex(color.match(/\\d+/g).slice(0, 3).map(Number));
  };
  const tones = Object.fromEntries(["good", "wait", "bad", "faint"].map((t) => [meant(t), t]));
  const found = {};
  for (const [text, x, y] of window.drawn.texts) {
    if (!text.startsWith("node")) continue;
    const at = [(x - 10) * scale + map.width / 2, (y - 4) * scale + map.height / 2];
    const [red, green, blue] = map.getContext("2d").getImageData(...at.map(Math.round), 1, 1).data;
    found[text] = tones[hex([red, green, blue])] ?? hex([red, green, blue]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three daemons with a sensor each, cool at first."""
    plan = ClusterPlan(block_interval_ms=1_000, bitcoin="off")
    cluster = Cluster(tmp_path_factory.mktemp("mesh") / "mesh", 3, plan)
    for place, daemon in enumerate(cluster.daemons):
        config = daemon.data_dir / "config.toml"
        open_http(config, http_port(cluster, place))
        text = config.read_text(encoding="utf-8")
        sensors = '[telemetry]\nsysfs = "sys"\ninterval_ms = 500\n'
        config.write_text(text.replace("[telemetry]\n", sensors, 1), encoding="utf-8")
        warm(daemon, COOL)
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def at(browser: "Browser", mesh: Cluster) -> Iterator["Page"]:
    """The first node's first page, with notes of what it draws."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.add_init_script(NOTE)
    page.goto(f"http://127.0.0.1:{http_port(mesh, 0)}/")
    page.locator("canvas.map").wait_for()
    yield page
    context.close()


class Link(NamedTuple):
    """A line of the map: who is at its ends, its colour, and what is written beside it."""

    ends: frozenset[str]
    colour: str
    text: str


def links_of(drawn: dict[str, Any]) -> list[Link]:
    """Read the map: a figure stands 4 right of a line's middle, and 4 above."""
    dots = {text: (x - 10, y - 4) for text, x, y in drawn["texts"] if text in NAMES}
    figures = [(text, x - 4, y + 4) for text, x, y in drawn["texts"] if text not in NAMES]
    found = []
    for colour, *line in drawn["lines"]:
        ends = frozenset(
            name
            for name, spot in dots.items()
            if is_near(spot, tuple(line[:2])) or is_near(spot, tuple(line[2:]))
        )
        middle = ((line[0] + line[2]) / 2, (line[1] + line[3]) / 2)
        beside = [text for text, x, y in figures if is_near((x, y), middle)]
        found.append(Link(ends, colour, beside[0] if beside else ""))
    return found


def is_near(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(abs(here - there) < 0.01 for here, there in zip(one, other, strict=True))


def test_links_on_the_map_are_those_measured_and_coloured_by_what_was_measured(
    at: "Page", mesh: Cluster
) -> None:
    answers: list[dict[str, Any]] = []
    at.on(
        "response",
        lambda each: answers.append(each.json()) if "/api/v1/links" in each.url else None,
    )
    ids = {daemon.data_dir.name: daemon.status().node for daemon in mesh.daemons}  # type: ignore[union-attr]
    tones = at.evaluate(
        "() => ['good', 'wait', 'bad'].map((tone) =>"
        " getComputedStyle(document.querySelector(`.legend .${tone}`)).color)"
    )

    def all_are_as_told() -> bool:
        at.wait_for_timeout(200)
        if not answers:
            return False
        links = links_of(at.evaluate("() => window.drawn"))
        told: dict[frozenset[str], set[int]] = {}
        for each in answers[-1]["links"]:
            if each["one_way_us"] is not None:
                told.setdefault(frozenset((each["by"], each["to"])), set()).add(each["one_way_us"])
        measured = {link for link in links if link.text}
        if {link.ends for link in measured} != {frozenset(pair) for pair in combinations(NAMES, 2)}:
            return False
        return all(is_as_told(link, told[frozenset(ids[name] for name in link.ends)])
                   for link in measured)  # fmt: skip

    def is_as_told(link: Link, values_us: set[int]) -> bool:
        for value_us in values_us:
            text = at.evaluate(
                "(us) => new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })"
                ".format(us / 1000) + ' ms'",
                value_us,
            )
            tone = tones[0] if value_us < 20_000 else tones[1] if value_us < 100_000 else tones[2]
            if text == link.text and rgb(tone) == link.colour:
                return True
        return False

    mesh.until(all_are_as_told, "every pair's link is drawn as it was measured")


def rgb(computed: str) -> str:
    """Write a computed colour as a canvas does."""
    red, green, blue = computed.removeprefix("rgb(").removesuffix(")").split(", ")
    return f"#{int(red):02x}{int(green):02x}{int(blue):02x}"


def wait_for_colours(at: "Page", wanted: dict[str, str]) -> None:
    at.wait_for_function(
        f"(wanted) => {{ const found = ({COLOURS})();"
        " return Object.keys(wanted).every((name) => found[name] === wanted[name]); }",
        arg=wanted,
    )


def test_a_nodes_colour_follows_its_health_and_its_page_names_what_holds_it_in_safe_mode(
    browser: "Browser", at: "Page", mesh: Cluster
) -> None:
    healthy = {"node2": "good", "node3": "good"}
    wait_for_colours(at, healthy)
    hot = mesh.daemons[1].status()
    assert hot is not None
    warm(mesh.daemons[1], HOT)
    degraded = {**healthy, "node2": "wait"}
    wait_for_colours(at, degraded)
    row = at.get_by_role("row").filter(has_text="node2")
    row.get_by_text("safe mode: hot").wait_for()  # and others, where the machine is slow

    about = at.context.new_page()
    about.goto(f"http://127.0.0.1:{http_port(mesh, 0)}/#/nodes/{hot.node}")
    causes = about.get_by_test_id("causes")
    causes.get_by_text("hot: it is too hot, and hands its work on until it has cooled").wait_for()
    about.get_by_text("temperature: last 91").first.wait_for()
    assert violations(about) == []
    fits_a_phone(about)

    mesh.daemons[2].kill()
    wait_for_colours(at, {**degraded, "node3": "faint"})
    schemes: tuple[Any, ...] = ("dark", "light")
    for scheme in schemes:
        at.emulate_media(color_scheme=scheme)
        wait_for_colours(at, {**degraded, "node3": "faint"})
        assert violations(at) == [], scheme

    warm(mesh.daemons[1], COOL)
    mesh.daemons[2].start()
    causes.filter(has_not_text="hot").wait_for()
    row.filter(has_not_text="hot").wait_for()
    at.get_by_role("row").filter(has_text="node3").filter(has_not_text="away").wait_for()
    # On a slow machine they may be slow now, which is orange too: the map says what the table does.
    at.wait_for_function(
        f"""() => {{ const found = ({COLOURS})();
        return [...document.querySelectorAll("[aria-label=Nodes] tbody tr")].every((row) => {{
          const [name, , says] = [...row.cells].map((cell) => cell.textContent);
          return found[name.split(" ")[0]] === (says === "takes work" ? "good" : "wait");
        }}); }}"""
    )
