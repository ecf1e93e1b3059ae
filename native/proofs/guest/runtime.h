// What a translated module computes with (protocols/18 §4). One translation unit, nothing linked.
// The translator defines MODULE_SHA256, PAGES_MIN, PAGES_MAX and MEMORY_GROWS before it is read.
typedef unsigned char u8;
typedef signed char s8;
typedef unsigned short u16;
typedef short s16;
typedef unsigned int u32;
typedef int s32;
typedef unsigned long long u64;
typedef long long s64;
typedef u8 u8v __attribute__((vector_size(16)));
typedef s8 s8v __attribute__((vector_size(16)));
typedef u16 u16v __attribute__((vector_size(16)));
typedef s16 s16v __attribute__((vector_size(16)));
typedef u32 u32v __attribute__((vector_size(16)));
typedef s32 s32v __attribute__((vector_size(16)));
typedef u64 u64v __attribute__((vector_size(16)));
typedef s64 s64v __attribute__((vector_size(16)));
typedef u64v v128;

#define INLINE static inline __attribute__((always_inline, unused))
#define COLD static __attribute__((noinline, cold, unused))
#define NORETURN static __attribute__((noinline, cold, noreturn, unused))
#define RARE(condition) __builtin_expect(!!(condition), 0)

// ambientd.model.execution: OutcomeKind and, in its order, TrapReason.
enum { COMPLETED, TRAPPED, OUT_OF_GAS };
enum {
  NO_REASON, UNREACHABLE, MEMORY_BOUNDS, TABLE_BOUNDS, NULL_CALL, TYPE_MISMATCH, DIVIDE_BY_ZERO,
  OVERFLOW, BAD_CONVERSION, CALL_DEPTH, EXIT_CODE, OUTPUT_TOO_LARGE, BAD_OUTPUT, HOST_CALL,
};

NORETURN void trap(u32 reason);

void *memcpy(void *to, const void *from, __SIZE_TYPE__ size) {
  u8 *t = to;
  const u8 *f = from;
  if ((((u32)t | (u32)f) & 3) == 0)
    for (; size >= 4; size -= 4, t += 4, f += 4)
      *(volatile u32 *)t = *(const u32 *)f;
  while (size--)
    *(volatile u8 *)t++ = *f++;
  return to;
}
void *memmove(void *to, const void *from, __SIZE_TYPE__ size) {
  u8 *t = to;
  const u8 *f = from;
  if (t <= f || t >= f + size)
    return memcpy(to, from, size);
  if ((((u32)t | (u32)f | size) & 3) == 0)
    for (; size; size -= 4)
      *(volatile u32 *)(t + size - 4) = *(const u32 *)(f + size - 4);
  while (size--)
    ((volatile u8 *)t)[size] = f[size];
  return to;
}
void *memset(void *to, int byte, __SIZE_TYPE__ size) {
  volatile u8 *t = to;
  if (((u32)t & 3) == 0)
    for (; size >= 4; size -= 4, t += 4)
      *(volatile u32 *)t = (u8)byte * 0x01010101u;
  while (size--)
    *t++ = (u8)byte;
  return to;
}

// ---- linear memory, at a fixed address so that every access is one addition ----
#define MEMORY_AT 0x24000000u
static u64 memory_bytes_max;
#if MEMORY_GROWS
static u32 pages_now = PAGES_MIN;
#else
#define pages_now ((u32)PAGES_MIN)
#endif
#define memory_size (pages_now << 16)
#define AT(type, address) (*(type *)(address))
// An image that knows only some pages says what is done where one is read or changed.
#ifndef SEEN
#define SEEN(at)
#define CHANGED(at)
#define SEEN_ALL(at, size)
#define CHANGED_ALL(at, size)
#define GROWN(before, pages)
#endif

