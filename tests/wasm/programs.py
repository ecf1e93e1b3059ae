"""Random programs that are valid, end, and never look at the bits of a NaN.

Every float is made a number before its bits are stored or read (`$num32`, `$num64`, a mask
for vectors), so the raw module has one right answer to compare with.
"""

import random

TYPES = ("i32", "i64", "f32", "f64", "v128")
PRELUDE = """
  (global $gi (mut i32) (i32.const 7)) (global $gl (mut i64) (i64.const -9))
  (global $gf (mut f32) (f32.const 1.5))
  (table 12 funcref)
  (func $num32 (param f32) (result f32)
    (select (local.get 0) (f32.const 1) (f32.eq (local.get 0) (local.get 0))))
  (func $num64 (param f64) (result f64)
    (select (local.get 0) (f64.const 1) (f64.eq (local.get 0) (local.get 0))))
  (func $mask (param v128) (result v128)
    (local.set 0 (v128.and (local.get 0) (f32x4.eq (local.get 0) (local.get 0))))
    (v128.and (local.get 0) (f64x2.eq (local.get 0) (local.get 0))))
"""
INT_BINARY = ("add", "sub", "mul", "and", "or", "xor", "shl", "shr_s", "shr_u", "rotl", "rotr")
FLOAT_BINARY = ("add", "sub", "mul", "div", "min", "max", "copysign")
FLOAT_UNARY = ("abs", "neg", "ceil", "floor", "trunc", "nearest", "sqrt")
COMPARE = {"i32": "lt_s", "i64": "gt_u", "f32": "lt", "f64": "ge"}
VECTOR_BINARY = ("i32x4.add", "i16x8.mul", "v128.xor", "f32x4.add", "f32x4.div", "f64x2.mul",
                 "f32x4.min", "f64x2.pmax", "i8x16.swizzle", "i8x16.add_sat_u")  # fmt: skip


