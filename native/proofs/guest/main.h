// From the host's words to the digest of the statement (protocols/18 §2, §3).
// The translator defines ALLOC, RUN, START and GAS, DEPTH, the module's own counters, before this.
#define ECALL_END 0
#define ECALL_READ 1
#define ECALL_SHA256 4
#define STATEMENT_DIGEST ((u32 *)0xffff0240u)
#define CALL_DEPTH_WEIGHT_MAX 262144u
#define CHUNK_BYTES 640u  // ten blocks, what one call hashes

INLINE u32 ecall(u32 number, u32 a, u32 b, u32 c, u32 d, u32 e) {
  register u32 a0 __asm__("a0") = a;
  register u32 a1 __asm__("a1") = b;
  register u32 a2 __asm__("a2") = c;
  register u32 a3 __asm__("a3") = d;
  register u32 a4 __asm__("a4") = e;
  register u32 a7 __asm__("a7") = number;
  __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a7) : "memory");
  return a0;
}
// Ends without a statement: the host broke the rules, so there is nothing to prove.
NORETURN void give_up(u32 code) {
  ecall(ECALL_END, code, 0, 0, 0, 0);
  __builtin_unreachable();
}

// ---- SHA-256, by the circuit's own rows ----
static const u32 ROUND[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
static const u32 FIRST[8] = {0x67e6096a, 0x85ae67bb, 0x72f36e3c, 0x3af54fa5,
                             0x7f520e51, 0x8c68059b, 0xabd9831f, 0x19cde05b};
static struct {
  u32 state[8], chunk[CHUNK_BYTES / 4], used;
  u64 total;
} sha;

static void sha_begin(void) {
  memcpy(sha.state, FIRST, 32);
  sha.used = 0;
  sha.total = 0;
}
static void sha_blocks(u32 blocks) {
  ecall(ECALL_SHA256, (u32)sha.state, (u32)sha.state, (u32)sha.chunk, blocks, (u32)ROUND);
}
static void sha_add(const u8 *data, u32 size) {
  sha.total += size;
  while (size) {
    u32 part = CHUNK_BYTES - sha.used < size ? CHUNK_BYTES - sha.used : size;
    memcpy((u8 *)sha.chunk + sha.used, data, part);
    sha.used += part;
    data += part;
    size -= part;
    if (sha.used == CHUNK_BYTES) {
      sha_blocks(CHUNK_BYTES / 64);
      sha.used = 0;
    }
  }
}
static void big_endian(u8 *to, u64 value, u32 bytes) {
  for (u32 i = bytes; i--; value >>= 8)
    to[i] = (u8)value;
}
static void sha_end(u8 *digest) {
  u64 bits = sha.total * 8;
  u8 *at = (u8 *)sha.chunk;
  at[sha.used++] = 0x80;
  if (sha.used % 64 > 56) {
    memset(at + sha.used, 0, -sha.used & 63);
    sha.used += -sha.used & 63;
  }
  if (sha.used == CHUNK_BYTES) {
    sha_blocks(CHUNK_BYTES / 64);
    sha.used = 0;
  }
  u32 end = (sha.used & ~63u) + 64;
  memset(at + sha.used, 0, end - 8 - sha.used);
  big_endian(at + end - 8, bits, 8);
  sha_blocks(end / 64);
  memcpy(digest, sha.state, 32);
}

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

static void read_exactly(u32 to, u32 size) {
  for (; size; size -= 512) {
    u32 part = size < 512 ? size : 512;
    if (ecall(ECALL_READ, 0, to, part, 0, 0) != part)
      give_up(1);
    to += part;
    if (part < 512)
      break;
  }
}

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
