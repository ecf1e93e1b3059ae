"""python -m sim --seed N: run one world. python -m sim sweep --seeds 1..200: run many.

`--world log` runs the log alone, `--world node` whole nodes with tasks and workers.
"""

import argparse
import sys
from collections.abc import Sequence

from sim import cluster
from sim.checkers import InvariantViolation
from sim.scenarios import ALL_FAULTS, Fault, Outcome, ScenarioOptions, run

COMMITTEES = (4, 7, 3, 4, 1, 4)


def _faults(text: str) -> frozenset[Fault]:
    if text == "all":
        return ALL_FAULTS
    if text == "none":
        return frozenset()
    try:
        return frozenset(Fault(name) for name in text.split(","))
    except ValueError as error:
        names = ",".join(fault.value for fault in Fault)
        msg = f"{error}; name some of {names}, or all, or none"
        raise argparse.ArgumentTypeError(msg) from error


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


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _describe(outcome: Outcome) -> str:
    return (
        f"seed {outcome.seed}: {outcome.nodes} members, {outcome.committed} blocks, "
        f"{outcome.records} records, {outcome.terms} terms, {outcome.messages} messages, "
        f"{outcome.convicted} convicted\ntrace {outcome.trace_hash}"
    )


def _describe_cluster(outcome: cluster.ClusterOutcome) -> str:
    endings = ", ".join(f"{count} {said}" for said, count in outcome.endings.items())
    return (
        f"seed {outcome.seed}: {outcome.members} members, {outcome.blocks} blocks, "
        f"{outcome.messages} messages, {outcome.convicted} convicted\n"
        f"{outcome.tasks} tasks: {endings}; {outcome.receipts} receipts, "
        f"{outcome.closed} in closed batches\n"
        f"state {outcome.state_root}\ntrace {outcome.trace_hash}"
    )


def _run_world(world: str, seed: int, nodes: int, faults: frozenset[Fault], time_ms: int) -> str:
    """Run one world and describe it."""
    if world == "node":
        options = cluster.ClusterOptions(seed, nodes, faults=faults, time_ms=time_ms)
        return _describe_cluster(cluster.run(options))
    return _describe(run(ScenarioOptions(seed, nodes, faults=faults, time_ms=time_ms)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sim", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["run", "sweep"], default="run")
    parser.add_argument("--world", choices=["log", "node"], default="log", help="what to run")
    parser.add_argument("--seed", type=int, default=1, help="the world to run")
    parser.add_argument("--seeds", type=_seeds, default=range(1, 101), help="sweep: first..last")
    parser.add_argument("--nodes", type=int, help="committee size; a sweep varies it by seed")
    parser.add_argument("--faults", type=_faults, default=ALL_FAULTS, help="all, none, or a list")
    parser.add_argument("--time-ms", type=int, default=60_000, help="how long the world lasts")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one world or a sweep; 0 when every promise held."""
    options = _parser().parse_args(arguments)
    is_sweep = options.command == "sweep"
    seeds = options.seeds if is_sweep else range(options.seed, options.seed + 1)
    broken = 0
    for seed in seeds:
        nodes = options.nodes or (COMMITTEES[seed % len(COMMITTEES)] if is_sweep else 4)
        try:
            told = _run_world(options.world, seed, nodes, options.faults, options.time_ms)
        except InvariantViolation as violation:
            broken += 1
            _say(f"seed {seed}, {nodes} members: BROKEN {violation}")
            continue
        if not is_sweep:
            _say(told)
    if is_sweep:
        _say(f"{len(seeds)} worlds, {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
