"""The allowed instructions, literally: immediates, effect on the stack, gas, and role (§4, §5).

An opcode that is not in this table is refused. Prefixed opcodes are written
`0xFC00 + n` and `0xFD00 + n`.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum, auto


class Immediate(Enum):
    """What follows the opcode."""

    NONE = auto()
    INDEX = auto()
    TWO_INDICES = auto()
    MEMORY = auto()  # alignment in one byte, offset
    I32 = auto()
    I64 = auto()
    FOUR_BYTES = auto()
    EIGHT_BYTES = auto()
    SIXTEEN_BYTES = auto()
    BLOCK_TYPE = auto()
    LABELS = auto()
    SELECT_TYPE = auto()
    REFERENCE_TYPE = auto()
    ZERO = auto()
    TWO_ZEROS = auto()
    INDEX_ZERO = auto()
    LANE = auto()
    MEMORY_LANE = auto()


class Role(IntEnum):
    """What the rewriter does about an instruction."""

    PLAIN = 0
    LOCAL = auto()  # index checked: the rewriter's locals follow the function's own
    GLOBAL = auto()  # index checked: the rewriter's globals follow the module's own
    OBSERVE_F32 = auto()  # the f32 on top becomes canonical before it runs
    OBSERVE_F64 = auto()
    LANES_F32 = auto()  # the vector it pushes becomes canonical after it ran
    LANES_F64 = auto()
    SIZED_PAGES = auto()  # charged by the i32 on top before it runs
    SIZED_BYTES = auto()
    SIZED_ELEMENTS = auto()
    CALL = auto()
    CALL_HOST = auto()  # a call to an imported function, told apart by its index
    CALL_INDIRECT = auto()
    BLOCK = auto()
    LOOP = auto()
    IF = auto()
    ELSE = auto()
    END = auto()
    BRANCH = auto()
    BRANCH_IF = auto()
    BRANCH_TABLE = auto()
    RETURN = auto()
    UNREACHABLE = auto()


@dataclass(frozen=True, slots=True)
class Opcode:
    """One allowed instruction; `net` is pushed minus popped, without its type's values."""

    code: int
    name: str
    immediate: Immediate
    net: int
    gas: int
    role: Role


# first opcode, immediate, net, gas, role, names of consecutive opcodes ("-" is a gap)
_Row = tuple[int, Immediate, int, int, Role, str]
_I, _R = Immediate, Role

_CONTROL: tuple[_Row, ...] = (
    (0x00, _I.NONE, 0, 1, _R.UNREACHABLE, "unreachable"),
    (0x01, _I.NONE, 0, 0, _R.PLAIN, "nop"),
    (0x02, _I.BLOCK_TYPE, 0, 0, _R.BLOCK, "block"),
    (0x03, _I.BLOCK_TYPE, 0, 0, _R.LOOP, "loop"),
    (0x04, _I.BLOCK_TYPE, -1, 1, _R.IF, "if"),
    (0x05, _I.NONE, 0, 0, _R.ELSE, "else"),
    (0x0B, _I.NONE, 0, 0, _R.END, "end"),
    (0x0C, _I.INDEX, 0, 1, _R.BRANCH, "br"),
    (0x0D, _I.INDEX, -1, 1, _R.BRANCH_IF, "br_if"),
    (0x0E, _I.LABELS, -1, 1, _R.BRANCH_TABLE, "br_table"),
    (0x0F, _I.NONE, 0, 1, _R.RETURN, "return"),
    (0x10, _I.INDEX, 0, 8, _R.CALL, "call"),
    (0x11, _I.TWO_INDICES, -1, 8, _R.CALL_INDIRECT, "call_indirect"),
)

