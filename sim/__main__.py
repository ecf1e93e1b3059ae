"""The simulator: run, fleet, latency, sweep, soak, replay, shrink, mutants, museum, report, faults.

Every failure is printed with its seed, the commit and the command that replays it.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from ambientd.ledger.versions import KNOWN_VERSION
from ambientd.model.genesis import FIRST_STATE_VERSION
from sim import population_page, population_table, scenarios, task_times_table
from sim.arguments import (
    Parser,
    at_least,
    faults,
    minutes,
    names,
    one_of,
    plan_file,
    seeds,
    sizes,
    writable,
)
from sim.checkers import InvariantViolation
from sim.commits import commit
from sim.faults import BY_LABEL, catalogue, labels
from sim.fleet import GUESTS, LAST_TASK_MS_BEFORE_END, SETTLED_MS, FleetOptions
from sim.hunt import HEADINGS, SEEDS_MAX, hunt_all
from sim.interrupts import answering, telling
from sim.museum import EXHIBITS, relapsed, visited
from sim.mutants import MUTANTS
from sim.peg_sweep import PEG, attempt_peg, judge_peg, peg_plan
from sim.pegs import NODES
from sim.plans import (
    COMMITTEES,
    FAST,
    NODES_MAX,
    SEED_MAX,
    TIME_MS,
    TIME_MS_MIN,
    WORLDS,
    Finding,
    Outcome,
    Plan,
    attempt,
    drawn_happenings,
    judge,
    meetings,
    refusal,
)
from sim.progress import WorldClock, bar, tracked
from sim.repertoire import SCENARIOS
from sim.report import render
from sim.shrink import Shrinker
from sim.soak import SOAKED, fresh_base, long_plans, plans, run_fleet, soak, sweep
from sim.task_times import NODES_MAX as TIMED_MAX
from sim.traffic import RATES_SAID


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _describe(outcome: Outcome) -> str:
    if isinstance(outcome, scenarios.Outcome):
        return (
            f"seed {outcome.seed}: {outcome.nodes} members, {outcome.committed} blocks, "
            f"{outcome.records} records, {outcome.terms} terms, {outcome.messages} messages, "
            f"{outcome.convicted} convicted\ntrace {outcome.trace_hash}"
            + (f"\nepoch {outcome.epochs}; met: {', '.join(outcome.met)}" if outcome.met else "")
        )
    endings = ", ".join(f"{count} {said}" for said, count in outcome.endings.items())
    return (
        f"seed {outcome.seed}: {outcome.members} members, {outcome.blocks} blocks, "
        f"epoch {outcome.epochs}, {outcome.messages} messages, {outcome.convicted} convicted\n"
        f"{outcome.tasks} tasks: {endings}; {outcome.receipts} receipts, "
        f"{outcome.closed} in closed batches\n"
        f"state {outcome.state_root}\ntrace {outcome.trace_hash}"
        + (f"\n{outcome.marks} marks, {outcome.gone_on} gone on from" if outcome.marks else "")
    )


def _tell(finding: Finding, command: str | None = None) -> None:
    plan = finding.plan
    _say(f"seed {plan.seed}, {plan.nodes} members: BROKEN {finding.text}")
    _say(f"  commit {commit()}; replay: {command or plan.command}")


def _show_plan(plan: Plan, command: str | None = None) -> int:
    """Run a plan and describe it, or tell what it broke."""
    with bar(f"{plan.scenario}, seed {plan.seed}", plan.time_ms, counts=False) as shown:
        found = judge(plan, *([WorldClock(shown)] if shown.is_seen else []))
    if isinstance(found, Finding):
        _tell(found, command)
        return 1
    _say(_describe(found))
    return 0


def _plan(options: argparse.Namespace, seed: int, nodes: int) -> Plan:
    world = SCENARIOS[options.scenario].world
    chosen: tuple[str, ...] | None = options.faults
    if chosen == tuple(BY_LABEL):  # all that this kind of world knows
        chosen = tuple(label for label in chosen if world in BY_LABEL[label].worlds)
    return Plan(
        options.scenario,
        seed,
        nodes,
        options.time_ms,
        chosen,
        mutant=options.mutant,
        lies=options.lies,
        world=options.world,
        state_version=options.state_version,
    )


def _on_run(options: argparse.Namespace) -> int:
    if options.scenario == POPULATION:
        return _show_population(options.seed)
    if options.scenario == PEG:
        return _show_peg(options.seed)
    return _show_plan(_plan(options, options.seed, options.nodes or 4))


def _show_peg(seed: int) -> int:
    """Run a world of the peg and describe it, or tell what it broke."""
    found = judge_peg(seed)
    if isinstance(found, Finding):
        _tell(found)
        return 1
    most = f" of at most {found.most_sat} at a time" if found.most_sat else ""
    _say(
        f"seed {found.seed}: {found.payments} payments, {found.wallets} wallets, "
        f"{found.in_sat} sat came in{most}, {found.deep} deep reorganisations, {found.moved} final "
        f"payments mined as another version\nstate {found.state_root}"
    )
    return 0


def _show_population(seed: int) -> int:
    """Print what becomes of colluders under the daemon's rules and under BOINC's."""
    _say(population_table.line(population_table.HEADINGS))
    missed: list[str] = []
    for outcome in population_table.play_all(seed):
        _say(population_table.line(population_table.cells(outcome)))
        missed += population_table.missed(outcome)
    _say("who lies in one task of a hundred, its own tasks until it is found:")
    for text, half, most, aim in population_table.detection(seed):
        _say(f"  {text}: p50 {half}, p99 {most}, aim {aim}")
        missed += [f"{text}: p99 {most}, aim {aim}"] if most > aim else []
    for each in missed:
        _say(f"seed {seed}: MISSED {each}")
    again = f"python -m sim run {POPULATION} --seed {seed}"
    _say(f"commit {commit()}; replay: {again}")
    return int(bool(missed))


def _on_sweep(options: argparse.Namespace) -> int:
    sizes = (options.nodes,) if options.nodes else options.sizes
    is_peg = options.scenario == PEG
    made = [
        peg_plan(seed) if is_peg else _plan(options, seed, sizes[seed % len(sizes)])
        for seed in options.seeds
    ]
    run: Callable[[Plan], object] = attempt_peg if is_peg else judge
    worlds = broken = 0
    met: Counter[str] = Counter()
    with telling(lambda: f"{worlds} of {len(made)} worlds, {broken} broken"):
        for found in sweep(made, run, options.jobs, options.minutes):
            worlds += 1
            if isinstance(found, Finding):
                broken += 1
                _tell(found)
            elif isinstance(found, Outcome):
                met.update(found.met)
    _say(f"{worlds} worlds, {broken} broken")
    wanted = meetings(made[0])
    unmet = [name for name in wanted if not met[name]]
    if wanted:
        _say("met in so many worlds: " + ", ".join(f"{name} {met[name]}" for name in wanted))
        _say(f"met in none: {', '.join(unmet) or 'nothing'}")
    return int(broken > 0 or bool(unmet))


def _on_soak(options: argparse.Namespace) -> int:
    base = fresh_base() if options.base is None else options.base
    said = "hours of log and node" if options.long else ", ".join(options.scenario)
    _say(f"soaking {said} from seed {base} on, commit {commit()}")
    source = long_plans(base) if options.long else plans(base, tuple(options.scenario))
    done = soak(source, options.minutes, options.jobs, _tell)
    _say(
        f"{done.worlds} worlds, {done.hours:.1f} simulated hours in {done.seconds / 60:.1f} "
        f"minutes of {options.jobs} processes, {done.hours_in_half_an_hour:.0f} in half an hour at "
        f"this pace, {len(done.findings)} broken"
    )
    return int(bool(done.findings))


def _on_fleet(options: argparse.Namespace) -> int:
    chosen = FleetOptions(options.seed, options.nodes, options.cells, time_ms=options.time_ms)
    try:
        done = run_fleet(chosen)
    except InvariantViolation as violation:
        _say(f"seed {options.seed}: BROKEN {violation}")
        again = f"fleet --seed {chosen.seed} --nodes {chosen.nodes} --cells {chosen.cells}"
        _say(f"  commit {commit()}; replay: python -m sim {again} --time-ms {chosen.time_ms}")
        return 1
    said = done.outcome
    _say(
        f"seed {said.seed}: {said.nodes} nodes in {said.cells} cells, {said.away} away, "
        f"{said.known} known to every member, {said.blocks} blocks, {said.tasks} tasks with "
        f"{said.by_guests} answers of guests, {said.messages} messages"
    )
    _say(
        f"{options.time_ms / 1000 / done.seconds:.1f} times real time, "
        f"{options.time_ms / 1000 / done.processor_seconds:.1f} by processor time; "
        f"{done.bytes_a_node / 1024:.0f} KiB a node"
    )
    spent_us = done.processor_seconds * 1e9 / options.time_ms / said.nodes
    _say(f"processor time of a node and second: {spent_us:.1f} µs")
    for line in (RATES_SAID, *(rates.text() for rates in said.rates)):
        _say(line)
    if options.time_ms < SETTLED_MS:
        _say(f"what the committee knows of its cells is judged from {SETTLED_MS} ms on only")
    _say(f"trace {said.trace_hash}")
    return 0


def _on_latency(options: argparse.Namespace) -> int:
    pace = (options.tasks, options.every_ms)
    try:
        for line in task_times_table.played(options.nodes, options.seeds, *pace):
            _say(line)
    except InvariantViolation:
        return 1  # it was said
    return 0


def _on_replay(options: argparse.Namespace) -> int:
    return _show_plan(*options.file)


def _on_shrink(options: argparse.Namespace) -> int:
    named = _plan(options, options.seed, options.nodes or 4)
    plan = named if options.file is None else options.file[0]
    with bar("shrinking", options.attempts + 1) as shown:

        def run(tried: Plan) -> Finding | None:
            found = attempt(tried)
            shown.advance()
            return found

        finding = run(plan)
        if finding is None:
            _say("nothing is broken here")
            return 1
        shrinker = Shrinker(finding, options.attempts, run)
        small = shrinker.shrink()
    left = small.plan.happenings
    said = f"all {len(drawn_happenings(small.plan))}" if left is None else str(len(left))
    _say(f"after {shrinker.attempts} attempts: {small.text}")
    _say(
        f"{small.plan.nodes} members, {small.plan.time_ms} ms, {said} happenings, faults "
        f"{','.join(labels(small.plan.effective_faults)) or 'none'}"
    )
    options.save.write_bytes(small.plan.to_json())
    again = "" if left is not None else f", or {small.plan.command}"
    _say(f"commit {commit()}; replay: python -m sim replay {options.save}{again}")
    return 0


def _on_mutants(options: argparse.Namespace) -> int:
    chosen = sorted(options.name or MUTANTS)
    hunted = alive = 0
    _say(HEADINGS)
    with telling(lambda: f"{hunted} of {len(chosen)} mutants, {alive} alive"):
        for each in tracked(
            "hunting", hunt_all(chosen, options.jobs, options.seeds_max), len(chosen)
        ):
            hunted += 1
            alive += not each.is_killed
            _say(each.row)
    _say(f"\n{len(chosen)} mutants, {alive} alive, commit {commit()}")
    return int(alive > 0)


def _on_museum(_: argparse.Namespace) -> int:
    seen = broken = idle = 0
    with telling(lambda: f"{seen} of {len(EXHIBITS)} worlds, {broken} broken, {idle} idle"):
        for exhibit in tracked("the museum", EXHIBITS, len(EXHIBITS)):
            plan, finding = exhibit.plan, visited(exhibit)
            if finding is not None:
                seen += 1
                broken += 1
                _tell(finding)
                continue
            fault = relapsed(exhibit)
            seen += 1
            idle += fault is not None
            said = "whole" if fault is None else f"TESTS NOTHING: {fault}"
            _say(f"{plan.scenario}, seed {plan.seed}, {plan.nodes} members: {said}")
    _say(f"{len(EXHIBITS)} worlds, {broken} broken, {idle} that test nothing")
    return int(broken + idle > 0)


def _on_report(options: argparse.Namespace) -> int:
    worlds = [name for name in options.scenario if name != POPULATION]
    sections = []
    if POPULATION in options.scenario:
        sections.append(population_page.section(list(population_table.play_all(options.seed))))
    shown = [Plan(name, options.seed, options.nodes or 4) for name in worlds]
    page = render(tracked("the page", shown, len(shown)), *sections)
    options.out.write_text(page, encoding="utf-8")
    _say(f"{options.out}: {len(options.scenario)} worlds")
    return 0


def _on_faults(_: argparse.Namespace) -> int:
    _say(catalogue())
    return 0


FLEET = FleetOptions(seed=1)
FLEET_NODES_MAX = 1_000_000
CELLS_MAX = 65_536
FLEET_MS_MIN = LAST_TASK_MS_BEFORE_END + 10_000
"""The committee has begun, tasks came, and the last of them had time to end."""
BASE_MAX = SEED_MAX // 2
"""A soak counts up from here."""
POPULATION = "population"
"""What `run` and `report` know besides worlds: rules alone, nothing of a world to choose."""
SHOWN = (*SCENARIOS, POPULATION)
OF_A_WORLD: Mapping[str, object] = {
    **dict.fromkeys(("nodes", "faults", "lies", "mutant")),
    "world": FAST,
    "state_version": FIRST_STATE_VERSION,
    "time_ms": TIME_MS,
    "sizes": COMMITTEES,
}

_Commands: TypeAlias = "argparse._SubParsersAction[Parser]"

COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "run": _on_run,
    "sweep": _on_sweep,
    "soak": _on_soak,
    "fleet": _on_fleet,
    "latency": _on_latency,
    "replay": _on_replay,
    "shrink": _on_shrink,
    "mutants": _on_mutants,
    "museum": _on_museum,
    "report": _on_report,
    "faults": _on_faults,
}


def _add_world(
    commands: _Commands, name: str, text: str, *also: str, **position: str
) -> argparse.ArgumentParser:
    """Add a command that names a scenario, and what may be chosen of its worlds."""
    made = commands.add_parser(name, help=text, description=text)
    made.add_argument("scenario", choices=sorted({*SCENARIOS, *also}), **position)  # type: ignore[arg-type]
    made.add_argument(
        "--nodes",
        type=at_least(1, NODES_MAX),
        help="committee size; a sweep varies it by seed",
    )
    made.add_argument("--faults", type=faults, help="all, none, or a list; see `faults`")
    made.add_argument(
        "--time-ms",
        type=at_least(TIME_MS_MIN),
        default=TIME_MS,
        help="how long the world lasts",
    )
    made.add_argument("--lies", type=names, help="what liars do, else drawn from the seed")
    made.add_argument("--world", choices=WORLDS, default=FAST, help="cores alone, or daemons")
    made.add_argument(
        "--state-version",
        type=at_least(FIRST_STATE_VERSION, KNOWN_VERSION),
        default=FIRST_STATE_VERSION,
        metavar="N",
        help="that the genesis of whole nodes names",
    )
    made.add_argument(
        "--mutant", type=one_of(MUTANTS), metavar="BUG", help="a bug to put in; see `mutants`"
    )
    return made


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m sim", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    world = partial(_add_world, commands)
    ran = world("run", "run one world, or a population of workers", POPULATION, PEG)
    ran.add_argument("--seed", type=at_least(0, SEED_MAX), default=1)
    sweeping = world("sweep", "run many worlds", PEG)
    sweeping.add_argument("--seeds", type=seeds, default=range(1, 101), help="first..last")
    sweeping.add_argument(
        "--sizes", type=sizes(NODES_MAX), default=COMMITTEES, help="of committees: 4,7,10"
    )
    sweeping.add_argument("--jobs", type=at_least(1), default=1, help="processes")
    sweeping.add_argument("--minutes", type=minutes, help="stop after this time")
    shrink = world("shrink", "make a failing run small", nargs="?")
    shrink.set_defaults(scenario="log")
    shrink.add_argument("--seed", type=at_least(0, SEED_MAX), default=1)
    shrink.add_argument("--file", type=plan_file, help="a plan instead of a scenario")
    shrink.add_argument("--attempts", type=at_least(1), default=200, help="worlds to run at most")
    shrink.add_argument(
        "--save", type=writable, default=Path("sim-shrunk.json"), help="where it goes"
    )
    soaking = commands.add_parser("soak", help="run fresh worlds for a while")
    soaking.add_argument("scenario", nargs="*", type=one_of(SCENARIOS), default=list(SOAKED))
    soaking.add_argument("--long", action="store_true", help="mostly worlds of an hour")
    soaking.add_argument("--minutes", type=minutes, default=5.0)
    soaking.add_argument("--jobs", type=at_least(1), default=1, help="processes")
    soaking.add_argument(
        "--base", type=at_least(0, BASE_MAX), help="the first seed; drawn unless given"
    )
    large = commands.add_parser("fleet", help="run thousands of nodes in cells")
    fewest = FLEET.members + GUESTS + 1
    large.add_argument("--nodes", type=at_least(fewest, FLEET_NODES_MAX), default=FLEET.nodes)
    large.add_argument("--cells", type=at_least(1, CELLS_MAX), default=FLEET.cells)
    large.add_argument("--seed", type=at_least(0, SEED_MAX), default=1)
    large.add_argument("--time-ms", type=at_least(FLEET_MS_MIN), default=FLEET.time_ms)
    timed = commands.add_parser("latency", help="time tasks among few whole nodes and many")
    timed.add_argument("--nodes", type=sizes(TIMED_MAX), default=(10, 200), help="sizes: 10,200")
    timed.add_argument("--seeds", type=seeds, default=range(1, 6), help="first..last")
    timed.add_argument("--tasks", type=at_least(1), default=100, help="tasks of a world")
    timed.add_argument("--every-ms", type=at_least(1), default=500, help="one task in so long")
    replay = commands.add_parser("replay", help="run a plan from a file")
    replay.add_argument("file", type=plan_file)
    mutants = commands.add_parser("mutants", help="show that each deliberate bug is caught")
    mutants.add_argument("name", nargs="*", type=one_of(MUTANTS))
    mutants.add_argument("--jobs", type=at_least(1), default=1, help="processes")
    mutants.add_argument("--seeds-max", type=at_least(1), default=SEEDS_MAX, help="worlds for each")
    commands.add_parser("museum", help="run every world that was broken once, also with its bug")
    report = commands.add_parser("report", help="write a page with timelines of some worlds")
    report.add_argument("scenario", nargs="*", type=one_of(SHOWN), default=["log", "node"])
    report.add_argument("--seed", type=at_least(0, SEED_MAX), default=1)
    report.add_argument("--nodes", type=at_least(1, NODES_MAX))
    report.add_argument("--out", type=writable, default=Path("sim-report.html"))
    commands.add_parser("faults", help="print the catalogue of faults")
    return parser


def _chosen(options: argparse.Namespace) -> str | None:
    """Say what of a world was chosen for a population or a peg, which have no such choice."""
    is_peg = options.scenario == PEG
    what = f"a world of the peg has {NODES} members" if is_peg else "a population is rules alone"
    for name, usual in OF_A_WORLD.items():
        allowed = (usual, NODES) if is_peg and name == "nodes" else (usual,)
        if getattr(options, name, usual) not in allowed:
            return f"--{name.replace('_', '-')}: {what}; it takes a seed"
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; 0 when every promise held, 128 and a signal's number."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command in ("run", "sweep", "shrink"):
        is_other = options.scenario in (POPULATION, PEG)
        refused = _chosen(options) if is_other else refusal(_plan(options, 0, 1))
        if refused is not None:
            parser.error(f"{options.command}: {refused}")
    if options.command == "soak" and options.long and options.scenario != list(SOAKED):
        parser.error("soak: --long has worlds of its own; name no scenario beside it")
    return answering(lambda: COMMANDS[options.command](options))


if __name__ == "__main__":
    sys.exit(main())
