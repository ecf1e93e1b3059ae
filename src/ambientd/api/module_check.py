"""Whether nodes take a module, what preparation makes of it, and what to do when they do not."""

import msgspec

from ambientd.api.module_advice import advice_on
from ambientd.api.module_pausing import PausingProcess
from ambientd.api.module_process import ModuleProcess
from ambientd.codec.digest import sha256
from ambientd.model.execution import PAGE_BYTES, Aborted
from ambientd.ports.worker_protocol import ModulePrepared, ModuleRefused
from ambientd.wasm.imports import IMPORTABLE
from ambientd.wasm.limits import PrepareLimits
from ambientd.wasm.refusal import RefusalError
from ambientd.wasm.sections import Bounds, decode_module

_LIMITS = PrepareLimits()


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """How large a memory (bytes) or a table (elements) starts, and may become."""

    initial: int
    maximum: int


class ModuleReport(msgspec.Struct, frozen=True, kw_only=True):
    """What nodes say of a module; `accepted` is None when this host could not find out."""

    accepted: bool | None
    reason: str = ""
    detail: str = ""
    fixes: tuple[str, ...] = ()
    engine: str
    engine_version: str
    rewriter_version: int
    size_bytes: int
    pausable: bool = False  # what was prepared can be paused
    interface: str | None = None
    imports: tuple[str, ...] = ()
    imports_without_effect: tuple[str, ...] = ()
    prepared_sha256: str | None = None
    prepared_size_bytes: int | None = None
    memory_bytes: Extent | None = None
    table_elements: tuple[Extent, ...] = ()


def check_module(
    module: bytes, engine: str, *, sandbox_required: bool = True, pausable: bool = False
) -> tuple[ModuleReport, bytes | None]:
    """Prepare a module the way every worker does; give what came of it and the prepared module."""
    kind = PausingProcess if pausable else ModuleProcess
    with kind(engine, sandbox_required=sandbox_required) as process:
        hello = process.hello
        if isinstance(process, PausingProcess):
            reply = process.prepare_pausable(module)
        else:
            reply = process.prepare(module)
    report = ModuleReport(
        accepted=None,
        engine=engine,
        engine_version=hello.engine_version,
        rewriter_version=hello.rewriter_version,
        size_bytes=len(module),
        pausable=pausable,
    )
    match reply:
        case ModulePrepared():
            return _described(report, module, reply), reply.module
        case ModuleRefused():
            return msgspec.structs.replace(
                report,
                accepted=False,
                reason=reply.reason,
                detail=reply.detail,
                fixes=advice_on(reply.reason),
            ), None
        case Aborted():
            return msgspec.structs.replace(report, reason=reply.reason), None


def _described(report: ModuleReport, module: bytes, reply: ModulePrepared) -> ModuleReport:
    try:
        decoded = decode_module(module, _LIMITS)
    except RefusalError:
        # Accepted over there and not decodable here: that process is not itself any more.
        return msgspec.structs.replace(report, reason="the worker process contradicts itself")
    idle = {
        name
        for functions in IMPORTABLE.values()
        for name, function in functions.items()
        if function.always is not None
    }
    memory = decoded.memory and _extent(decoded.memory, _LIMITS.memory_pages_max, PAGE_BYTES)
    return msgspec.structs.replace(
        report,
        accepted=True,
        interface=reply.interface,
        imports=reply.imports,
        imports_without_effect=tuple(name for name in reply.imports if name in idle),
        prepared_sha256=sha256(reply.module).hex(),
        prepared_size_bytes=len(reply.module),
        memory_bytes=memory,
        table_elements=tuple(
            _extent(bounds, _LIMITS.table_elements_max, 1) for _, bounds in decoded.tables
        ),
    )


def _extent(bounds: Bounds, limit: int, unit: int) -> Extent:
    """Give the bounds as preparation writes them (protocols/04 §3)."""
    maximum = limit if bounds.maximum is None else min(bounds.maximum, limit)
    return Extent(initial=bounds.minimum * unit, maximum=maximum * unit)
