"""Random modules that use every allowed instruction, NaN bits included, and show what they did.

Unlike the programs of `tests/wasm`, these look at the bits of NaNs, trap, recurse, run without
end, grow and copy whatever there is, and call the host. All of it is decided by the seed.
"""

import wasmtime

from ambientd.wasm.imports import IMPORTABLE, WASI_MODULE
from ambientd.wasm.opcodes import Immediate
from tests.fuzz.operations import BY_RESULT, OPERATIONS, SCALARS, TYPES, Operation
from tests.wasm.programs import Program

SHOWN_BYTES = 8192  # the part of the memory that is the output
INPUT_AT = 2048
INPUT_BYTES_READ = 128
LETTERS = {"i": "i32", "l": "i64"}
GLOBALS = ("$gi", "$gl", "$gf", "$gd", "$gv")
FLOATS = {
    "f32": (
        "0",
        "-0",
        "1.5",
        "-3e9",
        "inf",
        "-inf",
        "1e-40",
        "16777217",
        "0.5",
        "2147483648",
        "-1e30",
    ),
    "f64": (
        "0",
        "-0",
        "1.5",
        "-3e18",
        "inf",
        "-inf",
        "1e-310",
        "9007199254740993",
        "2.5",
        "9223372036854775808",
        "1e300",
    ),
}
# Quiet and signalling, of both signs, with payloads that tell where one came from.
NANS = {
    "f32": ("nan", "-nan", "nan:0x1", "-nan:0x3fffff", "nan:0x600000", "-nan:0x400123"),
    "f64": ("nan", "-nan", "nan:0x1", "-nan:0x7ffffffffffff", "nan:0xc000000000000",
            "-nan:0x8000000000123", "nan:0x4000000000000"),
}  # fmt: skip
INTEGERS = (0, 1, -1, 2, 7, 31, 32, 63, 255, 256, 65535, 65536, -(2**31), 2**31 - 1)
# Lanes that are NaNs of several kinds, seen as either width.
LANES = (0, 0x7FC00000, 0xFFC00001, 0x7F800001, 0x7FF80000, 0xFFF00000, 0x7FFC1234, 0xFFF8ABCD,
         0x3F800000, 0x80000000)  # fmt: skip
COMPARISONS = {
    "i": ("eq", "ne", "lt_s", "lt_u", "gt_s", "gt_u", "le_s", "le_u", "ge_s", "ge_u"),
    "f": ("eq", "ne", "lt", "gt", "le", "ge"),
}
# What hardware answers with one of several NaNs.
ARITHMETIC = {
    kind: tuple(f"{kind}.{name}" for name in ("add", "sub", "mul", "div", "min", "max", "sqrt"))
    for kind in ("f32", "f64")
}
ARITHMETIC["v128"] = tuple(
    f"{lane}.{name}"
    for lane in ("f32x4", "f64x2")
    for name in ("add", "sub", "mul", "div", "min", "max", "pmin", "sqrt", "ceil")
)
MAY_TRAP = ("div_s", "div_u", "rem_s", "rem_u", "trunc_f32", "trunc_f64")


