"""Prove what was executed here for a slot, and check what others have proven (protocols/18 §9)."""

import structlog
import trio

from ambientd.errors import RemoteProtocolError
from ambientd.model.base import Digest
from ambientd.model.effect import Assignment, CheckProof
from ambientd.model.execution import AbortCause, Aborted
from ambientd.model.proof import Finding
from ambientd.model.task import Result, TaskSpec
from ambientd.node.event import ExecutionEnded, ProofChecked
from ambientd.ports.proving import NotProven, ProofTools
from ambientd.rules.executions import limits_of
from ambientd.rules.proofs import (
    PROOF_BYTES_MAX,
    PROVEN_KINDS,
    ProofFile,
    proof_fault,
    read_proof,
)
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.preparing import Rewriter
from ambientd.wasm.prepare import Refused

log = structlog.get_logger("ambientd.proving")

CHECKED_AT_ONCE = 4
FETCH_S = 30.0
NO_PROVER = "nothing proves on this device: see [proving] in config.toml"
NO_VERIFIER = "nothing verifies proofs on this device: build it with `make verifier`"


class Proofs:
    """The proofs that are made and checked on this device; one is made at a time."""

    def __init__(
        self,
        rewriter: Rewriter,
        blobs: Blobs,
        tools: ProofTools,
        fetch_s: float = FETCH_S,
    ) -> None:
        self._rewriter = rewriter
        self._fetch_s = fetch_s
        self._blobs = blobs
        self._places, self._prover, self._verifier = tools.places, tools.prover, tools.verifier
        self._turn = trio.Lock()
        # A proof may have 33 MB, and its module 64: not many of them at once.
        self._room = trio.Semaphore(CHECKED_AT_ONCE)

    async def prove(
        self,
        place: Assignment,
        spec: TaskSpec,
        result: Result,
        own_image: Digest | None = None,
        doubted_image: Digest | None = None,
    ) -> Digest | Aborted:
        """Give the proof of what was just executed for a slot, which is kept as a blob.

        The same assignment has the same proof, also after a start: a sealed answer names it. It is
        by the module's own image where members know that one and it is at hand here. By one that
        is doubted since none is made, and what was made before it was stays the answer's.
        """
        if result.kind not in PROVEN_KINDS or spec.proof is None:
            return Aborted("such an outcome is never proven", AbortCause.NOT_PROVABLE)
        prepared = await self._prepared(spec)
        if isinstance(prepared, Aborted):
            return prepared
        if isinstance(prepared, Refused):
            return Aborted("what is refused is never proven", AbortCause.NOT_PROVABLE)
        known = await self._known(place, spec, result, prepared, own_image or doubted_image)
        if known is not None:
            return known
        if self._prover is None:
            return Aborted(NO_PROVER, AbortCause.NOT_PROVABLE)
        data = await self._blobs.get(spec.input)
        if data is None:
            return Aborted("module or input are gone", AbortCause.NOT_FETCHED)
        async with self._turn:
            made = await self._prover.prove(
                prepared, data, limits_of(spec), spec.proof.cycles_max, own_image
            )
        if isinstance(made, NotProven):
            cause = AbortCause.NOT_PROVABLE if made.is_final else AbortCause.OTHER
            return Aborted(f"not proven: {made.reason}", cause)
        fault = self._fault(made, spec, result, prepared, own_image)
        if isinstance(fault, str):
            return Aborted(f"what was proven is not what was executed: {fault}")
        proof = await self._blobs.put(made)
        await trio.to_thread.run_sync(self._places.keep, place, proof)
        return proof

    async def _known(
        self,
        place: Assignment,
        spec: TaskSpec,
        result: Result,
        prepared: bytes,
        own_image: Digest | None,
    ) -> Digest | None:
        """Give the proof that was made for a slot already, if it is one of this very result.

        A program that was updated since may prepare otherwise: its answer needs another proof.
        """
        known = await trio.to_thread.run_sync(self._places.find, place)
        data = None if known is None else await self._blobs.get(known)
        if data is None:
            return None
        fault = self._fault(data, spec, result, prepared, own_image)
        if isinstance(fault, str):
            log.warning("proof made before is of no use", task=place.task.hex()[:12], reason=fault)
            return None
        return known

    async def check(self, effect: CheckProof) -> ProofChecked | ExecutionEnded:
        """Judge a proof that another has made; whatever this host could not do is an abort."""
        async with self._room:
            return await self._check(effect)

    async def _check(self, effect: CheckProof) -> ProofChecked | ExecutionEnded:
        place, spec = effect.assignment, effect.spec
        if self._verifier is None:
            return self._aborted(effect, NO_VERIFIER)
        proof = None
        # Who gives it ever so slowly shall keep nobody else's from being checked.
        with trio.move_on_after(self._fetch_s):
            proof = await self._blobs.fetch(
                effect.proof, PROOF_BYTES_MAX, effect.holders, is_synced=False
            )
        if proof is None:
            return ProofChecked(place, Finding.MISSING)
        if effect.doubted_image is not None and _image_of(proof) == effect.doubted_image:
            return self._aborted(effect, "too few of the present members stand by its image")
        module = await self._blobs.fetch(spec.module, spec.module_size_bytes, effect.holders)
        if module is None:
            return self._aborted(effect, "the module could not be fetched from any holder")
        prepared = await self._prepared(spec)
        if isinstance(prepared, Aborted):
            return self._aborted(effect, prepared.reason)
        if isinstance(prepared, Refused):
            return self._wrong(effect, f"the module is refused: {prepared.reason}")
        read = self._fault(proof, spec, effect.result, prepared, effect.own_image)
        if isinstance(read, str):
            return self._wrong(effect, read)
        holds = await self._verifier.holds(proof, read.image)
        if holds is None:
            return self._aborted(effect, "the verifier did not work")
        if not holds:
            return self._wrong(effect, "its seals do not hold")
        return ProofChecked(place, Finding.HOLDS, read.cycles)

    async def _prepared(self, spec: TaskSpec) -> bytes | Refused | Aborted:
        module = await self._blobs.get(spec.module)
        if module is None:
            return Aborted("the module is gone", AbortCause.NOT_FETCHED)
        return await self._rewriter.rewrite(spec.module, module)

    @staticmethod
    def _fault(
        data: bytes, spec: TaskSpec, result: Result, prepared: bytes, own_image: Digest | None
    ) -> ProofFile | str:
        """Give a proof as read, or what is wrong with it besides its seals."""
        try:
            proof = read_proof(data)
        except RemoteProtocolError as error:
            return str(error)
        return proof_fault(proof, spec, result, prepared, own_image) or proof

    @staticmethod
    def _wrong(effect: CheckProof, reason: str) -> ProofChecked:
        log.warning("proof is wrong", task=effect.assignment.task.hex()[:12], reason=reason)
        return ProofChecked(effect.assignment, Finding.WRONG)

    @staticmethod
    def _aborted(effect: CheckProof, reason: str) -> ExecutionEnded:
        log.warning("proof not checked", task=effect.assignment.task.hex()[:12], reason=reason)
        return ExecutionEnded(effect.assignment, effect.spec, None, reason)


def _image_of(data: bytes) -> Digest | None:
    """Give the image that a proof names; None for what is no proof."""
    try:
        return read_proof(data).image
    except RemoteProtocolError:
        return None
