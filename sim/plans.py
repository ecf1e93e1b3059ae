"""A run by name: scenario, seed, committee, faults; and, once shortened, the happenings too."""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, TypeVar

from msgspec import Struct, json
from msgspec.structs import replace

from ambientd.ledger.versions import KNOWN_VERSION
from ambientd.model.genesis import FIRST_STATE_VERSION
from sim import byzantine, cluster, scenarios
from sim.checkers import InvariantViolation
from sim.faults import BY_LABEL, EPOCHS, LOG, NODE, Fault, labels, named
from sim.happenings import Happening, misfit
from sim.lies import Lie
from sim.mark_watch import MEETINGS
from sim.mutants import MUTANTS, mutated
from sim.node_lies import NODE_LIES
from sim.outcomes import ClusterOutcome
from sim.quick import quick
from sim.repertoire import SCENARIOS
from sim.seasons import LONG_MS
from sim.stage import Kit, Observer
from sim.trio_world.world import TrioKit
from sim.vices import Vice

E = TypeVar("E", bound=Enum)

FAST, TRIO = "fast", "trio"
WORLDS = (FAST, TRIO)

COMMITTEES = (4, 7, 3, 4, 1, 4, 10)
TIME_MS = 60_000
TIME_MS_MIN = 30_000
"""Below this the calm at the end is too short for what the checkers then ask for."""
NODES_MAX = 100
"""Enough for any committee; keys of nodes are numbered by one byte."""
SEED_MAX = 2**64 - 1
LIARS = frozenset({Fault.LIAR, Fault.BAD_WORKER})
"""The faults by which somebody tells lies, which a plan may choose."""


class Plan(Struct, frozen=True):
    """One run; everything else follows from the code."""

    scenario: str
    seed: int
    nodes: int = 4
    time_ms: int = TIME_MS
    faults: tuple[str, ...] | None = None
    happenings: tuple[Happening, ...] | None = None
    mutant: str | None = None
    lies: tuple[str, ...] | None = None
    world: str = FAST
    state_version: int = FIRST_STATE_VERSION  # that the genesis of whole nodes names

    @property
    def effective_faults(self) -> frozenset[Fault]:
        """Give the faults of this run."""
        scenario = SCENARIOS[self.scenario]
        return scenario.faults if self.faults is None else named(self.faults)

    @property
    def command(self) -> str:
        """Give what replays this run."""
        if self.happenings is not None:
            return "python -m sim replay FILE"
        words = [f"python -m sim run {self.scenario} --nodes {self.nodes} --seed {self.seed}"]
        if self.faults is not None:
            world = SCENARIOS[self.scenario].world
            known = (fault for fault in named(self.faults) if world in fault.worlds)
            words.append(f"--faults {','.join(labels(known)) or 'none'}")
        if self.time_ms != TIME_MS:
            words.append(f"--time-ms {self.time_ms}")
        if self.lies is not None:
            words.append(f"--lies {','.join(self.lies)}")
        if self.world != FAST:
            words.append(f"--world {self.world}")
        if self.state_version != FIRST_STATE_VERSION:
            words.append(f"--state-version {self.state_version}")
        if self.mutant is not None:
            words.append(f"--mutant {self.mutant}")
        return " ".join(words)

    def to_json(self) -> bytes:
        """Give the plan as a file holds it."""
        return json.format(json.encode(self), indent=1) + b"\n"


def from_json(data: bytes) -> Plan:
    """Read a plan; raise msgspec.ValidationError or DecodeError for anything else."""
    return json.decode(data, type=Plan)


def refusal(plan: Plan) -> str | None:
    """Say why a plan cannot be run, or would test nothing; None when it can be run."""
    if plan.scenario not in SCENARIOS:
        return f"scenario {plan.scenario!r}: there is none; there are {', '.join(SCENARIOS)}"
    for what, value, least, most in (
        ("seed", plan.seed, 0, SEED_MAX),
        ("nodes", plan.nodes, 1, NODES_MAX),
        ("state version", plan.state_version, FIRST_STATE_VERSION, founded_max(plan)),
    ):
        if not least <= value <= most:
            return f"{what}: {value} is no number from {least} to {most}"
    if plan.time_ms < TIME_MS_MIN:
        return f"time: a world of {plan.time_ms} ms is too short; give it {TIME_MS_MIN} or more"
    if SCENARIOS[plan.scenario].world == EPOCHS and plan.time_ms >= LONG_MS:
        return f"time: {plan.scenario} has one storm; give it less than {LONG_MS} ms"
    return _foreign(plan, SCENARIOS[plan.scenario].world) or _misplaced(plan)


