// From the host's words to the digest of the statement (protocols/18 §2, §3).
// The translator defines ALLOC, RUN, START and GAS, DEPTH, the module's own counters, before this.
#include "machine.h"

// ---- what the host gives, what the statement says ----
static struct {
  u32 salted;
  u8 salt[32];
  u64 gas_max, memory_bytes_max, output_bytes_max;
  u32 input_size;
} __attribute__((packed, aligned(4))) given;

// "ambient/execution/1" behind its length, and the length of the one part (protocols/01 §2).
static struct {
  u8 tag[28], module[32], input[32], output[32];
  u8 salted[4], outcome[4], reason[4], detail[4];
  u8 gas_max[8], gas[8], memory_bytes_max[8], output_bytes_max[8];
} statement __attribute__((aligned(4))) = {
    .tag = "\x13" "ambient/execution/1" "\0\0\0\0\0\0\0\x90", .module = MODULE_SHA256};
static const u8 SALTED[] = "\x10" "ambient/salted/1" "\0\0\0\0\0\0\0\x20";
static struct {
  u32 output, output_size, statement;
} shown;

static void committed_begin(u32 size) {
  u8 length[8];
  sha_begin();
  if (given.salted) {
    sha_add(SALTED, sizeof SALTED - 1);
    sha_add(given.salt, 32);
    big_endian(length, size, 8);
    sha_add(length, 8);
  }
}

#include "asking.h"

static u32 buffer[128];
static u32 input_read;
// Hashes the input on its way into the memory, or, where it never arrives, on its way to nowhere.
static void read_input(u32 to) {
  input_read = 1;
  committed_begin(given.input_size);
  for (u32 left = given.input_size; left;) {
    u32 part = left < sizeof buffer ? left : sizeof buffer;
    read_exactly((u32)buffer, part);
    sha_add((const u8 *)buffer, part);
    if (to)
      memcpy((void *)to, buffer, part);
    to += to ? part : 0;
    left -= part;
  }
  sha_end(statement.input);
}

NORETURN void finish(u32 outcome, u32 reason, u32 detail, u64 gas, u32 output, u32 size) {
  if (!input_read)
    read_input(0);
  committed_begin(size);
  sha_add((const u8 *)output, size);
  sha_end(statement.output);
  big_endian(statement.salted, given.salted, 4);
  big_endian(statement.outcome, outcome, 4);
  big_endian(statement.reason, reason, 4);
  big_endian(statement.detail, detail, 4);
  big_endian(statement.gas_max, given.gas_max, 8);
  big_endian(statement.gas, gas, 8);
  big_endian(statement.memory_bytes_max, given.memory_bytes_max, 8);
  big_endian(statement.output_bytes_max, given.output_bytes_max, 8);
  shown.output = output;
  shown.output_size = size;
  shown.statement = (u32)statement.module;
  ecall(ECALL_READ, (u32)&shown | 1, (u32)&shown, 0, 0, 0);  // for the host's eyes; reads nothing
  sha_begin();
  sha_add((const u8 *)&statement, sizeof statement);
  sha_end((u8 *)STATEMENT_DIGEST);
  give_up(0);
}
// The counters come before whatever trap they caused; all of the limit is charged (04 §10).
NORETURN void trap(u32 reason) {
  if ((s64)GAS < 0)
    finish(OUT_OF_GAS, NO_REASON, 0, given.gas_max, MEMORY_AT, 0);
  finish(TRAPPED, DEPTH > CALL_DEPTH_WEIGHT_MAX ? CALL_DEPTH : reason, 0, given.gas_max, MEMORY_AT, 0);
}
NORETURN void trap_by_host(u32 reason) {
  finish(TRAPPED, reason, 0, given.gas_max, MEMORY_AT, 0);
}
static void pay(u64 gas) {
  GAS -= gas;
  if ((s64)GAS < 0)
    trap(NO_REASON);
}
__attribute__((noreturn, used)) void begin(void) {
  read_exactly((u32)&given, sizeof given);
  if (given.salted > 1 || given.gas_max - 1 >= 1ull << 62 || given.memory_bytes_max > 512u << 20 ||
      given.memory_bytes_max < (u64)PAGES_MIN << 16 || given.output_bytes_max > 64u << 20 ||
      given.input_size > 64u << 20)
    give_up(2);
  memory_bytes_max = given.memory_bytes_max;
  instantiate();
  GAS = given.gas_max;
  START;
  pay(((u64)given.input_size + 7) / 8);
  u32 at = ALLOC(given.input_size);
  if ((u64)at + given.input_size > memory_size)
    trap_by_host(BAD_OUTPUT);
  read_input(MEMORY_AT + at);
  u64 range = RUN(at, given.input_size);
  u32 output = (u32)(range >> 32), size = (u32)range;
  if ((u64)output + size > memory_size)
    trap_by_host(BAD_OUTPUT);
  if (size > given.output_bytes_max)
    trap_by_host(OUTPUT_TOO_LARGE);
  pay(((u64)size + 7) / 8);
  finish(COMPLETED, NO_REASON, 0, given.gas_max - GAS, MEMORY_AT + output, size);
}
