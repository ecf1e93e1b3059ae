//! Number-theoretic transforms and evaluations of polynomials, as many numbers at once as a register
//! holds; the values are those of `core::ntt` and of the generic code, for sums have no order.
#![allow(unsafe_op_in_unsafe_fn, missing_docs)]

use risc0_core::field::baby_bear::{BabyBearElem, BabyBearExtElem};
use risc0_core::field::{Elem as _, ExtElem as _, RootsOfUnity as _};

use super::lanes::{LANES, all, difference, load, product, store, sum};

/// The words of numbers that are elements of BabyBear, by whatever generic name.
///
/// # Safety
/// They are.
pub unsafe fn words<T>(numbers: &[T]) -> &[u32] {
    core::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers) / 4)
}

/// # Safety
/// As for `words`.
pub unsafe fn words_mut<T>(numbers: &mut [T]) -> &mut [u32] {
    core::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), size_of_val(numbers) / 4)
}

/// What the layers of a transform multiply by; those of the layer over 2^n lie from 2^(n-1) on.
pub fn roots(size: usize, is_forward: bool) -> Vec<u32> {
    let steps = if is_forward { BabyBearElem::ROU_FWD } else { BabyBearElem::ROU_REV };
    let mut roots = vec![0; size];
    for n in 1..=size.trailing_zeros() as usize {
        let mut root = BabyBearElem::ONE;
        for place in &mut roots[1 << (n - 1)..1 << n] {
            *place = root.as_u32_montgomery();
            root *= steps[n];
        }
    }
    roots
}

unsafe fn layer<const FORWARD: bool>(row: &mut [u32], half: usize, roots: &[u32]) {
    let raw = BabyBearElem::new_raw;
    let roots = &roots[half..2 * half];
    for block in row.chunks_exact_mut(2 * half) {
        let (low, high) = block.split_at_mut(half);
        if half < LANES {
            for ((a, b), root) in low.iter_mut().zip(high).zip(roots) {
                let (x, y, root) = (raw(*a), raw(*b), raw(*root));
                let (x, y) = if FORWARD { (x + y * root, x - y * root) } else { (x + y, (x - y) * root) };
                (*a, *b) = (x.as_u32_montgomery(), y.as_u32_montgomery());
            }
            continue;
        }
        for at in (0..half).step_by(LANES) {
            let (to_a, to_b) = (low.as_mut_ptr().add(at), high.as_mut_ptr().add(at));
            let (x, y, root) = (load(to_a), load(to_b), load(roots.as_ptr().add(at)));
            if FORWARD {
                let y = product(y, root);
                store(to_a, sum(x, y));
                store(to_b, difference(x, y));
            } else {
                store(to_a, sum(x, y));
                store(to_b, product(difference(x, y), root));
            }
        }
    }
}

/// `core::ntt::evaluate_ntt`.
///
/// # Safety
/// The words are elements, a power of two of them, not fewer than lanes; the roots are forward.
pub unsafe fn evaluate(row: &mut [u32], expand_bits: usize, roots: &[u32]) {
    for n in expand_bits..row.len().trailing_zeros() as usize {
        layer::<true>(row, 1 << n, roots);
    }
}

/// `core::ntt::interpolate_ntt`.
///
/// # Safety
/// As for `evaluate`, with the roots backward.
pub unsafe fn interpolate(row: &mut [u32], roots: &[u32]) {
    for n in (0..row.len().trailing_zeros()).rev() {
        layer::<false>(row, 1 << n, roots);
    }
    let norm = all(BabyBearElem::new(row.len() as u32).inv().as_u32_montgomery());
    for at in (0..row.len()).step_by(LANES) {
        let to = row.as_mut_ptr().add(at);
        store(to, product(load(to), norm));
    }
}

/// Powers of 3 in the order in which a row's coefficients lie, by which `zk_shift` multiplies.
pub fn shifts(size: usize) -> Vec<u32> {
    let (mut powers, mut power) = (vec![0; size], BabyBearElem::ONE);
    let bits = size.trailing_zeros();
    for number in 0..size as u32 {
        let reversed = number.reverse_bits() >> (32 - bits);
        powers[reversed as usize] = power.as_u32_montgomery();
        power *= BabyBearElem::new(3);
    }
    powers
}

/// Multiply a row by another.
///
/// # Safety
/// As for `evaluate`, both.
pub unsafe fn scale(row: &mut [u32], by: &[u32]) {
    for at in (0..row.len()).step_by(LANES) {
        let to = row.as_mut_ptr().add(at);
        store(to, product(load(to), load(by.as_ptr().add(at))));
    }
}

/// A point's powers, from 1 on, each of their four words for itself.
pub fn powers(point: &[u32], count: usize) -> [Vec<u32>; 4] {
    let raw = |word: usize| BabyBearElem::new_raw(point[word]);
    let point = BabyBearExtElem::new(raw(0), raw(1), raw(2), raw(3));
    let (mut made, mut power) = ([(); 4].map(|()| vec![0; count]), BabyBearExtElem::ONE);
    for number in 0..count {
        for (words, word) in made.iter_mut().zip(power.subelems()) {
            words[number] = word.as_u32_montgomery();
        }
        power *= point;
    }
    made
}

/// A polynomial's value where the powers are those of.
///
/// # Safety
/// As for `evaluate`, the coefficients and each of the powers.
pub unsafe fn value(coefficients: &[u32], powers: &[Vec<u32>; 4]) -> [u32; 4] {
    let mut totals = [all(0); 4];
    for at in (0..coefficients.len()).step_by(LANES) {
        let coefficient = load(coefficients.as_ptr().add(at));
        for (total, words) in totals.iter_mut().zip(powers) {
            *total = sum(*total, product(coefficient, load(words.as_ptr().add(at))));
        }
    }
    totals.map(|total| {
        let mut lanes = [0; LANES];
        store(lanes.as_mut_ptr(), total);
        let add = |sum: BabyBearElem, word: &u32| sum + BabyBearElem::new_raw(*word);
        lanes.iter().fold(BabyBearElem::ZERO, add).as_u32_montgomery()
    })
}
