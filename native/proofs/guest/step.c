// The image of steps: takes a pausable module and a state of it, goes on until a gas index, and names
// both ends by their roots (protocols/18 section 10).
static unsigned pages_max;
#define PAGES_MIN 0
#define PAGES_MAX pages_max
#define MEMORY_GROWS 1
// A page is left out (0), known, or changed. Where one that is left out is touched, nothing is proven.
#define PAGES_LIMIT 8192u
#define KNOWN 1
#define CHANGED_SINCE 2
static unsigned char touched[PAGES_LIMIT];
static void left_out(void);
#define PAGE(at) touched[((at)-MEMORY_AT) >> 16]
#define SEEN(at)                              \
  do {                                        \
    if (__builtin_expect(!PAGE(at), 0))       \
      left_out();                             \
  } while (0)
#define CHANGED(at)         \
  do {                      \
    SEEN(at);               \
    PAGE(at) = CHANGED_SINCE; \
  } while (0)
#define EACH_PAGE(at, size, what)                                               \
  for (u32 each_ = (at) >> 16; (size) && each_ <= ((at) + (size)-1) >> 16; each_++) \
  what(MEMORY_AT + (each_ << 16))
#define SEEN_ALL(at, size) EACH_PAGE(at, size, SEEN)
#define CHANGED_ALL(at, size) EACH_PAGE(at, size, CHANGED)
#define GROWN(before, count) memset(touched + (before), KNOWN, (count))
#include "runtime.h"

#define IMPORTS 2
static u64 value_popped(void);
static void value_pushed(u64 value);
static u32 alloc_function = ~0u, run_function = ~0u, start_function = ~0u, save_function = ~0u,
           load_function = ~0u;
static u64 *gas_at;
static u32 *depth_at, *state_at;
#define GAS (*gas_at)
#define DEPTH (*depth_at)
#define EXPORTED_FUNCTION                                         \
  else if (IS_NAMED("__ambient_save") && has_type(index, 0, 0))   \
    save_function = index;                                        \
  else if (IS_NAMED("__ambient_load") && has_type(index, 0, 0))   \
    load_function = index;
#define EXPORTED_GLOBAL                                                             \
  else if (kind == 3 && IS_NAMED("__ambient_state") && GLOBAL_KINDS[index] == (I32 | 0x80)) \
    state_at = (u32 *)&GLOBALS[index];
static void read_imports(void);
#define READ_IMPORTS read_imports()
#include "machine.h"
#include "asking.h"

enum { NOT_VALID = 32, NOT_PROVABLE, TOO_LARGE, LEFT_OUT, NO_STATE };  // how it gives up
NORETURN void finish(u32 ended, u32 outcome, u32 reason, u64 gas, u32 output, u32 size);
static void left_out(void) { give_up(LEFT_OUT); }

// ---- what the host gives: a state but for its values, its pages and the hashes of those left out ----
static struct {
  u64 until_gas, memory_bytes_max, wall_ms_max, gas_max, output_bytes_max, log_bytes_max, gas_left;
  u32 values_count, host_bytes, pages, hashes, module_size;
  u8 input[32], seed[32], host[32];
} __attribute__((packed, aligned(4))) given;

// "ambient/step/1" behind its length, and the length of the one part (protocols/01 section 2).
static struct {
  u8 nothing, tag[23], start[32], end[32], output[32];
  u8 ended[4], outcome[4], reason[4], output_size[4];
  u8 start_gas[8], until_gas[8], gas[8], gas_max[8];
} statement __attribute__((aligned(4))) = {.tag = "\x0e" "ambient/step/1" "\0\0\0\0\0\0\0\x90"};
static struct {
  u32 output, output_size, statement;
} shown;

NORETURN void trap(u32 reason) {
  if ((s64)GAS < 0)
    finish(1, OUT_OF_GAS, NO_REASON, given.gas_max, MEMORY_AT, 0);
  finish(1, TRAPPED, DEPTH > CALL_DEPTH_WEIGHT_MAX ? CALL_DEPTH : reason, given.gas_max, MEMORY_AT, 0);
}
#include "threaded.h"
#include "lower.h"
#include "instructions.h"

