//! Executes an image: gives its statement and output, and the segments that would be proven.

use std::cell::{Cell, RefCell};

use ambient_verify::image;
use ambient_verify::statement::{Hash, Kind, STATEMENT_BYTES, Stated, committed};
use anyhow::{Context, Result, anyhow, bail, ensure};
use risc0_binfmt::ByteAddr;
use risc0_circuit_rv32im::MAX_INSN_CYCLES_LOWER_PO2;
use risc0_circuit_rv32im::execute::testutil;
use risc0_circuit_rv32im::execute::{CycleLimit, Segment, Syscall, SyscallContext};
use risc0_zkp::core::digest::Digest;

use crate::options::Options;

/// Ten blocks of 68 cycles; six pages in and two out, of 322; their paths of 22 nodes, of 13 cycles, from
/// three places in and from two out: 4,686.
const LONGEST_CYCLES: usize = 5_000;

/// An execution with its statement; `segments` are what is proven of it.
pub struct Executed {
    pub kind: Kind,
    #[cfg_attr(not(feature = "prove"), allow(dead_code))]
    pub image: Hash,
    #[cfg_attr(not(feature = "prove"), allow(dead_code))]
    pub statement: [u8; STATEMENT_BYTES],
    pub decoded: Stated,
    pub output: Vec<u8>,
    pub segments: Vec<Segment>,
    pub user_cycles: u64,
}

impl Executed {
    /// Cycles that are proven: each segment's, up to its power of two.
    pub fn padded_cycles(&self) -> u64 {
        self.segments.iter().map(|segment| 1 << segment.po2).sum()
    }

    pub fn described(&self) -> String {
        let (outcome, gas) = match &self.decoded {
            Stated::Execution(statement) => (statement.outcome_shown(), statement.gas),
            Stated::Step(step) => (step.end_shown(), step.gas),
        };
        let text = format!(
            "outcome={} gas={} output_bytes={} user_cycles={} padded_cycles={} segments={}",
            outcome.replace(' ', ""),
            gas,
            self.output.len(),
            self.user_cycles,
            self.padded_cycles(),
            self.segments.len(),
        );
        match self.kind {
            Kind::Execution => text,
            // A step's ends are known to nobody else yet.
            Kind::Step => {
                let digits = self.statement.iter().map(|byte| format!("{byte:02x}"));
                format!("{text}\nstatement={}", digits.collect::<String>())
            }
        }
    }
}

pub fn execute(options: &Options) -> Result<Executed> {
    let elf = std::fs::read(&options.image).with_context(|| options.image.clone())?;
    let mut memory = image::memory(&elf).map_err(|why| anyhow!("{}: {why}", options.image))?;
    let image = memory.image_id().as_bytes().try_into()?;
    let input = match &options.input {
        Some(path) => std::fs::read(path).with_context(|| path.clone())?,
        None => Vec::new(),
    };
    let (kind, words) = match &options.step {
        Some(path) => (Kind::Step, std::fs::read(path).with_context(|| path.clone())?),
        None => (Kind::Execution, given(options, &input)?),
    };
    let host = Host { words, read: Cell::new(0), seen: RefCell::default() };
    // A segment is not to end in the middle of an instruction. Upstream leaves 25,000 cycles for any;
    // an image's longest hashes ten blocks, and touches at most six pages. More would end the prover.
    let longest = if options.segment >= 15 { LONGEST_CYCLES } else { MAX_INSN_CYCLES_LOWER_PO2 };
    let limit = CycleLimit::Hard(options.cycles_max);
    let session = testutil::execute(memory, options.segment, longest, limit, &host, None)
        .with_context(|| too_long(options))?;
    let end = session.result.claim.terminate_state.context("the execution did not end")?;
    ensure!(u32::from(end.a0) == 0, "the image gave up with code {}", u32::from(end.a0));
    let Some((statement, output)) = host.seen.into_inner() else {
        bail!("the image made no statement")
    };
    let expected = Digest::from(kind.digest(&statement));
    ensure!(session.result.claim.output == Some(expected), "the image's digest is another one");
    let decoded = Stated::decode(kind, &statement).map_err(|why| anyhow!(why))?;
    let salt = options.salt.as_ref();
    let stated = match &decoded {
        Stated::Execution(statement) => {
            statement.input == committed(salt, &input)
                && statement.output == committed(salt, &output)
        }
        Stated::Step(step) => step.output == committed(None, &output),
    };
    ensure!(stated, "the image names another input or output than it had");
    let user_cycles = session.result.user_cycles;
    Ok(Executed {
        kind,
        image,
        statement,
        decoded,
        output,
        segments: session.segments,
        user_cycles,
    })
}

fn too_long(options: &Options) -> String {
    format!("stopped; if for its length, raise --cycles-max ({})", options.cycles_max)
}

/// What the image reads: salt, limits, the input's size, a module for the universal one, the input.
fn given(options: &Options, input: &[u8]) -> Result<Vec<u8>> {
    let mut words = u32::from(options.salt.is_some()).to_le_bytes().to_vec();
    words.extend(options.salt.unwrap_or_default());
    for limit in [options.gas, options.memory, options.output_max] {
        words.extend(limit.to_le_bytes());
    }
    words.extend(u32::try_from(input.len())?.to_le_bytes());
    if let Some(path) = &options.module {
        let module = std::fs::read(path).with_context(|| path.clone())?;
        words.extend(u32::try_from(module.len())?.to_le_bytes());
        words.extend(module);
    }
    words.extend(input);
    Ok(words)
}

type Seen = Option<([u8; STATEMENT_BYTES], Vec<u8>)>;

struct Host {
    words: Vec<u8>,
    read: Cell<usize>,
    seen: RefCell<Seen>,
}

impl Syscall for Host {
    fn host_read(&self, ctx: &mut impl SyscallContext, fd: u32, buffer: &mut [u8]) -> Result<u32> {
        if fd != 0 {
            let mut words = [0; 3];
            for (word, at) in words.iter_mut().zip((fd & !3..).step_by(4)) {
                *word = ctx.peek_u32(ByteAddr(at))?;
            }
            let [output, size, statement] = words;
            let statement = ctx.peek_region(ByteAddr(statement), STATEMENT_BYTES)?;
            let statement = statement.try_into().map_err(|_| anyhow!("a statement is cut"))?;
            let output = ctx.peek_region(ByteAddr(output), size as usize)?;
            *self.seen.borrow_mut() = Some((statement, output));
            return Ok(0);
        }
        let at = self.read.get();
        let part = self.words.get(at..at + buffer.len()).context("the image read too far")?;
        buffer.copy_from_slice(part);
        self.read.set(at + buffer.len());
        Ok(buffer.len() as u32)
    }

    fn host_write(&self, _: &mut impl SyscallContext, _: u32, _: &[u8]) -> Result<u32> {
        bail!("the image writes to the host")
    }
}
