"""The session behind the pipes: hostile frames, unknown modules, a cache with an end."""

import os

import pytest

from ambientd.adapters.wasmtime_engine import WasmtimeEngine
from ambientd.codec import canonical
from ambientd.codec.digest import sha256
from ambientd.errors import RemoteProtocolError
from ambientd.model.execution import ExecutionLimits
from ambientd.ports.worker_protocol import (
    FRAME_BYTES_MAX,
    Executed,
    ExecuteModule,
    ExecutionAborted,
    LoadModule,
    ModuleLoaded,
    ModulePrepared,
    ModuleRefused,
    ModuleUnknown,
    PrepareModule,
    Reply,
    Request,
)
from ambientd.worker import serve as subject
from ambientd.worker.serve import DaemonGoneError, Session, read_frame, serve, write_frame
from tests.modules.compiled import module, prepared

ENGINE = WasmtimeEngine()


def session() -> Session:
    return Session(ENGINE)


def execution(name: str, data: bytes = b"") -> ExecuteModule:
    return ExecuteModule(
        prepared=sha256(prepared(name)), input=data, limits=ExecutionLimits(), seed=bytes(32)
    )


def prepare(name: str) -> PrepareModule:
    return PrepareModule(module=module(name), cpu_ms_max=10_000)


def load(name: str) -> LoadModule:
    return LoadModule(prepared=prepared(name), cpu_ms_max=10_000)


def test_a_prepared_module_can_be_executed_at_once() -> None:
    here = session()
    reply = here.answer(prepare("echo"))
    assert isinstance(reply, ModulePrepared)
    assert (reply.module, reply.interface, reply.imports) == (prepared("echo"), "ambient", ())
    executed = here.answer(execution("echo", b"hi"))
    assert isinstance(executed, Executed)
    assert executed.result.output == b"hi"


def test_a_module_is_unknown_until_it_is_loaded() -> None:
    here = session()
    assert here.answer(execution("echo")) == ModuleUnknown()
    assert here.answer(load("echo")) == ModuleLoaded()
    assert isinstance(here.answer(execution("echo")), Executed)


def test_a_module_that_the_rewriter_or_the_engine_refuses_is_refused_alike_everywhere() -> None:
    by_rewriter = session().answer(prepare("forbidden_import"))
    assert isinstance(by_rewriter, ModuleRefused)
    assert "open_socket" in by_rewriter.reason
    by_engine = session().answer(prepare("ill_typed"))
    assert isinstance(by_engine, ModuleRefused)
    assert by_engine.reason == subject.INVALID_REASON
    assert by_engine.detail  # the engine's wording, apart from the outcome


def test_the_least_recently_used_module_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "MODULES_KEPT_MAX", 2)
    here = session()
    for name in ("echo", "trap", "echo", "loop"):
        here.answer(load(name))
    assert here.answer(execution("trap")) == ModuleUnknown()
    assert isinstance(here.answer(execution("echo")), Executed)


def test_a_seed_of_another_size_is_the_daemons_fault() -> None:
    here = session()
    here.answer(load("echo"))
    wrong = ExecuteModule(
        prepared=sha256(prepared("echo")), input=b"", limits=ExecutionLimits(), seed=b"x"
    )
    with pytest.raises(RemoteProtocolError, match="seed"):
        here.answer(wrong)


class Exhausted(WasmtimeEngine):
    """An engine on a host without memory."""

    def compile(self, module: bytes) -> None:  # type: ignore[override]
        raise MemoryError


def test_a_host_without_memory_aborts() -> None:
    reply = Session(Exhausted()).answer(load("echo"))
    assert isinstance(reply, ExecutionAborted)
    assert "memory" in reply.aborted.reason


def frame(message: Request) -> bytes:
    data = canonical.encode(message)
    return len(data).to_bytes(4, "little") + data


def test_frames_are_answered_in_turn_until_the_daemon_is_gone() -> None:
    requests, to_worker = os.pipe()
    from_worker, replies = os.pipe()
    os.write(to_worker, frame(load("echo")) + frame(execution("echo", b"one")))
    os.close(to_worker)
    serve(session(), requests, replies)
    first: Reply = canonical.decode(read_frame(from_worker), Reply)
    second: Reply = canonical.decode(read_frame(from_worker), Reply)
    assert first == ModuleLoaded()
    assert isinstance(second, Executed)
    for descriptor in (requests, from_worker, replies):
        os.close(descriptor)


def test_a_frame_that_is_too_long_or_cut_off_is_not_waited_for() -> None:
    reader, writer = os.pipe()
    os.write(writer, (FRAME_BYTES_MAX + 1).to_bytes(4, "little"))
    with pytest.raises(RemoteProtocolError, match="frame"):
        read_frame(reader)
    os.write(writer, b"\x05\0\0\0abc")
    os.close(writer)
    with pytest.raises(DaemonGoneError):
        read_frame(reader)
    os.close(reader)


def test_a_reply_to_nobody_ends_the_service() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(DaemonGoneError):
        write_frame(writer, ModuleLoaded())
    os.close(writer)