_VALUES: tuple[_Row, ...] = (
    (0x1A, _I.NONE, -1, 1, _R.PLAIN, "drop"),
    (0x1B, _I.NONE, -2, 1, _R.PLAIN, "select"),
    (0x1C, _I.SELECT_TYPE, -2, 1, _R.PLAIN, "select_t"),
    (0x20, _I.INDEX, 1, 1, _R.LOCAL, "local.get"),
    (0x21, _I.INDEX, -1, 1, _R.LOCAL, "local.set"),
    (0x22, _I.INDEX, 0, 1, _R.LOCAL, "local.tee"),
    (0x23, _I.INDEX, 1, 1, _R.GLOBAL, "global.get"),
    (0x24, _I.INDEX, -1, 1, _R.GLOBAL, "global.set"),
    (0x25, _I.INDEX, 0, 1, _R.PLAIN, "table.get"),
    (0x26, _I.INDEX, -2, 1, _R.PLAIN, "table.set"),
    (0xD0, _I.REFERENCE_TYPE, 1, 1, _R.PLAIN, "ref.null"),
    (0xD1, _I.NONE, 0, 1, _R.PLAIN, "ref.is_null"),
    (0xD2, _I.INDEX, 1, 1, _R.PLAIN, "ref.func"),
)

_MEMORY: tuple[_Row, ...] = (
    (
        0x28,
        _I.MEMORY,
        0,
        1,
        _R.PLAIN,
        "i32.load i64.load f32.load f64.load i32.load8_s i32.load8_u",
    ),
    (0x2E, _I.MEMORY, 0, 1, _R.PLAIN, "i32.load16_s i32.load16_u i64.load8_s i64.load8_u"),
    (0x32, _I.MEMORY, 0, 1, _R.PLAIN, "i64.load16_s i64.load16_u i64.load32_s i64.load32_u"),
    (0x36, _I.MEMORY, -2, 1, _R.PLAIN, "i32.store i64.store"),
    (0x38, _I.MEMORY, -2, 1, _R.OBSERVE_F32, "f32.store"),
    (0x39, _I.MEMORY, -2, 1, _R.OBSERVE_F64, "f64.store"),
    (0x3A, _I.MEMORY, -2, 1, _R.PLAIN, "i32.store8 i32.store16 i64.store8 i64.store16 i64.store32"),
    (0x3F, _I.ZERO, 1, 1, _R.PLAIN, "memory.size"),
    (0x40, _I.ZERO, 0, 64, _R.SIZED_PAGES, "memory.grow"),
    (0xFC08, _I.INDEX_ZERO, -3, 16, _R.SIZED_BYTES, "memory.init"),
    (0xFC09, _I.INDEX, 0, 1, _R.PLAIN, "data.drop"),
    (0xFC0A, _I.TWO_ZEROS, -3, 16, _R.SIZED_BYTES, "memory.copy"),
    (0xFC0B, _I.ZERO, -3, 16, _R.SIZED_BYTES, "memory.fill"),
    (0xFC0C, _I.TWO_INDICES, -3, 16, _R.SIZED_ELEMENTS, "table.init"),
    (0xFC0D, _I.INDEX, 0, 1, _R.PLAIN, "elem.drop"),
    (0xFC0E, _I.TWO_INDICES, -3, 16, _R.SIZED_ELEMENTS, "table.copy"),
    (0xFC0F, _I.INDEX, -1, 64, _R.SIZED_ELEMENTS, "table.grow"),
    (0xFC10, _I.INDEX, 1, 1, _R.PLAIN, "table.size"),
    (0xFC11, _I.INDEX, -3, 16, _R.SIZED_ELEMENTS, "table.fill"),
)