static u32 imported[IMPORTS], has_imports;  // their types
#include "reading.h"

static void read_imports(void) {
  static const char *const NAMES[] = {"pop", "push"};
  check(number() == IMPORTS);
  has_imports = 1;
  for (u32 each = 0; each < IMPORTS; each++) {
    u32 size;
    const u8 *name = name_of(&size);
    check(IS_NAMED("ambient_pause"));
    name = name_of(&size);
    check(size == 3 + each && same(name, (const u8 *)NAMES[each], size) && byte() == 0);
    imported[each] = below(types_count);
    type_t *type = &TYPES[imported[each]];
    check(type->params_count == each && type->results_count == 1 - each);
    check((each ? type->params : type->results)[0] == I64);
  }
}

// ---- values, handed over as protocols/08 section 3 has it ----
#define VALUES_MAX 262144u
static u64 *values, *pushed;
static u32 values_left, pushed_count;
static u64 value_popped(void) {
  if (!values_left)
    give_up(NO_STATE);
  return values[--values_left];
}
static void value_pushed(u64 value) {
  if (pushed_count == VALUES_MAX)
    give_up(TOO_LARGE);
  pushed[pushed_count++] = value;
}

// ---- the root of a state ----
static u8 header[512], *header_end;
static void put_byte(u32 value) { *header_end++ = (u8)value; }
static void put_number(u64 value) {
  u32 bytes = value < 128 ? 0 : value < 256 ? 1 : value < 65536 ? 2 : value >> 32 ? 8 : 4;
  if (!bytes)
    return put_byte((u32)value);
  put_byte(bytes == 1 ? 0xcc : bytes == 2 ? 0xcd : bytes == 4 ? 0xce : 0xcf);
  big_endian(header_end, value, bytes);
  header_end += bytes;
}
static void put_digest(const u8 *digest) {
  put_byte(0xc4);
  put_byte(32);
  memcpy(header_end, digest, 32);
  header_end += 32;
}
static u8 module_digest[32];
static void digest_of(const void *data, u32 size, u8 *digest) {
  sha_begin();
  sha_add(data, size);
  sha_end(digest);
}
// Canonical MessagePack, as protocols/00 has it: what a header says follows from its bytes.
static void header_leaf(u64 gas_left, const u64 *kept, u32 kept_count, u8 *leaf) {
  static const u8 TAG[] = "\0ambient/state-header/1";
  u8 digest[32];
  header_end = header;
  memcpy(header_end, TAG, sizeof TAG);
  header_end += sizeof TAG;
  put_byte(0x9c);
  put_number(1);
  put_digest(module_digest);
  put_digest(given.input);
  put_digest(given.seed);
  put_byte(0x95);
  put_number(given.memory_bytes_max);
  put_number(given.wall_ms_max);
  put_number(given.gas_max);
  put_number(given.output_bytes_max);
  put_number(given.log_bytes_max);
  put_number(2);  // `run` is under way
  put_number(gas_left);
  digest_of(kept, kept_count * 8, digest);
  put_digest(digest);
  put_number(kept_count);
  put_digest(given.host);
  put_number(given.host_bytes);
  put_number(pages_now);
  digest_of(header, (u32)(header_end - header), leaf);
}
// The tag has two bytes more than whole words, so each of the page's words lies across two.
static void page_leaf(const u32 *page, u8 *leaf) {
  static const u8 TAG[24] = "\0ambient/state-page/1";
  sha_begin();
  memcpy(sha.chunk, TAG, 24);
  u32 used = 5, half = sha.chunk[5];
  for (const u32 *end = page + 16384; page < end;) {
    u32 *to = sha.chunk + used, *full = sha.chunk + CHUNK_BYTES / 4;
    u32 *until = (u32)(full - to) < (u32)(end - page) ? full : to + (end - page);
#pragma clang loop unroll_count(8)
    for (; to < until; to++) {
      u32 word = *page++;
      *to = half | word << 16;
      half = word >> 16;
    }
    used = (u32)(to - sha.chunk);
    if (to == full) {
      sha_blocks(CHUNK_BYTES / 64);
      used = 0;
    }
  }
  sha.chunk[used] = half;
  sha.used = used * 4 + 2;
  sha.total = 22 + 65536;
  sha_end(leaf);
}
static const u8 ZERO_LEAF[32] = {
    0x05, 0xdc, 0x88, 0x88, 0x15, 0xb1, 0xdc, 0xc6, 0x29, 0x06, 0xee, 0x8e, 0x1b, 0xd8, 0xe3, 0x26,
    0xcd, 0x56, 0x8e, 0xa8, 0x89, 0x1c, 0x8e, 0x9d, 0xd6, 0x1c, 0x00, 0x2c, 0x80, 0xc6, 0x9e, 0x44};
