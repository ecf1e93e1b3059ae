"""What each integer instruction is in C: `$0`, `$1`, `$2` are its operands, bottom first (18 §4).

`#` stands for a lane or a constant. The names are those of `native/proofs/guest/runtime.h`. Floats
have no row: a module that computes with them is refused by the instruction's name.
"""

_SCALAR: dict[str, str] = {
    "add": "$0 + $1", "sub": "$0 - $1", "mul": "$0 * $1",
    "and": "$0 & $1", "or": "$0 | $1", "xor": "$0 ^ $1",
    "shl": "$0 << ($1 & (B - 1))", "shr_u": "$0 >> ($1 & (B - 1))",
    "shr_s": "(uB)((sB)$0 >> ($1 & (B - 1)))",
    "rotl": "rotlB($0, $1)", "rotr": "rotlB($0, 0 - $1)",
    "div_s": "div_sB($0, $1)", "div_u": "div_uB($0, $1)",
    "rem_s": "rem_sB($0, $1)", "rem_u": "rem_uB($0, $1)",
    "clz": "clzB($0)", "ctz": "ctzB($0)", "popcnt": "popcntB($0)",
    "eqz": "$0 == 0", "eq": "$0 == $1", "ne": "$0 != $1",
    "lt_u": "$0 < $1", "gt_u": "$0 > $1", "le_u": "$0 <= $1", "ge_u": "$0 >= $1",
    "lt_s": "(sB)$0 < (sB)$1", "gt_s": "(sB)$0 > (sB)$1",
    "le_s": "(sB)$0 <= (sB)$1", "ge_s": "(sB)$0 >= (sB)$1",
    "extend8_s": "(uB)(sB)(s8)$0", "extend16_s": "(uB)(sB)(s16)$0",
}  # fmt: skip
_CONVERSIONS: dict[str, str] = {
    "i32.wrap_i64": "(u32)$0",
    "i64.extend_i32_s": "(u64)(s64)(s32)$0",
    "i64.extend_i32_u": "(u64)$0",
    "i64.extend32_s": "(u64)(s64)(s32)$0",
}
# bits of a lane, lanes
_SHAPES = {"i8x16": (8, 16), "i16x8": (16, 8), "i32x4": (32, 4), "i64x2": (64, 2)}
# U and S are the vectors of this shape, B the bits of its lanes, N their number.
_EVERY_SHAPE: dict[str, str] = {
    "add": "(v128)((U)$0 + (U)$1)", "sub": "(v128)((U)$0 - (U)$1)", "mul": "(v128)((U)$0 * (U)$1)",
    "neg": "(v128)((U){0} - (U)$0)",
    "abs": "LANES(U, N, ((S)$0)[i] < 0 ? (uB)(0 - ((U)$0)[i]) : ((U)$0)[i])",
    "shl": "(v128)((U)$0 << (uB)($1 & (B - 1)))", "shr_u": "(v128)((U)$0 >> (uB)($1 & (B - 1)))",
    "shr_s": "(v128)((S)$0 >> (sB)($1 & (B - 1)))",
    "eq": "(v128)((U)$0 == (U)$1)", "ne": "(v128)((U)$0 != (U)$1)",
    "splat": "LANES(U, N, (uB)$0)",
    "extract_lane": "((U)$0)[#]",
    "extract_lane_u": "((U)$0)[#]", "extract_lane_s": "(u32)(s32)((S)$0)[#]",
    "replace_lane": "LANES(U, N, i == # ? (uB)$1 : ((U)$0)[i])",
    "all_true": "ALL_TRUE(U, N, $0)", "bitmask": "BITMASK(S, N, $0)",
    "popcnt": "LANES(U, N, popcnt32(((U)$0)[i]))",
    "avgr_u": "LANES(U, N, ((u32)((U)$0)[i] + ((U)$1)[i] + 1) / 2)",
    "q15mulr_sat_s": "LANES(s16v, 8, SAT_S16("
    "(((s32)((s16v)$0)[i] * ((s16v)$1)[i]) + 0x4000) >> 15))",
    "swizzle": "LANES(u8v, 16, ((u8v)$1)[i] < 16 ? ((u8v)$0)[((u8v)$1)[i] & 15] : 0)",
}  # fmt: skip
_BY_NAME: dict[str, str] = {
    "v128.not": "~$0", "v128.and": "$0 & $1", "v128.andnot": "$0 & ~$1", "v128.or": "$0 | $1",
    "v128.xor": "$0 ^ $1", "v128.bitselect": "($0 & $2) | ($1 & ~$2)",
    "v128.any_true": "($0[0] | $0[1]) != 0",
    "i32x4.dot_i16x8_s": "LANES(s32v, 4, (s32)((u32)((s32)((s16v)$0)[2 * i] * ((s16v)$1)[2 * i])"
    " + (u32)((s32)((s16v)$0)[2 * i + 1] * ((s16v)$1)[2 * i + 1])))",
}  # fmt: skip


