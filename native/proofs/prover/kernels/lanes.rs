//! Poseidon2 over BabyBear on 16 (AVX-512), 8 (AVX2) or 4 (NEON) columns at once; the values are
//! those of the scalar code, bit for bit.
#![allow(unsafe_op_in_unsafe_fn, missing_docs)]

#[cfg(target_arch = "aarch64")]
use core::arch::aarch64::*;
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::*;

use super::consts::{CELLS, M_INT_DIAG_HZN, ROUNDS_HALF_FULL, ROUNDS_PARTIAL, ROUND_CONSTANTS};
use crate::core::digest::Digest;

const PRIME: u32 = 15 * (1 << 27) + 1;
const INVERSE: u32 = 0x8800_0001;
const RATE: usize = 16;

macro_rules! lanes {
    ($count:expr, $type:ty, $set:ident as $word:ty, $add:ident, $sub:ident, $min:ident, $load:expr,
     $store:expr, $gather:expr) => {
        pub const LANES: usize = $count;
        pub type Lanes = $type;

        #[inline(always)]
        pub unsafe fn all(x: u32) -> Lanes {
            $set(x as $word)
        }
        #[inline(always)]
        pub unsafe fn load(from: *const u32) -> Lanes {
            $load(from)
        }
        #[inline(always)]
        pub unsafe fn store(to: *mut u32, x: Lanes) {
            $store(to, x)
        }
        /// Word 0 of every 16th word: a digest pair's first word, for as many pairs as lanes.
        #[inline(always)]
        unsafe fn gather(from: *const i32) -> Lanes {
            $gather(from)
        }
        #[inline(always)]
        pub unsafe fn sum(a: Lanes, b: Lanes) -> Lanes {
            let s = $add(a, b);
            $min(s, $sub(s, all(PRIME)))
        }
        #[inline(always)]
        pub unsafe fn difference(a: Lanes, b: Lanes) -> Lanes {
            let d = $sub(a, b);
            $min(d, $add(d, all(PRIME)))
        }
    };
}

#[cfg(target_feature = "avx512f")]
lanes!(
    16, __m512i, _mm512_set1_epi32 as i32, _mm512_add_epi32, _mm512_sub_epi32, _mm512_min_epu32,
    |from: *const u32| _mm512_loadu_si512(from.cast()),
    |to: *mut u32, x| _mm512_storeu_si512(to.cast(), x),
    |from: *const i32| {
        let every = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        _mm512_i32gather_epi32::<4>(_mm512_mullo_epi32(every, all(16)), from.cast())
    }
);
#[cfg(all(target_feature = "avx2", not(target_feature = "avx512f")))]
lanes!(
    8, __m256i, _mm256_set1_epi32 as i32, _mm256_add_epi32, _mm256_sub_epi32, _mm256_min_epu32,
    |from: *const u32| _mm256_loadu_si256(from.cast()),
    |to: *mut u32, x| _mm256_storeu_si256(to.cast(), x),
    |from: *const i32| {
        let every = _mm256_setr_epi32(0, 16, 32, 48, 64, 80, 96, 112);
        _mm256_i32gather_epi32::<4>(from, every)
    }
);
#[cfg(target_arch = "aarch64")]
lanes!(
    4, uint32x4_t, vdupq_n_u32 as u32, vaddq_u32, vsubq_u32, vminq_u32,
    |from: *const u32| vld1q_u32(from),
    |to: *mut u32, x| vst1q_u32(to, x),
    |from: *const i32| {
        let every: [u32; 4] = core::array::from_fn(|i| *from.add(16 * i) as u32);
        vld1q_u32(every.as_ptr())
    }
);

/// Montgomery's reduction of the even lanes, then of the odd ones; the upper halves are kept.
#[cfg(target_arch = "x86_64")]
macro_rules! product {
    ($shift:ident, $mul:ident, $interleave:expr) => {
        #[inline(always)]
        pub unsafe fn product(a: Lanes, b: Lanes) -> Lanes {
            let even = $mul(a, b);
            let odd = $mul($shift::<32>(a), $shift::<32>(b));
            let even_q = $mul($mul(even, all(INVERSE)), all(PRIME));
            let odd_q = $mul($mul(odd, all(INVERSE)), all(PRIME));
            difference(
                $interleave($shift::<32>(even), odd),
                $interleave($shift::<32>(even_q), odd_q),
            )
        }
    };
}
#[cfg(target_feature = "avx512f")]
product!(_mm512_srli_epi64, _mm512_mul_epu32, |even, odd| _mm512_mask_mov_epi32(even, 0xaaaa, odd));
#[cfg(all(target_feature = "avx2", not(target_feature = "avx512f")))]
product!(_mm256_srli_epi64, _mm256_mul_epu32, |even, odd| _mm256_blend_epi32::<0xaa>(even, odd));

