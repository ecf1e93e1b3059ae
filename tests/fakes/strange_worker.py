"""A worker process that has gone astray, in a way its first argument names."""

import itertools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ambientd.codec import canonical
from ambientd.model.dispute import TracePoint
from ambientd.model.execution import ExecutionResult, OutcomeKind
from ambientd.ports.worker_protocol import (
    FRAME_BYTES_MAX,
    LENGTH_BYTES,
    Executed,
    ExecuteModule,
    ExecutePausable,
    ExecutionPaused,
    ExecutionTraced,
    GiveState,
    Hello,
    LoadModule,
    ModuleLoaded,
    ModulePrepared,
    Protection,
    Reply,
    Request,
    StatePiece,
    TraceExecution,
)

if TYPE_CHECKING:
    import pytest


def go_astray(how: str, folder: Path, monkeypatch: "pytest.MonkeyPatch") -> None:
    """Have every worker process started from now on be a strange one."""
    command = folder / "python"
    command.write_text(f"#!/bin/sh\nexec {sys.executable} {__file__} {how}\n")
    command.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(command))


def send(reply: Reply) -> None:
    data = canonical.encode(reply)
    os.write(1, len(data).to_bytes(LENGTH_BYTES, "little") + data)


def receive() -> Request:
    size_bytes = int.from_bytes(sys.stdin.buffer.read(LENGTH_BYTES), "little")
    request: Request = canonical.decode(sys.stdin.buffer.read(size_bytes), Request, FRAME_BYTES_MAX)
    return request


def executed(gas: int, reason: str = "") -> Executed:
    return Executed(
        result=ExecutionResult(
            kind=OutcomeKind.COMPLETED, reason=reason, output=b"", gas=gas, log=b""
        )
    )


def main() -> None:
    how = sys.argv[1]
    if how == "mute":
        return
    if how == "rude":
        send(ModuleLoaded())
    protections = () if how == "bare" else tuple(sorted(Protection))
    send(Hello(protections=protections, engine="strange", engine_version="0", rewriter_version=0))
    for number in itertools.count():
        request = receive()
        match how:
            case "garbage":
                os.write(1, b"\x01\0\0\0\xc1")
            case "endless":
                os.write(1, b"\xff" * 4)
            case "dies":
                sys.exit(7)
            case "unasked":
                send(ModuleLoaded() if isinstance(request, ExecuteModule) else executed(1))
            case "lies" if isinstance(request, LoadModule):
                send(ModuleLoaded())
            case "hasty" | "hoards" | "hollow" if isinstance(request, ExecutePausable):
                size_bytes = 1 << 40 if how == "hoards" else 8
                gas_index = 6 if how == "hasty" else 7
                send(ExecutionPaused(gas_index=gas_index, root=bytes(32), size_bytes=size_bytes))
            case "hasty" | "hoards" | "hollow" if isinstance(request, GiveState):
                send(StatePiece(data=bytes(8)))
            case "disordered" if isinstance(request, TraceExecution):
                points = (TracePoint(gas_index=2, root=bytes(32)),) * 2
                result = executed(3).result
                send(ExecutionTraced(result=result, gas_reached=3, trace=points))
            case _ if not isinstance(request, ExecuteModule):
                interface = "strange" if how == "unheard" else "ambient"
                send(ModulePrepared(module=b"prepared", interface=interface, imports=()))
            case "greedy":
                send(executed(1 << 62))
            case "wordy":
                send(executed(1, "x" * 5_000))
            case _:
                send(executed(number))  # another answer each time


if __name__ == "__main__":
    main()
