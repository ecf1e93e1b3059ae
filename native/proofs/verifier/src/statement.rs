//! What a proof states: 144 bytes, whose tagged hash is the image's output (protocols/18 §2).

use sha2::{Digest as _, Sha256};

use crate::step::Step;

pub const STATEMENT_BYTES: usize = 144;
const OUTCOMES: [&str; 3] = ["completed", "trapped", "out_of_gas"];
// `TrapReason` of ambientd.model.execution, in its order, from 1.
const REASONS: [&str; 14] = [
    "",
    "unreachable",
    "memory_out_of_bounds",
    "table_out_of_bounds",
    "indirect_call_to_null",
    "indirect_call_type_mismatch",
    "integer_divide_by_zero",
    "integer_overflow",
    "bad_conversion_to_integer",
    "call_depth",
    "exit_code",
    "output_too_large",
    "bad_output",
    "host_call",
];
const TRAPPED: u32 = 1;

pub type Hash = [u8; 32];

/// The statement's fields, in their order; numbers are big-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub module: Hash,
    pub input: Hash,
    pub output: Hash,
    pub salted: bool,
    pub outcome: u32,
    pub reason: u32,
    pub detail: u32,
    pub gas_max: u64,
    pub gas: u64,
    pub memory_bytes_max: u64,
    pub output_bytes_max: u64,
}

pub(crate) fn hash_at(bytes: &[u8], at: usize) -> Hash {
    bytes[at..at + 32].try_into().expect("32 bytes")
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

impl Statement {
    /// Decode a statement; what could not come from an execution is refused.
    pub fn decode(bytes: &[u8; STATEMENT_BYTES]) -> Result<Self, String> {
        let salted = u32_at(bytes, 96);
        let statement = Self {
            module: hash_at(bytes, 0),
            input: hash_at(bytes, 32),
            output: hash_at(bytes, 64),
            salted: salted == 1,
            outcome: u32_at(bytes, 100),
            reason: u32_at(bytes, 104),
            detail: u32_at(bytes, 108),
            gas_max: u64_at(bytes, 112),
            gas: u64_at(bytes, 120),
            memory_bytes_max: u64_at(bytes, 128),
            output_bytes_max: u64_at(bytes, 136),
        };
        if salted > 1 || !is_reasonable(statement.outcome, statement.reason) {
            return Err("its statement names no known outcome".into());
        }
        if statement.gas > statement.gas_max {
            return Err("its statement charges more gas than its limit".into());
        }
        Ok(statement)
    }

    /// Say how the execution ended, in the words of protocols/04 §10.
    pub fn outcome_shown(&self) -> String {
        outcome_text(self.outcome, self.reason, self.detail)
    }
}

/// Whether an outcome and a reason are known, and belong to each other.
pub(crate) fn is_reasonable(outcome: u32, reason: u32) -> bool {
    (outcome as usize) < OUTCOMES.len()
        && (reason as usize) < REASONS.len()
        && (outcome == TRAPPED) == (reason != 0)
}

pub(crate) fn outcome_text(outcome: u32, reason: u32, detail: u32) -> String {
    let name = OUTCOMES[outcome as usize];
    match REASONS[reason as usize] {
        "" => name.into(),
        "exit_code" => format!("{name} (exit_code:{detail})"),
        reason => format!("{name} ({reason})"),
    }
}

/// protocols/01 §2.
pub fn tagged(tag: &str, parts: &[&[u8]]) -> Hash {
    let mut hash = Sha256::new();
    hash.update([tag.len() as u8]);
    hash.update(tag);
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// What a proof is about: the version of its file says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Execution = 1,
    Step = 2,
}

impl Kind {
    pub fn of_version(version: u32) -> Option<Self> {
        [Self::Execution, Self::Step].into_iter().find(|kind| *kind as u32 == version)
    }

    /// The digest that the image puts out for a statement.
    pub fn digest(self, statement: &[u8; STATEMENT_BYTES]) -> Hash {
        let tag = match self {
            Self::Execution => "ambient/execution/1",
            Self::Step => "ambient/step/1",
        };
        tagged(tag, &[statement])
    }
}

/// A statement of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stated {
    Execution(Statement),
    Step(Step),
}

impl Stated {
    /// Decode a statement; what could not come from an execution is refused.
    pub fn decode(kind: Kind, bytes: &[u8; STATEMENT_BYTES]) -> Result<Self, String> {
        match kind {
            Kind::Execution => Statement::decode(bytes).map(Self::Execution),
            Kind::Step => Step::decode(bytes).map(Self::Step),
        }
    }
}

/// How the universal image names the prepared module that it interprets (protocols/18 §8).
pub fn prepared(module: &[u8]) -> Hash {
    tagged("ambient/prepared/1", &[module])
}

/// How an input or output is named: by its SHA-256, or salted.
pub fn committed(salt: Option<&Hash>, data: &[u8]) -> Hash {
    match salt {
        None => Sha256::digest(data).into(),
        Some(salt) => tagged("ambient/salted/1", &[salt, data]),
    }
}