INLINE u32 place(u32 address, u32 offset, u32 size) {
  if (RARE((u64)offset + size > (u64)PAGES_MIN << 16)) {
    if ((u64)address + offset + size > memory_size)
      trap(MEMORY_BOUNDS);
  } else if (RARE(address > memory_size - (offset + size)))
    trap(MEMORY_BOUNDS);
  return MEMORY_AT + address + offset;
}
// A processor of this kind reads words at multiples of their size only.
COLD u32 load_apart(u32 at, u32 size) {
  u32 value = 0;
  SEEN(at + size - 1);
  while (size--)
    value = value << 8 | AT(u8, at + size);
  return value;
}
COLD void store_apart(u32 at, u32 size, u32 value) {
  CHANGED(at + size - 1);
  for (; size--; value >>= 8)
    AT(u8, at++) = (u8)value;
}
INLINE u32 word(u32 at) {
  SEEN(at);
  return RARE(at & 3) ? load_apart(at, 4) : AT(u32, at);
}
INLINE void set_word(u32 at, u32 value) {
  CHANGED(at);
  if (RARE(at & 3))
    store_apart(at, 4, value);
  else
    AT(u32, at) = value;
}
INLINE u64 load8(u32 a, u32 k) {
  u32 at = place(a, k, 1);
  SEEN(at);
  return AT(u8, at);
}
INLINE u64 load16(u32 a, u32 k) {
  u32 at = place(a, k, 2);
  SEEN(at);
  return RARE(at & 1) ? load_apart(at, 2) : AT(u16, at);
}
INLINE u64 load32(u32 a, u32 k) { return word(place(a, k, 4)); }
INLINE u64 load64(u32 a, u32 k) {
  u32 at = place(a, k, 8);
  return word(at) | (u64)word(at + 4) << 32;
}
INLINE v128 load128(u32 a, u32 k) {
  u32 at = place(a, k, 16);
  return (v128)(u32v){word(at), word(at + 4), word(at + 8), word(at + 12)};
}
INLINE void store8(u32 a, u32 k, u8 value) {
  u32 at = place(a, k, 1);
  CHANGED(at);
  AT(u8, at) = value;
}
INLINE void store16(u32 a, u32 k, u16 value) {
  u32 at = place(a, k, 2);
  CHANGED(at);
  if (RARE(at & 1))
    store_apart(at, 2, value);
  else
    AT(u16, at) = value;
}
INLINE void store32(u32 a, u32 k, u32 value) { set_word(place(a, k, 4), value); }
INLINE void store64(u32 a, u32 k, u64 value) {
  u32 at = place(a, k, 8);
  set_word(at, (u32)value);
  set_word(at + 4, (u32)(value >> 32));
}
INLINE void store128(u32 a, u32 k, v128 value) {
  u32 at = place(a, k, 16);
  for (u32 i = 0; i < 4; i++)
    set_word(at + 4 * i, ((u32v)value)[i]);
}
INLINE u32 memory_grow(u32 pages) {
#if MEMORY_GROWS
  u32 before = pages_now;
  if (pages > PAGES_MAX - before || (u64)(before + pages) << 16 > memory_bytes_max)
    return ~0u;
  pages_now = before + pages;
  GROWN(before, pages);
  return before;
#else
  (void)pages;
  return ~0u;
#endif
}
COLD void within(u32 at, u32 size, u32 limit, u32 reason) {
  if ((u64)at + size > limit)
    trap(reason);
}
COLD void memory_fill(u32 at, u32 byte, u32 size) {
  within(at, size, memory_size, MEMORY_BOUNDS);
  CHANGED_ALL(at, size);
  memset((void *)(MEMORY_AT + at), (int)byte, size);
}
COLD void memory_copy(u32 to, u32 from, u32 size) {
  within(from, size, memory_size, MEMORY_BOUNDS);
  within(to, size, memory_size, MEMORY_BOUNDS);
  SEEN_ALL(from, size);
  CHANGED_ALL(to, size);
  memmove((void *)(MEMORY_AT + to), (void *)(MEMORY_AT + from), size);
}
COLD void memory_init(const u8 *data, u32 data_size, u32 to, u32 from, u32 size) {
  within(from, size, data_size, MEMORY_BOUNDS);
  within(to, size, memory_size, MEMORY_BOUNDS);
  CHANGED_ALL(to, size);
  memcpy((void *)(MEMORY_AT + to), data + from, size);
}