def _of_shape(template: str, bits: int, lanes: int) -> str:
    named = template.replace("(U)", f"(u{bits}v)").replace("(S)", f"(s{bits}v)")
    named = named.replace("(U{", f"(u{bits}v{{").replace("(U,", f"(u{bits}v,")
    named = named.replace("(S,", f"(s{bits}v,").replace(", N,", f", {lanes},")
    return named.replace("uB", f"u{bits}").replace("sB", f"s{bits}").replace("B - 1", f"{bits - 1}")


def _scalars() -> dict[str, str]:
    table = dict(_CONVERSIONS)
    for bits in (32, 64):
        for name, template in _SCALAR.items():
            text = template.replace("B - 1", str(bits - 1))
            table[f"i{bits}.{name}"] = text.replace("B", str(bits))
    return table


def _comparisons(shape: str, bits: int) -> dict[str, str]:
    table = {}
    for name, sign in (("lt", "<"), ("gt", ">"), ("le", "<="), ("ge", ">=")):
        for suffix in "su":
            vector = f"{suffix}{bits}v"
            table[f"{shape}.{name}_{suffix}"] = f"(v128)(({vector})$0 {sign} ({vector})$1)"
    for name, sign in (("min", "<"), ("max", ">")):
        for suffix in "su":
            vector = f"{suffix}{bits}v"
            left, right = f"(({vector})$0)[i]", f"(({vector})$1)[i]"
            table[f"{shape}.{name}_{suffix}"] = (
                f"LANES({vector}, {128 // bits}, {left} {sign} {right} ? {left} : {right})"
            )
    return table


def _saturating() -> dict[str, str]:
    table = {}
    for shape, bits in (("i8x16", 8), ("i16x8", 16)):
        for name, sign in (("add", "+"), ("sub", "-")):
            for suffix in "su":
                vector = f"{suffix}{bits}v"
                table[f"{shape}.{name}_sat_{suffix}"] = (
                    f"LANES({vector}, {128 // bits}, SAT_{suffix.upper()}{bits}"
                    f"((s32)(({vector})$0)[i] {sign} (({vector})$1)[i]))"
                )
        wide, half = f"s{2 * bits}v", 64 // bits
        for suffix in "su":
            table[f"{shape}.narrow_i{2 * bits}x{half}_{suffix}"] = (
                f"LANES({suffix}{bits}v, {2 * half}, SAT_{suffix.upper()}{bits}"
                f"((s32)(i < {half} ? (({wide})$0)[i] : (({wide})$1)[i - {half}])))"
            )
    return table