class WideProgram(Program):
    """A module with one of the two interfaces; `binary` assembles it."""

    kinds: tuple[str, ...] = (*TYPES, "funcref")

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        rng = self.rng
        self.command = rng.random() < 0.25
        self.recursive = rng.random() < 0.12
        self.plainness = rng.choice((0.2, 0.4, 0.6))
        self.strangeness = rng.choice((0.1, 0.3, 0.8))  # how often a float is some NaN
        self.tables = (rng.randint(6, 16), rng.randint(0, 4))  # functions, foreign references
        self.imports = self._imports()
        count = rng.randint(1, 5)
        self.planned = [self._signature() for _ in range(count)]
        if self.recursive:
            self.signatures = list(self.planned)

    def _signature(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        rng = self.rng
        kinds = (*TYPES, *self.kinds)
        params = tuple(rng.choice(kinds) for _ in range(rng.randint(0, 4)))
        return params, tuple(rng.choice(kinds) for _ in range(rng.choice((0, 1, 1, 1, 2, 3))))

    def _imports(self) -> dict[str, tuple[str, str]]:
        """Choose some functions of the host: name, parameters and results, by space."""
        known = sorted(
            (space, name)
            for space, functions in IMPORTABLE.items()
            for name in functions
            if self.command or space != WASI_MODULE
        )
        chosen = set(self.rng.sample(known, min(len(known), self.rng.randint(0, 8))))
        if self.command:
            chosen |= {(WASI_MODULE, "fd_read"), (WASI_MODULE, "fd_write")}
        return {name: (space, name) for space, name in sorted(chosen)}

    def binary(self) -> bytes:
        """Assemble the module."""
        return bytes(wasmtime.wat2wasm(f"(module {self.text()})"))

    def text(self) -> str:
        rng = self.rng
        bodies = [self.function(index) for index in range(len(self.planned))]
        imports = [
            f'(import "{space}" "{name}" (func $h_{name} {self._typed(space, name)}))'
            for space, name in self.imports.values()
        ]
        pages = rng.choice((1, 1, 1, 1, 1, 2, 0))
        pages_max = rng.choice(("", str(pages), str(pages + 3)))
        names = [f"$f{index}" for index in range(len(bodies))]
        functions, foreign = self.tables
        active = rng.sample(names, rng.randint(0, len(names)))
        at = rng.randint(0, max(0, functions - len(active)))
        start = "(start $start)" * (rng.random() < 0.2)
        return "\n".join(
            [
                *imports,
                f'(memory (export "memory") {pages} {pages_max})',
                f"(table $t0 {functions} {functions + 8} funcref) (table $t1 {foreign} externref)",
                "(table $t2 4 funcref)",
                "(global $gi (mut i32) (i32.const 7)) (global $gl (mut i64) (i64.const -9))",
                f"(global $gf (mut f32) {self.constant('f32')})",
                f"(global $gd (mut f64) {self.constant('f64')})",
                f"(global $gv (mut v128) {self.constant('v128')})",
                f"(global $gr (mut funcref) (ref.func {rng.choice(names)}))",
                f"(elem $e0 (table $t0) (i32.const {at}) func {' '.join(active)})",
                f"(elem $e1 funcref (ref.null func) {' '.join(f'(ref.func {n})' for n in names)})",
                f"(elem declare func {' '.join(names)})",
                f"(data $d0 (i32.const {self._data_offset(pages)}) {self._data()})",
                f"(data $d1 {self._data()})",
                *bodies,
                f"(func $start {self._startup()}) {start}",
                self._commanded() if self.command else self._called_by_host(),
            ]
        )

    def _typed(self, space: str, name: str) -> str:
        known = IMPORTABLE[space][name]
        params = " ".join(LETTERS[letter] for letter in known.params)
        results = " ".join(LETTERS[letter] for letter in known.results)
        return f"(param {params}) (result {results})"

    def _data_offset(self, pages: int) -> int:
        return self.rng.choice((0, 64, 1000, 4000, 4096 if pages else 0, 65530))

    def _data(self) -> str:
        rng = self.rng
        data = rng.randbytes(rng.choice((0, 3, 16, 40)) if rng.random() < 0.7 else 300)
        if rng.random() < self.strangeness:
            lanes = [rng.choice((*LANES, rng.getrandbits(32))) for _ in range(rng.randint(2, 120))]
            data = b"".join(lane.to_bytes(4, "little") for lane in lanes)
        return '"' + "".join(f"\\{byte:02x}" for byte in data) + '"'

    def _startup(self) -> str:
        self.locals, self.results, self.labels = [], (), [()]
        self.loops, self.budget = 9, 8  # no loop: it has no counters
        return self.statements(2)

    def function(self, index: int) -> str:
        rng = self.rng
        params, self.results = self.planned[index]
        extra = [rng.choice(self.kinds) for _ in range(rng.randint(0, 5))]
        self.locals = [*params, *extra]
        self.labels = [self.results]
        self.loops, self.budget = 0, rng.choice((30, 60, 90))
        body = self.statements(rng.randint(1, 10)) + self.values(self.results)
        counters = " ".join(f"(local $c{number} i32)" for number in range(1, 4))
        if not self.recursive:
            self.signatures.append(self.planned[index])
        return (
            f"(func $f{index} (param {' '.join(params)}) (result {' '.join(self.results)})"
            f" (local {' '.join(extra)}) {counters}\n  {body})"
        )

    def _shown(self) -> str:
        """Call the last function with parts of the input; put results and globals in memory."""
        params, results = self.planned[-1]
        arguments = []
        for number, kind in enumerate(params):
            source = f"offset={INPUT_AT + 16 * number} (i32.const 0)"
            is_number = kind in TYPES
            arguments.append(f"({kind}.load {source})" if is_number else self.constant(kind))
        call = f"(call $f{len(self.planned) - 1} {' '.join(arguments)})"
        taken = " ".join(f"(local.set $r{n})" for n in reversed(range(len(results))))
        stores, at = [], 256
        for number, kind in enumerate(results):
            store, value = f"{kind}.store", f"(local.get $r{number})"
            if kind not in TYPES:
                store, value = "i32.store", f"(ref.is_null {value})"
            stores.append(f"({store} (i32.const {at}) {value})")
            at += 16
        for name, kind in zip(GLOBALS, TYPES, strict=True):
            stores.append(f"({kind}.store (i32.const {at}) (global.get {name}))")
            at += 16
        for table in ("$t0", "$t1", "$t2"):
            stores.append(f"(i32.store (i32.const {at}) (table.size {table}))")
            at += 4
        stores.append(f"(i32.store (i32.const {at}) (memory.size))")
        return f"{call} {taken} {' '.join(stores)}"

    def _result_locals(self) -> str:
        return " ".join(f"(local $r{n} {kind})" for n, kind in enumerate(self.planned[-1][1]))

    def _called_by_host(self) -> str:
        return (
            f'(func (export "alloc") (param i32) (result i32) (i32.const {INPUT_AT}))'
            f'(func (export "run") (param i32 i32) (result i64) {self._result_locals()}'
            f" {self._shown()} (i64.const {SHOWN_BYTES}))"
        )

    def _commanded(self) -> str:
        vector = SHOWN_BYTES + 8
        return (
            f'(func (export "_start") {self._result_locals()}'
            f" (i64.store (i32.const {vector}) (i64.const {INPUT_BYTES_READ << 32 | INPUT_AT}))"
            f" (drop (call $h_fd_read (i32.const 0) (i32.const {vector}) (i32.const 1)"
            f" (i32.const {vector + 8}))) {self._shown()}"
            f" (i64.store (i32.const {vector}) (i64.const {SHOWN_BYTES << 32}))"
            f" (drop (call $h_fd_write (i32.const 1) (i32.const {vector}) (i32.const 1)"
            f" (i32.const {vector + 8}))))"
        )

    def constant(self, kind: str) -> str:
        rng = self.rng
        match kind:
            case "i32" | "i64":
                return f"({kind}.const {rng.choice((*INTEGERS, rng.randint(-(2**31), 2**31 - 1)))})"
            case "v128":
                lanes = [rng.choice((*LANES, rng.getrandbits(32))) for _ in range(4)]
                return f"(v128.const i32x4 {' '.join(map(str, lanes))})"
            case "funcref":
                return "(ref.null func)"
            case _:
                pool = NANS if rng.random() < self.strangeness else FLOATS
                return f"({kind}.const {rng.choice(pool[kind])})"

    def address(self) -> str:
        inside = self.rng.random() < 0.98
        return f"(i32.and {self.expression('i32')} (i32.const {0xFF8 if inside else 0x1FFFC}))"

    def small(self, most: int = 15) -> str:
        """A number that mostly fits a table."""
        if self.rng.random() < 0.05:
            return self.expression("i32")
        if self.rng.random() < 0.6:
            return f"(i32.const {self.rng.randint(0, most // 2)})"
        return f"(i32.and {self.expression('i32')} (i32.const {most}))"

    def computed(self, kind: str) -> str:
        rng = self.rng
        if kind == "funcref":
            return self.reference()
        if kind == "i32" and rng.random() < 0.15:
            return self.asked()
        if rng.random() < 0.1:
            return f"(global.get {GLOBALS[TYPES.index(kind)]})"
        if rng.random() < 0.08 and kind in self.locals:
            return f"(local.tee {self._local(kind)} {self.expression(kind)})"
        operation = rng.choice(BY_RESULT[kind])
        if rng.random() < self.strangeness / 3 and kind in ARITHMETIC:
            operation = OPERATIONS[rng.choice(ARITHMETIC[kind])]
        if any(word in operation.name for word in MAY_TRAP) and rng.random() < 0.8:
            operation = rng.choice(BY_RESULT[kind])
        return self.applied(operation)

    def _local(self, kind: str) -> int:
        return self.rng.choice([at for at, local in enumerate(self.locals) if local == kind])

    def applied(self, operation: Operation) -> str:
        """Write one instruction with fitting operands."""
        rng, parts = self.rng, [operation.name]
        params = list(operation.params)
        lane = str(rng.randrange(operation.lanes or 1))
        match operation.immediate:
            case Immediate.MEMORY | Immediate.MEMORY_LANE:
                offset = rng.choice((0, 0, 1, 8, 60)) if rng.random() < 0.98 else 0xFFFFFFF0
                parts += [f"offset={offset}"] if offset else []
                parts += ["align=1"] if rng.random() < 0.3 else []
                parts += [lane] if operation.immediate is Immediate.MEMORY_LANE else []
                parts.append(self.address())
                params = params[1:]
            case Immediate.LANE:
                parts.append(lane)
            case Immediate.SIXTEEN_BYTES:
                parts += [str(rng.randrange(32)) for _ in range(16)]
            case _:
                pass
        parts += [self.expression(kind) for kind in params]
        return f"({' '.join(parts)})"

    def reference(self) -> str:
        rng = self.rng
        match rng.randint(0, 4):
            case 0:
                return f"(ref.func $f{rng.randrange(len(self.planned))})"
            case 1:
                return f"(table.get {rng.choice(('$t0', '$t2'))} {self.small(3)})"
            case 2:
                return "(global.get $gr)"
            case _:
                return self.constant("funcref")

    def condition(self) -> str:
        """A comparison as often as not, of which engines fuse what they can."""
        rng = self.rng
        if rng.random() < 0.5:
            return self.expression("i32")
        kind = rng.choice((*SCALARS, "i32", "i32"))
        first = self.expression(kind)
        if kind in self.locals and rng.random() < 0.7:
            first = f"(local.get {self._local(kind)})"
        if kind in ("i32", "i64") and rng.random() < 0.4:
            return f"({kind}.eqz {first})"
        compared = rng.choice(COMPARISONS["f" if kind in ("f32", "f64") else "i"])
        second = f"({kind}.const 0)" if rng.random() < 0.3 else self.expression(kind)
        return f"({kind}.{compared} {first} {second})"

    def chosen(self, kind: str) -> str:
        typed = f" (result {kind})" if kind == "funcref" or self.rng.random() < 0.5 else ""
        parts = self.expression(kind), self.expression(kind), self.condition()
        return f"(select{typed} {' '.join(parts)})"

    def called(self, kind: str) -> str:
        fitting = [i for i, (_, results) in enumerate(self.signatures) if results == (kind,)]
        if not fitting or self.rng.random() < 0.3:
            return self.computed(kind)
        index = self.rng.choice(fitting)
        params, _ = self.signatures[index]
        arguments = self.values(params)
        if self.rng.random() < 0.6:
            return f"(call $f{index} {arguments})"
        typed = f"(param {' '.join(params)}) (result {kind})"
        table = self.rng.choice(("$t0", "$t0", "$t2"))
        return f"(call_indirect {table} {typed} {arguments} {self.small()})"

    def asked(self) -> str:
        """Ask the memory, a table, a reference or the host for an i32."""
        rng = self.rng
        table = rng.choice(("$t0", "$t1", "$t2"))
        match rng.randint(0, 6):
            case 0:
                pages = rng.choice((0, 1, 1, 2, 70000, -1)) if rng.random() < 0.5 else None
                grown = self.expression("i32") if pages is None else f"(i32.const {pages})"
                return f"(memory.grow {grown})"
            case 1:
                return "(memory.size)"
            case 2:
                return f"(table.size {table})"
            case 3:
                value = "(ref.null extern)" if table == "$t1" else self.expression("funcref")
                return f"(table.grow {table} {value} {self.small(7)})"
            case 4:
                value = self.expression("funcref")
                if rng.random() < 0.2:
                    value = f"(table.get $t1 {self.small(3)})"
                return f"(ref.is_null {value})"
            case _:
                return self.hosted()

    def hosted(self) -> str:
        served = [
            (space, name)
            for space, name in self.imports.values()
            if IMPORTABLE[space][name].results == "i"
        ]
        if not served:
            return self.constant("i32")
        space, name = self.rng.choice(served)
        return f"(call $h_{name} {self._host_arguments(space, name)})"

    def _host_arguments(self, space: str, name: str) -> str:
        arguments = []
        for letter in IMPORTABLE[space][name].params:
            if letter == "l":
                arguments.append(self.expression("i64"))
            elif self.rng.random() < 0.5:
                arguments.append(f"(i32.const {self.rng.choice((0, 1, 2, 3, 8, 64))})")
            else:
                arguments.append(self.address())
        return " ".join(arguments)

    def statement(self) -> str:
        self.budget -= 1
        if self.budget <= 0:
            return "(nop)"
        choices = (
            self.assign, self.assign, self.store, self.store, self.loop, self.branch, self.table,
            self.bulk, self.many, self.set_global, self.alternative, self.tables_changed,
            self.dropped, self.rare,
        )  # fmt: skip
        return self.rng.choice(choices)()

    def store(self) -> str:
        return self.applied(self.rng.choice(BY_RESULT[None]))

    def dropped(self) -> str:
        return f"(drop {self.expression(self.rng.choice(TYPES))})"

    def set_global(self) -> str:
        if self.rng.random() < 0.1:
            return f"(global.set $gr {self.expression('funcref')})"
        name, kind = self.rng.choice(tuple(zip(GLOBALS, TYPES, strict=True)))
        return f"(global.set {name} {self.expression(kind)})"

    def bulk(self) -> str:
        size = f"(i32.and {self.expression('i32')} (i32.const 63))"
        if self.rng.random() < 0.05:
            size = self.expression("i32")
        match self.rng.randint(0, 3):
            case 0:
                return f"(memory.copy {self.address()} {self.address()} {size})"
            case 1:
                return f"(memory.fill {self.address()} {self.expression('i32')} {size})"
            case 2:
                return f"(memory.init $d1 {self.address()} {self.small(7)} {self.small(7)})"
            case _:
                return self.rng.choice(("(data.drop $d1)", "(data.drop $d0)", "(nop)", "(nop)"))

    def tables_changed(self) -> str:
        one, other = self.rng.choice((("$t0", "$t2"), ("$t2", "$t0"), ("$t0", "$t0")))
        value = self.expression("funcref")
        places = self.small(7), self.small(3), self.small(3)
        match self.rng.randint(0, 6):
            case 0:
                return f"(table.set {one} {places[0]} {value})"
            case 1:
                return f"(table.fill {one} {places[0]} {value} {places[1]})"
            case 2:
                return f"(table.copy {one} {other} {' '.join(places)})"
            case 3:
                return f"(table.init {one} $e1 {' '.join(places)})"
            case 4:
                return f"(table.fill $t1 {places[0]} (ref.null extern) {places[1]})"
            case 5:
                return f"(table.set $t1 {places[1]} (ref.null extern))"
            case _:
                return self.rng.choice(("(elem.drop $e1)", "(nop)", "(elem.drop $e0)"))

    def rare(self) -> str:
        """What ends a program early, or runs on and on."""
        match self.rng.randint(0, 9):
            case 0:
                return f"(if {self.expression('i32')} (then (unreachable)))"
            case 1:
                return f"(loop (br_if 0 {self._inside(('i32',))}))"
            case 2:
                condition = self.expression("i32")
                return f"(if {condition} (then (return {self._inside(self.results)})))"
            case 3:
                ended = [name for name in self.imports if name == "proc_exit"]
                return f"(call $h_proc_exit {self.small()})" if ended else "(nop)"
            case 4:
                depths = [at for at, values in enumerate(reversed(self.labels)) if not values]
                if not depths:
                    return "(nop)"
                labels = " ".join(str(self.rng.choice(depths) + 1) for _ in range(40))
                index = f"(i32.and {self._inside(('i32',))} (i32.const 63))"
                return f"(block (br_table {labels} 0 {index}))"
            case _:
                return self.dropped()

    def _inside(self, kinds: tuple[str, ...]) -> str:
        """Write values that stand one block deeper than their statement."""
        self.labels.append(())
        values = self.values(kinds)
        self.labels.pop()
        return values


assert TYPES[:4] == SCALARS