// ---- tables: a function's index and one, 0 for null ----
COLD u32 table_get(const u32 *table, u32 count, u32 at) {
  within(at, 1, count, TABLE_BOUNDS);
  return table[at];
}
COLD void table_set(u32 *table, u32 count, u32 at, u32 value) {
  within(at, 1, count, TABLE_BOUNDS);
  table[at] = value;
}
COLD void table_fill(u32 *table, u32 count, u32 at, u32 value, u32 size) {
  within(at, size, count, TABLE_BOUNDS);
  while (size--)
    table[at++] = value;
}
COLD void table_copy(u32 *to_table, u32 to_count, const u32 *from_table, u32 from_count, u32 to,
                     u32 from, u32 size) {
  within(from, size, from_count, TABLE_BOUNDS);
  within(to, size, to_count, TABLE_BOUNDS);
  memmove(to_table + to, from_table + from, size * 4);
}
COLD u32 table_grow(u32 *table, u32 *count, u32 count_max, u32 value, u32 more) {
  u32 before = *count;
  if (more > count_max - before)
    return ~0u;
  *count = before + more;
  table_fill(table, *count, before, value, more);
  return before;
}
typedef struct {
  void *code;
  u32 type;
} function_entry;
INLINE void *callee(const function_entry *functions, const u32 *table, u32 count, u32 at,
                    u32 type) {
  if (RARE(at >= count))
    trap(TABLE_BOUNDS);
  u32 named = table[at];
  if (RARE(named == 0))
    trap(NULL_CALL);
  if (RARE(functions[named - 1].type != type))
    trap(TYPE_MISMATCH);
  return functions[named - 1].code;
}

