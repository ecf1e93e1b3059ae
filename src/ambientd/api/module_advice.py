"""How to get rid of what a module is refused for: compiler options and lines of source."""

import re

from ambientd.model.execution import Aborted, ExecutionResult, OutcomeKind, TrapReason

_REBUILT = "wasm-validate FILE, or wasm-tools validate FILE, shows whether the file itself is whole"
_WASI_PROGRAM = (
    "or make it a WASI command, an ordinary program that reads its input from standard input and "
    "writes its output to standard output:",
    "  C     clang --target=wasm32-wasip1 --sysroot=$WASI_SYSROOT -O2 main.c -o m.wasm",
    "  Rust  cargo build --release --target wasm32-wasip1",
    "  Go    GOOS=wasip1 GOARCH=wasm go build -o m.wasm .",
)
_EXPORTS = (
    "export memory, alloc and run with exactly these types:",
    '  C     __attribute__((export_name("alloc"))) void *alloc(int size)',
    '        __attribute__((export_name("run"))) long long run(const char *input, int size)',
    "        clang --target=wasm32 -O2 -nostdlib -Wl,--no-entry m.c -o m.wasm",
    '  Rust  #[no_mangle] pub extern "C" fn alloc(size: usize) -> *mut u8',
    '        #[no_mangle] pub extern "C" fn run(input: *const u8, size: usize) -> u64',
    '        crate-type = ["cdylib"], cargo build --release --target wasm32-unknown-unknown',
    *_WASI_PROGRAM,
)
_SMALLER = (
    "C     -Oz -Wl,--strip-all -Wl,--gc-sections",
    'Rust  opt-level = "z", lto = true, strip = true, panic = "abort"',
    'Go    -ldflags="-s -w"; TinyGo makes modules a tenth of the size',
    "keep large tables out of the module: they belong into the task's input",
)
_ONE_FUNCTION = (
    "optimise: C -O2, Rust --release; unoptimised code keeps every value in a local of its own",
    "split the function; C __attribute__((noinline)), Rust #[inline(never)] keep the parts apart",
)
_THREADS = (
    "C     leave -pthread and -Wl,--shared-memory out, add -mno-atomics; target wasm32-wasip1",
    "Rust  target wasm32-wasip1 or wasm32-unknown-unknown, not wasm32-wasip1-threads; "
    "-C target-feature=-atomics",
)
_MEMORY64 = (
    "C     --target=wasm32-wasip1, not wasm64",
    "Rust  --target wasm32-wasip1, not wasm64-unknown-unknown",
)
_CONSTANTS = (
    "C     -mno-extended-const; leave -fPIC and -shared out",
    "Rust  -C target-feature=-extended-const -C relocation-model=static",
)
_COLLECTED = (
    "languages that compile to WebAssembly garbage collection (Kotlin, Dart, Java, OCaml) cannot "
    "be used; take one that brings its own memory: C, Rust, Go, TinyGo, AssemblyScript",
    "wasm-opt must not be given --enable-gc",
)
_COMPONENT = (
    "a component (wasm32-wasip2) is not a module: build for wasm32-wasip1",
    "text (.wat) is assembled with wat2wasm first",
)