_NUMBERS: tuple[_Row, ...] = (
    (0x41, _I.I32, 1, 1, _R.PLAIN, "i32.const"),
    (0x42, _I.I64, 1, 1, _R.PLAIN, "i64.const"),
    (0x43, _I.FOUR_BYTES, 1, 1, _R.PLAIN, "f32.const"),
    (0x44, _I.EIGHT_BYTES, 1, 1, _R.PLAIN, "f64.const"),
    (0x45, _I.NONE, 0, 1, _R.PLAIN, "i32.eqz"),
    (0x46, _I.NONE, -1, 1, _R.PLAIN, "i32.eq i32.ne i32.lt_s i32.lt_u i32.gt_s i32.gt_u i32.le_s"),
    (0x4D, _I.NONE, -1, 1, _R.PLAIN, "i32.le_u i32.ge_s i32.ge_u"),
    (0x50, _I.NONE, 0, 1, _R.PLAIN, "i64.eqz"),
    (0x51, _I.NONE, -1, 1, _R.PLAIN, "i64.eq i64.ne i64.lt_s i64.lt_u i64.gt_s i64.gt_u i64.le_s"),
    (0x58, _I.NONE, -1, 1, _R.PLAIN, "i64.le_u i64.ge_s i64.ge_u"),
    (0x5B, _I.NONE, -1, 1, _R.PLAIN, "f32.eq f32.ne f32.lt f32.gt f32.le f32.ge"),
    (0x61, _I.NONE, -1, 1, _R.PLAIN, "f64.eq f64.ne f64.lt f64.gt f64.le f64.ge"),
    (0x67, _I.NONE, 0, 1, _R.PLAIN, "i32.clz i32.ctz i32.popcnt"),
    (0x6A, _I.NONE, -1, 1, _R.PLAIN, "i32.add i32.sub i32.mul"),
    (0x6D, _I.NONE, -1, 4, _R.PLAIN, "i32.div_s i32.div_u i32.rem_s i32.rem_u"),
    (0x71, _I.NONE, -1, 1, _R.PLAIN, "i32.and i32.or i32.xor i32.shl i32.shr_s i32.shr_u i32.rotl"),
    (0x78, _I.NONE, -1, 1, _R.PLAIN, "i32.rotr"),
    (0x79, _I.NONE, 0, 1, _R.PLAIN, "i64.clz i64.ctz i64.popcnt"),
    (0x7C, _I.NONE, -1, 1, _R.PLAIN, "i64.add i64.sub i64.mul"),
    (0x7F, _I.NONE, -1, 4, _R.PLAIN, "i64.div_s i64.div_u i64.rem_s i64.rem_u"),
    (0x83, _I.NONE, -1, 1, _R.PLAIN, "i64.and i64.or i64.xor i64.shl i64.shr_s i64.shr_u i64.rotl"),
    (0x8A, _I.NONE, -1, 1, _R.PLAIN, "i64.rotr"),
    (0x8B, _I.NONE, 0, 1, _R.PLAIN, "f32.abs f32.neg f32.ceil f32.floor f32.trunc f32.nearest"),
    (0x91, _I.NONE, 0, 4, _R.PLAIN, "f32.sqrt"),
    (0x92, _I.NONE, -1, 1, _R.PLAIN, "f32.add f32.sub f32.mul"),
    (0x95, _I.NONE, -1, 4, _R.PLAIN, "f32.div"),
    (0x96, _I.NONE, -1, 1, _R.PLAIN, "f32.min f32.max"),
    (0x98, _I.NONE, -1, 1, _R.OBSERVE_F32, "f32.copysign"),
    (0x99, _I.NONE, 0, 1, _R.PLAIN, "f64.abs f64.neg f64.ceil f64.floor f64.trunc f64.nearest"),
    (0x9F, _I.NONE, 0, 4, _R.PLAIN, "f64.sqrt"),
    (0xA0, _I.NONE, -1, 1, _R.PLAIN, "f64.add f64.sub f64.mul"),
    (0xA3, _I.NONE, -1, 4, _R.PLAIN, "f64.div"),
    (0xA4, _I.NONE, -1, 1, _R.PLAIN, "f64.min f64.max"),
    (0xA6, _I.NONE, -1, 1, _R.OBSERVE_F64, "f64.copysign"),
    (0xA7, _I.NONE, 0, 1, _R.PLAIN, "i32.wrap_i64 i32.trunc_f32_s i32.trunc_f32_u i32.trunc_f64_s"),
    (0xAB, _I.NONE, 0, 1, _R.PLAIN, "i32.trunc_f64_u i64.extend_i32_s i64.extend_i32_u"),
    (0xAE, _I.NONE, 0, 1, _R.PLAIN, "i64.trunc_f32_s i64.trunc_f32_u i64.trunc_f64_s"),
    (0xB1, _I.NONE, 0, 1, _R.PLAIN, "i64.trunc_f64_u f32.convert_i32_s f32.convert_i32_u"),
    (0xB4, _I.NONE, 0, 1, _R.PLAIN, "f32.convert_i64_s f32.convert_i64_u f32.demote_f64"),
    (0xB7, _I.NONE, 0, 1, _R.PLAIN, "f64.convert_i32_s f64.convert_i32_u f64.convert_i64_s"),
    (0xBA, _I.NONE, 0, 1, _R.PLAIN, "f64.convert_i64_u f64.promote_f32"),
    (0xBC, _I.NONE, 0, 1, _R.OBSERVE_F32, "i32.reinterpret_f32"),
    (0xBD, _I.NONE, 0, 1, _R.OBSERVE_F64, "i64.reinterpret_f64"),
    (0xBE, _I.NONE, 0, 1, _R.PLAIN, "f32.reinterpret_i32 f64.reinterpret_i64 i32.extend8_s"),
    (0xC1, _I.NONE, 0, 1, _R.PLAIN, "i32.extend16_s i64.extend8_s i64.extend16_s i64.extend32_s"),
    (0xFC00, _I.NONE, 0, 1, _R.PLAIN, "i32.trunc_sat_f32_s i32.trunc_sat_f32_u"),
    (0xFC02, _I.NONE, 0, 1, _R.PLAIN, "i32.trunc_sat_f64_s i32.trunc_sat_f64_u"),
    (0xFC04, _I.NONE, 0, 1, _R.PLAIN, "i64.trunc_sat_f32_s i64.trunc_sat_f32_u"),
    (0xFC06, _I.NONE, 0, 1, _R.PLAIN, "i64.trunc_sat_f64_s i64.trunc_sat_f64_u"),
)

