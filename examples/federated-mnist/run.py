"""Train one model on handwritten digits that stay with ten daemons, no two of them alike.

    python examples/federated-mnist/run.py

starts the daemons on this machine, splits the pictures unevenly among them (Dirichlet(1) by class),
has each join one study, and writes how it went as curves (SVG), with the last round's receipt.
`--data digits` takes the small digits that come with the program, and needs no network.
"""

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import fetch

from ambientd.api.client import Client
from ambientd.api.learning_operations import FL_JOIN, FL_RECEIPT, FL_SHOW, FL_START
from ambientd.api.learning_values import (
    GetRound,
    JoinStudy,
    RoundInfo,
    ShowStudy,
    StartStudy,
    StudyDetail,
)
from ambientd.api.offline import check_round
from ambientd.client import LocalMesh
from ambientd.config.places import socket_path_for
from ambientd.errors import AmbientError

WIDTH, HEIGHT, EDGE = 640, 300, 40
MODELS = {"digits": "mlp:64,32,10", "mnist": "mlp:784,32,10"}
LOOK_S = 0.5
KNOWN_WITHIN_S = 60.0


def main() -> int:
    """Run the study; say in a line what stood against it."""
    try:
        return run()
    except AmbientError as error:
        print(f"the study came to no end: {error}", file=sys.stderr)
        return 1


def run() -> int:
    """Run the study, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=sorted(MODELS), default="mnist")
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("curves.svg"))
    parser.add_argument("--receipt", type=Path, default=Path("last.round"))
    parser.add_argument("--least", type=float, default=0.0, help="the accuracy that it must reach")
    options = parser.parse_args()
    if options.nodes < 1 or options.rounds < 1:
        parser.error("a study needs a node and a round, or more")
    for path in (options.out, options.receipt):
        if path.is_dir() or not os.access(path.parent, os.W_OK):
            parser.error(f"{path}: cannot be written; name a file in a folder that is there")
    if options.data == "mnist" and not fetch.OUT.exists():
        fetch.main()
    source = str(fetch.OUT) if options.data == "mnist" else "digits"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ambient-fl-")))
        print(f"starting {options.nodes} daemons, which takes a while", flush=True)
        mesh = stack.enter_context(LocalMesh(options.nodes, folder=folder, ready_timeout_s=240))
        places = [socket_path_for(folder / f"node{number + 1}") for number in range(options.nodes)]
        # A daemon hangs up on whoever is silent for two minutes: nobody stays on the line.
        with Client(places[0]) as first:
            begun = first.call(FL_START, study_of(options.data, options.nodes, options.rounds))
        for number, place in enumerate(places, start=1):
            with Client(place) as node:
                join(node, begun.study, f"{source}:{number}/{options.nodes}")
            print(f"{number} of {options.nodes} take part", flush=True)
        first = stack.enter_context(Client(places[0]))
        found = followed(first, begun.study)
        last = max((each.round for each in found.rounds if each.state == "done"), default=0)
        if not last:
            print(f"no round came to a model: {found.study.reason}")
            return 1
        given = first.call(FL_RECEIPT, GetRound(study=begun.study, round=last))
        fingerprint = mesh.fingerprint
    options.receipt.write_bytes(given.data)
    options.out.write_text(curves(found.rounds))
    report = check_round(given.data, fingerprint)
    print(f"{options.receipt}: {'valid' if report.valid else 'NOT VALID'}; curves in {options.out}")
    reached = accuracy_of(found.rounds)
    if reached < options.least:
        print(
            f"{reached:.1%} right in the last round, and at least {options.least:.1%} was asked for"
        )
        return 1
    return 0 if report.valid and found.study.state == "done" else 1


def accuracy_of(rounds: list[RoundInfo]) -> float:
    """Give what the last round that was scored got right, as the participants say."""
    scored = [each.correct / each.total for each in rounds if each.total]
    return scored[-1] if scored else 0.0


def study_of(data: str, nodes: int, rounds: int) -> StartStudy:
    """Give what is to be trained, and how."""
    return StartStudy(
        name=f"federated {data}",
        model=MODELS[data],
        rounds=rounds,
        participants_min=max(1, nodes - 2),
        wanted=nodes,
        passes=3,
        batch=16,
        invite_s=600.0,
        train_s=120.0,
        step_s=60.0,
    )


def join(node: Client, study: str, data: str) -> None:
    """Let one node take part with its part of the data, as soon as it knows the study."""
    end_s = time.monotonic() + KNOWN_WITHIN_S
    while True:
        try:
            node.call(FL_JOIN, JoinStudy(study=study, data=data))
            return
        except AmbientError:
            if time.monotonic() > end_s:
                raise
            time.sleep(LOOK_S)


def followed(node: Client, study: str) -> StudyDetail:
    """Print each round as it ends; give them all once the study is over."""
    told = 0
    while True:
        found = node.call(FL_SHOW, ShowStudy(study=study))
        for each in found.rounds:
            if each.ended_ms and each.round > told:
                told = each.round
                right = f"{each.correct / each.total:.1%} right" if each.total else each.reason
                print(f"round {each.round}: {each.survivors} of {each.participants}, {right}")
                sys.stdout.flush()
        if found.study.state not in {"inviting", "running"}:
            print(f"the study is {found.study.state}")
            return found
        time.sleep(LOOK_S)


def curves(rounds: list[RoundInfo]) -> str:
    """Draw accuracy, loss, and the share of the participants that survived, round by round."""
    accuracy = [each.correct / each.total if each.total else 0.0 for each in rounds]
    survived = [each.survivors / max(1, each.participants) for each in rounds]
    losses = [each.loss or 0.0 for each in rounds]
    highest = max(losses) or 1.0
    lines = "".join(
        f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{points(values)}"/>'
        f'<text x="{place}" y="{line}" fill="{colour}">{name}</text>'
        for name, values, colour, place, line in (
            (f"accuracy on held-out data: last {accuracy[-1]:.1%}", accuracy, "#06c", EDGE, 16),
            (f"participants whose update counted: last {survived[-1]:.1%}", survived, "#888",
             EDGE, 32),
            (f"loss, 100 % being {highest:.2f}: last {losses[-1]:.2f}",
             [each / highest for each in losses], "#c60", WIDTH // 2 + EDGE, 16),
        )
    )  # fmt: skip
    frame = f'<rect x="{EDGE}" y="{EDGE}" width="{WIDTH - 2 * EDGE}" height="{HEIGHT - 2 * EDGE}" '
    below = f'<text x="{EDGE}" y="{HEIGHT - 12}">rounds 1 to {len(rounds)}; 0 % to 100 %</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="13">'
        f'{frame}fill="none" stroke="#bbb"/>{lines}{below}</svg>\n'
    )


def points(values: list[float]) -> str:
    """Give where a line goes through."""
    step = (WIDTH - 2 * EDGE) / max(1, len(values) - 1)
    high = HEIGHT - 2 * EDGE
    placed = ((EDGE + at * step, EDGE + (1 - value) * high) for at, value in enumerate(values))
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)


if __name__ == "__main__":
    sys.exit(main())
