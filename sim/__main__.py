"""The simulator: run, fleet, sweep, soak, replay, shrink, mutants, museum, report, faults.

Every failure is printed with its seed, the commit and the command that replays it.
"""

import argparse
import math
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from sim import scenarios
from sim.checkers import InvariantViolation
from sim.faults import ALL_FAULTS, BY_LABEL, LOG, catalogue, labels
from sim.fleet import GUESTS, FleetOptions
from sim.hunt import SEEDS_MAX, Hunt, hunt_all
from sim.lies import Lie
from sim.museum import EXHIBITS
from sim.mutants import MUTANTS
from sim.plans import (
    COMMITTEES,
    FAST,
    SCENARIOS,
    TIME_MS,
    WORLDS,
    Finding,
    Outcome,
    Plan,
    attempt,
    commit,
    from_json,
    judge,
)
from sim.report import render
from sim.shrink import Shrinker
from sim.soak import SOAKED, fresh_base, long_plans, plans, run_fleet, soak, sweep
from sim.vices import Vice


def _faults(text: str) -> tuple[str, ...]:
    if text == "all":
        return labels(ALL_FAULTS)
    if text == "none":
        return ()
    unknown = [name for name in text.split(",") if name not in BY_LABEL]
    if unknown:
        msg = f"no fault {unknown[0]!r}; name some of {','.join(BY_LABEL)}, or all, or none"
        raise argparse.ArgumentTypeError(msg)
    return tuple(text.split(","))


def _lies(text: str) -> tuple[str, ...]:
    known = {each.name.lower() for kind in (Lie, Vice) for each in kind}
    unknown = [name for name in text.split(",") if name not in known]
    if unknown:
        msg = f"nobody lies by {unknown[0]!r}; name some of {','.join(sorted(known))}"
        raise argparse.ArgumentTypeError(msg)
    return tuple(text.split(","))


def _seeds(text: str) -> range:
    first, _, last = text.partition("..")
    try:
        seeds = range(int(first), int(last or first) + 1)
    except ValueError as error:
        msg = f"seeds look like 1..200, not {text!r}"
        raise argparse.ArgumentTypeError(msg) from error
    if not seeds:
        msg = f"{text!r} holds no seed"
        raise argparse.ArgumentTypeError(msg)
    return seeds


def _sizes(text: str) -> tuple[int, ...]:
    if not all(part.isdecimal() and int(part) > 0 for part in text.split(",")):
        msg = f"sizes look like 4,7,10, not {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return tuple(int(part) for part in text.split(","))


def _at_least(lowest: int, highest: int | None = None) -> Callable[[str], int]:
    def number(text: str) -> int:
        said = int(text) if text.removeprefix("-").isdecimal() else None
        if said is None or said < lowest or (highest is not None and said > highest):
            bounds = f"from {lowest} up" if highest is None else f"from {lowest} to {highest}"
            msg = f"{text!r} is no number {bounds}"
            raise argparse.ArgumentTypeError(msg)
        return said

    return number


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1.0
    if not 0 <= minutes < math.inf:
        msg = f"{text!r} is no number of minutes"
        raise argparse.ArgumentTypeError(msg)
    return minutes


def _writable(text: str) -> Path:
    """Refuse before the work what could not be written after it."""
    path = Path(text)
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        msg = f"{text} cannot be written; name a file in a folder that exists"
        raise argparse.ArgumentTypeError(msg)
    return path


def _one_of(names: Collection[str]) -> Callable[[str], str]:
    def name(text: str) -> str:
        if text not in names:
            msg = f"there is no {text!r}; there are {', '.join(sorted(names))}"
            raise argparse.ArgumentTypeError(msg)
        return text

    return name


def _plan_file(text: str) -> tuple[Plan, str]:
    """Read a plan; give it with the command that replays it."""
    try:
        return from_json(Path(text).read_bytes()), f"python -m sim replay {text}"
    except (OSError, msgspec.DecodeError) as error:
        msg = f"{text} is no plan: {error}"
        raise argparse.ArgumentTypeError(msg) from error


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _describe(outcome: Outcome) -> str:
    if isinstance(outcome, scenarios.Outcome):
        return (
            f"seed {outcome.seed}: {outcome.nodes} members, {outcome.committed} blocks, "
            f"{outcome.records} records, {outcome.terms} terms, {outcome.messages} messages, "
            f"{outcome.convicted} convicted\ntrace {outcome.trace_hash}"
        )
    endings = ", ".join(f"{count} {said}" for said, count in outcome.endings.items())
    return (
        f"seed {outcome.seed}: {outcome.members} members, {outcome.blocks} blocks, "
        f"epoch {outcome.epochs}, {outcome.messages} messages, {outcome.convicted} convicted\n"
        f"{outcome.tasks} tasks: {endings}; {outcome.receipts} receipts, "
        f"{outcome.closed} in closed batches\n"
        f"state {outcome.state_root}\ntrace {outcome.trace_hash}"
    )


