"""Vectors of proven tasks (protocols/18 §9): specifications, statements, and what words do."""

from typing import Any

from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.signing import Signer
from ambientd.codec.statements import sign_proof_word, spec_hash
from ambientd.ledger.events import RecordRejected
from ambientd.model.base import Digest, TaskId
from ambientd.model.image import ImageFile
from ambientd.model.proof import Finding
from ambientd.model.record import ProofFound, Record
from ambientd.model.task import Result, TaskSpec
from ambientd.rules.images import FILE_VERSION
from ambientd.rules.proofs import own_statement_of, statement_of
from tests.ledger.cluster import result, spec
from tests.ledger.imaging import FALSE, TRANSLATION, TRUE, author_of, gone_over, named, row
from tests.ledger.proving import CYCLES, TERMS, ProvingCluster

PREPARED = b"a prepared module"


class _Written(ProvingCluster):
    """A cluster whose blocks are written down as they are applied."""

    __test__ = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.blocks: list[dict[str, Any]] = []

    def apply(self, signed: list[Record], *, after_ms: int = 100) -> list[Any]:
        events = super().apply(signed, after_ms=after_ms)
        self.blocks.append(
            {
                "index": self.index,
                "term": self.term,
                "time_ms": self.time_ms,
                "beacon": self.beacon.hex(),
                "proposer": self.node(self.index % self.members).hex(),
                "hash": sha256(b"block %d" % self.index).hex(),
                "records": [encode(record).hex() for record in signed],
                "events": [type(event).__name__ for event in events],
                "rejected": sum(isinstance(event, RecordRejected) for event in events),
                "state_root": self.state.root.hex(),
            }
        )
        return events


def proofs() -> dict[str, Any]:
    """Give the vectors."""
    return {
        "specifications": [_specification(spec(assurance=TERMS, replicas=1))],
        "statements": [_statement(*each) for each in _results()],
        "words": _words(),
        "images": _images(),
        "ledger": [_settled(Finding.HOLDS), _settled(Finding.WRONG), _settled(Finding.MISSING)],
    }


def _specification(proven: TaskSpec) -> dict[str, Any]:
    return {
        "cycles_max": TERMS.cycles_max,
        "price_msat_per_mcycle": TERMS.price_msat_per_mcycle,
        "encoding": encode(proven).hex(),
        "hash": spec_hash(proven).hex(),
    }


def _results() -> list[tuple[TaskSpec, Result]]:
    done = replace(result(), prepared=Digest(sha256(PREPARED)))
    empty = Digest(sha256(b""))
    trapped = replace(done, kind=1, gas=spec().gas_max, output=empty, output_size_bytes=0)
    return [
        (spec(), done),
        (spec(), replace(trapped, reason="unreachable")),
        (spec(), replace(trapped, reason="exit_code:7", gas=12)),
        (spec(), replace(trapped, kind=2)),
    ]


def _statement(asked: TaskSpec, found: Result) -> dict[str, Any]:
    statement, own = statement_of(asked, found, PREPARED), own_statement_of(asked, found)
    assert statement is not None, "each of these is proven"
    assert own is not None, "with the one image as with the other"
    return {
        "module": asked.module.hex(),
        "prepared": PREPARED.hex(),
        "input": asked.input.hex(),
        "gas_max": asked.gas_max,
        "memory_bytes_max": asked.memory_bytes_max,
        "output_bytes_max": asked.output_bytes_max,
        "kind": found.kind,
        "reason": found.reason,
        "gas": found.gas,
        "output": found.output.hex(),
        "statement": statement.hex(),
        "own_statement": own.hex(),
    }


def _words() -> list[dict[str, Any]]:
    cluster = ProvingCluster()
    signer: Signer = cluster.signer(0)
    words = []
    for finding in Finding:
        cycles = CYCLES if finding is Finding.HOLDS else 0
        task, proof = TaskId(sha256(b"task")), Digest(sha256(b"proof"))
        word = sign_proof_word(signer, task, 1, proof, finding, cycles)
        body = ProofFound(word=word)
        words.append(
            {"cluster": cluster.id.hex(), "finding": int(finding), "body": encode(body).hex()}
        )
    return words


def _images() -> dict[str, Any]:
    """Give claims of one module, of which one is false, what is decided, and the file of it."""
    cluster = gone_over()
    claims = [named(cluster, 0, FALSE), named(cluster, 1), named(cluster, 2)]
    cluster.block(*claims)
    entry = row(cluster)
    assert entry is not None, "it was named"
    file = ImageFile(version=FILE_VERSION, genesis=cluster.genesis, epochs=(), claims=entry.claims)
    return {
        "cluster": cluster.id.hex(),
        "translation": TRANSLATION.hex(),
        "bodies": [encode(body).hex() for _, body in claims],
        "entry": encode(entry).hex(),
        "denied": encode(author_of(cluster, 0)).hex(),
        "state_root": cluster.state.root.hex(),
        "file": encode(file).hex(),
        "image": TRUE.hex(),
    }


def _settled(finding: Finding) -> dict[str, Any]:
    cluster = _Written.made()
    task = cluster.prove()
    cluster.say(task, finding)
    entry = cluster.task(task)
    return {
        "genesis": encode(cluster.genesis).hex(),
        "finding": int(finding),
        "task": task.hex(),
        "state": int(entry.state),
        "blocks": cluster.blocks,
    }
