"""Checks files that callers bring, one at a time and beside the node's own work."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import structlog
import trio

from ambientd.api.offline import check_receipt, read_headers, tip_of
from ambientd.api.operation import OperationError
from ambientd.api.proof_program import NoVerifierError, ask_verifier, find_verifier
from ambientd.api.verify_values import (
    CheckInfo,
    Verified,
    VerifyBlame,
    VerifyHeaders,
    VerifyProof,
    VerifyReceipt,
    VerifySplit,
)
from ambientd.errors import UsageError
from ambientd.rules.file_checks import Report

log = structlog.get_logger("ambientd.verifying")

T = TypeVar("T")

_NO_VERIFIER = (
    "its owner builds `ambient-verify` with `make verifier` and puts it on the daemon's search "
    "path; where that is, `ambientctl proof verify` needs no node"
)

PROOF_S = 20.0
"""A proof takes milliseconds; this is for a machine that is very busy."""

WAITING_MAX = 8
"""Whoever waits for a turn does so with all its files, up to 28 MB, in this node's memory."""


class Verifier:
    """Answers whether files that others gave hold."""

    def __init__(self, cluster: bytes) -> None:
        self._cluster = cluster
        self._turn = trio.CapacityLimiter(1)

    async def receipt(self, request: VerifyReceipt) -> Verified:
        """Check a receipt file."""
        pinned = self._pinned(request.cluster)
        epoch = None if request.epoch is None else bytes.fromhex(request.epoch)
        return await self._checked(lambda: self._receipt(request, pinned, epoch))

    @staticmethod
    def _receipt(request: VerifyReceipt, pinned: bytes, epoch: bytes | None) -> Report[Any]:
        headers = None if request.headers is None else read_headers(request.headers, "headers")
        return check_receipt(request.receipt, pinned, request.output, headers, epoch)

    async def headers(self, request: VerifyHeaders) -> Verified:
        """Check a file of Bitcoin headers, from its base to its tip."""
        return await self._in_turn(lambda: _headers(request.headers))

    async def split(self, request: VerifySplit) -> Verified:
        """Check a witness's evidence of two logs."""
        return await self._in_turn(lambda: _split(request.evidence))

    async def blame(self, request: VerifyBlame) -> Verified:
        """Check the statements in a blame certificate."""
        from ambientd.api.blame_replay import check_words  # its price is for those who ask

        pinned = self._pinned(request.cluster)
        return await self._checked(lambda: check_words(request.blame, pinned))

    async def proof(self, request: VerifyProof) -> Verified:
        """Check a validity proof, in a process of the program that is built for it."""
        try:
            return await self._in_turn(lambda: _proof(request))
        except NoVerifierError as error:
            log.warning("no proof can be verified here", reason=str(error))
            msg = "this node has no program that verifies proofs, or one that does not work"
            raise OperationError("unavailable", msg, _NO_VERIFIER) from error

    def _pinned(self, named: str | None) -> bytes:
        return self._cluster if named is None else bytes.fromhex(named)

    async def _checked(self, check: Callable[[], Report[Any]]) -> Verified:
        report = await self._in_turn(check)
        checks = (CheckInfo(name=e.name, ok=e.ok, detail=e.detail) for e in report.checks)
        return Verified(valid=report.valid, checks=tuple(checks), trust=tuple(report.trust))

    async def _in_turn(self, check: Callable[[], T]) -> T:
        waiting = self._turn.statistics().tasks_waiting
        if waiting >= WAITING_MAX:
            msg = f"{waiting} callers wait for their files to be checked"
            raise OperationError("busy", msg, "try again, or check it without a node: ambientctl")
        return await trio.to_thread.run_sync(check, limiter=self._turn)


def _headers(data: bytes) -> Verified:
    try:
        chain = read_headers(data, "headers")
    except UsageError as error:
        return _found(str(error), is_valid=False, name="headers")
    tip = tip_of(chain)
    span = f"{chain.network.name}, {chain.base_height} to {chain.height}"
    detail = f"{span}, tip {tip.hash} of {tip.time}"
    trust = f"that {tip.hash} is in the chain that others see"
    return _found(detail, is_valid=True, name="headers", trust=(trust,))


def _split(data: bytes) -> Verified:
    from ambientd.api.witnessing import check_evidence  # its price is for those who ask

    found = check_evidence(data)
    if isinstance(found, str):
        return _found(found, is_valid=False, name="split")
    both = ", ".join(member.hex()[:12] for member in found.both)
    detail = f"cluster {found.cluster.hex()} signed two logs that cannot be one; both: {both}"
    return _found(detail, is_valid=True, name="split")


def _proof(request: VerifyProof) -> Verified:
    command = [find_verifier(), "proof"]
    with TemporaryDirectory(prefix="ambient-proof-") as name:
        folder = Path(name)
        for what in ("proof", "module", "input", "output"):
            data: bytes | None = getattr(request, what)
            if data is not None:
                (folder / what).write_bytes(data)
                command += [] if what == "proof" else [f"--{what}", what]
        for what in ("image", "salt"):
            text: str | None = getattr(request, what)
            command += [] if text is None else [f"--{what}", text]
        told = ask_verifier(command, PROOF_S, folder)
    if not told.valid:
        return _found(told.text.strip(), is_valid=False, name="proof")
    checks = [CheckInfo(name="proof", ok=True, detail="its seals hold")]
    checks += [CheckInfo(name=name, ok=True, detail=text) for name, text in told.fields.items()]
    trust = () if request.image else ("that the image is the one that the module becomes",)
    return Verified(valid=True, checks=tuple(checks), trust=trust)


def _found(detail: str, *, is_valid: bool, name: str, trust: tuple[str, ...] = ()) -> Verified:
    return Verified(
        valid=is_valid, checks=(CheckInfo(name=name, ok=is_valid, detail=detail),), trust=trust
    )