# What a refusal says (wasm/, its wording), and what to do about it; the first that fits counts.
_ADVICE: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        r"Raise the task's memory limit",
        ("--memory-max SIZE allows more, up to 512MiB",),
    ),
    (
        r"the import 'ambient_pause'",
        ("submit the module that the compiler made, not the one that was made pausable",),
    ),
    (
        r"not be paused.*operands",
        ("nodes take the module as it is; only moving it half way needs more", *_ONE_FUNCTION),
    ),
    (
        r"not be paused",
        (
            "nodes take the module as it is; only moving an execution half way needs more",
            "C     leave -mreference-types and the __builtin_wasm_table functions out",
            "Rust  -C target-feature=-reference-types",
        ),
    ),
    (r"\(threads\)", _THREADS),
    (
        r"\(relaxed SIMD\)",
        (
            "C     -mno-relaxed-simd; -msimd128 may stay",
            "Rust  -C target-feature=-relaxed-simd; +simd128 may stay",
        ),
    ),
    (
        r"\(tail calls\)",
        (
            "C     -mno-tail-call; leave __attribute__((musttail)) out",
            "Rust  -C target-feature=-tail-call",
        ),
    ),
    (
        r"\(exceptions\)|section 13 ",
        (
            "C++   -fno-exceptions; leave -fwasm-exceptions and setjmp out",
            'Rust  panic = "abort", -C target-feature=-exception-handling',
        ),
    ),
    (
        r"\(garbage collection\)|\(typed references\)|not a function type|"
        r"(signature|local|table|segment)\S* .*type that is not allowed|global has a type",
        _COLLECTED,
    ),
    (r"shared or 64-bit", (*_THREADS, *_MEMORY64)),
    (r"\d+ memories", ("C     -mno-multimemory; wasm-opt needs --multi-memory-lowering",)),
    (r"initial value", _CONSTANTS),
    (
        r"the memory starts with",
        (
            "C     -Wl,--initial-memory=16777216 -Wl,--max-memory=536870912 (bytes, at most that)",
            "Rust  -C link-arg=--initial-memory=16777216 -C link-arg=--max-memory=536870912",
            "large static arrays count: allocate them when they are needed",
        ),
    ),
    (r"fits no interface", _EXPORTS),
    (
        r"the import .* is a memory",
        ("C     leave -Wl,--import-memory out", "Rust  leave -C link-arg=--import-memory out"),
    ),
    (
        r"the import .* is a (table|global)",
        (
            "C     leave -Wl,--import-table, -fPIC and -shared out",
            "Rust  -C relocation-model=static",
        ),
    ),
    (
        r"the import '(wasi_unstable|wasi:[^']*)'",
        ("build for WASI preview 1: target wasm32-wasip1 of an up-to-date compiler",),
    ),
    (
        r"the import '(wbg|__wbindgen\w*|\./[^']*|gojs|go|js)'",
        (
            "this build is for a web page; build it for WASI preview 1 instead:",
            "  Rust  --target wasm32-wasip1, without wasm-bindgen, wasm-pack and web-sys",
            "  Go    GOOS=wasip1 GOARCH=wasm go build; TinyGo: -target=wasip1",
        ),
    ),
    (
        r"the import 'env' 'abort'",
        ("AssemblyScript: asc --use abort= (a failed assertion is then a trap)",),
    ),
    (
        r"the import 'env' '(emscripten|invoke|__syscall|__cxa)\w*'",
        ("Emscripten: emcc -sSTANDALONE_WASM -sPURE_WASI -fno-exceptions",),
    ),
    (
        r"the import 'env'",
        (
            "it is a function that nothing defines: write it, or link the library that has it",
            "C     leave -Wl,--allow-undefined out, and the linker names it",
            'Rust  look for it in an extern "C" block',
        ),
    ),
    (
        r"the import",
        (
            "there are no files, sockets, processes or threads: input comes from standard input or "
            "`run`, output goes to standard output or is what `run` returns",
        ),
    ),
    (r"reserved name", ("submit the module that the compiler made, not the prepared one",)),
    (r"a table starts with|element", ("fewer function pointers: split the module",)),
    (
        r"locals|branches|operands|label|br_table|nested|function.*bytes|prepared.*bytes",
        _ONE_FUNCTION,
    ),
    (r"not a WebAssembly 1 module", _COMPONENT),
    (r"at most .* are allowed", _SMALLER),
    (
        r"opcode 0x|section \d+ is not allowed",
        (
            "C     -mcpu=mvp -msimd128 -mbulk-memory -msign-ext -mnontrapping-fptoint",
            "Rust  -C target-cpu=mvp -C target-feature=+simd128,+bulk-memory,+sign-ext",
            _REBUILT,
        ),
    ),
)
_COMPILED = tuple((re.compile(pattern), lines) for pattern, lines in _ADVICE)


def advice_on(reason: str) -> tuple[str, ...]:
    """Say what helps against a refusal, in lines for a person."""
    for pattern, lines in _COMPILED:
        if pattern.search(reason):
            return lines
    return (_REBUILT,)


def advice_on_ending(result: ExecutionResult | Aborted) -> tuple[str, ...]:
    """Say what helps when an execution did not complete."""
    if isinstance(result, Aborted):
        return _advice_on_abort(result.reason)
    match result.kind:
        case OutcomeKind.COMPLETED:
            return ()
        case OutcomeKind.OUT_OF_GAS:
            return ("--gas-max N allows more gas",)
        case OutcomeKind.TRAPPED if result.reason == TrapReason.CALL_DEPTH:
            return ("calls nest too deep: make the recursion a loop, or keep a stack of its own",)
        case OutcomeKind.TRAPPED:
            return ("--log shows what the program wrote to standard error before",)
        case OutcomeKind.REFUSED:
            return advice_on(result.reason)


def _advice_on_abort(reason: str) -> tuple[str, ...]:
    if "preparing the module" in reason or "compiling the module" in reason:
        return _ONE_FUNCTION
    return ("--wall-max SECONDS allows more time",) if "wall time" in reason else ()
