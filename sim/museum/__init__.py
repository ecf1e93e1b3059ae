"""The bug museum: worlds that were broken once, kept so that they stay whole."""

from dataclasses import dataclass

from sim.faults import FIRST_FAULTS, NODE, Fault, labels
from sim.happenings import Rots
from sim.peg_sweep import PEG, attempt_peg
from sim.plans import TRIO, Finding, Plan, attempt


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A world that was broken: what was wrong, and the commit that mended it."""

    plan: Plan
    wrong: str
    mended: str


def visited(exhibit: Exhibit) -> Finding | None:
    """Run an exhibit's world again; give what it broke, or None as it must be."""
    run = attempt_peg if exhibit.plan.scenario == PEG else attempt
    return run(exhibit.plan)


_MORE_FAULTS = {
    Fault.ONE_WAY,
    Fault.PAUSE,
    Fault.AMNESIA,
    Fault.DISK_FULL,
    Fault.BIT_ROT,
    Fault.TORN_LOG,
    Fault.BAD_WORKER,
    Fault.SYBIL,
    Fault.SHORT_LOG,
}
_ALL_FAULTS = FIRST_FAULTS | _MORE_FAULTS | {Fault.SEATS}

_FAULTS_THEN = frozenset(each for each in Fault if NODE in each.worlds) - {
    Fault.DROPOUTS,
    Fault.HEAT,
    Fault.TIMED_CRASH,
}

_ANCHOR_FAULTS = {
    Fault.REORGANISATION,
    Fault.CRASH,
    Fault.PARTITION,
    Fault.DELAY,
    Fault.LOSS,
    Fault.BIT_ROT,
}

EXHIBITS = (
    Exhibit(
        Plan("node", 1, 4, 40_000, ("bit-rot",), (Rots(12_962, 3, "local", 34, 17_883),)),
        "A node that went on with its key after its store was lost counted the epochs of its "
        "observations from one again, so it contradicted itself and lost its name and bond.",
        "c60a1e7",
    ),
    Exhibit(
        Plan("node", 122, 3, faults=labels(FIRST_FAULTS)),
        "A coordinator back in office took its last report for what the ledger said, so a node "
        "that had come back was given no work and its tasks never ended.",
        "57d5d20",
    ),
    Exhibit(
        Plan("node", 1, 7, faults=labels(FIRST_FAULTS | _MORE_FAULTS)),
        "A page of a snapshot that came late, or twice, was held against its honest sender.",
        "3790584",
    ),
    Exhibit(
        Plan("node", 412, 10, 40_000, labels(_ALL_FAULTS), world=TRIO),
        "A node asked nobody but the coordinator for what it lacked. That one offered false states "
        "only, and the pages of the snapshot being fetched were kept by nobody any more.",
        "12e79b1",
    ),
    Exhibit(
        Plan("node", 751_544_936_407, 3, faults=labels(_ALL_FAULTS)),
        "Two owners wanted to leave before the ledger showed the word of the first, so the world "
        "itself left a committee of two, one of whom was then to lose its disk.",
        "3f5aeb3",
    ),
    Exhibit(
        Plan("node-anchors", 5, 3, faults=labels(_ANCHOR_FAULTS)),
        "A proof that was to take the place of an undone anchor was lost in a crash before it came "
        "into the log, and nobody brought it again: the log kept the undone anchor for ever.",
        "67399b3",
    ),
    Exhibit(
        Plan("log", 7_304, 10, 40_000),
        "A liar, another one, and a member that had lost its vote were next in turn after a storm, "
        "each for a term of the longest time-out: the world itself gave them too little time.",
        "2477dca",
    ),
    Exhibit(
        Plan("log", 802_974_104_346, 3, 3_600_000),
        "A member that had measured slow round trips in a storm was patient for 23 s after it, "
        "while all that the other had was its own 1.6 s: nobody ended the term of a silent one.",
        "2c86a7c",
    ),
    Exhibit(
        Plan(PEG, 181_716_342_558, 5),
        "A deep reorganisation mined a dearer version of a sweep, which left less than the next "
        "sweep had been decided with. No member's word on it was taken, so a coin stayed missing "
        "for ever, and no peg-out was signed any more.",
        "e0ca138",
    ),
    Exhibit(
        Plan("node", 806_657_055_094, 4, faults=labels(_FAULTS_THEN)),
        "Each anchor was watched only by the member that had made it. One that lost its seat could "
        "not bring the new proof of an undone anchor into the log, and nobody else looked.",
        "29991ca",
    ),
    Exhibit(
        Plan("node", 527_853_590_300, 10),
        "A batch that was sent 0.9 s before the world's end was called lost, as no block had come: "
        "the check at the end asked for more than a chain can do.",
        "1a434b2",
    ),
    Exhibit(
        Plan("node", 392_426_961_504, 4),
        "A member took back its word on a seat in the block after the deciding one, and a node "
        "took both at once: the check looked at what was said by then, and missed a quorum.",
        "d7d0959",
    ),
)
