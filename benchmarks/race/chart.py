"""The race as a picture: a bar for each contestant and kind, by powers of ten."""

import math
from typing import Any
from xml.sax.saxutils import escape

from benchmarks.race.field import FIELD
from benchmarks.race.table import rate

BARS = (
    ("wasm-noop", "no-op, wasm"),
    ("wasm-digest", "3 ms, wasm"),
    ("native-noop", "no-op, native"),
    ("native-digest", "3 ms, native"),
)
LEFT, WIDTH, BAR, GAP, TOP = 190, 520, 11, 14, 46
STYLE = """<style>
text { font: 12px system-ui, sans-serif; fill: #24292f } .small { font-size: 10px; fill: #57606a }
.grid { stroke: #8c959f; stroke-opacity: .35 }
.wasm-noop { fill: #0969da } .wasm-digest { fill: #1a7f37 }
.native-noop { fill: #54aeff } .native-digest { fill: #6fdd8b }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .small { fill: #9198a1 } }
</style>"""


def chart(measured: dict[str, Any]) -> str:
    """Draw what was measured; who did not take part has its name and no bar."""
    rows = [
        (who.name, [(kind, rate(measured, who.name, kind)) for kind, _ in BARS])
        for who in FIELD
        if who.name in measured["found"]
    ]
    most = max((each or 1.0 for _, rates in rows for _, each in rates), default=10.0)
    decades = max(1, math.ceil(math.log10(most)))
    scale = WIDTH / decades
    parts, y = list(_key()), TOP
    for name, rates in rows:
        parts.append(f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>')
        for kind, each in rates:
            if each is not None:
                long = max(1.0, scale * math.log10(max(each, 1.0)))
                parts.append(
                    f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{long:.1f}" height="{BAR}"/>'
                    f'<text class="small" x="{LEFT + long + 4:.1f}" y="{y + 9}">{each:,.0f}</text>'
                )
                y += BAR + 2
        y = y + GAP if any(each is not None for _, each in rates) else y + BAR + GAP
    lines = [
        f'<line class="grid" x1="{LEFT + scale * power:.1f}" x2="{LEFT + scale * power:.1f}" '
        f'y1="{TOP - 6}" y2="{y}"/><text class="small" text-anchor="middle" '
        f'x="{LEFT + scale * power:.1f}" y="{y + 14}">{10**power:,}</text>'
        for power in range(decades + 1)
    ]
    title = f'<text class="small" x="{LEFT}" y="{y + 30}">tasks a second, by powers of ten</text>'
    wide, high = LEFT + WIDTH + 60, y + 38
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" role="img">',
            "<title>Tasks a second, by contestant</title>",
            *(STYLE, *lines, *parts, title, "</svg>\n"),
        ]
    )


def _key() -> list[str]:
    return [
        f'<rect class="{kind}" x="{LEFT + 130 * place}" y="12" width="{BAR}" height="{BAR}"/>'
        f'<text class="small" x="{LEFT + 130 * place + BAR + 5}" y="21">{label}</text>'
        for place, (kind, label) in enumerate(BARS)
    ]