_COMPARE = "i8x16.eq i8x16.ne i8x16.lt_s i8x16.lt_u i8x16.gt_s i8x16.gt_u i8x16.le_s i8x16.le_u"
_VECTOR_MEMORY: tuple[_Row, ...] = (
    (0xFD00, _I.MEMORY, 0, 1, _R.PLAIN, "v128.load v128.load8x8_s v128.load8x8_u v128.load16x4_s"),
    (0xFD04, _I.MEMORY, 0, 1, _R.PLAIN, "v128.load16x4_u v128.load32x2_s v128.load32x2_u"),
    (0xFD07, _I.MEMORY, 0, 1, _R.PLAIN, "v128.load8_splat v128.load16_splat v128.load32_splat"),
    (0xFD0A, _I.MEMORY, 0, 1, _R.PLAIN, "v128.load64_splat"),
    (0xFD0B, _I.MEMORY, -2, 1, _R.PLAIN, "v128.store"),
    (0xFD0C, _I.SIXTEEN_BYTES, 1, 1, _R.PLAIN, "v128.const"),
    (0xFD0D, _I.SIXTEEN_BYTES, -1, 1, _R.PLAIN, "i8x16.shuffle"),
    (0xFD54, _I.MEMORY_LANE, -1, 1, _R.PLAIN, "v128.load8_lane v128.load16_lane v128.load32_lane"),
    (0xFD57, _I.MEMORY_LANE, -1, 1, _R.PLAIN, "v128.load64_lane"),
    (0xFD58, _I.MEMORY_LANE, -2, 1, _R.PLAIN, "v128.store8_lane v128.store16_lane"),
    (0xFD5A, _I.MEMORY_LANE, -2, 1, _R.PLAIN, "v128.store32_lane v128.store64_lane"),
    (0xFD5C, _I.MEMORY, 0, 1, _R.PLAIN, "v128.load32_zero v128.load64_zero"),
)

