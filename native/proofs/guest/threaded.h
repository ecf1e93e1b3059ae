// What executes lowered functions: words of code, each instruction's first the address of what does it.
// A slot is eight bytes of a frame, named by its distance from the frame's begin (protocols/18 section 8).
typedef struct {
  const u8 *params, *results;  // a byte each
  u32 params_count, results_count, number;  // equal for equal types
} type_t;
typedef struct {
  const u32 *code;
  const u8 *body, *body_end;
  u32 type, is_declared;
} function_t;
typedef struct {
  u32 *entries, now, max, kind;
} table_t;
typedef struct {
  const u8 *bytes;
  u32 *entries, size;
} segment_t;
// All close together: a page costs 322 cycles, as much again where it is written to, and what lies
// apart a path of the memory's tree each. So what is small begins where something else ends.
#define STACK_TOP 0x20014200u  // downwards; only the head of a tree calls itself, 14 deep, and 16 KiB are more than that needs
#define OPERANDS_AT STACK_TOP
#define LOCALS_TOP 0x20034040u  // downwards
#define LABELS_AT LOCALS_TOP
#define AREA 0x20050000u
#define AREA_END 0x22000000u
#define FRAMES_END 0x24000000u  // they begin where the area's use ends
#define COUNT_MAX 65536u
#define TABLES_MAX 1024u
static type_t *TYPES;
static function_t *FUNCTIONS;
static table_t *TABLES;
static u64 *GLOBALS;
static segment_t *ELEMENTS, *DATA;
static u8 *GLOBAL_KINDS;  // with 0x80 where it can be set
static u8 *ELEMENT_KINDS;
static u32 area_used, frames;
static void *room(u32 count, u32 size) {
  u64 bytes = ((u64)count * size + 7) & ~7ull;
  if (bytes > AREA_END - AREA - area_used)
    give_up(TOO_LARGE);
  area_used += (u32)bytes;
  return (void *)(AREA + area_used - (u32)bytes);
}
#define LOCALS_MAX 65536u
static u32 types_count, functions_count, tables_count, globals_count, elements_count, data_count,
    has_data_count;

enum {  // behind the opcodes of one byte, and those with a constant on the right
  H_MOVE = 512, H_SET_32, H_SET_64, H_GO, H_GO_IF, H_GO_UNLESS, H_GO_BY, H_LEAVE, H_CALL, H_CALL_BY, H_ENTER,
  H_CHOOSE, H_GET, H_PUT, H_TABLE_GET, H_TABLE_SET, H_IS_NULL, H_BULK,
#if IMPORTS
  H_POP = H_BULK + 18, H_PUSH, H_COUNT,
#else
  H_COUNT = H_BULK + 18,
#endif
};
static void *const *handlers;

#define R(word) (*(u32 *)(frame + ip[word]))
#define Q(word) (*(u64 *)(frame + ip[word]))
#define NEXT(words)        \
  do {                     \
    ip += words;           \
    goto *(void *)ip[0];   \
  } while (0)
#define BOTH(code, name) [code] = &&r_##name, [256 + code] = &&c_##name
#define BINARY(name, type, into, value)                   \
  r_##name : {                                            \
    type x = *(type *)(frame + ip[2]), y = *(type *)(frame + ip[3]); \
    into(1) = (value);                                    \
    NEXT(4);                                              \
  }                                                       \
  c_##name : {                                            \
    type x = *(type *)(frame + ip[2]), y = (type)(s32)ip[3]; \
    into(1) = (value);                                    \
    NEXT(4);                                              \
  }
