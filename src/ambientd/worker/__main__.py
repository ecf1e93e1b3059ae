"""`python -I -m ambientd.worker ENGINE`: warm up, lock down, say hello, serve."""

import argparse
import gc
import mmap
import os
import sys

from ambientd.adapters.engines import ENGINE_NAMES, open_engine
from ambientd.codec import canonical
from ambientd.codec.digest import sha256
from ambientd.model.execution import ExecutionLimits
from ambientd.ports.engine import Engine
from ambientd.ports.worker_protocol import (
    COMPILED_BYTES_MAX,
    FRAME_BYTES_MAX,
    SEED_BYTES,
    ExecuteItems,
    ExecuteModule,
    GiveCompiled,
    Hello,
    ModuleCompiled,
    PrepareModule,
    Request,
)
from ambientd.wasm.prepare import REWRITER_VERSION
from ambientd.worker.lockdown import lock_down
from ambientd.worker.serve import Session, serve, write_frame

REQUESTS, REPLIES, ERRORS = 0, 1, 2
_HEAP_BYTES = 8 << 20

# (module (memory (export "memory") 1)
#   (func (export "alloc") (param i32) (result i32) i32.const 0)
#   (func (export "run") (param i32 i32) (result i64) unreachable))
_TRAPPING_MODULE = bytes.fromhex(
    "0061736d01000000010c0260017f017f60027f7f017e030302000105030100010718"
    "03066d656d6f7279020005616c6c6f6300000372756e00010a0a02040041000b0300"
    "000b"
)


def warm_up(engine: Engine) -> None:
    """Go once through preparing, compiling, trapping: later nothing can be imported or opened."""
    session = Session(engine)
    session.answer(PrepareModule(module=b"", cpu_ms_max=60_000))
    prepared = session.answer(PrepareModule(module=_TRAPPING_MODULE, cpu_ms_max=60_000))
    digest = sha256(getattr(prepared, "module", b""))
    compiled = session.answer(GiveCompiled(prepared=digest))
    if isinstance(compiled, ModuleCompiled) and compiled.code:
        engine.restore(compiled.code)
    request = ExecuteModule(
        prepared=digest, input=b"-", limits=ExecutionLimits(), seed=bytes(SEED_BYTES)
    )
    again: Request = canonical.decode(canonical.encode(request), Request, FRAME_BYTES_MAX)
    canonical.encode(session.answer(again))
    bundle = ExecuteItems(
        prepared=digest, items=(b"-",), limits=ExecutionLimits(), seed=bytes(SEED_BYTES)
    )
    canonical.encode(session.answer(bundle))


def touch_heap() -> None:
    """Have the pages there that restoring a module takes, which otherwise costs 2 ms of faults."""
    for _ in range(2):  # the allocator gives a first block back when it is free, and keeps another
        bytearray(b"-") * _HEAP_BYTES


def share_memory(descriptor: int) -> mmap.mmap:
    """Map the memory in which the daemon hands over compiled code.

    The mapping is private, so that engines may take it for memory of their own and copy nothing;
    the daemon never reads what is there.
    """
    access = mmap.PROT_READ | mmap.PROT_WRITE
    shared = mmap.mmap(descriptor, COMPILED_BYTES_MAX, mmap.MAP_PRIVATE, access)
    os.close(descriptor)
    return shared


def pausing_session() -> type[Session]:
    """Import what ordinary executions need not wait for."""
    from ambientd.worker.serve_pausing import PausingSession

    return PausingSession


def main() -> None:
    """Run until the daemon closes the pipe; a failure of this process shows in its exit status."""
    parser = argparse.ArgumentParser(prog="python -I -m ambientd.worker", description=__doc__)
    parser.add_argument("engine", choices=ENGINE_NAMES)
    parser.add_argument("--code", type=int, help="descriptor of memory for compiled code")
    parser.add_argument("--pausing", action="store_true", help="answer requests about pausing, too")
    chosen = parser.parse_args()
    engine = open_engine(chosen.engine)
    kind = pausing_session() if chosen.pausing else Session
    session = kind(engine, None if chosen.code is None else share_memory(chosen.code))
    warm_up(engine)
    if session.code is not None:
        touch_heap()
    gc.freeze()
    sys.stdin = sys.stdout = None  # the pipes carry frames only
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, ERRORS)  # from here on a module's doings never reach a terminal
    os.close(null)
    protections = lock_down()
    hello = Hello(
        protections=tuple(sorted(protections)),
        engine=engine.name,
        engine_version=engine.version,
        rewriter_version=REWRITER_VERSION,
    )
    write_frame(REPLIES, hello)
    serve(session, REQUESTS, REPLIES)
    os._exit(0)  # interpreter shutdown wants system calls that are gone


if __name__ == "__main__":
    main()
