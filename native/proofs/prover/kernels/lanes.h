// BabyBear in Montgomery form, 16 lanes (AVX-512), 8 (AVX2) or 4 (NEON) at once: the values of the published
// fp.h and fpext.h, bit for bit. The published evaluator is rewritten to these types (patch.py).
// AMBIENT_LANES, 16, 8 or 4, is defined before this is read, and this before any other header.
#pragma once
#if AMBIENT_LANES == 4  // every arm64 has them: nothing to ask the compiler for
#elif defined(__clang__) && AMBIENT_LANES == 16
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
#if AMBIENT_LANES == 4
#include <arm_neon.h>
#else
#include <immintrin.h>
#endif

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
#elif AMBIENT_LANES == 8
constexpr size_t kLanes = 8;
using Lanes = __m256i;
#define OF(operation) _mm256_##operation
ALWAYS Lanes load(const uint32_t* from) { return _mm256_loadu_si256((const __m256i*)from); }
ALWAYS void store(uint32_t* to, Lanes x) { _mm256_storeu_si256((__m256i*)to, x); }
ALWAYS Lanes interleaved(Lanes even, Lanes odd) {
  return _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
}
#else
constexpr size_t kLanes = 4;
using Lanes = uint32x4_t;
// The operations by the names that they have elsewhere.
#define OF(operation) neon_##operation
ALWAYS Lanes load(const uint32_t* from) { return vld1q_u32(from); }
ALWAYS void store(uint32_t* to, Lanes x) { vst1q_u32(to, x); }
ALWAYS Lanes interleaved(Lanes even, Lanes odd) { return vtrn2q_u32(even, odd); }
ALWAYS Lanes neon_set1_epi32(int x) { return vdupq_n_u32((uint32_t)x); }
ALWAYS Lanes neon_add_epi32(Lanes a, Lanes b) { return vaddq_u32(a, b); }
ALWAYS Lanes neon_sub_epi32(Lanes a, Lanes b) { return vsubq_u32(a, b); }
ALWAYS Lanes neon_min_epu32(Lanes a, Lanes b) { return vminq_u32(a, b); }
ALWAYS uint64x2_t doubles(Lanes x) { return vreinterpretq_u64_u32(x); }
ALWAYS Lanes neon_add_epi64(Lanes a, Lanes b) {
  return vreinterpretq_u32_u64(vaddq_u64(doubles(a), doubles(b)));
}
ALWAYS Lanes neon_mul_epu32(Lanes a, Lanes b) {
  return vreinterpretq_u32_u64(vmull_u32(vmovn_u64(doubles(a)), vmovn_u64(doubles(b))));
}
#define neon_srli_epi64(x, bits) vreinterpretq_u32_u64(vshrq_n_u64(doubles(x), bits))
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
#if AMBIENT_LANES == 4
// Half of what is left of twice the upper halves; the lower halves are equal, so nothing is borrowed.
ALWAYS Lanes product(Lanes a, Lanes b) {
  int32x4_t x = vreinterpretq_s32_u32(a), y = vreinterpretq_s32_u32(b);
  int32x4_t q = vmulq_s32(vmulq_s32(x, y), vdupq_n_s32((int32_t)kInverse));
  int32x4_t left = vhsubq_s32(vqdmulhq_s32(x, y), vqdmulhq_s32(q, vdupq_n_s32((int32_t)kPrime)));
  Lanes d = vreinterpretq_u32_s32(left);
  return vminq_u32(d, vaddq_u32(d, all(kPrime)));
}
#else
// Montgomery's reduction of the even lanes, then of the odd ones; the upper halves are kept.
ALWAYS Lanes product(Lanes a, Lanes b) {
  Lanes even = OF(mul_epu32)(a, b);
  Lanes odd = OF(mul_epu32)(OF(srli_epi64)(a, 32), OF(srli_epi64)(b, 32));
  Lanes even_q = OF(mul_epu32)(OF(mul_epu32)(even, all(kInverse)), all(kPrime));
  Lanes odd_q = OF(mul_epu32)(OF(mul_epu32)(odd, all(kInverse)), all(kPrime));
  return difference(interleaved(even, odd), interleaved(even_q, odd_q));
}
#endif

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

// The published evaluator is straight code, which a pass of rows runs through once: written out with
// every product, it outgrows the caches, and fetching it takes longer than computing. So what is long is called.
#define CALLED static __attribute__((noinline))

ALWAYS VFp operator+(VFp a, VFp b) { return {sum(a.v, b.v)}; }
ALWAYS VFp operator-(VFp a, VFp b) { return {difference(a.v, b.v)}; }
CALLED VFp operator*(VFp a, VFp b) { return {product(a.v, b.v)}; }
ALWAYS VFp inlined(VFp a, VFp b) { return {product(a.v, b.v)}; }
ALWAYS VExt widened(const Power& p) {
  return {{{all(p.e[0])}, {all(p.e[1])}, {all(p.e[2])}, {all(p.e[3])}}};
}
CALLED VExt operator+(const VExt& a, const VExt& b) {
  return {{a.e[0] + b.e[0], a.e[1] + b.e[1], a.e[2] + b.e[2], a.e[3] + b.e[3]}};
}
CALLED VExt operator-(const VExt& a, const VExt& b) {
  return {{a.e[0] - b.e[0], a.e[1] - b.e[1], a.e[2] - b.e[2], a.e[3] - b.e[3]}};
}
CALLED VExt operator+(const VExt& a, VFp b) { return {{a.e[0] + b, a.e[1], a.e[2], a.e[3]}}; }
ALWAYS VExt operator+(VFp b, const VExt& a) { return a + b; }
CALLED VExt operator-(const VExt& a, VFp b) { return {{a.e[0] - b, a.e[1], a.e[2], a.e[3]}}; }
CALLED VExt operator-(VFp b, const VExt& a) {
  VFp zero{all(0)};
  return {{b - a.e[0], zero - a.e[1], zero - a.e[2], zero - a.e[3]}};
}
CALLED VExt operator*(const VExt& a, VFp b) {
  return {{inlined(a.e[0], b), inlined(a.e[1], b), inlined(a.e[2], b), inlined(a.e[3], b)}};
}
ALWAYS VExt operator*(VFp b, const VExt& a) { return a * b; }

