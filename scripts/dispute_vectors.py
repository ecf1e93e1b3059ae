"""The test vectors of protocols/12-disputes.md: games block by block, and how stretches narrow."""

from dataclasses import dataclass, field
from typing import Any

from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import end_point, sign_proof_word, sign_segment
from ambientd.ledger.dispute_entries import DisputeState
from ambientd.ledger.events import LedgerEvent, RecordRejected
from ambientd.model.base import Digest
from ambientd.model.proof import NO_PROOF, Finding
from ambientd.model.record import Prover, Record, StepFound, StepPromise, StepProof
from ambientd.rules.bisection import Stretch, narrowed, targets, whole
from sim.traces import TraceVice
from tests.ledger.cluster import START_MS, TestCluster
from tests.ledger.games import Match, Word


@dataclass
class Written(TestCluster):
    """A cluster whose blocks are written down as they are applied."""

    blocks: list[dict[str, Any]] = field(default_factory=list)
    genesis_root: str = ""

    def apply(self, signed: list[Record], *, after_ms: int = 100) -> list[LedgerEvent]:
        """Apply one block, and write it down."""
        self.genesis_root = self.genesis_root or self.state.root.hex()
        events = super().apply(signed, after_ms=after_ms)
        self.blocks.append(
            {
                "index": self.index,
                "term": 1,
                "time_ms": self.time_ms,
                "beacon": sha256(b"%d" % self.index).hex(),
                "proposer": self.node(self.index % self.members).hex(),
                "hash": sha256(b"block %d" % self.index).hex(),
                "records": [encode(record).hex() for record in signed],
                "events": [type(event).__name__ for event in events],
                "rejected": sum(isinstance(event, RecordRejected) for event in events),
                "state_root": self.state.root.hex(),
            }
        )
        return events


class WithProver(Written):
    """A written cluster one member of which proves."""

    def __post_init__(self) -> None:
        """Let it say so."""
        super().__post_init__()
        self.block((PROVER, Prover(cycles_max=4 * CYCLES, said_ms=START_MS)))


PROVER = 3
CYCLES = 1 << 18
PROOF = Digest(sha256(b"proof"))
PROMISES = (
    ("a stretch that is proven", PROOF, Finding.HOLDS),
    ("a proof of a stretch that is wrong", PROOF, Finding.WRONG),
    ("a proof of a stretch that nobody has", PROOF, Finding.MISSING),
    ("a stretch that its prover gives up", NO_PROOF, None),
    ("a proof of a stretch that is late", PROOF, None),
)
GAMES: dict[str, tuple[Word, ...]] = {
    "one wrong step": (None, TraceVice.WRONG_STEP),
    "a wrong output alone, two liars": (TraceVice.WRONG_OUTPUT, None, TraceVice.WRONG_OUTPUT),
    "silent": ("silent", None),
    "passes": (None, "pass"),
    "two traces of one round": ("twice", None),
}


def disputes() -> dict[str, Any]:
    """Vectors of protocols/12-disputes.md."""
    return {
        "document": "protocols/12-disputes.md",
        "narrowing": _narrowing(),
        "games": [
            *(_game(name, words) for name, words in GAMES.items()),
            *(_promised(name, proof, finding) for name, proof, finding in PROMISES),
        ],
    }


def _game(name: str, words: tuple[Word, ...]) -> dict[str, Any]:
    match = Match(words, members=4, cluster_type=Written)
    match.play()
    return _written(name, match)


def _promised(name: str, proof: Digest, finding: Finding | None) -> dict[str, Any]:
    """Play a game whose stretch somebody has promised to prove; without a finding it is late."""
    match = Match((None, TraceVice.WRONG_STEP), members=4, cluster_type=WithProver, price=1_000)
    game = match.game.number
    said = StepPromise(task=match.task, game=game, gas_max=5_000, wait_ms=10_000)
    match.cluster.block((PROVER, said))
    while match.row is not None and match.row.state is not DisputeState.SEGMENT:
        match.step()
    if finding is None and proof != NO_PROOF:
        match.late()
    match.cluster.block((PROVER, StepProof(task=match.task, game=game, proof=proof)))
    for member in range(3) if finding is not None else ():
        match.cluster.block((member, _word(match, member, proof, finding)))
    match.play()
    return _written(name, match)


def _word(match: Match, member: int, proof: Digest, finding: Finding) -> StepFound:
    game, signer, end = match.game, match.cluster.signer(member), match.found()
    assert end is not None, "one of the parties shows the true state"
    cycles = CYCLES if finding is Finding.HOLDS else 0
    word = sign_proof_word(signer, match.task, game.number, proof, finding, cycles)
    verdict = sign_segment(signer, match.task, game.number, game.low, game.until_gas, end)
    return StepFound(word=word, verdict=verdict if finding is Finding.HOLDS else None)


def _written(name: str, match: Match) -> dict[str, Any]:
    cluster = match.cluster
    assert isinstance(cluster, Written)
    return {
        "name": name,
        "genesis": encode(cluster.genesis).hex(),
        "cluster": cluster.id.hex(),
        "state_root_of_genesis": cluster.genesis_root,
        "blocks": cluster.blocks,
    }


def _narrowing() -> list[dict[str, Any]]:
    """Two traces, round by round, until the stretch is short."""
    match = Match((None, TraceVice.WRONG_STEP))
    true, false = match.runs
    ends = (end_point(true.result), end_point(false.result))
    stretch, steps = whole((true.result, false.result), ends), []
    while not stretch.is_short:
        words = (match.trace(0), match.trace(1, TraceVice.WRONG_STEP))
        found = narrowed(stretch, *words)
        steps.append(
            {
                "stretch": _readable(stretch),
                "targets": list(targets(stretch)),
                "points": [[_point(point) for point in word.points] for word in words],
                "narrowed": _readable(found),
            }
        )
        match.cluster.block(match.tell(0, words[0]), match.tell(1, words[1]))
        stretch = found
    return steps


def _readable(stretch: Stretch) -> dict[str, Any]:
    return {
        "low": _point(stretch.low),
        "until_gas": stretch.until_gas,
        "claims": [_point(claim) for claim in stretch.claims],
    }


def _point(point: Any) -> list[Any]:  # noqa: ANN401
    return [point.gas_index, point.root.hex()]
