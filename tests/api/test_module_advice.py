"""What to do about a refusal: the advice fits what a real module is refused for."""

import pytest
import wasmtime

from ambientd.api.module_advice import advice_on, advice_on_ending
from ambientd.model.execution import Aborted, ExecutionResult, OutcomeKind
from ambientd.wasm.prepare import Refused, prepare

ABI = """(func (export "alloc") (param i32) (result i32) i32.const 0)
(func (export "run") (param i32 i32) (result i64) i64.const 0)"""
MEMORY = '(memory (export "memory") 1)'


def advice(fields: str, *, memory: str = MEMORY, abi: str = ABI) -> str:
    refused = prepare(bytes(wasmtime.wat2wasm(f"(module {fields} {memory} {abi})")))
    assert isinstance(refused, Refused)
    return "\n".join(advice_on(refused.reason))


def imported(space: str, name: str, what: str = "(func)") -> str:
    return advice(f'(import "{space}" "{name}" {what})')


@pytest.mark.parametrize(
    ("fields", "option"),
    [
        ("(func (drop (i32.atomic.load (i32.const 0))))", "-mno-atomics"),
        (
            "(func (param v128) (drop (i8x16.relaxed_swizzle (local.get 0) (local.get 0))))",
            "-mno-relaxed-simd",
        ),
        ("(func $f (return_call $f))", "-mno-tail-call"),
        ("(tag $t) (func (throw $t))", "-fno-exceptions"),
        ("(func (block $h (try_table (catch_all $h))))", "-fno-exceptions"),
        ("(func (param (ref func)) (call_ref 0 (local.get 0)))", "garbage collection"),
        ("(type (struct))", "garbage collection"),
        ("(func (local anyref))", "garbage collection"),
        ("(memory 1)", "-mno-multimemory"),
        ("(global i32 (i32.add (i32.const 1) (i32.const 1)))", "-mno-extended-const"),
        ("(table 300000 funcref)", "function pointers"),
        ('(func (export "__ambient_gas"))', "not the prepared one"),
        (f"(func (local {'i32 ' * 10_001}))", "unoptimised code"),
    ],
)
def test_every_feature_that_is_refused_names_the_option_that_avoids_it(
    fields: str, option: str
) -> None:
    assert option in advice(fields)


@pytest.mark.parametrize(
    ("memory", "option"),
    [
        ('(memory (export "memory") 9000)', "--initial-memory="),
        ('(memory (export "memory") 1 2 shared)', "wasm32-wasip1-threads"),
        ('(memory (export "memory") i64 1)', "not wasm64"),
    ],
)
def test_every_memory_that_is_refused_names_the_option_that_avoids_it(
    memory: str, option: str
) -> None:
    assert option in advice("", memory=memory)


def test_missing_exports_come_with_lines_for_c_rust_and_go() -> None:
    lines = advice("", abi="")
    for line in ('export_name("run")', "#[no_mangle]", "GOOS=wasip1"):
        assert line in lines


@pytest.mark.parametrize(
    ("space", "name", "option"),
    [
        ("env", "abort", "--use abort="),
        ("env", "emscripten_memcpy_js", "-sSTANDALONE_WASM"),
        ("env", "sha256_of", "--allow-undefined"),
        ("wasi_unstable", "fd_write", "preview 1"),
        ("wasi:cli/stdout@0.2.0", "get-stdout", "preview 1"),
        ("__wbindgen_placeholder__", "__wbindgen_describe", "wasm-bindgen"),
        ("gojs", "runtime.wasmExit", "GOOS=wasip1"),
        ("wasi_snapshot_preview1", "sock_open", "no files, sockets"),
    ],
)
def test_an_import_that_no_node_has_names_the_build_without_it(
    space: str, name: str, option: str
) -> None:
    assert option in imported(space, name)


def test_an_imported_memory_table_or_global_names_the_linker_option() -> None:
    lines = advice('(import "env" "memory" (memory 1))', memory="")
    assert "--import-memory" in lines
    assert "--import-table" in imported("env", "__indirect_function_table", "(table 1 funcref)")
    assert "-fPIC" in imported("env", "__memory_base", "(global i32)")


@pytest.mark.parametrize(
    ("source", "option"),
    [
        (b"\0asm\x0d\0\x01\0", "a component"),
        (b"\0asm\1\0\0\0\xff\0", "-mcpu=mvp"),
        (b"\0asm\1\0\0\0\1\7", "wasm-validate"),
        (b"\0asm\1\0\0\0" + bytes(9 << 20), "-Oz"),
    ],
)
def test_a_file_that_is_not_right_as_a_whole_names_what_to_look_at(
    source: bytes, option: str
) -> None:
    refused = prepare(source)
    assert isinstance(refused, Refused)
    assert option in "\n".join(advice_on(refused.reason))


def test_a_call_depth_is_not_answered_with_the_log() -> None:
    trapped = ExecutionResult(
        kind=OutcomeKind.TRAPPED, reason="call_depth", output=b"", gas=1, log=b""
    )
    assert "recursion" in advice_on_ending(trapped)[0]


@pytest.mark.parametrize(
    ("reason", "option"),
    [
        ("preparing the module took more processor time than is allowed", "split the function"),
        ("the execution took longer than 300 ms of wall time", "--wall-max"),
        ("the worker process ended by signal 9 during the execution", ""),
    ],
)
def test_what_helps_against_an_abort_depends_on_what_took_too_long(
    reason: str, option: str
) -> None:
    assert option in "\n".join(advice_on_ending(Aborted(reason=reason)))


@pytest.mark.parametrize(
    "reason",
    [
        "function 0 has 50000 branches and ends of blocks, at most 40960 are allowed",
        "the module can not be paused: function 0 more than 1024 operands are alive at a call",
    ],
)
def test_a_function_that_is_too_much_is_to_be_split(reason: str) -> None:
    assert "split the function" in "\n".join(advice_on(reason))