// Montgomery's reduction of a sum of up to four products, which fits into 64 bits.
ALWAYS Lanes reduced(Lanes even, Lanes odd) {
  Lanes even_q = OF(mul_epu32)(OF(mul_epu32)(even, all(kInverse)), all(kPrime));
  Lanes odd_q = OF(mul_epu32)(OF(mul_epu32)(odd, all(kInverse)), all(kPrime));
  Lanes high = interleaved(even, odd);  // below twice the prime
  high = OF(min_epu32)(high, OF(sub_epi32)(high, all(kPrime)));
  return difference(high, interleaved(even_q, odd_q));
}
// a0 b0 + a1 b1 + a2 b2 + a3 b3
template <typename... Pairs>
ALWAYS VFp products(VFp a, VFp b, Pairs... more) {
  constexpr size_t count = 1 + sizeof...(more) / 2;
  static_assert(count <= 4, "more products overflow");
  const VFp pairs[] = {a, b, more...};
  Lanes even = all(0), odd = all(0);
#pragma GCC unroll 4
  for (size_t i = 0; i < count; i++) {
    Lanes x = pairs[2 * i].v, y = pairs[2 * i + 1].v;
    even = OF(add_epi64)(even, OF(mul_epu32)(x, y));
    odd = OF(add_epi64)(odd, OF(mul_epu32)(OF(srli_epi64)(x, 32), OF(srli_epi64)(y, 32)));
  }
  return {reduced(even, odd)};
}
// x^4 = -11
ALWAYS VExt product(const VFp* a, const VFp* b) {
  VFp beta = KFp(kPrime - 11), b1 = inlined(beta, b[1]), b2 = inlined(beta, b[2]), b3 = inlined(beta, b[3]);
  return {{products(a[0], b[0], a[1], b3, a[2], b2, a[3], b1), products(a[0], b[1], a[1], b[0], a[2], b3, a[3], b2),
           products(a[0], b[2], a[1], b[1], a[2], b[0], a[3], b3),
           products(a[0], b[3], a[1], b[2], a[2], b[1], a[3], b[0])}};
}
CALLED VExt operator*(const VExt& a, const VExt& b) { return product(a.e, b.e); }
CALLED VExt operator*(const VExt& a, const Power& p) { return product(a.e, widened(p).e); }
CALLED VExt operator*(VFp a, const Power& p) {
  VExt wide = widened(p);
  return {{inlined(wide.e[0], a), inlined(wide.e[1], a), inlined(wide.e[2], a), inlined(wide.e[3], a)}};
}

// Adds what has four coordinates, times a power.
CALLED VExt added(const VExt& to, const VExt& wide, const Power& power) {
  VExt more = product(wide.e, widened(power).e);
  return {{to.e[0] + more.e[0], to.e[1] + more.e[1], to.e[2] + more.e[2], to.e[3] + more.e[3]}};
}
// Adds up to four numbers times powers, whose indices are 16 bits each.
template <typename... Numbers>
ALWAYS VExt added_all(const VExt& to, const Power* powers, uint64_t which, Numbers... numbers) {
  const VFp list[] = {numbers...};
  VExt made;
  for (int k = 0; k < 4; k++) {
    Lanes even = all(0), odd = all(0);
#pragma GCC unroll 4
    for (size_t i = 0; i < sizeof...(numbers); i++) {
      Lanes power = all(powers[which >> 16 * i & 0xffff].e[k]);
      even = OF(add_epi64)(even, OF(mul_epu32)(list[i].v, power));
      odd = OF(add_epi64)(odd, OF(mul_epu32)(OF(srli_epi64)(list[i].v, 32), power));
    }
    made.e[k].v = sum(to.e[k].v, reduced(even, odd));
  }
  return made;
}
CALLED VExt added(const VExt& to, const Power* powers, uint64_t which, VFp a) {
  return added_all(to, powers, which, a);
}
CALLED VExt added(const VExt& to, const Power* powers, uint64_t which, VFp a, VFp b) {
  return added_all(to, powers, which, a, b);
}
CALLED VExt added(const VExt& to, const Power* powers, uint64_t which, VFp a, VFp b, VFp c) {
  return added_all(to, powers, which, a, b, c);
}
CALLED VExt added(const VExt& to, const Power* powers, uint64_t which, VFp a, VFp b, VFp c, VFp d) {
  return added_all(to, powers, which, a, b, c, d);
}

CALLED __attribute__((cold)) VFp wrapped(const uint32_t* from, size_t row, size_t mask) {
  alignas(64) uint32_t around[kLanes];
  for (size_t i = 0; i < kLanes; i++)
    around[i] = from[(row + i) & mask];
  return {load(around)};
}
// Rows of a column; a few of the first rows reach around to the last.
ALWAYS VFp rows(const VFp* column, size_t offset, size_t row, size_t mask) {
  const uint32_t* from = reinterpret_cast<const uint32_t*>(column) + offset;
  if (__builtin_expect(row + kLanes <= mask + 1, 1))
    return {load(from + row)};
  return wrapped(from, row, mask);
}

}  // namespace ambient_lanes