def _tell(finding: Finding, command: str | None = None) -> None:
    plan = finding.plan
    _say(f"seed {plan.seed}, {plan.nodes} members: BROKEN {finding.text}")
    _say(f"  commit {commit()}; replay: {command or plan.command}")


def _show_plan(plan: Plan, command: str | None = None) -> int:
    """Run a plan and describe it, or tell what it broke."""
    found = judge(plan)
    if isinstance(found, Finding):
        _tell(found, command)
        return 1
    _say(_describe(found))
    return 0


def _plan(options: argparse.Namespace, seed: int, nodes: int) -> Plan:
    return Plan(
        options.scenario,
        seed,
        nodes,
        options.time_ms,
        options.faults,
        mutant=options.mutant,
        lies=options.lies,
        world=options.world,
    )


def _on_run(options: argparse.Namespace) -> int:
    return _show_plan(_plan(options, options.seed, options.nodes or 4))


def _on_sweep(options: argparse.Namespace) -> int:
    sizes = (options.nodes,) if options.nodes else options.sizes
    made = [_plan(options, seed, sizes[seed % len(sizes)]) for seed in options.seeds]
    worlds = broken = 0
    for finding in sweep(made, options.jobs, options.minutes):
        worlds += 1
        if finding is not None:
            broken += 1
            _tell(finding)
    _say(f"{worlds} worlds, {broken} broken")
    return int(broken > 0)


def _on_soak(options: argparse.Namespace) -> int:
    base = fresh_base() if options.base is None else options.base
    said = "hours of log and node" if options.long else ", ".join(options.scenario)
    _say(f"soaking {said} from seed {base} on, commit {commit()}")
    source = long_plans(base) if options.long else plans(base, tuple(options.scenario))
    done = soak(source, options.minutes, options.jobs, _tell)
    _say(
        f"{done.worlds} worlds, {done.hours:.1f} simulated hours in {done.seconds / 60:.1f} "
        f"minutes of {options.jobs} processes, {len(done.findings)} broken"
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
        f"{said.known} known to every member, {said.blocks} blocks, {said.tasks} tasks, "
        f"{said.messages} messages"
    )
    _say(
        f"{options.time_ms / 1000 / done.seconds:.1f} times real time, "
        f"{options.time_ms / 1000 / done.processor_seconds:.1f} by processor time; "
        f"{done.bytes_a_node / 1024:.0f} KiB a node"
    )
    _say(f"trace {said.trace_hash}")
    return 0


def _on_replay(options: argparse.Namespace) -> int:
    return _show_plan(*options.file)


def _on_shrink(options: argparse.Namespace) -> int:
    named = _plan(options, options.seed, options.nodes or 4)
    plan = named if options.file is None else options.file[0]
    finding = attempt(plan)
    if finding is None:
        _say("nothing is broken here")
        return 1
    shrinker = Shrinker(finding, options.attempts)
    small = shrinker.shrink()
    happenings = small.plan.happenings
    said = "all" if happenings is None else str(len(happenings))
    _say(f"after {shrinker.attempts} attempts: {small.text}")
    _say(
        f"{small.plan.nodes} members, {small.plan.time_ms} ms, {said} happenings, faults "
        f"{','.join(labels(small.plan.effective_faults)) or 'none'}"
    )
    if happenings is None:
        _say(f"commit {commit()}; replay: {small.plan.command}")
        return 0
    options.save.write_bytes(small.plan.to_json())
    _say(f"commit {commit()}; replay: python -m sim replay {options.save}")
    return 0


def _on_mutants(options: argparse.Namespace) -> int:
    names = options.name or sorted(MUTANTS)
    alive = 0
    for each in hunt_all(names, options.jobs, options.seeds_max):
        alive += each.finding is None
        _say(_describe_hunt(each))
    _say(f"{len(names)} mutants, {alive} alive")
    return int(alive > 0)


def _describe_hunt(each: Hunt) -> str:
    if each.finding is None:
        return f"{each.name}: ALIVE after {each.worlds} worlds"
    worlds = "1 world" if each.worlds == 1 else f"{each.worlds} worlds"
    return f"{each.name}: killed by {each.finding.invariant!r} after {worlds}"


def _on_museum(_: argparse.Namespace) -> int:
    found = [finding for exhibit in EXHIBITS if (finding := attempt(exhibit.plan)) is not None]
    for finding in found:
        _tell(finding)
    return int(bool(found))


def _on_report(options: argparse.Namespace) -> int:
    page = render([Plan(name, options.seed, options.nodes or 4) for name in options.scenario])
    options.out.write_text(page, encoding="utf-8")
    _say(f"{options.out}: {len(options.scenario)} worlds")
    return 0