class Program:
    """A module of a few functions; function k calls only those before it."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.signatures: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
        self.labels: list[tuple[str, ...]] = []
        self.locals: list[str] = []
        self.results: tuple[str, ...] = ()
        self.loops = 0
        self.budget = 0
        self.plainness = 0.2  # how often an operand is a local or a constant

    def text(self) -> str:
        functions = [self.function(index) for index in range(self.rng.randint(1, 4))]
        last = len(self.signatures) - 1
        params, results = self.signatures[last]
        names = " ".join(f"$f{index}" for index in range(len(functions)))
        arguments = " ".join(self.constant(kind) for kind in params)
        drops = " ".join("drop" for _ in results)
        return (
            PRELUDE
            + "\n".join(functions)
            + f"(elem (i32.const 0) {names})"
            + f'(func (export "main") (call $f{last} {arguments}) {drops}'
            + " (i32.store (i32.const 80) (global.get $gi)) (i64.store (i32.const 88)"
            + " (global.get $gl)) (f32.store (i32.const 96) (call $num32 (global.get $gf))))"
        )

    def function(self, index: int) -> str:
        rng = self.rng
        params = tuple(rng.choice(TYPES) for _ in range(rng.randint(0, 3)))
        self.results = tuple(rng.choice(TYPES) for _ in range(rng.choice((0, 1, 1, 2, 3))))
        extra = [rng.choice(TYPES) for _ in range(rng.randint(0, 4))]
        self.locals = [*params, *extra]
        self.labels = [self.results]
        self.loops, self.budget = 0, 60
        body = self.statements(rng.randint(1, 5)) + self.values(self.results)
        counters = " ".join(f"(local $c{number} i32)" for number in range(1, 4))
        self.signatures.append((params, self.results))
        return (
            f"(func $f{index} (param {' '.join(params)}) (result {' '.join(self.results)})"
            f" (local {' '.join(extra)}) {counters}\n  {body})"
        )

    def values(self, kinds: tuple[str, ...]) -> str:
        return " ".join(self.expression(kind) for kind in kinds)

    def statements(self, count: int) -> str:
        return " ".join(self.statement() for _ in range(count))

    def constant(self, kind: str) -> str:
        rng = self.rng
        if kind in ("i32", "i64"):
            pick = (0, 1, -1, 2, 31, 255, rng.randint(-(2**31), 2**31 - 1))
            return f"({kind}.const {rng.choice(pick)})"
        if kind == "v128":
            return f"(v128.const i32x4 {' '.join(str(rng.getrandbits(32)) for _ in range(4))})"
        return f"({kind}.const {rng.choice(('0', '-0', '1.5', '-3e9', 'inf', 'nan', '1e-40'))})"

    def address(self) -> str:
        mask = self.rng.choice((0xFF8, 0xFF8, 0x1FFF8))  # the last reaches past the end
        return f"(i32.and {self.expression('i32')} (i32.const {mask}))"

    def expression(self, kind: str) -> str:
        rng = self.rng
        self.budget -= 1
        pool = [index for index, local in enumerate(self.locals) if local == kind]
        if self.budget <= 0 or rng.random() < self.plainness:
            if pool and rng.random() < 0.7:
                return f"(local.get {rng.choice(pool)})"
            return self.constant(kind)
        common = (self.conditional, self.block, self.chosen, self.called, self.left)
        if rng.random() < 0.35:
            return rng.choice(common)(kind)
        return self.computed(kind)

    def computed(self, kind: str) -> str:
        if kind == "v128":
            return self.vector(kind)
        return self.integer(kind) if kind in ("i32", "i64") else self.real(kind)

    def condition(self) -> str:
        return self.expression("i32")

    def conditional(self, kind: str) -> str:
        condition = self.condition()
        self.labels.append((kind,))
        then = self.statements(self.rng.randint(0, 2)) + self.expression(kind)
        other = self.expression(kind)
        self.labels.pop()
        return f"(if (result {kind}) {condition} (then {then}) (else {other}))"

    def block(self, kind: str) -> str:
        self.labels.append((kind,))
        body = self.statements(self.rng.randint(0, 2)) + self.expression(kind)
        if self.rng.random() < 0.6:
            body = f"{body} (br_if 0 {self.condition()})"
        if self.rng.random() < 0.3:
            body = f"{body} (br 0) {self.statements(1)} {self.expression(kind)}"
        self.labels.pop()
        return f"(block (result {kind}) {body})"

    def chosen(self, kind: str) -> str:
        typed = f" (result {kind})" if self.rng.random() < 0.5 else ""
        parts = self.expression(kind), self.expression(kind), self.condition()
        return f"(select{typed} {' '.join(parts)})"

    def called(self, kind: str) -> str:
        fitting = [i for i, (_, results) in enumerate(self.signatures) if results == (kind,)]
        if not fitting:
            return self.constant(kind)
        index = self.rng.choice(fitting)
        params, _ = self.signatures[index]
        arguments = self.values(params)
        if self.rng.random() < 0.5:
            return f"(call $f{index} {arguments})"
        typed = f"(param {' '.join(params)}) (result {kind})"
        return f"(call_indirect {typed} {arguments} (i32.const {index}))"

    def left(self, kind: str) -> str:
        """Leave in the middle of an expression now and then; what follows is dead code."""
        if self.rng.random() < 0.8:
            return self.expression(kind)
        if self.rng.random() < 0.5:
            return f"(return {self.values(self.results)})"
        depth = self.rng.randrange(len(self.labels))
        return f"(br {depth} {self.values(self.labels[-1 - depth])})"

    def integer(self, kind: str) -> str:
        rng = self.rng
        match rng.randint(0, 9):
            case 0:
                operation = rng.choice(("div_s", "div_u", "rem_s", "rem_u"))
                divisor = f"({kind}.or {self.expression(kind)} ({kind}.const 1))"
                if rng.random() < 0.1:
                    divisor = self.expression(kind)
                return f"({kind}.{operation} {self.expression(kind)} {divisor})"
            case 1:
                return f"({kind}.load {self.address()})"
            case 2:
                source, call = ("f32", "$num32") if kind == "i32" else ("f64", "$num64")
                return f"({kind}.reinterpret_{source} (call {call} {self.expression(source)}))"
            case 3:
                return f"({kind}.trunc_sat_f64_s {self.expression('f64')})"
            case 4 if kind == "i32":
                other = rng.choice(tuple(COMPARE))
                parts = self.expression(other), self.expression(other)
                return f"({other}.{COMPARE[other]} {' '.join(parts)})"
            case 5 if kind == "i32":
                pages = rng.choice(("(i32.const 0)", "(i32.const 1)", "(i32.const 70000)"))
                return f"(memory.grow {pages})"
            case 6 if kind == "i32":
                return f"(i32x4.extract_lane 2 {self.masked()})"
            case 7:
                return f"(global.get {'$gi' if kind == 'i32' else '$gl'})"
            case _:
                operation = rng.choice(INT_BINARY)
                return f"({kind}.{operation} {self.expression(kind)} {self.expression(kind)})"

    def real(self, kind: str) -> str:
        rng = self.rng
        number = "$num32" if kind == "f32" else "$num64"
        match rng.randint(0, 5):
            case 0:
                return f"({kind}.{rng.choice(FLOAT_UNARY)} {self.expression(kind)})"
            case 1:
                return f"({kind}.convert_i64_s {self.expression('i64')})"
            case 2 if kind == "f64":
                return f"(f64.promote_f32 {self.expression('f32')})"
            case 2:
                return f"(f32.demote_f64 {self.expression('f64')})"
            case 3 if kind == "f32":
                return f"(f32x4.extract_lane 1 {self.expression('v128')})"
            case _:
                operation = rng.choice(FLOAT_BINARY)
                second = self.expression(kind)
                if operation == "copysign":  # shows the sign of its second operand
                    second = f"(call {number} {second})"
                return f"({kind}.{operation} {self.expression(kind)} {second})"

    def vector(self, _kind: str) -> str:
        rng = self.rng
        match rng.randint(0, 4):
            case 0:
                return f"(f32x4.splat (call $num32 {self.expression('f32')}))"
            case 1:
                parts = self.masked(), f"(call $num64 {self.expression('f64')})"
                return f"(f64x2.replace_lane 1 {' '.join(parts)})"
            case 2:
                return f"(v128.load {self.address()})"
            case _:
                return f"({rng.choice(VECTOR_BINARY)} {self.masked()} {self.masked()})"

    def masked(self) -> str:
        """A vector whose lanes are numbers, read as either kind of float."""
        return f"(call $mask {self.expression('v128')})"

    def statement(self) -> str:
        rng = self.rng
        self.budget -= 1
        if self.budget <= 0:
            return "(nop)"
        choices = (
            self.assign, self.assign, self.store, self.loop, self.branch, self.table, self.bulk,
            self.many, self.set_global, self.alternative,
        )  # fmt: skip
        return rng.choice(choices)()

    def assign(self) -> str:
        if not self.locals:
            return "(nop)"
        index = self.rng.randrange(len(self.locals))
        return f"(local.set {index} {self.expression(self.locals[index])})"

    def set_global(self) -> str:
        name, kind = self.rng.choice((("$gi", "i32"), ("$gl", "i64"), ("$gf", "f32")))
        return f"(global.set {name} {self.expression(kind)})"

    def store(self) -> str:
        kind = self.rng.choice(TYPES)
        value = self.expression(kind)
        if kind == "v128":
            value = f"(call $mask {value})"
        elif kind in ("f32", "f64"):
            value = f"(call $num{kind[1:]} {value})"
        return f"({kind}.store {self.address()} {value})"

    def loop(self) -> str:
        if self.loops >= 3:
            return "(nop)"
        self.loops += 1
        counter = f"$c{self.loops}"
        # out of all passes, the next pass, out of this one
        self.labels += [(), (), ()]
        body = self.statements(self.rng.randint(1, 3))
        del self.labels[-3:]
        passes = self.rng.randint(1, 4)
        return (
            f"(local.set {counter} (i32.const {passes})) (block (loop"
            f" (br_if 1 (i32.eqz (local.get {counter})))"
            f" (local.set {counter} (i32.sub (local.get {counter}) (i32.const 1)))"
            f" (block {body}) (br 0)))"
        )

    def branch(self) -> str:
        depth = self.rng.randrange(len(self.labels))
        condition = self.condition()
        self.labels.append(())
        values = self.values(self.labels[-2 - depth])
        self.labels.pop()
        return f"(if {condition} (then (br {depth + 1} {values})))"

    def table(self) -> str:
        self.labels += [(), (), ()]
        inner = self.expression("i32")
        self.labels.pop()
        second = self.statement()
        self.labels.pop()
        third = self.statement()
        self.labels.pop()
        return f"(block (block (block (br_table 0 1 2 1 {inner})) {second}) {third})"

    def alternative(self) -> str:
        condition = self.condition()
        self.labels.append(())
        then, other = self.statement(), self.statement()
        self.labels.pop()
        other = f"(else {other})" * self.rng.randint(0, 1)
        return f"(if {condition} (then {then}) {other})"

    def bulk(self) -> str:
        size = f"(i32.const {self.rng.choice((0, 1, 100, 4096, -1))})"
        if self.rng.random() < 0.9:
            size = f"(i32.and {self.expression('i32')} (i32.const 255))"
        first, second = self.address(), self.address()
        if self.rng.random() < 0.5:
            return f"(memory.copy {first} {second} {size})"
        return f"(memory.fill {first} {self.expression('i32')} {size})"

    def many(self) -> str:
        if not self.signatures:
            return "(nop)"
        index = self.rng.randrange(len(self.signatures))
        params, results = self.signatures[index]
        return f"(call $f{index} {self.values(params)}) " + "(drop) " * len(results)
