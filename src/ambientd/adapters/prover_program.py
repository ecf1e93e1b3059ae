"""The program that proves executions, `ambient-prove`, in a process of its own (ADR 55, ADR 60)."""

import contextlib
import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from ambientd.adapters.slim_structlog import structlog
from ambientd.adapters.verifier_program import image_id
from ambientd.errors import UsageError
from ambientd.model.base import Digest
from ambientd.model.execution import ExecutionLimits
from ambientd.model.proof import STEP_SEGMENTS_MAX
from ambientd.ports.proving import NotProven
from ambientd.rules.proofs import PROOF_BYTES_MAX

log = structlog.get_logger("ambientd.prover")

MIB = 1 << 20
# What the program holds by its own words: for each cycle of a segment, and in any case.
BYTES_A_CYCLE = 9_500
BYTES_FIXED = 40 * MIB
POWERS = range(14, 21)
LINE_BYTES_MAX = 1_000
SAID_BYTES_MAX = 64 * 1024
NICE = 10
# Said of an execution that cannot be proven within its bounds; all else is this host's.
_TOO_LONG = "raise --cycles-max"
_FINAL = (_TOO_LONG, "the image gave up")


def segment_power(memory_bytes_max: int) -> int | None:
    """Give the largest segment that the program proves in so much memory; None for none."""
    fit = [p for p in POWERS if BYTES_FIXED + (BYTES_A_CYCLE << p) <= memory_bytes_max]
    return max(fit, default=None)


class OwnImages:
    """The folder where an owner puts modules' own images, each in a file of its image id."""

    def __init__(self, folder: Path, verifier: str) -> None:
        self._folder = folder
        self._verifier = verifier

    def find(self, image: Digest) -> Path | None:
        """Give the file of an image; None where it is not there, or is another than it says."""
        place = self._folder / f"{image.hex()}.elf"
        if not place.is_file():
            return None
        try:
            found = image_id(self._verifier, place)
        except UsageError as error:
            found = str(error)
        if found == image.hex():
            return place
        log.warning("not the image that its name says", file=str(place), found=found)
        return None


class ProverProgram:
    """Proves one execution at a time."""

    def __init__(
        self, program: str, image: Path, memory_bytes_max: int, own: OwnImages | None = None
    ) -> None:
        power = segment_power(memory_bytes_max)
        assert power is not None, "the daemon has looked at the option"
        self._program = program
        self._image = image
        self._own = own
        self._memory_mib = memory_bytes_max // MIB
        self._power = power

    async def prove(
        self,
        prepared: bytes,
        data: bytes,
        limits: ExecutionLimits,
        cycles_max: int,
        own_image: Digest | None = None,
    ) -> bytes | NotProven:
        """Give a proof file of at most so many padded cycles, or say why there is none.

        Where the module's own image does not prove it, the universal one may.
        """
        own = None
        if self._own is not None and own_image is not None:
            own = await trio.to_thread.run_sync(self._own.find, own_image)
        if own is None:
            files = {"module": prepared, "input": data}
            return await self._try(files, self._command(limits, cycles_max))
        made = await self._try({"input": data}, self._command(limits, cycles_max, own))
        if isinstance(made, bytes) or _TOO_LONG in made.reason:  # the universal one takes longer
            return made
        log.warning("not proven by the module's own image", file=str(own), reason=made.reason)
        other = await self.prove(prepared, data, limits, cycles_max)
        if isinstance(other, bytes):
            return other
        reason = f"by the module's own image: {made.reason}; by the universal one: {other.reason}"
        return NotProven(reason, is_final=made.is_final and other.is_final)

    async def _try(self, files: dict[str, bytes], command: list[str]) -> bytes | NotProven:
        try:
            return await self._prove(files, command)
        except OSError as problem:  # a full disk, too
            return NotProven(f"{self._program} does not work: {problem}")

    async def _prove(self, files: dict[str, bytes], command: list[str]) -> bytes | NotProven:
        with TemporaryDirectory(prefix="ambient-prove-") as name:
            folder = trio.Path(name)
            for file, content in files.items():
                await (folder / file).write_bytes(content)
            code, said = await self._run(command, name)
            if code != 0:
                reason = said[-1] if said else f"it ended with {code}"
                return NotProven(reason, is_final=any(each in reason for each in _FINAL))
            proof = folder / "proof"
            if (await proof.stat()).st_size > PROOF_BYTES_MAX:
                return NotProven("the proof is larger than any")
            return await proof.read_bytes()

    def _command(
        self, limits: ExecutionLimits, cycles_max: int, own: Path | None = None
    ) -> list[str]:
        """Give the words for an own image, or for the universal one, which takes the module."""
        options: dict[str, str | int] = {} if own is not None else {"module": "module"}
        options |= {
            "input": "input",
            "gas": limits.gas_max,
            "memory": limits.memory_bytes_max,
            "output-max": limits.output_bytes_max,
        }
        return self._words(options, cycles_max, own)

    def _words(
        self, given: dict[str, str | int], cycles_max: int, own: Path | None = None
    ) -> list[str]:
        options = given | {
            "proof": "proof",
            "segment": self._power,
            "cycles-max": cycles_max,
            "memory-mib-max": self._memory_mib,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return [self._program, "prove", str(own or self._image), *words]

    async def _run(self, command: list[str], folder: str) -> tuple[int, list[str]]:
        """Run the program and log what it says; end it, and wait for that, when cancelled.

        Where this process is killed, it ends with its next line, of which each segment has one.
        """
        process = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={},
            start_new_session=True,
        )
        said: list[str] = []
        try:
            with contextlib.suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
            assert process.stderr is not None
            rest, total = b"", 0
            async for piece in process.stderr:
                total += len(piece)
                if total > SAID_BYTES_MAX:
                    process.kill()
                    break
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    text = line[:LINE_BYTES_MAX].decode("ascii", "replace").strip()
                    said.append(text)
                    log.info("proving", said=text)
            return await process.wait(), said
        finally:
            with trio.CancelScope(shield=True):
                if process.returncode is None:
                    process.kill()
                await process.wait()
                if process.stderr is not None:
                    await process.stderr.aclose()


class StepProverProgram(ProverProgram):
    """Proves one disputed stretch at a time, by the image of steps."""

    def __init__(self, program: str, image: Path, memory_bytes_max: int, cycles_max: int) -> None:
        super().__init__(program, image, memory_bytes_max)
        self._cycles_max = min(cycles_max, STEP_SEGMENTS_MAX << self._power)

    async def prove_step(self, words: bytes) -> bytes | NotProven:
        """Give a proof file of what the image reads, or say why there is none."""
        return await self._try({"step": words}, self._words({"step": "step"}, self._cycles_max))
