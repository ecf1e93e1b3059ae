"""Write protocols/vectors/step.blame and step.words: `python -m tests.proofs.make_step_vectors`.

What proves step.proof from the words, protocols/vectors/README.md says.
"""

from pathlib import Path

import wasmtime
from msgspec.structs import replace

from ambientd.api.blame_replay import Replay
from ambientd.api.blame_steps import words_of
from ambientd.api.module_pausing import PausingProcess
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import end_point, sign_segment
from ambientd.model.base import Digest
from ambientd.model.blame import BlameFile, WrongStep
from ambientd.ports.paused_state import PausedState
from tests.rules import blames

VECTORS = Path(__file__).parents[2] / "protocols" / "vectors"
START_GAS = 150
# Adds its input to itself thirty times; a page that it does not touch holds something as well.
SOURCE = """(module (memory (export "memory") 3) (data (i32.const 70000) "untouched")
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "run") (param $at i32) (param i32) (result i64) (local $n i32)
    (local.set $n (i32.const 30))
    (loop $again
      (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.load (local.get $at))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.const 0x0000000800000004)))"""


def certificate() -> BlameFile:
    """A node that came to another end of a short execution than all others."""
    with blames.about(bytes(wasmtime.wat2wasm(SOURCE))):
        found = blames.right().result()
        start, until_gas = blames.right().point(START_GAS), found.gas + 1
        state = blames.right().at(START_GAS)
        assert isinstance(state, PausedState)
        wrong = replace(found, output=Digest(sha256(b"another")))
        verdicts = tuple(
            sign_segment(
                blames.CLUSTER.signer(each), blames.TASK, 0, start, until_gas, end_point(found)
            )
            for each in blames.REFEREES
        )
        step = WrongStep(
            task=blames.BLAMED,
            receipt=blames.receipt(wrong),
            traces=(blames.trace(start, until_gas, blames.right()),),
            verdicts=verdicts,
            state=state.data,
        )
        return blames.with_blobs(blames.file(step))


def words(file: BlameFile) -> bytes:
    """Give what the image of steps reads for it."""
    return words_of(file, Replay(PausingProcess("wasmtime")))


def main() -> None:
    """Write both."""
    file = certificate()
    (VECTORS / "step.words").write_bytes(words(file))
    (VECTORS / "step.blame").write_bytes(encode(replace(file, module=None, input=None)))


if __name__ == "__main__":
    main()
