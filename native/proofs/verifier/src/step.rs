//! What a proof of a step states: 144 bytes, whose tagged hash is the image's output (protocols/18 §10).

use crate::statement::{
    Hash, STATEMENT_BYTES, hash_at, is_reasonable, outcome_text, u32_at, u64_at,
};

/// The statement's fields, in their order; numbers are big-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub start: Hash,
    /// The root of the state at the end; zeros where the execution is over.
    pub end: Hash,
    pub output: Hash,
    pub ended: bool,
    pub outcome: u32,
    pub reason: u32,
    pub output_size: u32,
    pub start_gas: u64,
    pub until_gas: u64,
    pub gas: u64,
    pub gas_max: u64,
}

impl Step {
    /// Decode a statement; what could not come from an execution is refused.
    pub fn decode(bytes: &[u8; STATEMENT_BYTES]) -> Result<Self, String> {
        let ended = u32_at(bytes, 96);
        let step = Self {
            start: hash_at(bytes, 0),
            end: hash_at(bytes, 32),
            output: hash_at(bytes, 64),
            ended: ended == 1,
            outcome: u32_at(bytes, 100),
            reason: u32_at(bytes, 104),
            output_size: u32_at(bytes, 108),
            start_gas: u64_at(bytes, 112),
            until_gas: u64_at(bytes, 120),
            gas: u64_at(bytes, 128),
            gas_max: u64_at(bytes, 136),
        };
        let paused = step.outcome == 0 && step.reason == 0 && step.output_size == 0;
        if ended > 1
            || !is_reasonable(step.outcome, step.reason)
            || step.ended != (step.end == [0; 32])
            || !(step.ended || paused)
            || step.until_gas <= step.start_gas
        {
            return Err("its statement names no known end".into());
        }
        if step.gas > step.gas_max || step.gas < step.start_gas {
            return Err("its statement charges more gas than its limit, or gives some back".into());
        }
        if !step.ended && step.gas < step.until_gas {
            return Err("its statement ends before it says".into());
        }
        Ok(step)
    }

    /// Say where the execution stood at the end.
    pub fn end_shown(&self) -> String {
        match self.ended {
            true => outcome_text(self.outcome, self.reason, 0),
            false => "paused".into(),
        }
    }
}