#define INTEGERS(b, s, type, into)                                                                  \
  BINARY(eq##b, type, R, x == y) BINARY(ne##b, type, R, x != y)                                     \
  BINARY(lts##b, type, R, (s)x < (s)y) BINARY(ltu##b, type, R, x < y)                               \
  BINARY(gts##b, type, R, (s)x > (s)y) BINARY(gtu##b, type, R, x > y)                               \
  BINARY(les##b, type, R, (s)x <= (s)y) BINARY(leu##b, type, R, x <= y)                             \
  BINARY(ges##b, type, R, (s)x >= (s)y) BINARY(geu##b, type, R, x >= y)                             \
  BINARY(add##b, type, into, x + y) BINARY(sub##b, type, into, x - y) BINARY(mul##b, type, into, x * y) \
  BINARY(divs##b, type, into, div_s##b(x, y)) BINARY(divu##b, type, into, div_u##b(x, y))           \
  BINARY(rems##b, type, into, rem_s##b(x, y)) BINARY(remu##b, type, into, rem_u##b(x, y))           \
  BINARY(and##b, type, into, x & y) BINARY(or##b, type, into, x | y) BINARY(xor##b, type, into, x ^ y) \
  BINARY(shl##b, type, into, x << (y & (b - 1))) BINARY(shrs##b, type, into, (type)((s)x >> (y & (b - 1)))) \
  BINARY(shru##b, type, into, x >> (y & (b - 1)))                                                   \
  BINARY(rotl##b, type, into, rotl##b(x, y)) BINARY(rotr##b, type, into, rotl##b(x, 0 - y))
#define COMPARING(at, b)                                                                            \
  BOTH(at, eq##b), BOTH(at + 1, ne##b), BOTH(at + 2, lts##b), BOTH(at + 3, ltu##b),                 \
      BOTH(at + 4, gts##b), BOTH(at + 5, gtu##b), BOTH(at + 6, les##b), BOTH(at + 7, leu##b),       \
      BOTH(at + 8, ges##b), BOTH(at + 9, geu##b)
#define COMPUTING(at, b)                                                                            \
  BOTH(at, add##b), BOTH(at + 1, sub##b), BOTH(at + 2, mul##b), BOTH(at + 3, divs##b),              \
      BOTH(at + 4, divu##b), BOTH(at + 5, rems##b), BOTH(at + 6, remu##b), BOTH(at + 7, and##b),    \
      BOTH(at + 8, or##b), BOTH(at + 9, xor##b), BOTH(at + 10, shl##b), BOTH(at + 11, shrs##b),     \
      BOTH(at + 12, shru##b), BOTH(at + 13, rotl##b), BOTH(at + 14, rotr##b)
#define UNARY(name, into, value) \
  name:                          \
  into(1) = (value);             \
  NEXT(3);
#define STORE(name, call) \
  name:                   \
  call;                   \
  NEXT(4);
#define BULK(name, call) \
  name:                  \
  call;                  \
  NEXT(6);

// Calls a function of at most two parameters; without one, says where everything is done.
static u64 threaded(u32 function, u32 a, u32 b) {
  static void *const HERE[H_COUNT] = {
      [0x00] = &&unreachable, COMPARING(0x46, 32), COMPARING(0x51, 64), COMPUTING(0x6a, 32),
      COMPUTING(0x7c, 64), [0x45] = &&eqz32, [0x50] = &&eqz64, [0x67] = &&clz_32, &&ctz_32, &&popcnt_32,
      [0x79] = &&clz_64, &&ctz_64, &&popcnt_64, [0xa7] = &&wrap, [0xac] = &&extend_s, &&extend_u,
      [0xc0] = &&extend8_32, &&extend16_32, &&extend8_64, &&extend16_64, &&extend32_64,
      [0x28] = &&i32_load, &&i64_load, [0x2c] = &&i32_load8_s, &&i32_load8_u, &&i32_load16_s,
      &&i32_load16_u, &&i64_load8_s, &&i64_load8_u, &&i64_load16_s, &&i64_load16_u, &&i64_load32_s,
      &&i64_load32_u, &&store_32, &&store_64, [0x3a] = &&store_8, &&store_16, &&store_8, &&store_16, &&store_32,
      &&size, &&grow, [H_MOVE] = &&move, &&set_32, &&set_64, &&go, &&go_if, &&go_unless, &&go_by, &&leave,
      &&call, &&call_by, &&enter, &&choose, &&get, &&put, &&get_entry, &&set_entry, &&is_null,
      [H_BULK + 8] = &&init_memory, &&drop_data, &&copy_memory, &&fill_memory, &&init_table, &&drop_elements,
      &&copy_table, &&grow_table, &&size_table, &&fill_table,
#if IMPORTS
      [H_POP] = &&pop_value, &&push_value,
#endif
  };
  if (function == ~0u) {
    handlers = HERE;
    return 0;
  }
  const u32 end[1] = {(u32)&&end};
  const u32 *ip = FUNCTIONS[function].code, *back = end;  // where to go on, and in which frame
  u32 frame = frames, under = frames;
  *(u32 *)frame = a;
  *(u32 *)(frame + 8) = b;
  NEXT(0);

end:
  return *(u64 *)frame;
unreachable:
  trap(UNREACHABLE);
move:
  Q(1) = Q(2);
  NEXT(3);
set_32:
  R(1) = ip[2];
  NEXT(3);
set_64:
  Q(1) = ip[2] | (u64)ip[3] << 32;
  NEXT(4);
go:
  ip = (const u32 *)ip[1];
  NEXT(0);
go_if:
  if (R(1)) {
    ip = (const u32 *)ip[2];
    NEXT(0);
  }
  NEXT(3);
go_unless:
  if (!R(1)) {
    ip = (const u32 *)ip[2];
    NEXT(0);
  }
  NEXT(3);
go_by: {
  u32 label = R(1);
  ip = (const u32 *)ip[3 + (label < ip[2] ? label : ip[2])];
  NEXT(0);
}
leave: {
  u32 *kept = (u32 *)(frame + ip[1]);
  ip = (const u32 *)kept[0];
  frame = kept[1];
  NEXT(0);
}
call:
  back = ip + 3;
  under = frame;
  frame += ip[2];
  ip = FUNCTIONS[ip[1]].code;
  NEXT(0);
call_by: {
  table_t *table = &TABLES[ip[2]];
  u32 at = R(1);
  if (at >= table->now)
    trap(TABLE_BOUNDS);
  u32 named = table->entries[at];
  if (!named)
    trap(NULL_CALL);
  if (TYPES[FUNCTIONS[named - 1].type].number != ip[3])
    trap(TYPE_MISMATCH);
  back = ip + 5;
  under = frame;
  frame += ip[4];
  ip = FUNCTIONS[named - 1].code;
  NEXT(0);
}
enter: {
  if (frame + ip[1] > FRAMES_END)
    give_up(TOO_LARGE);
  for (u32 at = ip[2]; at < ip[3]; at += 8)
    *(u64 *)(frame + at) = 0;
  u32 *kept = (u32 *)(frame + ip[4]);
  kept[0] = (u32)back;
  kept[1] = under;
  NEXT(5);
}
choose:
  Q(1) = R(4) ? Q(2) : Q(3);
  NEXT(5);
get:
  Q(1) = GLOBALS[ip[2]];
  NEXT(3);
put:
  GLOBALS[ip[2]] = Q(1);
  NEXT(3);
get_entry:
  R(1) = table_get(TABLES[ip[3]].entries, TABLES[ip[3]].now, R(2));
  NEXT(4);
set_entry:
  table_set(TABLES[ip[3]].entries, TABLES[ip[3]].now, R(1), R(2));
  NEXT(4);
  UNARY(is_null, R, R(2) == 0)
  INTEGERS(32, s32, u32, R)
  INTEGERS(64, s64, u64, Q)
  UNARY(eqz32, R, R(2) == 0) UNARY(eqz64, R, Q(2) == 0)
  UNARY(clz_32, R, clz32(R(2))) UNARY(ctz_32, R, ctz32(R(2))) UNARY(popcnt_32, R, popcnt32(R(2)))
  UNARY(clz_64, Q, clz64(Q(2))) UNARY(ctz_64, Q, ctz64(Q(2))) UNARY(popcnt_64, Q, popcnt64(Q(2)))
  UNARY(wrap, R, R(2)) UNARY(extend_s, Q, (u64)(s64)(s32)R(2)) UNARY(extend_u, Q, R(2))
  UNARY(extend8_32, R, (u32)(s32)(s8)R(2)) UNARY(extend16_32, R, (u32)(s32)(s16)R(2))
  UNARY(extend8_64, Q, (u64)(s64)(s8)R(2)) UNARY(extend16_64, Q, (u64)(s64)(s16)R(2))
  UNARY(extend32_64, Q, (u64)(s64)(s32)R(2))
#define LOAD(name, into, value) \
  name:                         \
  into(1) = (value);            \
  NEXT(4);
  LOAD(i32_load, R, load32(R(2), ip[3])) LOAD(i64_load, Q, load64(R(2), ip[3]))
  LOAD(i32_load8_s, R, (u32)(s32)(s8)load8(R(2), ip[3])) LOAD(i32_load8_u, R, load8(R(2), ip[3]))
  LOAD(i32_load16_s, R, (u32)(s32)(s16)load16(R(2), ip[3])) LOAD(i32_load16_u, R, load16(R(2), ip[3]))
  LOAD(i64_load8_s, Q, (u64)(s64)(s8)load8(R(2), ip[3])) LOAD(i64_load8_u, Q, load8(R(2), ip[3]))
  LOAD(i64_load16_s, Q, (u64)(s64)(s16)load16(R(2), ip[3])) LOAD(i64_load16_u, Q, load16(R(2), ip[3]))
  LOAD(i64_load32_s, Q, (u64)(s64)(s32)load32(R(2), ip[3])) LOAD(i64_load32_u, Q, load32(R(2), ip[3]))
  STORE(store_8, store8(R(1), ip[3], (u8)R(2))) STORE(store_16, store16(R(1), ip[3], (u16)R(2)))
  STORE(store_32, store32(R(1), ip[3], R(2))) STORE(store_64, store64(R(1), ip[3], Q(2)))
size:
  R(1) = pages_now;
  NEXT(2);
  UNARY(grow, R, memory_grow(R(2)))
  // Three operands, of which the first is where a result goes as well, then two indices.
  BULK(init_memory, memory_init(DATA[ip[4]].bytes, DATA[ip[4]].size, R(1), R(2), R(3)))
  BULK(drop_data, DATA[ip[4]].size = 0)
  BULK(copy_memory, memory_copy(R(1), R(2), R(3)))
  BULK(fill_memory, memory_fill(R(1), R(2), R(3)))
  BULK(init_table, table_copy(TABLES[ip[5]].entries, TABLES[ip[5]].now, ELEMENTS[ip[4]].entries,
                              ELEMENTS[ip[4]].size, R(1), R(2), R(3)))
  BULK(drop_elements, ELEMENTS[ip[4]].size = 0)
  BULK(copy_table, table_copy(TABLES[ip[4]].entries, TABLES[ip[4]].now, TABLES[ip[5]].entries,
                              TABLES[ip[5]].now, R(1), R(2), R(3)))
  BULK(grow_table, R(1) = table_grow(TABLES[ip[4]].entries, &TABLES[ip[4]].now, TABLES[ip[4]].max, R(1), R(2)))
  BULK(size_table, R(1) = TABLES[ip[4]].now)
#if IMPORTS
pop_value:
  *(u64 *)frame = value_popped();
  goto served;
push_value:
  value_pushed(*(u64 *)frame);
served:
  ip = back;
  frame = under;
  NEXT(0);
#endif
  BULK(fill_table, table_fill(TABLES[ip[4]].entries, TABLES[ip[4]].now, R(1), R(2), R(3)))
}
