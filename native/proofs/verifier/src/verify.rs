//! Whether a proof holds: every seal, the states between them, the end and its digest.

use std::panic::catch_unwind;

use risc0_circuit_rv32im::{CircuitImpl, Rv32imV2Claim};
use risc0_zkp::adapter::CircuitInfo as _;
use risc0_zkp::core::digest::Digest;

use crate::file::Proof;
use crate::statement::Stated;

/// Cycles of a segment, as a power of two: from the least that the circuit's own tables leave room
/// in, to the most that upstream states its 97 bits for. The published verifier takes more.
pub const SEGMENT_PO2_MIN: u32 = 13;
pub const SEGMENT_PO2_MAX: u32 = 20;
// Behind the version and the circuit's public values.
const PO2_AT: usize = 1 + CircuitImpl::OUTPUT_SIZE;

/// Verify a proof; gives its statement, or why it does not hold.
pub fn verify(proof: &Proof) -> Result<Stated, String> {
    let statement = Stated::decode(proof.kind, &proof.statement)?;
    let mut state = Digest::from(proof.image);
    for (number, seal) in proof.seals.iter().enumerate() {
        let claim = sealed(seal).map_err(|why| format!("segment {number}: {why}"))?;
        if claim.pre_state != state {
            return Err(match number {
                0 => "it is a proof of another image than it says".into(),
                _ => format!("segment {number} does not begin where the one before it ended"),
            });
        }
        if claim.input != Digest::ZERO {
            return Err(format!("segment {number} was given something besides its memory"));
        }
        state = claim.post_state;
        let is_last = number + 1 == proof.seals.len();
        match claim.terminate_state {
            None if is_last => return Err("its last segment is not the end".into()),
            Some(_) if !is_last => return Err(format!("segment {number} is the end already")),
            Some(end) if u32::from(end.a0) != 0 || u32::from(end.a1) != 0 => {
                return Err("the image gave up instead of making a statement".into());
            }
            _ => {}
        }
        if is_last && claim.output != Some(Digest::from(proof.kind.digest(&proof.statement))) {
            return Err("it proves another statement than it says".into());
        }
    }
    Ok(statement)
}

fn sealed(seal: &[u32]) -> Result<Rv32imV2Claim, String> {
    if seal.len() < 128 {
        return Err("the seal is too short".into());
    }
    let po2 = seal[PO2_AT];
    if !(SEGMENT_PO2_MIN..=SEGMENT_PO2_MAX).contains(&po2) {
        return Err(format!(
            "it says 2^{po2} cycles, 2^{SEGMENT_PO2_MIN} to 2^{SEGMENT_PO2_MAX} are possible"
        ));
    }
    // The published verifier indexes into what it is given; a hostile seal may end in a panic there.
    catch_unwind(|| {
        risc0_circuit_rv32im::verify(seal)
            .map_err(|why| format!("the seal does not hold ({why})"))?;
        Rv32imV2Claim::decode(seal).map_err(|why| format!("the seal's claim is no claim ({why})"))
    })
    .unwrap_or_else(|_| Err("the seal does not hold".into()))
}