def _foreign(plan: Plan, world: str) -> str | None:
    """Say what of a plan belongs to another kind of world."""
    where, other = f"{plan.scenario} is a world of the {world}", LOG if world == NODE else NODE
    if plan.world not in WORLDS or (plan.world == TRIO and world != NODE):
        return f"world {plan.world!r}: {where}; daemons run in scenarios with nodes"
    for label in plan.faults or ():
        if label not in BY_LABEL:
            return f"fault {label!r}: there is none; see `python -m sim faults`"
        if world not in BY_LABEL[label].worlds:
            return f"fault {label!r}: {where}; take a scenario such as {other}"
    if plan.mutant is not None:
        if plan.mutant not in MUTANTS:
            return f"mutant {plan.mutant!r}: there is none; see `python -m sim mutants`"
        scenario = MUTANTS[plan.mutant].scenario
        if world != NODE and SCENARIOS[scenario].world == NODE:
            return f"mutant {plan.mutant!r}: {where}, where it changes nothing; take {scenario}"
    return _untold(plan, world)


def founded_max(plan: Plan) -> int:
    """Give the highest state version in which a plan's world may begin."""
    faults = labels(SCENARIOS[plan.scenario].faults) if plan.faults is None else plan.faults
    is_first = SCENARIOS[plan.scenario].world != NODE or Fault.VERSIONS.label in faults
    return FIRST_STATE_VERSION if is_first else KNOWN_VERSION


def _misplaced(plan: Plan) -> str | None:
    """Say which of a plan's own happenings befalls nobody in its world."""
    if not plan.happenings:
        return None
    names = nodes_of(replace(plan, happenings=()))
    nodes = sum(not name.endswith(scenarios.SILENT) for name in names)
    world = SCENARIOS[plan.scenario].world
    has = {"has_disks": world != LOG, "has_tasks": world == NODE}
    for number, happening in enumerate(plan.happenings, start=1):
        fault = misfit(happening, nodes, plan.effective_faults, **has)
        if fault is not None:
            return f"happening {number}, at {happening.at_ms} ms: {fault}"
    return None


def _untold(plan: Plan, world: str) -> str | None:
    """Say why nobody in a plan's world could tell its lies."""
    tells = NODE_LIES if SCENARIOS[plan.scenario].tells else ()
    known = [each.name.lower() for each in ((*Vice, *tells) if world == NODE else Lie)]
    for name in plan.lies or ():
        if name not in known:
            return f"lies {name!r}: nobody in {plan.scenario} does so; there are {','.join(known)}"
    if plan.lies is not None and not plan.effective_faults & LIARS:
        liars = labels(fault for fault in LIARS if world in fault.worlds)
        return f"lies: nobody in this world lies; add {' or '.join(liars)} to its faults"
    return None


Outcome: TypeAlias = scenarios.Outcome | ClusterOutcome


@dataclass(frozen=True, slots=True)
class Finding:
    """A promise that a run broke."""

    plan: Plan
    invariant: str
    text: str


def _named(names: tuple[str, ...] | None, kind: type[E]) -> frozenset[E] | None:
    """Give those of one kind among names of lies and vices; None where nothing is named."""
    if names is None:
        return None
    known = {each.name.lower(): each for each in kind}
    return frozenset(known[name] for name in names if name in known)


