//! Big integers are left out: no image of ours asks for them, and they alone needed malachite (LGPL).

use std::collections::BTreeMap;

use anyhow::{bail, Result};
use risc0_binfmt::WordAddr;

use super::{platform::WORD_SIZE, r0vm::Risc0Context};

pub(crate) const BIGINT_WIDTH_WORDS: usize = 4;
pub(crate) const BIGINT_WIDTH_BYTES: usize = BIGINT_WIDTH_WORDS * WORD_SIZE;
pub(crate) type BigIntBytes = [u8; BIGINT_WIDTH_BYTES];
pub(crate) type BigIntWitness = BTreeMap<WordAddr, BigIntBytes>;

#[allow(dead_code)]
pub(crate) struct BigIntExec {
    pub(crate) mode: u32,
    pub(crate) verify_program_ptr: WordAddr,
    pub(crate) verify_program_size: usize,
    pub(crate) witness: BigIntWitness,
}

pub fn ecall_execute(ctx: &mut impl Risc0Context) -> Result<usize> {
    ecall(ctx).map(|exec| exec.verify_program_size)
}

pub(crate) fn ecall(_ctx: &mut impl Risc0Context) -> Result<BigIntExec> {
    bail!("this prover has no big integers")
}
