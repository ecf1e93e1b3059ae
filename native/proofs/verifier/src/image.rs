//! The image id of an ELF file: the root of the memory that an execution starts with.

use risc0_binfmt::{MemoryImage, Program};

use crate::statement::Hash;

/// The memory at the start, in machine mode: the image is all there is, no kernel below it.
pub fn memory(elf: &[u8]) -> Result<MemoryImage, String> {
    let program = Program::load_elf(elf, u32::MAX).map_err(|e| format!("it is no image: {e}"))?;
    Ok(MemoryImage::new_kernel(program))
}

/// Compute an image's id.
pub fn id(elf: &[u8]) -> Result<Hash, String> {
    Ok(memory(elf)?.image_id().as_bytes().try_into().expect("32 bytes"))
}