// ---- integers ----
INLINE u32 rotl32(u32 x, u32 n) { return x << (n & 31) | x >> (-n & 31); }
INLINE u64 rotl64(u64 x, u64 n) { return x << (n & 63) | x >> (-n & 63); }
INLINE u32 popcnt32(u32 x) {
  x -= x >> 1 & 0x55555555;
  x = (x & 0x33333333) + (x >> 2 & 0x33333333);
  return ((x + (x >> 4)) & 0x0f0f0f0f) * 0x01010101 >> 24;
}
COLD u32 clz32(u32 x) {
  u32 n = 32;
  for (u32 step = 16; step; step >>= 1)
    if (x >> step) {
      x >>= step;
      n -= step;
    }
  return n - x;
}
INLINE u32 ctz32(u32 x) { return x ? 31 - clz32(x & -x) : 32; }
INLINE u64 popcnt64(u64 x) { return popcnt32((u32)x) + popcnt32((u32)(x >> 32)); }
INLINE u64 clz64(u64 x) { return x >> 32 ? clz32((u32)(x >> 32)) : 32 + clz32((u32)x); }
INLINE u64 ctz64(u64 x) { return (u32)x ? ctz32((u32)x) : 32 + ctz32((u32)(x >> 32)); }
INLINE u32 div_u32(u32 a, u32 b) {
  if (RARE(b == 0))
    trap(DIVIDE_BY_ZERO);
  return a / b;
}
INLINE u32 rem_u32(u32 a, u32 b) {
  if (RARE(b == 0))
    trap(DIVIDE_BY_ZERO);
  return a % b;
}
INLINE u32 div_s32(u32 a, u32 b) {
  if (RARE(b == 0))
    trap(DIVIDE_BY_ZERO);
  if (RARE(a == 0x80000000u && b == ~0u))
    trap(OVERFLOW);
  return (u32)((s32)a / (s32)b);
}
INLINE u32 rem_s32(u32 a, u32 b) {
  if (RARE(b == 0))
    trap(DIVIDE_BY_ZERO);
  return b == ~0u ? 0 : (u32)((s32)a % (s32)b);
}
// Long division, a bit at a time where the machine has no instruction for it; b is not 0.
COLD u64 divided(u64 a, u64 b, u64 *rest) {
  if ((a >> 32 | b >> 32) == 0) {
    *rest = (u32)a % (u32)b;
    return (u32)a / (u32)b;
  }
  u64 quotient = 0, left = 0;
  u32 skip = (u32)clz64(a);
  a = skip < 64 ? a << skip : 0;
  for (u32 bits = 64 - skip; bits--; a <<= 1) {
    u64 over = left >> 63;
    left = left << 1 | a >> 63;
    quotient <<= 1;
    if (over || left >= b) {
      left -= b;
      quotient |= 1;
    }
  }
  *rest = left;
  return quotient;
}
// By these names the compiler asks for what it finds to be a division.
u64 __udivdi3(u64 a, u64 b) {
  u64 rest;
  return divided(a, b, &rest);
}
u64 __umoddi3(u64 a, u64 b) {
  u64 rest;
  divided(a, b, &rest);
  return rest;
}
COLD u64 div_u64(u64 a, u64 b) {
  if (b == 0)
    trap(DIVIDE_BY_ZERO);
  return __udivdi3(a, b);
}
COLD u64 rem_u64(u64 a, u64 b) {
  if (b == 0)
    trap(DIVIDE_BY_ZERO);
  return __umoddi3(a, b);
}
INLINE u64 size_of(u64 x) { return (s64)x < 0 ? 0 - x : x; }
COLD u64 div_s64(u64 a, u64 b) {
  if (a == 1ull << 63 && b == ~0ull)
    trap(OVERFLOW);
  u64 quotient = div_u64(size_of(a), size_of(b));
  return (s64)(a ^ b) < 0 ? 0 - quotient : quotient;
}
COLD u64 rem_s64(u64 a, u64 b) {
  u64 rest = rem_u64(size_of(a), size_of(b));
  return (s64)a < 0 ? 0 - rest : rest;
}

// ---- vectors, a lane at a time ----
#define LANES(vector, count, value)                                                               \
  ({                                                                                              \
    vector made_;                                                                                 \
    _Pragma("clang loop unroll(full)") for (u32 i = 0; i < count; i++) made_[i] = (value);        \
    (v128) made_;                                                                                 \
  })
#define SPLAT(vector, count, value)                                                               \
  ({                                                                                              \
    u64 lane_ = (value);                                                                          \
    LANES(vector, count, lane_);                                                                  \
  })
#define WIDEN(vector, count, narrow, value)                                                       \
  ({                                                                                              \
    v128 half_ = {(value), 0};                                                                    \
    LANES(vector, count, ((narrow)half_)[i]);                                                     \
  })
#define ALL_TRUE(vector, count, value)                                                            \
  ({                                                                                              \
    u32 all_ = 1;                                                                                 \
    for (u32 i = 0; i < count; i++)                                                               \
      all_ &= ((vector)(value))[i] != 0;                                                          \
    all_;                                                                                         \
  })
#define BITMASK(vector, count, value)                                                             \
  ({                                                                                              \
    u32 mask_ = 0;                                                                                \
    for (u32 i = 0; i < count; i++)                                                               \
      mask_ |= (u32)(((vector)(value))[i] < 0) << i;                                              \
    mask_;                                                                                        \
  })
INLINE s32 clamped(s32 x, s32 low, s32 high) { return x < low ? low : x > high ? high : x; }
#define SAT_S8(x) clamped(x, -128, 127)
#define SAT_U8(x) clamped(x, 0, 255)
#define SAT_S16(x) clamped(x, -32768, 32767)
#define SAT_U16(x) clamped(x, 0, 65535)
