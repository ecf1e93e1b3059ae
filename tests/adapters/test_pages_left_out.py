"""Pages that are left out of an instance of wasmtime are read and written by nobody."""

import sys

import pytest
import wasmtime

from ambientd.adapters.wasmtime_engine import WasmtimeEngine, WasmtimeInstance
from ambientd.model.execution import PAGE_BYTES
from ambientd.ports.engine import PageLeftOutError, TrapError
from ambientd.wasm.interface import GAS_EXPORT
from ambientd.wasm.prepare import Prepared, prepare

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the rights of pages are Linux's")

SOURCE = """(module (memory (export "memory") 4 6)
  (func (export "alloc") (param i32) (result i32)
    (memory.grow (local.get 0)))
  (func (export "run") (param i32 i32) (result i64)
    (i64.load (local.get 0))))"""


def instance(*left_out: int) -> WasmtimeInstance:
    made = prepare(bytes(wasmtime.wat2wasm(SOURCE)))
    assert isinstance(made, Prepared)
    found = WasmtimeEngine().compile(made.module).instantiate(1 << 20, None)
    found.set_global(GAS_EXPORT, 1_000_000)
    for page in left_out:
        found.leave_out(page)
    return found


@pytest.mark.parametrize(
    ("address", "size_bytes"), [(PAGE_BYTES, 1), (PAGE_BYTES - 1, 2), (5, PAGE_BYTES)]
)
def test_the_host_asks_before_it_reads_or_writes(address: int, size_bytes: int) -> None:
    opened = instance(1)
    with pytest.raises(PageLeftOutError, match="page 1 of the memory is left out"):
        opened.read(address, size_bytes)
    with pytest.raises(PageLeftOutError, match="page 1"):
        opened.write(address, bytes(size_bytes))
    opened.write(0, b"beside")
    assert opened.read(0, 6) == b"beside"
    opened.close()


def test_code_is_stopped_before_and_after_memory_has_grown() -> None:
    opened = instance(1, 3)
    for page, address in ((1, PAGE_BYTES), (1, PAGE_BYTES - 7), (3, 4 * PAGE_BYTES - 8)):
        with pytest.raises(PageLeftOutError) as missed:
            opened.call("run", address, 0)
        assert missed.value.page == page
    assert opened.call("alloc", 2) == 4
    assert opened.call("run", 5 * PAGE_BYTES, 0) == 0
    with pytest.raises(PageLeftOutError):
        opened.call("run", PAGE_BYTES, 0)
    with pytest.raises(PageLeftOutError) as behind:
        opened.call("run", 7 * PAGE_BYTES, 0)
    assert behind.value.page is None
    opened.close()


def test_where_nothing_is_left_out_a_trap_is_a_trap() -> None:
    opened = instance()
    with pytest.raises(TrapError):
        opened.call("run", 7 * PAGE_BYTES, 0)
    opened.close()
