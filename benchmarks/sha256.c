// SHA-256 of the input, and nothing else: what a module pays that hashes by itself, to prove.
// Written out in rounds, for a proof pays for each instruction and for none of the processor's guesses.
#include "../examples/ambient.h"

static uint32_t turn(uint32_t word, int bits) { return word >> bits | word << (32 - bits); }

#define ROUND(a, b, c, d, e, f, g, h, k, w)                                               \
  h += (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + (g ^ (e & (f ^ g))) + k + w, d += h,    \
      h += (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) | (c & (a | b)));
#define NEXT(i)                                                                                    \
  (w[i] += (turn(w[(i + 1) & 15], 7) ^ turn(w[(i + 1) & 15], 18) ^ w[(i + 1) & 15] >> 3) +         \
           w[(i + 9) & 15] +                                                                       \
           (turn(w[(i + 14) & 15], 17) ^ turn(w[(i + 14) & 15], 19) ^ w[(i + 14) & 15] >> 10))
#define SIXTEEN(W, k0, k1, k2, k3, k4, k5, k6, k7, k8, k9, ka, kb, kc, kd, ke, kf)                    \
  ROUND(a, b, c, d, e, f, g, h, k0, W(0)) ROUND(h, a, b, c, d, e, f, g, k1, W(1))                     \
  ROUND(g, h, a, b, c, d, e, f, k2, W(2)) ROUND(f, g, h, a, b, c, d, e, k3, W(3))                     \
  ROUND(e, f, g, h, a, b, c, d, k4, W(4)) ROUND(d, e, f, g, h, a, b, c, k5, W(5))                     \
  ROUND(c, d, e, f, g, h, a, b, k6, W(6)) ROUND(b, c, d, e, f, g, h, a, k7, W(7))                     \
  ROUND(a, b, c, d, e, f, g, h, k8, W(8)) ROUND(h, a, b, c, d, e, f, g, k9, W(9))                     \
  ROUND(g, h, a, b, c, d, e, f, ka, W(10)) ROUND(f, g, h, a, b, c, d, e, kb, W(11))                   \
  ROUND(e, f, g, h, a, b, c, d, kc, W(12)) ROUND(d, e, f, g, h, a, b, c, kd, W(13))                   \
  ROUND(c, d, e, f, g, h, a, b, ke, W(14)) ROUND(b, c, d, e, f, g, h, a, kf, W(15))
#define GIVEN(i) w[i]
#define FIRST(...) SIXTEEN(GIVEN, __VA_ARGS__)
#define LATER(...) SIXTEEN(NEXT, __VA_ARGS__)

static void compress(uint32_t state[8], const uint8_t *block) {
  uint32_t w[16];
  for (int i = 0; i < 16; i++) w[i] = __builtin_bswap32(*(const uint32_t *)(block + 4 * i));
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
  FIRST(0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
          0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
          0x9bdc06a7, 0xc19bf174)
  LATER(0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc,
          0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
          0x06ca6351, 0x14292967)
  LATER(0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e,
          0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624,
          0xf40e3585, 0x106aa070)
  LATER(0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
          0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb,
          0xbef9a3f7, 0xc67178f2)
  state[0] += a, state[1] += b, state[2] += c, state[3] += d;
  state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

EXPORT("run") uint64_t run(const uint8_t *input, uint32_t size) {
  uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  uint32_t whole = size & ~63u, left = size & 63;
  for (uint32_t at = 0; at < whole; at += 64) compress(state, input + at);
  uint8_t *end = take(128);
  for (uint32_t i = 0; i < left; i++) end[i] = input[whole + i];
  end[left] = 0x80;  // the memory is zero where nothing has been
  uint32_t ended = left < 56 ? 64 : 128;
  for (uint32_t i = 0; i < 8; i++) end[ended - 1 - i] = (uint8_t)((uint64_t)size * 8 >> 8 * i);
  for (uint32_t at = 0; at < ended; at += 64) compress(state, end + at);
  uint8_t *digest = take(32);
  for (int i = 0; i < 32; i++) digest[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
  return output(digest, 32);
}
