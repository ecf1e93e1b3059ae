// The universal image: takes a prepared module from the host, validates it, names it in the statement
// by tagged("ambient/prepared/1", module), and interprets it (protocols/18 section 8).
static unsigned pages_max;
#define MODULE_SHA256 {0}
#define PAGES_MIN 0
#define PAGES_MAX pages_max
#define MEMORY_GROWS 1
#define IMPORTS 0
#define READ_IMPORTS check(number() == 0)
#define EXPORTED_FUNCTION
#define EXPORTED_GLOBAL
#include "runtime.h"

static u64 threaded(u32 function, u32 a, u32 b);
static u32 alloc_function = ~0u, run_function = ~0u, start_function = ~0u;
static u64 *gas_at;
static u32 *depth_at;
#define GAS (*gas_at)
#define DEPTH (*depth_at)
#define ALLOC(size) (u32) threaded(alloc_function, size, 0)
#define RUN(at, size) threaded(run_function, at, size)
#define START                  \
  if (start_function != ~0u)   \
  threaded(start_function, 0, 0)
static void instantiate(void);
#include "main.h"
enum { NOT_VALID = 32, NOT_PROVABLE, TOO_LARGE };  // how it gives up
#include "threaded.h"
#include "lower.h"
#include "instructions.h"

#include "reading.h"

static const u8 PREPARED[] = "\x12" "ambient/prepared/1";
// Reads the module behind its tag and its length, and hashes all three where they lie.
static u32 read_named(void) {
  u32 size, before = sizeof PREPARED - 1 + 8;
  read_exactly((u32)&size, 4);
  if (size >= AREA_END - AREA)
    give_up(TOO_LARGE);
  u32 blocks = (before + size + 1 + 8 + 63) / 64;
  u8 *named = room(blocks, 64), *end = named + blocks * 64;
  memcpy(named, PREPARED, sizeof PREPARED - 1);
  big_endian(named + sizeof PREPARED - 1, size, 8);
  given_module = named + before;
  read_exactly((u32)given_module, size);
  named[before + size] = 0x80;
  big_endian(end - 8, (u64)(before + size) * 8, 8);
  memcpy(statement.module, FIRST, 32);
  for (u32 part; blocks; blocks -= part, named += part * 64) {
    part = blocks < 10 ? blocks : 10;
    ecall(ECALL_SHA256, (u32)statement.module, (u32)statement.module, (u32)named, part, (u32)ROUND);
  }
  return size;
}
static void instantiate(void) {
  u32 size = read_named();
  threaded(~0u, 0, 0);
  read_module(size);
  code = room(0, 4);
  for (u32 each = 0; each < functions_count; each++)
    lower(&FUNCTIONS[each]);
  frames = ((u32)code + 7) & ~7u;
  if (failed)
    trap(failed);
}
__asm__(".section .text.start\n.globl _start\n"
        "_start: li sp, 0x20014200\n tail begin\n");
