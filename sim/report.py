"""A page on some worlds: who coordinated, what was committed, what befell them. It needs no net."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

from ambientd.consensus.effects import Committed, CoordinatorChanged
from ambientd.node.effect import CoordinatorElected
from sim.checkers import Checker, InvariantViolation
from sim.faults import labels
from sim.happenings import (
    Crashes,
    Deafens,
    DropsOut,
    Fills,
    Forgets,
    Happening,
    Heats,
    LosesStates,
    Parts,
    Pauses,
    Reorganises,
    Rots,
    Tears,
    WeatherTurns,
)
from sim.machine import Delivery, Effect, Host
from sim.node_checkers import ledger_changes
from sim.plans import Plan, drawn_happenings, nodes_of, play
from sim.repertoire import SCENARIOS
from sim.strikes import Strikes
from sim.updates import Updates
from sim.world import SUPERVISED_MS

WIDTH, ROW, LEFT = 900, 22, 110
CHART = 120

STYLE = """
body { font: 15px/1.45 sans-serif; margin: 2em auto; max-width: 1060px; padding: 0 1em;
  color: #1d232b; background: #fff; }
table { border-collapse: collapse; margin: 1em 0; }
td, th { text-align: left; padding: .25em 1em .25em 0; border-bottom: 1px solid #d5dae0; }
svg { display: block; margin: .5em 0 1.5em; }
text { font: 12px sans-serif; fill: #48525e; }
.broken { color: #b3261e; } .line { fill: none; stroke: #1f6f8b; stroke-width: 1.5; }
.term { stroke: #c77b1e; } .crash { fill: #b3261e; } .pause { fill: #8a6fb0; }
.disk { fill: #6b4f2a; } .chain { fill: #1f6f8b; }
.parts { fill: #c77b1e; opacity: .35; } .weather { fill: #7d8894; opacity: .5; }
.deaf { fill: #2f8a5b; opacity: .45; } .axis { stroke: #d5dae0; }
@media (prefers-color-scheme: dark) {
  body { color: #dfe4ea; background: #14181d; } text { fill: #a9b4c0; }
  td, th { border-color: #333c46; } .axis { stroke: #333c46; } .line { stroke: #6fc3df; }
}
"""


@dataclass(slots=True)
class Timeline(Checker):
    """Watches a world: commits and terms over time."""

    commits: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])
    terms: list[tuple[int, int]] = field(default_factory=lambda: [(0, 1)])

    def saw_delivery(self, node: Host, delivery: Delivery, now: int) -> None:
        """Look away."""

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Note the first commit of each index and the first sight of each term."""
        if not node.is_honest:
            return
        if isinstance(effect, CoordinatorChanged | CoordinatorElected):
            self._rise(self.terms, now, effect.term)
        if isinstance(effect, Committed):
            self._rise(self.commits, now, effect.blocks[-1].index)
        for change in ledger_changes(effect):
            self._rise(self.commits, now, change.committed.blocks[-1].index)

    @staticmethod
    def _rise(line: list[tuple[int, int]], now: int, value: int) -> None:
        if value > line[-1][1]:
            line.append((now, value))


def render(plans: Iterable[Plan], *sections: str) -> str:
    """Give the page, sections of others at its end; the same worlds give the same page."""
    worlds = "\n".join([*(_section(plan) for plan in plans), *sections])
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Simulated worlds</title>'
        f"<style>{STYLE}</style>\n<h1>Simulated worlds</h1>\n"
        "<p>Blue: committed blocks. Orange: the term. Below, what befell each node: red crashes, "
        "violet pauses, brown disks, green deaf or unheard, orange parted, grey bad weather, "
        "blue undone Bitcoin blocks.</p>\n"
        f"{worlds}\n</html>\n"
    )


def _section(plan: Plan) -> str:
    timeline = Timeline()
    rows = {"replay": plan.command, "faults": ", ".join(labels(plan.effective_faults)) or "none"}
    try:
        outcome = play(plan, timeline)
    except InvariantViolation as violation:
        rows["broken"] = str(violation)
    else:
        for name in outcome.__dataclass_fields__:
            rows[name.replace("_", " ")] = _words(getattr(outcome, name))
    table = "".join(
        f"<tr><th>{escape(name)}</th><td{_class(name)}>{escape(value)}</td></tr>"
        for name, value in rows.items()
    )
    happenings = drawn_happenings(plan)
    title = f"{plan.scenario}, seed {plan.seed}, {plan.nodes} members"
    text = escape(SCENARIOS[plan.scenario].text)
    return (
        f"<h2>{escape(title)}</h2><p>{text}</p>{_chart(plan, timeline)}"
        f"{_faults(plan, happenings)}<table>{table}</table>"
    )


def _words(value: object) -> str:
    """Put a figure, or counts by name, into words."""
    if not isinstance(value, dict):
        return str(value)
    return ", ".join(f"{count} {name}" for name, count in value.items()) or "none"


def _class(name: str) -> str:
    return ' class="broken"' if name == "broken" else ""


def _x(plan: Plan, time_ms: int) -> int:
    return LEFT + min(time_ms, plan.time_ms) * WIDTH // plan.time_ms


def _chart(plan: Plan, timeline: Timeline) -> str:
    lines = [
        _line(plan, timeline.commits, "line", "blocks", 14),
        _line(plan, timeline.terms, "line term", "terms", 32),
    ]
    ticks = "".join(
        f'<line class="axis" x1="{_x(plan, at)}" x2="{_x(plan, at)}" y1="0" y2="{CHART}"/>'
        f'<text x="{_x(plan, at) + 3}" y="{CHART + 14}">{at // 1000} s</text>'
        for at in range(0, plan.time_ms, 10_000)
    )
    size = f'width="{LEFT + WIDTH}" height="{CHART + 20}"'
    return f"<svg {size}>{ticks}{''.join(lines)}</svg>"


def _line(plan: Plan, points: list[tuple[int, int]], kind: str, name: str, label_y: int) -> str:
    top = max(points[-1][1], 1)
    path, before = [], CHART
    for time_ms, value in [*points, (plan.time_ms, points[-1][1])]:
        y = CHART - value * (CHART - 4) // top
        path += [f"{_x(plan, time_ms)},{before}", f"{_x(plan, time_ms)},{y}"]
        before = y
    label = f'<text x="0" y="{label_y}">{points[-1][1]} {name}</text>'
    return f'<polyline class="{kind}" points="{" ".join(path)}"/>{label}'


def _faults(plan: Plan, happenings: Sequence[Happening]) -> str:
    bars: list[str] = []
    lanes = ("network", *nodes_of(plan))
    for number, happening in enumerate(happenings):
        following = [h.at_ms for h in happenings[number + 1 :] if isinstance(h, WeatherTurns)]
        for row, kind, until_ms in _bars(happening, next(iter(following), happening.at_ms)):
            x, width = _x(plan, happening.at_ms), 0
            width = max(_x(plan, until_ms) - x, 2)
            place = f'x="{x}" y="{row * ROW + 4}" width="{width}" height="{ROW - 8}"'
            bars.append(f'<rect class="{kind}" {place}/>')
    names = "".join(
        f'<text x="0" y="{row * ROW + 16}">{name}</text>' for row, name in enumerate(lanes)
    )
    return f'<svg width="{LEFT + WIDTH}" height="{len(lanes) * ROW}">{names}{"".join(bars)}</svg>'


def _bars(happening: Happening, weather_ends: int) -> list[tuple[int, str, int]]:
    """Give the rows that a happening touches, its kind, and its end."""
    match happening:
        case Reorganises(at_ms=at_ms):
            return [(0, "chain", at_ms)]
        case WeatherTurns(loss=loss, slow=slow, duplication=duplication):
            return [(0, "weather", weather_ends)] if loss or slow or duplication else []
        case Parts(groups=groups, heals_ms=heals_ms):
            return [(1 + node, "parts", heals_ms) for node, group in enumerate(groups) if group]
        case Deafens(pairs=pairs, heals_ms=heals_ms):
            return [(1 + node, "deaf", heals_ms) for node in sorted({to for _, to in pairs})]
        case (
            Crashes(at_ms=at_ms, node=node, back_ms=back_ms)
            | Forgets(at_ms=at_ms, node=node, back_ms=back_ms)
            | Updates(at_ms=at_ms, node=node, back_ms=back_ms)
        ):
            return [(1 + node, "crash", at_ms + back_ms)]
        case Strikes(at_ms=at_ms, back_ms=back_ms):
            return [(0, "crash", at_ms + back_ms)]  # of whom, the world decides
        case (
            Pauses(node=node, until_ms=until_ms)
            | DropsOut(node=node, until_ms=until_ms)
            | Heats(node=node, until_ms=until_ms)
        ):
            return [(1 + node, "pause", until_ms)]
        case LosesStates(at_ms=at_ms, node=node):
            return [(1 + node, "disk", at_ms)]
        case Fills(node=node, until_ms=until_ms) | Rots(node=node, repaired_ms=until_ms):
            return [(1 + node, "disk", until_ms)]
        case Tears(at_ms=at_ms, node=node):
            return [(1 + node, "disk", at_ms + SUPERVISED_MS)]