static u8 (*leaves)[32], (*hashes)[32];  // the header's, then each page's
static u32 hashes_used;
static u32 is_left_out(u32 first, u32 count) {
  if (!first || count & (count - 1))
    return 0;
  for (u32 each = 0; each < count; each++)
    if (touched[first - 1 + each])
      return 0;
  return 1;
}
// The largest whole subtrees of pages left out stand for themselves, in ascending order (08 section 6).
static void head(u32 first, u32 count, u8 *digest) {
  if (is_left_out(first, count)) {
    if (hashes_used == given.hashes)
      give_up(NO_STATE);
    memcpy(digest, hashes[hashes_used++], 32);
    return;
  }
  if (count == 1) {
    memcpy(digest, leaves[first], 32);
    return;
  }
  u32 left = 1;
  while (left * 2 < count)
    left *= 2;
  struct {
    u8 tag[4], left[32], right[32];
  } branch;
  branch.tag[3] = 1;
  head(first, left, branch.left);
  head(first + left, count - left, branch.right);
  digest_of(branch.tag + 3, 65, digest);
}
static void root(u8 *digest) {
  hashes_used = 0;
  head(0, pages_now + 1, digest);
  if (hashes_used != given.hashes)
    give_up(NO_STATE);
}

// ---- a step ----
NORETURN void finish(u32 ended, u32 outcome, u32 reason, u64 gas, u32 output, u32 size) {
  // What a state holds beyond what its module takes belongs to no execution.
  if (values_left)
    give_up(NO_STATE);
  digest_of((const void *)output, size, statement.output);
  big_endian(statement.ended, ended, 4);
  big_endian(statement.outcome, outcome, 4);
  big_endian(statement.reason, reason, 4);
  big_endian(statement.output_size, size, 4);
  big_endian(statement.start_gas, given.gas_max - given.gas_left, 8);
  big_endian(statement.until_gas, given.until_gas, 8);
  big_endian(statement.gas, gas, 8);
  big_endian(statement.gas_max, given.gas_max, 8);
  shown.output = output;
  shown.output_size = size;
  shown.statement = (u32)statement.start;
  ecall(ECALL_READ, (u32)&shown | 1, (u32)&shown, 0, 0, 0);  // for the host's eyes; reads nothing
  digest_of(statement.tag, sizeof statement - 1, (u8 *)STATEMENT_DIGEST);
  give_up(0);
}
static void read_state(void) {
  read_exactly((u32)&given, sizeof given);
  if (given.gas_left > given.gas_max || given.gas_max - 1 >= 1ull << 62 || given.until_gas >> 62 ||
      given.memory_bytes_max > PAGES_LIMIT << 16 || given.output_bytes_max > 64u << 20 ||
      given.pages > given.memory_bytes_max >> 16 || given.values_count >= VALUES_MAX ||
      given.hashes > given.pages)
    give_up(2);
  memory_bytes_max = given.memory_bytes_max;
  if (given.module_size >= AREA_END - AREA)
    give_up(TOO_LARGE);
  u8 *module = room(given.module_size, 1);
  read_exactly((u32)module, given.module_size);
  digest_of(module, given.module_size, module_digest);
  given_module = module;
  values = room(given.values_count + 1, 8);
  values[0] = given.gas_max - given.until_gas;  // popped last: when to pause
  read_exactly((u32)(values + 1), given.values_count * 8);
}
// For each page 0 if it is left out, 1 if it is zero, 2 if its bytes follow; then those, and the hashes.
static void read_pages(void) {
  u8 *kinds = room(given.pages, 1);
  read_exactly((u32)kinds, given.pages);
  leaves = room(PAGES_LIMIT + 1, 32);
  for (u32 each = 0; each < given.pages; each++) {
    u32 to = MEMORY_AT + (each << 16);
    touched[each] = kinds[each] ? KNOWN : 0;
    if (kinds[each] == 1)
      memcpy(leaves[each + 1], ZERO_LEAF, 32);
    else if (kinds[each] == 2) {
      for (u32 part = 0; part < 65536; part += 512)
        read_exactly(to + part, 512);
      page_leaf((const u32 *)to, leaves[each + 1]);
    } else if (kinds[each])
      give_up(NO_STATE);
  }
  hashes = room(given.hashes, 32);
  read_exactly((u32)hashes, given.hashes * 32);
}
static void enter(void) {
  threaded(load_function, 0, 0);
  if (GAS != given.gas_left)
    give_up(NO_STATE);
}
// At a checkpoint: the state there is named as the one at the start was.
NORETURN void pause_here(void) {
  threaded(save_function, 0, 0);
  if ((s64)GAS < 0)  // the charge ahead would find it
    finish(1, OUT_OF_GAS, NO_REASON, given.gas_max, MEMORY_AT, 0);
  header_leaf(GAS, pushed, pushed_count, leaves[0]);
  for (u32 each = 0; each < pages_now; each++)
    if (touched[each] == CHANGED_SINCE)
      page_leaf((const u32 *)(MEMORY_AT + (each << 16)), leaves[each + 1]);
    else if (each >= given.pages)
      memcpy(leaves[each + 1], ZERO_LEAF, 32);
  root(statement.end);
  finish(0, COMPLETED, NO_REASON, given.gas_max - GAS, MEMORY_AT, 0);
}
__attribute__((noreturn, used)) void begin(void) {
  read_state();
  threaded(~0u, 0, 0);
  read_module(given.module_size);
  check(has_imports && state_at && save_function != ~0u && load_function != ~0u);
  if (failed || pages_now > given.pages || given.pages > pages_max)
    give_up(NO_STATE);
  pages_now = given.pages;
  read_pages();
  header_leaf(given.gas_left, values + 1, given.values_count, leaves[0]);
  root(statement.start);
  pushed = room(VALUES_MAX, 8);
  values_left = given.values_count + 1;
  code = room(0, 4);
  for (u32 each = 0; each < IMPORTS; each++) {
    FUNCTIONS[each].code = code;
    op(H_POP + each);
  }
  for (u32 each = IMPORTS; each < functions_count; each++)
    lower(&FUNCTIONS[each]);
  frames = ((u32)code + 7) & ~7u;
  enter();
  u64 range = threaded(run_function, 0, 0);
  if (*state_at == 1)
    pause_here();
  if (*state_at)
    give_up(NO_STATE);
  u32 output = (u32)(range >> 32), size = (u32)range;
  if ((u64)output + size > memory_size)
    finish(1, TRAPPED, BAD_OUTPUT, given.gas_max, MEMORY_AT, 0);
  if (size > given.output_bytes_max)
    finish(1, TRAPPED, OUTPUT_TOO_LARGE, given.gas_max, MEMORY_AT, 0);
  GAS -= ((u64)size + 7) / 8;
  if ((s64)GAS < 0)
    trap(NO_REASON);
  SEEN_ALL(output, size);
  finish(1, COMPLETED, NO_REASON, given.gas_max - GAS, MEMORY_AT + output, size);
}
__asm__(".section .text.start\n.globl _start\n"
        "_start: li sp, 0x20014200\n tail begin\n");
