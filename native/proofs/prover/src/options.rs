//! What is asked on the command line.

use anyhow::Context;

pub const USAGE: &str = "\
usage: ambient-prove execute|prove IMAGE [options]

  --input FILE            the task's input (default: empty)
  --module FILE           the prepared module, where IMAGE is the universal one
  --step FILE             what the image of steps reads, where IMAGE is that one
  --output FILE           where to write the execution's output
  --proof FILE            where to write the proof
  --gas N, --memory N, --output-max N   the task's limits (default: 10000000000, 536870912, 16777216)
  --salt HEX              32 bytes: name input and output by salted hashes
  --segment PO2           cycles of a segment, as a power of two, 14 to 20 (default: 17)
  --cycles-max N          refuse to prove more cycles than this (default: 4194304)
  --memory-mib-max N      hold no more memory than this (default: no bound)";

pub enum Verb {
    Execute,
    Prove,
}

pub struct Options {
    pub verb: Verb,
    pub image: String,
    pub input: Option<String>,
    pub module: Option<String>,
    pub step: Option<String>,
    pub output: Option<String>,
    #[cfg_attr(not(feature = "prove"), allow(dead_code))]
    pub proof: Option<String>,
    pub gas: u64,
    pub memory: u64,
    pub output_max: u64,
    pub salt: Option<[u8; 32]>,
    pub segment: usize,
    pub cycles_max: u64,
    pub memory_mib_max: Option<u64>,
}

impl Options {
    pub fn parse(arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut arguments = arguments;
        let verb = match arguments.next()?.as_str() {
            "execute" => Verb::Execute,
            "prove" => Verb::Prove,
            _ => return None,
        };
        let mut options = Self {
            verb,
            image: arguments.next()?,
            input: None,
            module: None,
            step: None,
            output: None,
            proof: None,
            gas: 10_000_000_000,
            memory: 512 << 20,
            output_max: 16 << 20,
            salt: None,
            segment: 17,
            cycles_max: 1 << 22,
            memory_mib_max: None,
        };
        while let Some(name) = arguments.next() {
            let value = arguments.next()?;
            match name.as_str() {
                "--input" => options.input = Some(value),
                "--module" => options.module = Some(value),
                "--step" => options.step = Some(value),
                "--output" => options.output = Some(value),
                "--proof" => options.proof = Some(value),
                "--gas" => options.gas = value.parse().ok()?,
                "--memory" => options.memory = value.parse().ok()?,
                "--output-max" => options.output_max = value.parse().ok()?,
                "--salt" => options.salt = Some(salt(&value)?),
                "--segment" => options.segment = value.parse().ok()?,
                "--cycles-max" => options.cycles_max = value.parse().ok()?,
                "--memory-mib-max" => options.memory_mib_max = Some(value.parse().ok()?),
                _ => return None,
            }
        }
        (14..=20).contains(&options.segment).then_some(options)
    }

    /// Let the system refuse memory above the cap; the process then ends, and nothing else does.
    pub fn cap_memory(&self) -> anyhow::Result<()> {
        let Some(mib) = self.memory_mib_max else { return Ok(()) };
        let limit = libc::rlimit { rlim_cur: mib << 20, rlim_max: mib << 20 };
        // SAFETY: the structure lives until the call returns.
        match unsafe { libc::setrlimit(libc::RLIMIT_DATA, &limit) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()).context("the memory cap could not be set"),
        }
    }
}

fn salt(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut salt = [0; 32];
    for (byte, at) in salt.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(salt)
}