_VECTOR_LANES: tuple[_Row, ...] = (
    (0xFD0E, _I.NONE, -1, 1, _R.PLAIN, "i8x16.swizzle"),
    (0xFD0F, _I.NONE, 0, 1, _R.PLAIN, "i8x16.splat i16x8.splat i32x4.splat i64x2.splat"),
    (0xFD13, _I.NONE, 0, 1, _R.OBSERVE_F32, "f32x4.splat"),
    (0xFD14, _I.NONE, 0, 1, _R.OBSERVE_F64, "f64x2.splat"),
    (0xFD15, _I.LANE, 0, 1, _R.PLAIN, "i8x16.extract_lane_s i8x16.extract_lane_u"),
    (0xFD17, _I.LANE, -1, 1, _R.PLAIN, "i8x16.replace_lane"),
    (0xFD18, _I.LANE, 0, 1, _R.PLAIN, "i16x8.extract_lane_s i16x8.extract_lane_u"),
    (0xFD1A, _I.LANE, -1, 1, _R.PLAIN, "i16x8.replace_lane"),
    (0xFD1B, _I.LANE, 0, 1, _R.PLAIN, "i32x4.extract_lane"),
    (0xFD1C, _I.LANE, -1, 1, _R.PLAIN, "i32x4.replace_lane"),
    (0xFD1D, _I.LANE, 0, 1, _R.PLAIN, "i64x2.extract_lane"),
    (0xFD1E, _I.LANE, -1, 1, _R.PLAIN, "i64x2.replace_lane"),
    (0xFD1F, _I.LANE, 0, 1, _R.PLAIN, "f32x4.extract_lane"),
    (0xFD20, _I.LANE, -1, 1, _R.OBSERVE_F32, "f32x4.replace_lane"),
    (0xFD21, _I.LANE, 0, 1, _R.PLAIN, "f64x2.extract_lane"),
    (0xFD22, _I.LANE, -1, 1, _R.OBSERVE_F64, "f64x2.replace_lane"),
)

