"""The part of the page on worlds that is on populations: wrong answers over time, and figures."""

from collections.abc import Sequence
from html import escape

from sim.population import PARTS, PopulationOutcome, Rule
from sim.population_table import HEADINGS, cells

WIDTH, HEIGHT = 1010, 140


def section(outcomes: Sequence[PopulationOutcome]) -> str:
    """Give a heading, a chart for each population under both rules, and the table."""
    seed = outcomes[0].options.seed
    head = "".join(f"<th>{escape(heading)}</th>" for heading in HEADINGS)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells(outcome)) + "</tr>"
        for outcome in outcomes
    )
    kinds = dict.fromkeys((o.options.lying, o.options.colluders_permille) for o in outcomes)
    charts = "".join(
        _chart([o for o in outcomes if (o.options.lying, o.options.colluders_permille) == kind])
        for kind in kinds
    )
    return (
        f"<h2>population, seed {seed}</h2><p>Wrong answers accepted, a part of the run after the "
        "other: blue under the daemon's rules, orange under BOINC's; the top is every answer."
        f"</p>{charts}<table><tr>{head}</tr>{body}</table>"
    )


def _chart(outcomes: Sequence[PopulationOutcome]) -> str:
    options = outcomes[0].options
    text = f"{options.colluders_permille / 10:.1f} % lie {options.lying.value}"
    lines = "".join(_line(outcome) for outcome in outcomes)
    return f'<p>{escape(text)}</p><svg width="{WIDTH}" height="{HEIGHT}">{lines}</svg>'


def _line(outcome: PopulationOutcome) -> str:
    kind = "line" if outcome.options.rule is Rule.AMBIENT else "line term"
    most = max(1, outcome.options.tasks // PARTS)
    points = " ".join(
        f"{part * WIDTH // PARTS},{HEIGHT - 2 - wrong * (HEIGHT - 4) // most}"
        for part, wrong in enumerate(outcome.accepted_wrong_in)
    )
    return f'<polyline class="{kind}" points="{points}"/>'