def _cluster_options(plan: Plan) -> cluster.ClusterOptions:
    return cluster.ClusterOptions(
        plan.seed,
        plan.nodes,
        faults=plan.effective_faults,
        time_ms=plan.time_ms,
        keep_ms=SCENARIOS[plan.scenario].keep_ms,
        replicas=SCENARIOS[plan.scenario].replicas,
        chooses=SCENARIOS[plan.scenario].chooses,
        learns=SCENARIOS[plan.scenario].learns,
        proves=SCENARIOS[plan.scenario].proves,
        in_private=SCENARIOS[plan.scenario].in_private,
        within=SCENARIOS[plan.scenario].within,
        happenings=plan.happenings,
        vices=_named(plan.lies, Vice),
        tells=SCENARIOS[plan.scenario].tells,
        lies=_named(plan.lies, Lie),
        state_version=plan.state_version,
    )


def _log_options(plan: Plan) -> scenarios.ScenarioOptions:
    return scenarios.ScenarioOptions(
        plan.seed,
        plan.nodes,
        faults=plan.effective_faults,
        time_ms=plan.time_ms,
        happenings=plan.happenings,
        tenure_ms=SCENARIOS[plan.scenario].tenure_ms,
        lies=_named(plan.lies, Lie),
        liars_above=SCENARIOS[plan.scenario].liars_above,
    )


def kit_of(plan: Plan) -> Kit:
    """Give what a plan's world of whole nodes is put together from."""
    return TrioKit(plan.seed) if plan.world == TRIO else cluster.FastKit(plan.seed)


def play(plan: Plan, *watching: Observer) -> Outcome:
    """Run a plan; raise InvariantViolation when it breaks a promise."""
    with quick(), mutated(plan.mutant):
        if SCENARIOS[plan.scenario].world == NODE:
            return cluster.run(_cluster_options(plan), watching, kit_of(plan))
        if SCENARIOS[plan.scenario].world == EPOCHS:
            return byzantine.run(_log_options(plan), watching)
        return scenarios.run(_log_options(plan), watching)


def judge(plan: Plan, *watching: Observer) -> Outcome | Finding:
    """Run a plan; give what became of it, or what it broke."""
    try:
        return play(plan, *watching)
    except InvariantViolation as violation:
        return Finding(plan, violation.invariant, str(violation))
    except Exception as error:  # noqa: BLE001  # whatever stops a world is a finding
        kind = type(error).__name__
        return Finding(plan, kind, f"{kind}: {error}")


def attempt(plan: Plan) -> Finding | None:
    """Run a plan; give what it broke, or None when every promise held."""
    found = judge(plan)
    return found if isinstance(found, Finding) else None


def drawn_happenings(plan: Plan) -> tuple[Happening, ...]:
    """Give what befalls the nodes of a plan, as its seed draws it or as it says itself."""
    if SCENARIOS[plan.scenario].world == NODE:
        return cluster.happenings_of(_cluster_options(plan))
    if SCENARIOS[plan.scenario].world == EPOCHS:
        return byzantine.happenings_of(_log_options(plan))
    return scenarios.happenings_of(_log_options(plan))


def meetings(plan: Plan) -> tuple[str, ...]:
    """Name the faults and lies that some world of a sweep must meet; none where worlds do not tell.

    What a plan names itself, the lies among it, is all that has to be met.
    """
    if plan.scenario in SCENARIOS and SCENARIOS[plan.scenario].liars_above:
        return ("fork",)
    if plan.scenario in SCENARIOS and Fault.MARKS in plan.effective_faults and plan.world == FAST:
        return MEETINGS
    if plan.scenario not in SCENARIOS or SCENARIOS[plan.scenario].world != EPOCHS:
        return ()
    faults = plan.effective_faults
    told = tuple(lie.name.lower() for lie in Lie) if plan.lies is None else plan.lies
    return (*labels(faults), *(told if Fault.LIAR in faults else ()))


def nodes_of(plan: Plan) -> tuple[str, ...]:
    """Name the nodes of a plan as its happenings number them; last those that never start."""
    if SCENARIOS[plan.scenario].world == NODE:
        return cluster.names_of(_cluster_options(plan))
    if SCENARIOS[plan.scenario].world == EPOCHS:
        return byzantine.names_of(_log_options(plan))
    return scenarios.names_of(_log_options(plan))
