//! The image id of an ELF file: the root of the memory that an execution starts with.

use risc0_binfmt::{MemoryImage, Program};

use crate::statement::Hash;

/// What an image may fill of the memory; a short file can ask for all of it.
pub const IMAGE_BYTES_MAX: u64 = 64 << 20;
const HEADERS_MAX: usize = 256;
const LOADED: u32 = 1;

/// The memory at the start, in machine mode: the image is all there is, no kernel below it.
pub fn memory(elf: &[u8]) -> Result<MemoryImage, String> {
    let filled = filled_bytes(elf).ok_or("it is no image: its headers are cut")?;
    if filled > IMAGE_BYTES_MAX {
        return Err(format!("it fills {filled} bytes, at most {IMAGE_BYTES_MAX} are possible"));
    }
    let program = Program::load_elf(elf, u32::MAX).map_err(|e| format!("it is no image: {e}"))?;
    Ok(MemoryImage::new_kernel(program))
}

/// How many bytes of the memory the program headers of a 32-bit file ask for.
fn filled_bytes(elf: &[u8]) -> Option<u64> {
    let number = |at: usize, size: usize| -> Option<u64> {
        let bytes = elf.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let (first, each, count) = (number(28, 4)?, number(42, 2)?, number(44, 2)?);
    (0..(count as usize).min(HEADERS_MAX + 1)).try_fold(0, |sum, n| {
        let at = first as usize + n * each as usize;
        let is_loaded = number(at, 4)? == u64::from(LOADED);
        Some(sum + if is_loaded { number(at + 20, 4)? } else { 0 })
    })
}

/// Compute an image's id.
pub fn id(elf: &[u8]) -> Result<Hash, String> {
    Ok(memory(elf)?.image_id().as_bytes().try_into().expect("32 bytes"))
}
