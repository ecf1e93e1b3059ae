//! Proves an execution, segment by segment; a proof that does not verify is never written.

use std::path::Path;
use std::time::Instant;

use ambient_verify::file::Proof;
use ambient_verify::verify;
use anyhow::{Context, Result, anyhow, ensure};
use risc0_circuit_rv32im::prove::segment_prover;

use crate::execute::Executed;
use crate::options::Options;

// Measured: a row of the trace with its extensions and trees, and what is there anyway.
const BYTES_A_CYCLE: u64 = 9_500;
const BYTES_FIXED: u64 = 40 << 20;
// Padded cycles a second on two cores with other work, by the registers that this was built for.
const CYCLES_A_SECOND: u64 = if cfg!(target_feature = "avx512f") {
    15_000
} else if cfg!(target_feature = "avx2") {
    12_000
} else {
    2_000
};

pub fn prove(options: &Options, executed: &Executed) -> Result<()> {
    let path = options.proof.as_deref().context("where to? Say --proof FILE")?;
    let cycles = executed.padded_cycles();
    let widest = executed.segments.iter().map(|each| each.po2).max().unwrap_or_default();
    let mib = (BYTES_FIXED + (BYTES_A_CYCLE << widest)) >> 20;
    let estimate = format!("about {} s on two fast cores, {mib} MiB", cycles / CYCLES_A_SECOND + 1);
    ensure!(
        cycles <= options.cycles_max,
        "{cycles} cycles to prove ({estimate}), allowed are {}: raise --cycles-max",
        options.cycles_max
    );
    if let Some(cap) = options.memory_mib_max {
        ensure!(mib <= cap, "it would take {estimate}, allowed are {cap} MiB: lower --segment");
    }
    eprintln!("proving {cycles} cycles: {estimate}");
    let prover = segment_prover()?;
    let mut seals = Vec::new();
    for (number, segment) in executed.segments.iter().enumerate() {
        let started = Instant::now();
        seals.push(prover.prove(segment)?);
        let (of, took) = (executed.segments.len(), started.elapsed().as_secs_f64());
        eprintln!("segment {} of {of}: 2^{} cycles, {took:.2} s", number + 1, segment.po2);
    }
    let Executed { kind, image, statement, .. } = *executed;
    let proof = Proof { kind, image, statement, seals };
    verify::verify(&proof).map_err(|why| anyhow!("the proof does not verify: {why}"))?;
    let beside = Path::new(path).with_extension("part");
    std::fs::write(&beside, proof.encode())?;
    std::fs::rename(beside, path)?;
    Ok(())
}
