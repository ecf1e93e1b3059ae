"""The worlds that have a name: which faults they have, and what else makes them what they are."""

from dataclasses import dataclass
from types import MappingProxyType

from ambientd.model.genesis import Rules
from sim import cluster
from sim.faults import ALL_FAULTS, EPOCHS, LOG, NODE, Fault


@dataclass(frozen=True, slots=True)
class Scenario:
    """A world and the faults it has unless told otherwise."""

    world: str
    faults: frozenset[Fault]
    text: str
    tenure_ms: int = 600_000
    keep_ms: int = Rules().keep_ms
    replicas: tuple[int, ...] = cluster.REPLICAS
    chooses: bool = False
    learns: bool = False
    proves: bool = False
    in_private: bool = False
    within: bool = False  # a tolerance
    liars_above: int = 0  # more than f
    tells: bool = False


def _in(world: str, *faults: Fault) -> frozenset[Fault]:
    return frozenset(fault for fault in faults or ALL_FAULTS if world in fault.worlds)


_LEARNING = (
    Fault.LIAR,
    Fault.DELAY,
    Fault.CRASH,
    Fault.PARTITION,
    Fault.SEATS,
    Fault.DROPOUTS,
)

SCENARIOS = MappingProxyType(
    {
        "log": Scenario(LOG, _in(LOG), "the log alone, all faults at once"),
        "log-calm": Scenario(LOG, frozenset(), "the log alone in fair weather"),
        "log-crashes": Scenario(
            LOG, _in(LOG, Fault.CRASH, Fault.PAUSE, Fault.AMNESIA), "members that stop"
        ),
        "log-network": Scenario(
            LOG,
            _in(LOG, Fault.DELAY, Fault.LOSS, Fault.DUPLICATION, Fault.PARTITION, Fault.ONE_WAY),
            "a network that fails in every way",
        ),
        "log-liars": Scenario(
            LOG, _in(LOG, Fault.LIAR, Fault.CRASH), "f liars, and terms that end"
        ),
        "log-tenures": Scenario(
            LOG, frozenset(), "the log in fair weather, its coordinators in turn", 8_000
        ),
        "log-forks": Scenario(
            LOG,
            _in(LOG, Fault.LIAR, Fault.DELAY, Fault.PARTITION),
            "f + 1 liars that act together fork the log, which names them and nobody honest",
            3_000,
            liars_above=1,
        ),
        "byzantine": Scenario(
            EPOCHS,
            _in(EPOCHS),
            "the log on disks that fail, its committee changing, all faults and lies at once",
        ),
        "node": Scenario(NODE, _in(NODE), "whole nodes with tasks, all faults at once"),
        "node-calm": Scenario(NODE, frozenset(), "whole nodes in fair weather"),
        "node-failover": Scenario(
            NODE,
            _in(NODE, Fault.TIMED_CRASH),
            "whole nodes, of which coordinators and workers stop at each state of a task",
        ),
        "node-heat": Scenario(
            NODE,
            _in(NODE, Fault.HEAT, Fault.TIMED_CRASH, Fault.DELAY),
            "whole nodes whose devices overheat and hand their tasks on, crashes amid it",
        ),
        "node-seats": Scenario(
            NODE,
            _in(NODE, Fault.SEATS, Fault.DELAY, Fault.CRASH, Fault.PARTITION, Fault.LIAR),
            "whole nodes whose committee changes, crashes and liars amid it",
        ),
        "node-versions": Scenario(
            NODE,
            _in(
                NODE,
                *(Fault.VERSIONS, Fault.SEATS, Fault.SHORT_LOG, Fault.LIAR),
                *(Fault.DELAY, Fault.CRASH, Fault.PARTITION),
            ),
            "whole nodes updated to another state version and put back, crashes and liars amid it",
        ),
        "node-disks": Scenario(
            NODE,
            _in(NODE, Fault.DISK_FULL, Fault.BIT_ROT, Fault.TORN_LOG, Fault.AMNESIA),
            "whole nodes whose disks fail",
        ),
        "node-rot": Scenario(NODE, _in(NODE, Fault.BIT_ROT), "whole nodes whose stores rot"),
        "node-liars": Scenario(
            NODE,
            _in(NODE, Fault.LIAR, Fault.BAD_WORKER, Fault.SYBIL),
            "whole nodes, some of them dishonest, in fair weather",
        ),
        "node-lies": Scenario(
            NODE,
            _in(NODE, Fault.LIAR, Fault.SEATS, Fault.DELAY, Fault.CRASH),
            "whole nodes whose dishonest members lie in the log as well",
            tells=True,
        ),
        "node-states": Scenario(
            NODE,
            _in(NODE, Fault.SHORT_LOG, Fault.CRASH, Fault.PARTITION, Fault.LIAR),
            "whole nodes that delete their log and stop and come back",
        ),
        "node-anchors": Scenario(
            NODE,
            _in(NODE, Fault.REORGANISATION, Fault.DELAY, Fault.LOSS, Fault.CRASH, Fault.PARTITION),
            "whole nodes that anchor in a chain which is undone, crashes amid it",
        ),
        "node-audits": Scenario(
            NODE,
            _in(NODE, Fault.LIAR, Fault.BAD_WORKER, Fault.DELAY, Fault.CRASH),
            "whole nodes whose tasks have one worker each, some of them liars",
            replicas=(1,),
        ),
        "node-disputes": Scenario(
            NODE,
            _in(NODE, Fault.LIAR, Fault.BAD_WORKER, Fault.DISPUTES),
            "whole nodes in fair weather whose large tasks are disputed, and bisected",
            replicas=(2, 2, 3),
        ),
        "node-bundles": Scenario(
            NODE,
            _in(NODE, Fault.LIAR, Fault.BAD_WORKER, Fault.DISPUTES, Fault.BUNDLES, Fault.CRASH),
            "whole nodes that crash, and whose tasks of many items are disputed and not bisected",
            replicas=(1, 2, 2, 3),
        ),
        "node-proofs": Scenario(
            NODE,
            _in(NODE, Fault.LIAR, Fault.BAD_WORKER, Fault.DELAY, Fault.CRASH),
            "whole nodes of whose tasks some are proven; liars make false proofs, or hide them",
            proves=True,
        ),
        "node-steps": Scenario(
            NODE,
            _in(NODE, Fault.LIAR, Fault.BAD_WORKER, Fault.DISPUTES),
            "whole nodes in fair weather that prove what is disputed; liars make false proofs",
            replicas=(2, 2, 3),
            proves=True,
        ),
        "node-promises": Scenario(
            NODE,
            _in(NODE, Fault.LIAR, Fault.DISPUTES, Fault.SEATS, Fault.DELAY, Fault.CRASH),
            "whole nodes that crash, and whose committee changes, while disputes are proven",
            replicas=(2, 2, 3),
            proves=True,
        ),
        "node-games": Scenario(
            NODE,
            _in(NODE, Fault.LIAR, Fault.DISPUTES, Fault.SEATS, Fault.DELAY, Fault.CRASH),
            "whole nodes that crash, and whose committee changes, while disputes are bisected",
            replicas=(2, 2, 3),
        ),
        "node-choices": Scenario(
            NODE,
            _in(NODE, Fault.BAD_WORKER, Fault.DELAY, Fault.CRASH, Fault.PARTITION),
            "whole nodes whose tasks choose their workers, and have deadlines",
            chooses=True,
        ),
        "node-money": Scenario(
            NODE,
            _in(NODE, Fault.MONEY, Fault.SEATS, Fault.DELAY, Fault.CRASH, Fault.LIAR),
            "whole nodes that move money, and forget tasks within seconds",
            keep_ms=8_000,
        ),
        "node-modules": Scenario(
            NODE,
            _in(NODE, Fault.MODULES, Fault.DELAY, Fault.CRASH, Fault.PARTITION, Fault.LIAR),
            "whole nodes that publish modules, crashes and liars amid it",
        ),
        "node-images": Scenario(
            NODE,
            _in(NODE, Fault.IMAGES, Fault.DELAY, Fault.CRASH, Fault.PARTITION, Fault.LIAR),
            "whole nodes that name images of modules, and prove tasks with those that are decided",
            proves=True,
        ),
        "node-image-seats": Scenario(
            NODE,
            _in(
                NODE,
                *(Fault.IMAGES, Fault.SEATS, Fault.VERSIONS, Fault.LIAR),
                *(Fault.DELAY, Fault.CRASH, Fault.PARTITION),
            ),
            "whole nodes whose committee and programs change while they name and use images",
            proves=True,
        ),
        "node-marks": Scenario(
            NODE,
            _in(
                NODE,
                *(Fault.MARKS, Fault.HEAT, Fault.TIMED_CRASH, Fault.LIAR),
                *(Fault.DELAY, Fault.CRASH, Fault.PARTITION),
            ),
            "whole nodes that go on from others' states; makers stop, states are lost or made up",
        ),
        "node-learning": Scenario(
            NODE,
            _in(NODE, *_LEARNING),
            "whole nodes that train models together; participants and aggregators lie and drop out",
            learns=True,
        ),
        "node-private": Scenario(
            NODE,
            _in(NODE, *_LEARNING),
            "whole nodes that train in private: books are written first, budgets are kept",
            learns=True,
            in_private=True,
        ),
        "node-tolerance": Scenario(
            NODE,
            _in(NODE, Fault.LIAR, Fault.DELAY, Fault.CRASH, Fault.PARTITION),
            "whole nodes whose native training is audited; one poisons, one shows nobody its rows",
            learns=True,
            within=True,
        ),
    }
)
