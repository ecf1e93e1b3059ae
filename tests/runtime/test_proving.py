"""A slot's execution is proven once, and a member judges what it can fetch, by what is so."""

from pathlib import Path

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from ambientd.adapters.blob_files import BlobFiles
from ambientd.adapters.proved_places import ProvedFiles
from ambientd.codec.digest import sha256
from ambientd.errors import StoreError
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.effect import Assignment, CheckProof, Purpose
from ambientd.model.execution import AbortCause, Aborted
from ambientd.model.proof import Finding, ProofTerms
from ambientd.model.task import Result, TaskSpec
from ambientd.node.event import ExecutionEnded, ProofChecked
from ambientd.ports.proving import ProofTools
from ambientd.rules.proofs import UNIVERSAL_IMAGE, own_statement_of, read_proof, statement_of
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.proving import CHECKED_AT_ONCE, Proofs
from ambientd.wasm.prepare import Refused
from tests.adapters.test_provers import CYCLES, LIMITS, prepared, result_by_engine
from tests.fakes.prover import POWER, FakeProver, FakeVerifier, RememberedPlaces, sealed, spec_of
from tests.mesh.modules import rounds, spin

DATA = rounds(5)
FETCH_S = 2.0
PLACE = Assignment(Purpose.SLOT, TaskId(bytes(32)), 0, 0)


class Rewriter:
    """Prepares modules here; or says what it is told to."""

    def __init__(self) -> None:
        self.instead: Refused | Aborted | None = None

    async def rewrite(self, source: bytes, module: bytes) -> bytes | Refused | Aborted:
        await trio.lowlevel.checkpoint()
        assert sha256(module) == source
        return self.instead or prepared(module)


