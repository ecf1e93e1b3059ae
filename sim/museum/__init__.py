"""The bug museum: worlds that were broken once, and break again with their bug put back in.

A seed means the same world only as long as the drawing does not change: so a world names its
faults and its happenings; a world of the peg is drawn as a whole, and has its seed alone. What it
must still come to is its bug.
"""

from dataclasses import dataclass
from importlib.resources import files

from sim.museum import bugs
from sim.museum.bugs import Bug
from sim.mutants.patch import put_in
from sim.peg_sweep import PEG, attempt_peg, peg_plan
from sim.plans import Finding, Plan, attempt, from_json
from sim.trio_world import bugs as daemon_bugs


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A world that was broken: what was wrong, the commit that mended it, and the bug itself."""

    plan: Plan
    wrong: str
    mended: str
    bug: Bug
    breaks: str
    """The promise that this world breaks with the bug."""


def visited(exhibit: Exhibit) -> Finding | None:
    """Run an exhibit's world again; give what it broke, or None as it must be."""
    run = attempt_peg if exhibit.plan.scenario == PEG else attempt
    return run(exhibit.plan)


def relapsed(exhibit: Exhibit) -> str | None:
    """Run it with its bug put back in; say why it tests nothing any more, or None as it must be."""
    with put_in(exhibit.bug):
        found = visited(exhibit)
    if found is None:
        return "whole, though its bug was put back in"
    if found.invariant != exhibit.breaks:
        return f"with its bug put back in it breaks {found.text!r} instead of {exhibit.breaks!r}"
    return None


def _kept(name: str) -> Plan:
    """Read a world's plan, as `shrink` writes it."""
    return from_json(files(__name__).joinpath(f"{name}.json").read_bytes())


EXHIBITS: tuple[Exhibit, ...] = (
    Exhibit(
        _kept("rot"),
        "A node that went on with its key after its store was lost counted the epochs of its "
        "observations from one again, so it contradicted itself and lost its name and bond.",
        "c60a1e7",
        bugs.COUNTS_ANEW,
        "honest nodes are never convicted",
    ),
    Exhibit(
        _kept("patience"),
        "A member that had measured slow round trips in a storm was patient for 23 s after it, "
        "while all that the other had was its own 1.6 s: nobody ended the term of a silent one.",
        "0ce7436",
        bugs.WAITS_AS_IN_STORMS,
        "after healing, commits resume",
    ),
    Exhibit(
        _kept("seat"),
        "A member took back its word on a seat in the block after the deciding one, and a node "
        "took both at once: the check looked at what was said by then, and missed a quorum.",
        "d7d0959",
        bugs.JUDGES_BY_LATER_WORDS,
        "a quorum decides on seats",
    ),
    Exhibit(
        _kept("stop"),
        "A stop was certified, two terms failed, and the next ended the epoch on it. In the first "
        "of the two another block had been certified: the check took the stop for what two "
        "certificates in a row commit, and it is their ancestor.",
        "3f7d7f9",
        bugs.HOLDS_A_STOP_TO_ITS_TERM,
        "coordinator completeness",
    ),
    Exhibit(
        _kept("daemon"),
        "The same among daemons, whose runtime reads from the store what they have said before.",
        "c60a1e7",
        bugs.COUNTS_ANEW,
        "honest nodes are never convicted",
    ),
    Exhibit(
        _kept("blob"),
        "Two executions that looked for one blob at once both saw that nobody fetched it, both "
        "did, and the second to end found no fetch to end: the daemon ended instead.",
        "9663e50",
        daemon_bugs.CLAIMS_LATE,
        "KeyError",
    ),
    Exhibit(
        peg_plan(65),
        "A peg-out was asked for with a fee above its amount. Its size was measured with what the "
        "fee left, which was below nothing: no member could apply the block any more. Peg-outs "
        "have a floor today; what came in and is asked back may still be less than its fee.",
        "987f585",
        bugs.SIZES_WITH_ITS_FEE,
        "OverflowError",
    ),
    Exhibit(
        peg_plan(22),
        "A wallet's keys came back with an old committee, and so did its addresses. Which of the "
        "two wallets a peg-in was in was up to the member that spoke first, and by the earlier it "
        "was brought over, for a fee, to where it was.",
        "ecf9872",
        bugs.TAKES_THE_FIRST_WORD,
        "half the bound is brought over at most",
    ),
)