def _widening() -> dict[str, str]:
    table = {}
    for wide, narrow in (("i16x8", "i8x16"), ("i32x4", "i16x8"), ("i64x2", "i32x4")):
        bits, lanes = _SHAPES[wide]
        for suffix in "su":
            into, out_of = f"{suffix}{bits}v", f"{suffix}{bits // 2}v"
            lane = f"{suffix}{bits}"
            for part, offset in (("low", ""), ("high", f" + {lanes}")):
                left, right = (f"({lane})(({out_of})${n})[i{offset}]" for n in range(2))
                table[f"{wide}.extend_{part}_{narrow}_{suffix}"] = f"LANES({into}, {lanes}, {left})"
                table[f"{wide}.extmul_{part}_{narrow}_{suffix}"] = (
                    f"LANES({into}, {lanes}, {left} * {right})"
                )
            pair = f"({lane})(({out_of})$0)[2 * i] + ({lane})(({out_of})$0)[2 * i + 1]"
            table[f"{wide}.extadd_pairwise_{narrow}_{suffix}"] = f"LANES({into}, {lanes}, {pair})"
    return table


def _all() -> dict[str, str]:
    table = {**_scalars(), **_BY_NAME, **_saturating(), **_widening()}
    for shape, (bits, lanes) in _SHAPES.items():
        table |= _comparisons(shape, bits)
        for name, template in _EVERY_SHAPE.items():
            table[f"{shape}.{name}"] = _of_shape(template, bits, lanes)
    return table


EXPRESSIONS: dict[str, str] = _all()

# Bytes read or written, and what becomes of them; `$0` is the address, `#` the offset.
LOADS: dict[str, str] = {
    "i32.load": "load32($0, #)", "i64.load": "load64($0, #)",
    "i32.load8_s": "(u32)(s32)(s8)load8($0, #)", "i32.load8_u": "load8($0, #)",
    "i32.load16_s": "(u32)(s32)(s16)load16($0, #)", "i32.load16_u": "load16($0, #)",
    "i64.load8_s": "(u64)(s64)(s8)load8($0, #)", "i64.load8_u": "(u64)load8($0, #)",
    "i64.load16_s": "(u64)(s64)(s16)load16($0, #)", "i64.load16_u": "(u64)load16($0, #)",
    "i64.load32_s": "(u64)(s64)(s32)load32($0, #)", "i64.load32_u": "(u64)load32($0, #)",
    "v128.load": "load128($0, #)",
    "v128.load32_zero": "(v128){load32($0, #), 0}", "v128.load64_zero": "(v128){load64($0, #), 0}",
    "v128.load8_splat": "SPLAT(u8v, 16, load8($0, #))",
    "v128.load16_splat": "SPLAT(u16v, 8, load16($0, #))",
    "v128.load32_splat": "SPLAT(u32v, 4, load32($0, #))",
    "v128.load64_splat": "SPLAT(u64v, 2, load64($0, #))",
    "v128.load8x8_s": "WIDEN(s16v, 8, s8v, load64($0, #))",
    "v128.load8x8_u": "WIDEN(u16v, 8, u8v, load64($0, #))",
    "v128.load16x4_s": "WIDEN(s32v, 4, s16v, load64($0, #))",
    "v128.load16x4_u": "WIDEN(u32v, 4, u16v, load64($0, #))",
    "v128.load32x2_s": "WIDEN(s64v, 2, s32v, load64($0, #))",
    "v128.load32x2_u": "WIDEN(u64v, 2, u32v, load64($0, #))",
}  # fmt: skip
STORES: dict[str, str] = {
    "i32.store": "store32($0, #, $1)", "i64.store": "store64($0, #, $1)",
    "i32.store8": "store8($0, #, (u8)$1)", "i32.store16": "store16($0, #, (u16)$1)",
    "i64.store8": "store8($0, #, (u8)$1)", "i64.store16": "store16($0, #, (u16)$1)",
    "i64.store32": "store32($0, #, (u32)$1)", "v128.store": "store128($0, #, $1)",
}  # fmt: skip
# A lane's bits; `@` is the lane.
LANE_LOADS: dict[str, str] = {
    f"v128.load{bits}_lane": f"LANES(u{bits}v, {128 // bits}, i == @ ? x_ : ((u{bits}v)$1)[i])"
    for bits in (8, 16, 32, 64)
}
LANE_STORES: dict[str, str] = {
    f"v128.store{bits}_lane": f"store{bits}($0, #, ((u{bits}v)$1)[@])" for bits in (8, 16, 32, 64)
}
