"""The figures of populations and of detection in words, beside the aims and BOINC's rule."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sim.detection import (
    percentile,
    tasks_until_audit_differs,
    tasks_until_replica_differs,
    tasks_until_trust_ends,
)
from sim.population import Lying, PopulationOptions, PopulationOutcome, Rule, run

LIARS = 100_000
TRUSTED_LIARS = 5_000
"""Each of them is followed through all its tasks, not only through its lies."""
HEADINGS = (
    "rules",
    "colluders",
    "lie",
    "given",
    "accepted",
    "2nd half",
    "standing",
    "2nd half",
    "compute",
    "with referees",
    "found",
    "own tasks p50",
    "p99",
)
FOUND_REPLICATED_MAX = 1_000
FOUND_AUDITED_MAX = 4_700


@dataclass(frozen=True, slots=True)
class Aim:
    """What a population under the daemon's rules is to keep to."""

    colluders_permille: int
    accepted_max: float
    accepted_late_max: float
    compute_max: float


AIMS = (Aim(333, 1.0, 0.001, 1.43), Aim(200, 0.001, 0.001, 1.25))


def cells(outcome: PopulationOutcome) -> tuple[str, ...]:
    """Give a population's figures under the headings."""
    tasks, found = outcome.options.tasks, outcome.own_tasks_until_found
    return (
        outcome.options.rule.value,
        f"{outcome.options.colluders_permille / 10:.1f} %",
        outcome.options.lying.value,
        f"{outcome.given_wrong / tasks:.2%}",
        f"{outcome.accepted_wrong / tasks:.3%}",
        f"{2 * outcome.accepted_wrong_late / tasks:.3%}",
        f"{outcome.standing_wrong / tasks:.2%}",
        f"{2 * outcome.standing_wrong_late / tasks:.2%}",
        f"{outcome.compute:.3f}",
        f"{outcome.compute_with_referees:.3f}",
        f"{outcome.convicted}/{outcome.colluders}",
        str(percentile(found, 50)) if found else "never",
        str(percentile(found, 99)) if found else "never",
    )


def line(cells: Sequence[str]) -> str:
    """Put a row of the table on a line."""
    return " ".join(
        cell.ljust(12) if place in {0, 2} else cell.rjust(max(8, len(heading)))
        for place, (cell, heading) in enumerate(zip(cells, HEADINGS, strict=True))
    )


def missed(outcome: PopulationOutcome) -> list[str]:
    """Say which aims a population under the daemon's rules missed."""
    tasks, options = outcome.options.tasks, outcome.options
    said = []
    for aim in AIMS:
        if (options.rule, options.lying) != (Rule.AMBIENT, Lying.ONCE_TRUSTED):
            continue
        if options.colluders_permille != aim.colluders_permille:
            continue
        for what, value, most in (
            ("wrong results accepted", outcome.accepted_wrong / tasks, aim.accepted_max),
            ("of the 2nd half", 2 * outcome.accepted_wrong_late / tasks, aim.accepted_late_max),
            ("compute", outcome.compute, aim.compute_max),
        ):
            if value > most:
                said.append(f"{aim.colluders_permille} permille: {what} {value:.4f}, aim {most}")
    return said


def play_all(seed: int) -> Iterator[PopulationOutcome]:
    """Play each share of colluders under each rule, on the same seed."""
    for lying in Lying:
        for aim in AIMS:
            for rule in Rule:
                share = aim.colluders_permille
                yield run(PopulationOptions(seed, rule, colluders_permille=share, lying=lying))


def detection(seed: int) -> Iterator[tuple[str, int, int, int]]:
    """Give p50 and p99 of the tasks until a liar in one of a hundred is found, and the aim."""
    for text, found, most in (
        ("replicated", tasks_until_replica_differs(seed, LIARS), FOUND_REPLICATED_MAX),
        (
            "replicated, a third of the partners backs it",
            tasks_until_replica_differs(seed, LIARS, 333),
            FOUND_REPLICATED_MAX,
        ),
        ("audited, long trusted", tasks_until_audit_differs(seed, LIARS), FOUND_AUDITED_MAX),
        ("audited, just trusted", tasks_until_trust_ends(seed, TRUSTED_LIARS), FOUND_AUDITED_MAX),
    ):
        yield text, percentile(found, 50), percentile(found, 99), most
