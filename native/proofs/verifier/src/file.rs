//! The file (protocols/18 §5): magic, image id, statement, one or more seals, and nothing behind.

use crate::statement::{Hash, Kind, STATEMENT_BYTES};

pub const MAGIC: &[u8; 8] = b"AMBPROOF";
pub const SEGMENTS_MAX: u32 = 64;
/// A seal of 2^20 cycles has some 65,000; a file cannot make us read more.
pub const SEAL_WORDS_MAX: u32 = 1 << 17;
const HEADER_BYTES: usize = 8 + 4 + 32 + STATEMENT_BYTES + 4;
/// No file of this form is longer.
pub const FILE_BYTES_MAX: u64 =
    HEADER_BYTES as u64 + SEGMENTS_MAX as u64 * (4 + 4 * SEAL_WORDS_MAX as u64);

/// One proof, decoded but not yet believed.
#[derive(Clone, Debug)]
pub struct Proof {
    pub kind: Kind,
    pub image: Hash,
    pub statement: [u8; STATEMENT_BYTES],
    pub seals: Vec<Vec<u32>>,
}

fn number(bytes: &[u8], at: usize) -> Result<u32, String> {
    let four = bytes.get(at..at + 4).ok_or_else(|| ends_early(bytes))?;
    Ok(u32::from_be_bytes(four.try_into().expect("4 bytes")))
}

fn ends_early(bytes: &[u8]) -> String {
    format!("it ends too early, after {} bytes: fetch it again", bytes.len())
}

impl Proof {
    /// Decode a file, or say what kind of file it is instead.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("it is empty".into());
        }
        if !bytes.starts_with(&MAGIC[..bytes.len().min(MAGIC.len())]) {
            return Err("it is no proof of an execution: it does not begin with AMBPROOF".into());
        }
        let version = number(bytes, 8)?;
        let Some(kind) = Kind::of_version(version) else {
            return Err(format!(
                "it is of version {version}, this program knows 1 and 2: update it"
            ));
        };
        if bytes.len() < HEADER_BYTES {
            return Err(ends_early(bytes));
        }
        let count = number(bytes, HEADER_BYTES - 4)?;
        if count == 0 || count > SEGMENTS_MAX {
            return Err(format!("it has {count} segments, 1 to {SEGMENTS_MAX} are possible"));
        }
        let (mut at, mut seals) = (HEADER_BYTES, Vec::new());
        for _ in 0..count {
            let words = number(bytes, at)?;
            if words > SEAL_WORDS_MAX {
                return Err(format!(
                    "a seal of {words} words, at most {SEAL_WORDS_MAX} are possible"
                ));
            }
            let end = at + 4 + 4 * words as usize;
            let seal = bytes.get(at + 4..end).ok_or_else(|| ends_early(bytes))?;
            seals.push(
                seal.chunks_exact(4)
                    .map(|word| u32::from_le_bytes(word.try_into().expect("4 bytes")))
                    .collect(),
            );
            at = end;
        }
        if at != bytes.len() {
            return Err(format!("{} bytes follow behind its end", bytes.len() - at));
        }
        Ok(Self {
            kind,
            image: bytes[12..44].try_into().expect("32 bytes"),
            statement: bytes[44..44 + STATEMENT_BYTES].try_into().expect("as many"),
            seals,
        })
    }

    /// Encode a proof as a file.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend((self.kind as u32).to_be_bytes());
        bytes.extend(self.image);
        bytes.extend(self.statement);
        bytes.extend((self.seals.len() as u32).to_be_bytes());
        for seal in &self.seals {
            bytes.extend((seal.len() as u32).to_be_bytes());
            bytes.extend(seal.iter().flat_map(|word| word.to_le_bytes()));
        }
        bytes
    }
}