/// Half of what is left of twice the upper halves; the lower halves are equal, so nothing is borrowed.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub unsafe fn product(a: Lanes, b: Lanes) -> Lanes {
    let (a, b) = (vreinterpretq_s32_u32(a), vreinterpretq_s32_u32(b));
    let q = vmulq_s32(vmulq_s32(a, b), vdupq_n_s32(INVERSE as i32));
    let left = vhsubq_s32(vqdmulhq_s32(a, b), vqdmulhq_s32(q, vdupq_n_s32(PRIME as i32)));
    let d = vreinterpretq_u32_s32(left);
    vminq_u32(d, vaddq_u32(d, all(PRIME)))
}

type State = [Lanes; CELLS];

#[inline(always)]
unsafe fn seventh_power(x: Lanes) -> Lanes {
    let square = product(x, x);
    product(product(product(square, square), square), x)
}

#[inline(always)]
unsafe fn mix_outer(state: &mut State) {
    let mut totals = [all(0); 4];
    for quad in state.chunks_exact_mut(4) {
        let (a, b, c, d) = (quad[0], quad[1], quad[2], quad[3]);
        let (ab, cd) = (sum(a, b), sum(c, d));
        let (bb_cd, dd_ab) = (sum(sum(b, b), cd), sum(sum(d, d), ab));
        let (cd2, ab2) = (sum(cd, cd), sum(ab, ab));
        let (fourth, second) = (sum(sum(cd2, cd2), dd_ab), sum(sum(ab2, ab2), bb_cd));
        let mixed = [sum(dd_ab, second), second, sum(bb_cd, fourth), fourth];
        for (i, x) in mixed.into_iter().enumerate() {
            totals[i] = sum(totals[i], x);
            quad[i] = x;
        }
    }
    for (i, x) in state.iter_mut().enumerate() {
        *x = sum(*x, totals[i % 4]);
    }
}

#[inline(always)]
unsafe fn full_round(state: &mut State, round: usize) {
    for (i, x) in state.iter_mut().enumerate() {
        let constant = ROUND_CONSTANTS[round * CELLS + i].as_u32_montgomery();
        *x = seventh_power(sum(*x, all(constant)));
    }
    mix_outer(state);
}

#[inline(never)]
unsafe fn permute(state: &mut State) {
    mix_outer(state);
    for round in 0..ROUNDS_HALF_FULL {
        full_round(state, round);
    }
    for round in ROUNDS_HALF_FULL..ROUNDS_HALF_FULL + ROUNDS_PARTIAL {
        let constant = ROUND_CONSTANTS[round * CELLS].as_u32_montgomery();
        state[0] = seventh_power(sum(state[0], all(constant)));
        // Four sums at a time, or each would wait for the one before it.
        let mut totals = [state[0], state[1], state[2], state[3]];
        for i in 4..CELLS {
            totals[i % 4] = sum(totals[i % 4], state[i]);
        }
        let total = sum(sum(totals[0], totals[1]), sum(totals[2], totals[3]));
        for (i, x) in state.iter_mut().enumerate() {
            *x = sum(total, product(*x, all(M_INT_DIAG_HZN[i].as_u32_montgomery())));
        }
    }
    for round in ROUNDS_HALF_FULL + ROUNDS_PARTIAL..2 * ROUNDS_HALF_FULL + ROUNDS_PARTIAL {
        full_round(state, round);
    }
}

#[inline(always)]
unsafe fn put(state: &State, digests: &mut [Digest]) {
    let mut words = [[0u32; LANES]; 8];
    for (word, lanes) in words.iter_mut().zip(state) {
        store(word.as_mut_ptr(), *lanes);
    }
    for (lane, digest) in digests.iter_mut().enumerate() {
        for (to, word) in digest.as_mut_words().iter_mut().zip(&words) {
            *to = word[lane];
        }
    }
}

/// Hash `LANES` rows from `row` on of a matrix that lies column by column.
///
/// # Safety
/// The matrix has `rows` times `columns` elements, and `digests` has `LANES`.
pub unsafe fn hash_rows(
    matrix: *const u32, rows: usize, columns: usize, row: usize, digests: &mut [Digest],
) {
    let (mut state, mut used) = ([all(0); CELLS], 0);
    for column in 0..columns {
        state[used] = load(matrix.add(column * rows + row));
        used += 1;
        if used == RATE {
            permute(&mut state);
            used = 0;
        }
    }
    if used != 0 || columns == 0 {
        for x in &mut state[used..RATE] {
            *x = all(0);
        }
        permute(&mut state);
    }
    put(&state, digests);
}

/// Hash `LANES` pairs of digests that follow each other.
///
/// # Safety
/// `pairs` points to twice as many digests as `digests`, which are `LANES`.
pub unsafe fn hash_pairs(pairs: *const Digest, digests: &mut [Digest]) {
    let mut state = [all(0); CELLS];
    for (word, lanes) in state.iter_mut().take(RATE).enumerate() {
        *lanes = gather(pairs.cast::<i32>().add(word));
    }
    permute(&mut state);
    put(&state, digests);
}
