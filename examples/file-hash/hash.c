// SHA-256 of the input and the Merkle root over its 4 KiB chunks (RFC 9162, section 2.1.1).
// Output: one line of JSON.
#include "../ambient.h"

enum { CHUNK_BYTES = 4096, BLOCK_BYTES = 64, DIGEST_BYTES = 32, LEVELS_MAX = 32 };

typedef struct {
  uint8_t bytes[DIGEST_BYTES];
} Digest;

static const uint32_t ROUND[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turn(uint32_t word, int bits) { return word >> bits | word << (32 - bits); }

static void compress(uint32_t state[8], const uint8_t *block) {
  uint32_t w[64];
  for (int i = 0; i < 16; i++)
    w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
           (uint32_t)block[4 * i + 2] << 8 | (uint32_t)block[4 * i + 3];
  for (int i = 16; i < 64; i++) {
    uint32_t x = w[i - 15], y = w[i - 2];
    w[i] = w[i - 16] + (turn(x, 7) ^ turn(x, 18) ^ x >> 3) + w[i - 7] +
           (turn(y, 17) ^ turn(y, 19) ^ y >> 10);
  }
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
  for (int i = 0; i < 64; i++) {
    uint32_t first = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) +
                     ROUND[i] + w[i];
    uint32_t second = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + first;
    d = c, c = b, b = a, a = first + second;
  }
  state[0] += a, state[1] += b, state[2] += c, state[3] += d;
  state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

typedef struct {
  uint32_t state[8];
  uint64_t size;
  uint8_t rest[BLOCK_BYTES];
} Hash;

static Hash fresh(void) {
  return (Hash){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
                          0x1f83d9ab, 0x5be0cd19}};
}

static void add(Hash *hash, const uint8_t *data, size_t size) {
  size_t used = hash->size % BLOCK_BYTES;
  hash->size += size;
  while (size) {
    if (!used && size >= BLOCK_BYTES) {
      compress(hash->state, data);
      data += BLOCK_BYTES, size -= BLOCK_BYTES;
      continue;
    }
    hash->rest[used++] = *data++, size--;
    if (used == BLOCK_BYTES) compress(hash->state, hash->rest), used = 0;
  }
}

static Digest finish(Hash *hash) {
  uint64_t bits = hash->size * 8;
  uint8_t end[BLOCK_BYTES + 8] = {0x80};
  size_t zeros = (BLOCK_BYTES + 55 - hash->size % BLOCK_BYTES) % BLOCK_BYTES;
  for (int i = 0; i < 8; i++) end[1 + zeros + (size_t)i] = (uint8_t)(bits >> (56 - 8 * i));
  add(hash, end, 1 + zeros + 8);
  Digest digest;
  for (int i = 0; i < DIGEST_BYTES; i++)
    digest.bytes[i] = (uint8_t)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
  return digest;
}

static Digest digest_of(const uint8_t *data, size_t size) {
  Hash hash = fresh();
  add(&hash, data, size);
  return finish(&hash);
}

static Digest leaf(const uint8_t *data, size_t size) {
  static const uint8_t prefix = 0;
  Hash hash = fresh();
  add(&hash, &prefix, 1);
  add(&hash, data, size);
  return finish(&hash);
}

static Digest branch(const Digest *left, const Digest *right) {
  static const uint8_t prefix = 1;
  Hash hash = fresh();
  add(&hash, &prefix, 1);
  add(&hash, left->bytes, DIGEST_BYTES);
  add(&hash, right->bytes, DIGEST_BYTES);
  return finish(&hash);
}

// Whole subtrees wait on a stack, the largest at the bottom; the bits of `count` are their sizes.
static Digest merkle_root(const uint8_t *data, size_t size) {
  Digest waiting[LEVELS_MAX];
  uint32_t count = 0;
  int height = 0;
  for (size_t at = 0; at < size; at += CHUNK_BYTES) {
    size_t left = size - at;
    Digest node = leaf(data + at, left < CHUNK_BYTES ? left : CHUNK_BYTES);
    for (uint32_t sizes = count++; sizes & 1; sizes >>= 1) node = branch(&waiting[--height], &node);
    waiting[height++] = node;
  }
  if (!height) return digest_of(data, 0);
  Digest root = waiting[--height];
  while (height) root = branch(&waiting[--height], &root);
  return root;
}

static char text[256];
static char *text_end = text;

static void put(const char *string) {
  while (*string) *text_end++ = *string++;
}

static void put_number(uint32_t number) {
  char digits[11], *start = digits + sizeof digits;
  *--start = 0;
  do *--start = (char)('0' + number % 10);
  while (number /= 10);
  put(start);
}

static void put_digest(Digest digest) {
  for (int i = 0; i < DIGEST_BYTES; i++) {
    *text_end++ = "0123456789abcdef"[digest.bytes[i] >> 4];
    *text_end++ = "0123456789abcdef"[digest.bytes[i] & 15];
  }
}

EXPORT("run") uint64_t run(const uint8_t *input, uint32_t size) {
  put("{\"bytes\":");
  put_number(size);
  put(",\"chunks\":");
  put_number(size / CHUNK_BYTES + (size % CHUNK_BYTES != 0));
  put(",\"merkle_root\":\"");
  put_digest(merkle_root(input, size));
  put("\",\"sha256\":\"");
  put_digest(digest_of(input, size));
  put("\"}\n");
  return output(text, (uint32_t)(text_end - text));
}
