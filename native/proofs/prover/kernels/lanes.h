// BabyBear in Montgomery form, 16 lanes (AVX-512) or 8 (AVX2) at once: the values of the published
// fp.h and fpext.h, bit for bit. The published evaluator is rewritten to these types (patch.py).
// AMBIENT_LANES, 16 or 8, is defined before this is read, and this before any other header.
#pragma once
#if defined(__clang__) && AMBIENT_LANES == 16
#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#elif defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#elif AMBIENT_LANES == 16
#pragma GCC target("avx512f")
#else
#pragma GCC target("avx2")
#endif
#include <cstddef>
#include <cstdint>
#include <immintrin.h>

namespace ambient_lanes {

#define ALWAYS static inline __attribute__((always_inline))

constexpr uint32_t kPrime = 15 * (uint32_t(1) << 27) + 1;
constexpr uint32_t kInverse = 0x88000001;  // of the prime, modulo 2^32
constexpr uint32_t kSquare = 1172168163;   // 2^64 modulo the prime

constexpr uint32_t product(uint32_t a, uint32_t b) {
  uint64_t whole = uint64_t(a) * b;
  uint32_t low = uint32_t(0) - uint32_t(whole);
  whole += uint64_t(kInverse * low) * kPrime;
  uint32_t high = whole >> 32;
  return high >= kPrime ? high - kPrime : high;
}

#if AMBIENT_LANES == 16
constexpr size_t kLanes = 16;
using Lanes = __m512i;
#define OF(operation) _mm512_##operation
ALWAYS Lanes load(const uint32_t* from) { return _mm512_loadu_si512(from); }
ALWAYS void store(uint32_t* to, Lanes x) { _mm512_storeu_si512(to, x); }
ALWAYS Lanes interleaved(Lanes even, Lanes odd) {
  return _mm512_mask_mov_epi32(_mm512_srli_epi64(even, 32), 0xaaaa, odd);
}
#else
constexpr size_t kLanes = 8;
using Lanes = __m256i;
#define OF(operation) _mm256_##operation
ALWAYS Lanes load(const uint32_t* from) { return _mm256_loadu_si256((const __m256i*)from); }
ALWAYS void store(uint32_t* to, Lanes x) { _mm256_storeu_si256((__m256i*)to, x); }
ALWAYS Lanes interleaved(Lanes even, Lanes odd) {
  return _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
}
#endif
ALWAYS Lanes all(uint32_t x) { return OF(set1_epi32)((int)x); }

// A sum or difference out of range is larger, read as unsigned, than the one in range.
ALWAYS Lanes sum(Lanes a, Lanes b) {
  Lanes s = OF(add_epi32)(a, b);
  return OF(min_epu32)(s, OF(sub_epi32)(s, all(kPrime)));
}
ALWAYS Lanes difference(Lanes a, Lanes b) {
  Lanes d = OF(sub_epi32)(a, b);
  return OF(min_epu32)(d, OF(add_epi32)(d, all(kPrime)));
}
// Montgomery's reduction of the even lanes, then of the odd ones; the upper halves are kept.
ALWAYS Lanes product(Lanes a, Lanes b) {
  Lanes even = OF(mul_epu32)(a, b);
  Lanes odd = OF(mul_epu32)(OF(srli_epi64)(a, 32), OF(srli_epi64)(b, 32));
  Lanes even_q = OF(mul_epu32)(OF(mul_epu32)(even, all(kInverse)), all(kPrime));
  Lanes odd_q = OF(mul_epu32)(OF(mul_epu32)(odd, all(kInverse)), all(kPrime));
  return difference(interleaved(even, odd), interleaved(even_q, odd_q));
}

struct VFp {
  Lanes v;
};
struct VExt {
  VFp e[4];
};
// Constants, as numbers, until they are used.
struct KFp {
  uint32_t v;
  constexpr explicit KFp(uint32_t x) : v(product(kSquare, x)) {}
  inline __attribute__((always_inline)) operator VFp() const { return VFp{all(v)}; }
};
struct KExt {
  KFp e[4];
  constexpr KExt(uint32_t a, uint32_t b, uint32_t c, uint32_t d) : e{KFp(a), KFp(b), KFp(c), KFp(d)} {}
  inline __attribute__((always_inline)) operator VExt() const { return VExt{{e[0], e[1], e[2], e[3]}}; }
};
// A power of the mix: one value for all lanes, in memory as the published code has it.
struct Power {
  uint32_t e[4];
};

ALWAYS VFp operator+(VFp a, VFp b) { return {sum(a.v, b.v)}; }
ALWAYS VFp operator-(VFp a, VFp b) { return {difference(a.v, b.v)}; }
ALWAYS VFp operator*(VFp a, VFp b) { return {product(a.v, b.v)}; }
ALWAYS VExt widened(const Power& p) {
  return {{{all(p.e[0])}, {all(p.e[1])}, {all(p.e[2])}, {all(p.e[3])}}};
}
ALWAYS VExt operator+(VExt a, VExt b) {
  return {{a.e[0] + b.e[0], a.e[1] + b.e[1], a.e[2] + b.e[2], a.e[3] + b.e[3]}};
}
ALWAYS VExt operator-(VExt a, VExt b) {
  return {{a.e[0] - b.e[0], a.e[1] - b.e[1], a.e[2] - b.e[2], a.e[3] - b.e[3]}};
}
ALWAYS VExt operator+(VExt a, VFp b) { return {{a.e[0] + b, a.e[1], a.e[2], a.e[3]}}; }
ALWAYS VExt operator+(VFp b, VExt a) { return a + b; }
ALWAYS VExt operator-(VExt a, VFp b) { return {{a.e[0] - b, a.e[1], a.e[2], a.e[3]}}; }
ALWAYS VExt operator-(VFp b, VExt a) {
  VFp zero{all(0)};
  return {{b - a.e[0], zero - a.e[1], zero - a.e[2], zero - a.e[3]}};
}
ALWAYS VExt operator*(VExt a, VFp b) { return {{a.e[0] * b, a.e[1] * b, a.e[2] * b, a.e[3] * b}}; }
ALWAYS VExt operator*(VFp b, VExt a) { return a * b; }
ALWAYS VExt operator*(VFp a, const Power& p) { return widened(p) * a; }
// x^4 = -11; not inlined, or the evaluator would outgrow every cache.
static __attribute__((noinline)) VExt times(const VExt& x, const VExt& y) {
  const VFp *a = x.e, *b = y.e;
  VFp beta = KFp(kPrime - 11);
  return {{a[0] * b[0] + beta * (a[1] * b[3] + a[2] * b[2] + a[3] * b[1]),
           a[0] * b[1] + a[1] * b[0] + beta * (a[2] * b[3] + a[3] * b[2]),
           a[0] * b[2] + a[1] * b[1] + a[2] * b[0] + beta * (a[3] * b[3]),
           a[0] * b[3] + a[1] * b[2] + a[2] * b[1] + a[3] * b[0]}};
}
ALWAYS VExt operator*(VExt a, VExt b) { return times(a, b); }
ALWAYS VExt operator*(VExt a, const Power& p) { return times(a, widened(p)); }

// Rows of a column; a few of the first rows reach around to the last.
ALWAYS VFp rows(const VFp* column, size_t offset, size_t row, size_t mask) {
  const uint32_t* from = reinterpret_cast<const uint32_t*>(column) + offset;
  if (__builtin_expect(row + kLanes <= mask + 1, 1))
    return {load(from + row)};
  alignas(64) uint32_t wrapped[kLanes];
  for (size_t i = 0; i < kLanes; i++)
    wrapped[i] = from[(row + i) & mask];
  return {load(wrapped)};
}

}  // namespace ambient_lanes