def _on_faults(_: argparse.Namespace) -> int:
    _say(catalogue())
    return 0


FLEET = FleetOptions(seed=1)
NODES_MAX = 100
"""Enough for any committee; keys of nodes are numbered by one byte."""

COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "run": _on_run,
    "sweep": _on_sweep,
    "soak": _on_soak,
    "fleet": _on_fleet,
    "replay": _on_replay,
    "shrink": _on_shrink,
    "mutants": _on_mutants,
    "museum": _on_museum,
    "report": _on_report,
    "faults": _on_faults,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sim", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def world(name: str, text: str, **position: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.add_argument("scenario", choices=sorted(SCENARIOS), **position)  # type: ignore[arg-type]
        made.add_argument(
            "--nodes",
            type=_at_least(1, NODES_MAX),
            help="committee size; a sweep varies it by seed",
        )
        made.add_argument("--faults", type=_faults, help="all, none, or a list; see `faults`")
        made.add_argument(
            "--time-ms", type=_at_least(1), default=TIME_MS, help="how long the world lasts"
        )
        made.add_argument("--lies", type=_lies, help="what liars do, else drawn from the seed")
        made.add_argument("--world", choices=WORLDS, default=FAST, help="cores alone, or daemons")
        made.add_argument(
            "--mutant", type=_one_of(MUTANTS), metavar="BUG", help="a bug to put in; see `mutants`"
        )
        return made

    world("run", "run one world").add_argument("--seed", type=int, default=1)
    sweeping = world("sweep", "run many worlds")
    sweeping.add_argument("--seeds", type=_seeds, default=range(1, 101), help="first..last")
    sweeping.add_argument("--sizes", type=_sizes, default=COMMITTEES, help="of committees: 4,7,10")
    sweeping.add_argument("--jobs", type=_at_least(1), default=1, help="processes")
    sweeping.add_argument("--minutes", type=_minutes, help="stop after this time")
    shrink = world("shrink", "make a failing run small", nargs="?")
    shrink.set_defaults(scenario="log")
    shrink.add_argument("--seed", type=int, default=1)
    shrink.add_argument("--file", type=_plan_file, help="a plan instead of a scenario")
    shrink.add_argument("--attempts", type=_at_least(1), default=200, help="worlds to run at most")
    shrink.add_argument(
        "--save", type=_writable, default=Path("sim-shrunk.json"), help="where it goes"
    )
    soaking = commands.add_parser("soak", help="run fresh worlds for a while")
    soaking.add_argument("scenario", nargs="*", type=_one_of(SCENARIOS), default=list(SOAKED))
    soaking.add_argument("--long", action="store_true", help="mostly worlds of an hour")
    soaking.add_argument("--minutes", type=_minutes, default=5.0)
    soaking.add_argument("--jobs", type=_at_least(1), default=1, help="processes")
    soaking.add_argument("--base", type=int, help="the first seed; drawn unless given")
    large = commands.add_parser("fleet", help="run thousands of nodes in cells")
    fewest = FLEET.members + GUESTS + 1
    large.add_argument("--nodes", type=_at_least(fewest), default=FLEET.nodes)
    large.add_argument("--cells", type=_at_least(1), default=FLEET.cells)
    large.add_argument("--seed", type=int, default=1)
    large.add_argument("--time-ms", type=_at_least(1), default=FLEET.time_ms)
    replay = commands.add_parser("replay", help="run a plan from a file")
    replay.add_argument("file", type=_plan_file)
    mutants = commands.add_parser("mutants", help="show that each deliberate bug is caught")
    mutants.add_argument("name", nargs="*", type=_one_of(MUTANTS))
    mutants.add_argument("--jobs", type=_at_least(1), default=1, help="processes")
    mutants.add_argument(
        "--seeds-max", type=_at_least(1), default=SEEDS_MAX, help="worlds for each"
    )
    commands.add_parser("museum", help="run every world that was broken once")
    report = commands.add_parser("report", help="write a page with timelines of some worlds")
    report.add_argument("scenario", nargs="*", type=_one_of(SCENARIOS), default=["log", "node"])
    report.add_argument("--seed", type=int, default=1)
    report.add_argument("--nodes", type=_at_least(1, NODES_MAX))
    report.add_argument("--out", type=_writable, default=Path("sim-report.html"))
    commands.add_parser("faults", help="print the catalogue of faults")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; 0 when every promise held."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if getattr(options, "world", FAST) != FAST and SCENARIOS[options.scenario].world == LOG:
        parser.error(f"{options.scenario} has no nodes, so no daemons; take a scenario with nodes")
    return COMMANDS[options.command](options)


if __name__ == "__main__":
    sys.exit(main())