_VECTOR_NUMBERS: tuple[_Row, ...] = (
    (0xFD23, _I.NONE, -1, 1, _R.PLAIN, _COMPARE + " i8x16.ge_s i8x16.ge_u"),
    (0xFD2D, _I.NONE, -1, 1, _R.PLAIN, _COMPARE.replace("i8x16", "i16x8")),
    (0xFD35, _I.NONE, -1, 1, _R.PLAIN, "i16x8.ge_s i16x8.ge_u"),
    (0xFD37, _I.NONE, -1, 1, _R.PLAIN, _COMPARE.replace("i8x16", "i32x4")),
    (0xFD3F, _I.NONE, -1, 1, _R.PLAIN, "i32x4.ge_s i32x4.ge_u"),
    (0xFD41, _I.NONE, -1, 1, _R.PLAIN, "f32x4.eq f32x4.ne f32x4.lt f32x4.gt f32x4.le f32x4.ge"),
    (0xFD47, _I.NONE, -1, 1, _R.PLAIN, "f64x2.eq f64x2.ne f64x2.lt f64x2.gt f64x2.le f64x2.ge"),
    (0xFD4D, _I.NONE, 0, 1, _R.PLAIN, "v128.not"),
    (0xFD4E, _I.NONE, -1, 1, _R.PLAIN, "v128.and v128.andnot v128.or v128.xor"),
    (0xFD52, _I.NONE, -2, 1, _R.PLAIN, "v128.bitselect"),
    (0xFD53, _I.NONE, 0, 1, _R.PLAIN, "v128.any_true"),
    (0xFD5E, _I.NONE, 0, 1, _R.LANES_F32, "f32x4.demote_f64x2_zero"),
    (0xFD5F, _I.NONE, 0, 1, _R.LANES_F64, "f64x2.promote_low_f32x4"),
    (0xFD60, _I.NONE, 0, 1, _R.PLAIN, "i8x16.abs i8x16.neg i8x16.popcnt i8x16.all_true"),
    (0xFD64, _I.NONE, 0, 1, _R.PLAIN, "i8x16.bitmask"),
    (0xFD65, _I.NONE, -1, 1, _R.PLAIN, "i8x16.narrow_i16x8_s i8x16.narrow_i16x8_u"),
    (0xFD67, _I.NONE, 0, 1, _R.LANES_F32, "f32x4.ceil f32x4.floor f32x4.trunc f32x4.nearest"),
    (0xFD6B, _I.NONE, -1, 1, _R.PLAIN, "i8x16.shl i8x16.shr_s i8x16.shr_u i8x16.add"),
    (0xFD6F, _I.NONE, -1, 1, _R.PLAIN, "i8x16.add_sat_s i8x16.add_sat_u i8x16.sub"),
    (0xFD72, _I.NONE, -1, 1, _R.PLAIN, "i8x16.sub_sat_s i8x16.sub_sat_u"),
    (0xFD74, _I.NONE, 0, 1, _R.LANES_F64, "f64x2.ceil f64x2.floor"),
    (0xFD76, _I.NONE, -1, 1, _R.PLAIN, "i8x16.min_s i8x16.min_u i8x16.max_s i8x16.max_u"),
    (0xFD7A, _I.NONE, 0, 1, _R.LANES_F64, "f64x2.trunc"),
    (0xFD7B, _I.NONE, -1, 1, _R.PLAIN, "i8x16.avgr_u"),
    (
        0xFD7C,
        _I.NONE,
        0,
        1,
        _R.PLAIN,
        "i16x8.extadd_pairwise_i8x16_s i16x8.extadd_pairwise_i8x16_u",
    ),
    (
        0xFD7E,
        _I.NONE,
        0,
        1,
        _R.PLAIN,
        "i32x4.extadd_pairwise_i16x8_s i32x4.extadd_pairwise_i16x8_u",
    ),
    (0xFD80, _I.NONE, 0, 1, _R.PLAIN, "i16x8.abs i16x8.neg"),
    (0xFD82, _I.NONE, -1, 1, _R.PLAIN, "i16x8.q15mulr_sat_s"),
    (0xFD83, _I.NONE, 0, 1, _R.PLAIN, "i16x8.all_true i16x8.bitmask"),
    (0xFD85, _I.NONE, -1, 1, _R.PLAIN, "i16x8.narrow_i32x4_s i16x8.narrow_i32x4_u"),
    (0xFD87, _I.NONE, 0, 1, _R.PLAIN, "i16x8.extend_low_i8x16_s i16x8.extend_high_i8x16_s"),
    (0xFD89, _I.NONE, 0, 1, _R.PLAIN, "i16x8.extend_low_i8x16_u i16x8.extend_high_i8x16_u"),
    (0xFD8B, _I.NONE, -1, 1, _R.PLAIN, "i16x8.shl i16x8.shr_s i16x8.shr_u i16x8.add"),
    (0xFD8F, _I.NONE, -1, 1, _R.PLAIN, "i16x8.add_sat_s i16x8.add_sat_u i16x8.sub"),
    (0xFD92, _I.NONE, -1, 1, _R.PLAIN, "i16x8.sub_sat_s i16x8.sub_sat_u"),
    (0xFD94, _I.NONE, 0, 1, _R.LANES_F64, "f64x2.nearest"),
    (0xFD95, _I.NONE, -1, 1, _R.PLAIN, "i16x8.mul i16x8.min_s i16x8.min_u i16x8.max_s i16x8.max_u"),
    (0xFD9B, _I.NONE, -1, 1, _R.PLAIN, "i16x8.avgr_u i16x8.extmul_low_i8x16_s"),
    (0xFD9D, _I.NONE, -1, 1, _R.PLAIN, "i16x8.extmul_high_i8x16_s i16x8.extmul_low_i8x16_u"),
    (0xFD9F, _I.NONE, -1, 1, _R.PLAIN, "i16x8.extmul_high_i8x16_u"),
    (0xFDA0, _I.NONE, 0, 1, _R.PLAIN, "i32x4.abs i32x4.neg - i32x4.all_true i32x4.bitmask"),
    (0xFDA7, _I.NONE, 0, 1, _R.PLAIN, "i32x4.extend_low_i16x8_s i32x4.extend_high_i16x8_s"),
    (0xFDA9, _I.NONE, 0, 1, _R.PLAIN, "i32x4.extend_low_i16x8_u i32x4.extend_high_i16x8_u"),
    (0xFDAB, _I.NONE, -1, 1, _R.PLAIN, "i32x4.shl i32x4.shr_s i32x4.shr_u i32x4.add - - i32x4.sub"),
    (0xFDB5, _I.NONE, -1, 1, _R.PLAIN, "i32x4.mul i32x4.min_s i32x4.min_u i32x4.max_s i32x4.max_u"),
    (0xFDBA, _I.NONE, -1, 1, _R.PLAIN, "i32x4.dot_i16x8_s - i32x4.extmul_low_i16x8_s"),
    (0xFDBD, _I.NONE, -1, 1, _R.PLAIN, "i32x4.extmul_high_i16x8_s i32x4.extmul_low_i16x8_u"),
    (0xFDBF, _I.NONE, -1, 1, _R.PLAIN, "i32x4.extmul_high_i16x8_u"),
    (0xFDC0, _I.NONE, 0, 1, _R.PLAIN, "i64x2.abs i64x2.neg - i64x2.all_true i64x2.bitmask"),
    (0xFDC7, _I.NONE, 0, 1, _R.PLAIN, "i64x2.extend_low_i32x4_s i64x2.extend_high_i32x4_s"),
    (0xFDC9, _I.NONE, 0, 1, _R.PLAIN, "i64x2.extend_low_i32x4_u i64x2.extend_high_i32x4_u"),
    (0xFDCB, _I.NONE, -1, 1, _R.PLAIN, "i64x2.shl i64x2.shr_s i64x2.shr_u i64x2.add - - i64x2.sub"),
    (0xFDD5, _I.NONE, -1, 1, _R.PLAIN, "i64x2.mul i64x2.eq i64x2.ne i64x2.lt_s i64x2.gt_s"),
    (0xFDDA, _I.NONE, -1, 1, _R.PLAIN, "i64x2.le_s i64x2.ge_s i64x2.extmul_low_i32x4_s"),
    (0xFDDD, _I.NONE, -1, 1, _R.PLAIN, "i64x2.extmul_high_i32x4_s i64x2.extmul_low_i32x4_u"),
    (0xFDDF, _I.NONE, -1, 1, _R.PLAIN, "i64x2.extmul_high_i32x4_u"),
    (0xFDE0, _I.NONE, 0, 1, _R.PLAIN, "f32x4.abs f32x4.neg"),
    (0xFDE3, _I.NONE, 0, 4, _R.LANES_F32, "f32x4.sqrt"),
    (0xFDE4, _I.NONE, -1, 1, _R.LANES_F32, "f32x4.add f32x4.sub f32x4.mul"),
    (0xFDE7, _I.NONE, -1, 4, _R.LANES_F32, "f32x4.div"),
    (0xFDE8, _I.NONE, -1, 1, _R.LANES_F32, "f32x4.min f32x4.max f32x4.pmin f32x4.pmax"),
    (0xFDEC, _I.NONE, 0, 1, _R.PLAIN, "f64x2.abs f64x2.neg"),
    (0xFDEF, _I.NONE, 0, 4, _R.LANES_F64, "f64x2.sqrt"),
    (0xFDF0, _I.NONE, -1, 1, _R.LANES_F64, "f64x2.add f64x2.sub f64x2.mul"),
    (0xFDF3, _I.NONE, -1, 4, _R.LANES_F64, "f64x2.div"),
    (0xFDF4, _I.NONE, -1, 1, _R.LANES_F64, "f64x2.min f64x2.max f64x2.pmin f64x2.pmax"),
    (0xFDF8, _I.NONE, 0, 1, _R.PLAIN, "i32x4.trunc_sat_f32x4_s i32x4.trunc_sat_f32x4_u"),
    (0xFDFA, _I.NONE, 0, 1, _R.PLAIN, "f32x4.convert_i32x4_s f32x4.convert_i32x4_u"),
    (0xFDFC, _I.NONE, 0, 1, _R.PLAIN, "i32x4.trunc_sat_f64x2_s_zero i32x4.trunc_sat_f64x2_u_zero"),
    (0xFDFE, _I.NONE, 0, 1, _R.PLAIN, "f64x2.convert_low_i32x4_s f64x2.convert_low_i32x4_u"),
)


def _spread(*groups: tuple[_Row, ...]) -> dict[int, Opcode]:
    table: dict[int, Opcode] = {}
    for first, immediate, net, gas, role, names in (row for group in groups for row in group):
        for step, name in enumerate(names.split()):
            if name != "-":
                assert first + step not in table, name
                table[first + step] = Opcode(first + step, name, immediate, net, gas, role)
    return table


OPCODES: dict[int, Opcode] = _spread(
    _CONTROL, _VALUES, _MEMORY, _NUMBERS, _VECTOR_MEMORY, _VECTOR_LANES, _VECTOR_NUMBERS
)

LOOP_HEADER_GAS = 1  # each pass of a loop
FUNCTION_ENTRY_GAS = 1
ENTRY_LOCALS_SHIFT = 3  # one more gas for every eight declared locals, which start at zero
PAGE_GAS = 1_024  # memory.grow, for each page asked for
BYTES_SHIFT = 3  # bulk memory operations: one gas for eight bytes