class Bench:
    """One device with module and input at hand, and another that has only what it fetches."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held: dict[bytes, bytes] = {}
        self.slow: set[bytes] = set()
        self.rewriter, self.prover, self.verifier = Rewriter(), FakeProver(), FakeVerifier()
        self.places = RememberedPlaces()
        self.blobs = self._blobs("worker")
        self.others = self._blobs("member")
        tools = ProofTools(self.places, self.prover, self.verifier)
        self.proofs = Proofs(self.rewriter, self.blobs, tools)
        self.member = Proofs(self.rewriter, self.others, tools, FETCH_S)
        terms = ProofTerms(cycles_max=CYCLES, price_msat_per_mcycle=1)
        module = spin()
        self.spec = replace(
            spec_of(DATA, LIMITS),
            module=Digest(sha256(module)),
            module_size_bytes=len(module),
            assurance=terms,
        )
        self.result = result_by_engine(module, DATA)

    def _blobs(self, name: str) -> Blobs:
        async def fetched(peer: NodeId, digest: bytes, size_bytes_max: int) -> bytes | None:
            await trio.sleep(3_600 if digest in self.slow else 0)
            found = self.held.get(digest)
            return found if found is None or len(found) <= size_bytes_max else None

        files = BlobFiles(self.folder / name, quota_bytes=1 << 24)
        return Blobs(files, fetched, lambda: [NodeId(bytes(32))])

    async def given(self) -> None:
        for data in (spin(), DATA):
            self.held[sha256(data)] = data
            await self.blobs.put(data)

    async def proven(self, own_image: Digest | None = None) -> Digest:
        await self.given()
        made = await self.proofs.prove(PLACE, self.spec, self.result, own_image)
        assert not isinstance(made, Aborted), made
        data = await self.blobs.get(made)
        assert data is not None
        self.held[made] = data
        return made

    async def judge(
        self,
        proof: Digest,
        *,
        result: Result | None = None,
        spec: TaskSpec | None = None,
        own_image: Digest | None = None,
        doubted_image: Digest | None = None,
    ) -> ProofChecked | ExecutionEnded:
        place = Assignment(Purpose.PROOF, TaskId(bytes(32)), 0, 0)
        images = own_image, doubted_image
        spec, result = spec or self.spec, result or self.result
        return await self.member.check(CheckProof(place, spec, (), result, proof, *images))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_what_was_executed_is_proven_and_holds_for_a_member(bench: Bench) -> None:
    proof = await bench.proven()
    judged = await bench.judge(proof)
    assert isinstance(judged, ProofChecked)
    assert (judged.finding, judged.cycles) == (Finding.HOLDS, 1 << POWER)


OWN, FOREIGN = Digest(sha256(b"own image")), Digest(sha256(b"an image of the prover's making"))


async def test_what_members_found_the_module_to_become_proves_it_and_holds(bench: Bench) -> None:
    bench.prover.own[OWN] = bench.spec.module
    proof = await bench.proven(OWN)
    assert read_proof(bench.held[proof]).image == OWN
    judged = await bench.judge(proof, own_image=OWN)
    assert isinstance(judged, ProofChecked)
    assert judged.finding is Finding.HOLDS
    again = await bench.proofs.prove(PLACE, bench.spec, bench.result, OWN)
    assert again == proof, "the same assignment has the same proof"


async def test_without_the_image_at_hand_the_universal_one_proves_and_holds(bench: Bench) -> None:
    proof = await bench.proven(OWN)
    assert read_proof(bench.held[proof]).image == UNIVERSAL_IMAGE
    judged = await bench.judge(proof, own_image=OWN)
    assert isinstance(judged, ProofChecked)
    assert judged.finding is Finding.HOLDS


async def test_a_proof_by_an_image_that_its_prover_alone_calls_the_modules_is_wrong(
    bench: Bench,
) -> None:
    """Its seals hold, and it states just what the receipt does: only the image is another."""
    await bench.given()
    statement = own_statement_of(bench.spec, bench.result)
    assert statement is not None
    for image in (FOREIGN, OWN):
        data = sealed(statement, image=image)
        name = Digest(sha256(data))
        bench.held[name] = data
        for decided in (None, OWN):
            judged = await bench.judge(name, own_image=decided)
            assert isinstance(judged, ProofChecked)
            holds = image == decided
            assert judged.finding is (Finding.HOLDS if holds else Finding.WRONG), decided


async def test_a_proof_by_an_image_that_too_few_stand_by_is_judged_by_nobody(bench: Bench) -> None:
    bench.prover.own[OWN] = bench.spec.module
    proof = await bench.proven(OWN)
    judged = await bench.judge(proof, doubted_image=OWN)
    assert isinstance(judged, ExecutionEnded)
    assert "too few of the present members stand by its image" in judged.aborted
    assert not judged.host_failed
    bench.held[Digest(sha256(b"none"))] = b"none"
    for name, finding in ((Digest(sha256(b"none")), Finding.WRONG), (proof, None)):
        judged = await bench.judge(name, doubted_image=OWN)
        assert getattr(judged, "finding", None) is finding
    judged = await bench.judge(proof, doubted_image=FOREIGN)
    assert isinstance(judged, ProofChecked)
    assert judged.finding is Finding.WRONG, "it is by no image that was ever decided on"


async def test_a_prover_names_no_proof_by_another_image_than_members_know(bench: Bench) -> None:
    await bench.given()
    bench.prover.own[FOREIGN] = bench.spec.module
    made = await bench.proofs.prove(PLACE, bench.spec, bench.result, OWN)
    assert not isinstance(made, Aborted)
    data = await bench.blobs.get(made)
    assert data is not None
    assert read_proof(data).image == UNIVERSAL_IMAGE
    statement = own_statement_of(bench.spec, bench.result)
    assert statement is not None
    bench.places.keep(PLACE, await bench.blobs.put(sealed(statement, image=FOREIGN)))
    again = await bench.proofs.prove(PLACE, bench.spec, bench.result, OWN)
    assert not isinstance(again, Aborted)
    data = await bench.blobs.get(again)
    assert data is not None
    assert read_proof(data).image == UNIVERSAL_IMAGE, "also of what it kept from before"


async def test_a_proof_by_an_image_that_is_doubted_since_stays_its_assignments_after_a_start(
    bench: Bench,
) -> None:
    """Its seal may be on its way to the log, which would then see two answers of one worker."""
    bench.prover.own[OWN] = bench.spec.module
    proof = await bench.proven(OWN)
    tools = ProofTools(bench.places, bench.prover, bench.verifier)
    again = Proofs(bench.rewriter, bench.blobs, tools)
    named = await again.prove(PLACE, bench.spec, bench.result, None, OWN)
    assert named == proof
    assert bench.prover.made == 1
    other = Assignment(Purpose.SLOT, PLACE.task, 0, 1)
    made = await again.prove(other, bench.spec, bench.result, None, OWN)
    assert not isinstance(made, Aborted)
    data = await bench.blobs.get(made)
    assert data is not None
    assert read_proof(data).image == UNIVERSAL_IMAGE, "none is made by what is doubted"


async def test_the_same_assignment_has_the_same_proof_also_after_a_start(bench: Bench) -> None:
    proof = await bench.proven()
    tools = ProofTools(bench.places, bench.prover, bench.verifier)
    again = Proofs(bench.rewriter, bench.blobs, tools)
    assert await again.prove(PLACE, bench.spec, bench.result) == proof
    assert bench.prover.made == 1
    other = Assignment(Purpose.SLOT, PLACE.task, 0, 1)
    assert await again.prove(other, bench.spec, bench.result) != proof


async def test_a_proof_from_before_an_update_is_not_named_for_what_is_now_another_result(
    bench: Bench,
) -> None:
    proof = await bench.proven()
    module = spin()
    before = statement_of(bench.spec, replace(bench.result, gas=1), prepared(module))
    assert before is not None
    bench.places.keep(PLACE, await bench.blobs.put(sealed(before)))
    again = await bench.proofs.prove(PLACE, bench.spec, bench.result)
    assert not isinstance(again, Aborted)
    data = await bench.blobs.get(again)
    assert data is not None
    bench.held[again] = data
    assert again != proof
    judged = await bench.judge(again)
    assert isinstance(judged, ProofChecked)
    assert judged.finding is Finding.HOLDS


async def test_who_gives_a_proof_ever_so_slowly_holds_up_no_other_check(bench: Bench) -> None:
    proof = await bench.proven()
    slow = Digest(b"s" * 32)
    bench.slow.add(slow)
    judged: list[ProofChecked | ExecutionEnded] = []

    async def judge(name: Digest) -> None:
        judged.append(await bench.judge(name))

    with trio.fail_after(FETCH_S + 30):
        async with trio.open_nursery() as nursery:
            for _ in range(CHECKED_AT_ONCE):
                nursery.start_soon(judge, slow)
            await trio.testing.wait_all_tasks_blocked(0.1)
            nursery.start_soon(judge, proof)
    found = [each.finding for each in judged if isinstance(each, ProofChecked)]
    assert sorted(found) == [Finding.HOLDS, *[Finding.MISSING] * CHECKED_AT_ONCE]


async def test_a_result_that_was_not_proven_is_no_answer(bench: Bench) -> None:
    await bench.given()
    lie = replace(bench.result, gas=bench.result.gas + 1)
    made = await bench.proofs.prove(PLACE, bench.spec, lie)
    assert isinstance(made, Aborted)
    assert bench.places.kept == {}


async def test_what_cannot_be_proven_says_so(bench: Bench) -> None:
    await bench.given()
    refused = replace(bench.result, kind=3)
    few = replace(bench.spec, assurance=ProofTerms(cycles_max=1 << 13, price_msat_per_mcycle=1))
    nobody = Proofs(bench.rewriter, bench.blobs, ProofTools(bench.places))
    for made in (
        await bench.proofs.prove(PLACE, bench.spec, refused),
        await bench.proofs.prove(PLACE, few, bench.result),
        await nobody.prove(PLACE, bench.spec, bench.result),
    ):
        assert isinstance(made, Aborted)
        assert made.cause is AbortCause.NOT_PROVABLE


async def test_a_false_proof_is_wrong_and_one_that_nobody_gives_is_missing(bench: Bench) -> None:
    proof = await bench.proven()
    statement = statement_of(bench.spec, bench.result, prepared(spin()))
    assert statement is not None
    lie = replace(bench.result, gas=bench.result.gas - 1)
    other = statement_of(bench.spec, lie, prepared(spin()))
    assert other is not None
    forged = sealed(statement)[:-1] + b"\0"
    for data in (b"", b"no proof", forged, sealed(other)):
        name = Digest(sha256(data))
        bench.held[name] = data
        judged = await bench.judge(name)
        assert isinstance(judged, ProofChecked)
        assert (judged.finding, judged.cycles) == (Finding.WRONG, 0), data[:40]
    judged = await bench.judge(proof, result=lie)
    assert isinstance(judged, ProofChecked)
    assert judged.finding is Finding.WRONG
    missing = await bench.judge(Digest(b"?" * 32))
    assert isinstance(missing, ProofChecked)
    assert missing.finding is Finding.MISSING


async def test_what_a_member_could_not_do_is_no_word_on_a_proof(bench: Bench) -> None:
    proof = await bench.proven()
    bench.verifier.works = False
    assert isinstance(await bench.judge(proof), ExecutionEnded)
    bench.verifier.works = True
    bench.rewriter.instead = Aborted("it took too long")
    assert isinstance(await bench.judge(proof), ExecutionEnded)
    bench.rewriter.instead = Refused("it is none")
    judged = await bench.judge(proof)
    assert isinstance(judged, ProofChecked)
    assert judged.finding is Finding.WRONG
    bench.rewriter.instead = None
    gone = replace(bench.spec, module=Digest(b"!" * 32))
    assert isinstance(await bench.judge(proof, spec=gone), ExecutionEnded)
    bench.member = Proofs(bench.rewriter, bench.others, ProofTools(bench.places))
    assert isinstance(await bench.judge(proof), ExecutionEnded)


def test_a_disk_that_keeps_nothing_is_the_stores_error(tmp_path: Path) -> None:
    (tmp_path / "proved").write_bytes(b"no folder")
    with pytest.raises(StoreError, match="could not be kept"):
        ProvedFiles(tmp_path / "proved").keep(PLACE, Digest(bytes(32)))
    with pytest.raises(StoreError, match="could not be read"):
        ProvedFiles(tmp_path / "proved").find(PLACE)


def test_places_outlive_the_process_and_the_oldest_go(tmp_path: Path) -> None:
    kept = ProvedFiles(tmp_path / "proved", kept_max=3)
    assert kept.find(PLACE) is None
    for attempt in range(5):
        kept.keep(Assignment(Purpose.SLOT, PLACE.task, 0, attempt), Digest(b"%32d" % attempt))
    again = ProvedFiles(tmp_path / "proved")
    assert again.find(PLACE) is None
    last = Assignment(Purpose.SLOT, PLACE.task, 0, 4)
    assert again.find(last) == b"%32d" % 4
