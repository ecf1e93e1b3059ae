"""The catalogue: every fault a world may have, named once and free to be combined."""

from collections.abc import Iterable
from enum import Enum

from sim.lies import Lie
from sim.node_lies import LOG_ALONE
from sim.vices import Vice

LOG, EPOCHS, NODE = "log", "epochs", "node"
"""Worlds of the log alone, of the log whose committee changes, of whole nodes."""
EACH = (LOG, EPOCHS, NODE)


class Fault(Enum):
    """What may go wrong in a world: its name, its worlds, what it does."""

    DELAY = ("delay", EACH, "messages take up to 5 s and overtake one another")
    LOSS = ("loss", EACH, "up to 40 % of the messages are lost")
    DUPLICATION = ("duplication", EACH, "up to 20 % of the messages arrive twice")
    PARTITION = (
        "partition",
        EACH,
        "the nodes fall into groups that cannot reach others",
    )
    ONE_WAY = (
        "one-way",
        EACH,
        "a node is heard and does not hear, or the other way round",
    )
    CRASH = (
        "crash",
        EACH,
        "a node stops between any two effects and starts from its store",
    )
    PAUSE = (
        "pause",
        EACH,
        "a node stands still for seconds, then handles all that came",
    )
    SKEW = ("skew", EACH, "clocks differ by up to 0.8 s")
    SILENCE = ("silence", (LOG, EPOCHS), "members never start")
    AMNESIA = ("amnesia", EACH, "a member loses its safety file, and votes no more")
    DISK_FULL = (
        "disk-full",
        (EPOCHS, NODE),
        "a disk takes nothing for seconds; its node ends, and starts when there is room",
    )
    BIT_ROT = (
        "bit-rot",
        (EPOCHS, NODE),
        "a stored row goes bad; its node names it, gets an empty disk, and votes no more",
    )
    TORN_LOG = (
        "torn-log",
        (EPOCHS, NODE),
        "a node stops amid a write; it is there whole or not at all, and nothing else leaves",
    )
    BAD_WORKER = (
        "bad-worker",
        (NODE,),
        "a guest is slow, idle, lazy, a copier, a forger or a meddler",
    )
    SYBIL = (
        "sybil",
        (EPOCHS, NODE),
        "strangers try to join with invitations, votes, stops and committees of their own making",
    )
    SHORT_LOG = (
        "short-log",
        (NODE,),
        "nodes keep a few blocks only: who was away fetches the state, and liars make states up",
    )
    SEATS = (
        "seats",
        (EPOCHS, NODE),
        "guests come into the committee, members leave and come back",
    )
    REORGANISATION = (
        "reorganisation",
        (NODE,),
        "members anchor; Bitcoin blocks are undone, also below six confirmations, and fees rise",
    )
    DISPUTES = (
        "disputes",
        (NODE,),
        "tasks so large that a dispute is bisected, and liars with a way to play it",
    )
    BUNDLES = (
        "bundles",
        (NODE,),
        "tasks of several items, whose disputes referees decide by executing the whole",
    )
    MONEY = ("money", (NODE,), "owners pass credits on, bond, and ask for bonds back, also in vain")
    MODULES = (
        "modules",
        (NODE,),
        "owners publish modules and advise against them, also under versions that are taken",
    )
    IMAGES = (
        "images",
        (NODE,),
        "members go over to state version 2, and nodes name images; liars name false ones",
    )
    MARKS = (
        "marks",
        (NODE,),
        "long tasks are handed on from marked states, which are lost, hidden or made up",
    )
    DROPOUTS = (
        "dropouts",
        (NODE,),
        "participants drop out amid rounds of federated learning, at times so many that they fail",
    )
    HEAT = (
        "heat",
        (NODE,),
        "devices overheat for seconds: they hand back what they have, and take nothing until cool",
    )
    TIMED_CRASH = (
        "timed-crash",
        (NODE,),
        "the coordinator or a worker stops just as a task comes into a state, whichever there is",
    )
    VERSIONS = (
        "versions",
        (NODE,),
        "programs are replaced by ones that know the next state version, and put back, at random",
    )
    LIAR = (
        "liar",
        EACH,
        "up to f members and a guest lie, in the ways listed below",
    )

    def __init__(self, label: str, worlds: tuple[str, ...], text: str) -> None:
        self.label = label
        self.worlds = worlds
        self.text = text


ALL_FAULTS = frozenset(Fault) - {Fault.VERSIONS, Fault.IMAGES, Fault.MARKS}
"""What a world has unless told otherwise: state versions change in scenarios of their own."""
BY_LABEL = {fault.label: fault for fault in Fault}


def named(labels: Iterable[str]) -> frozenset[Fault]:
    """Give the faults of these names; raise KeyError for a name that there is not."""
    return frozenset(BY_LABEL[label] for label in labels)


def labels(faults: Iterable[Fault]) -> tuple[str, ...]:
    """Give the faults' names, in the catalogue's order."""
    chosen = frozenset(faults)
    return tuple(fault.label for fault in Fault if fault in chosen)


def catalogue() -> str:
    """Give the whole catalogue as tables in Markdown."""
    rows = ["| fault | worlds | what happens |", "|---|---|---|"]
    rows += [f"| `{f.label}` | {', '.join(f.worlds)} | {f.text} |" for f in Fault]
    rows += ["", "| a lying member of the log | worlds | what it does |", "|---|---|---|"]
    for lie in Lie:
        worlds = "log, epochs" if lie in LOG_ALONE else ", ".join(EACH)
        rows.append(f"| `{lie.name.lower()}` | {worlds} | {lie.value} |")
    rows += ["", "| told in worlds of the log alone | why |", "|---|---|"]
    rows += [f"| `{lie.name.lower()}` | {why} |" for lie, why in LOG_ALONE.items()]
    rows += ["", "| a dishonest node | what it does |", "|---|---|"]
    rows += [f"| `{vice.name.lower()}` | {vice.value} |" for vice in Vice]
    return "\n".join(rows)
