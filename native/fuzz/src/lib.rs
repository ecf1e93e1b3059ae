//! Modules for the differential tests: made from a seed, or changed by one.
//!
//! Everything here is a pure function of its arguments, so a find needs only its seed.

mod harness;
mod shape;

use std::panic::{catch_unwind, set_hook, AssertUnwindSafe};

use arbitrary::Unstructured;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use wasm_mutate::WasmMutate;
use wasmparser::{Validator, WasmFeatures};

/// What wasm-mutate may spend on one change; larger budgets take seconds on large functions.
const MUTATION_FUEL: u64 = 300;

/// What protocols/04 allows: WebAssembly 2.0 with fixed-width SIMD.
fn features() -> WasmFeatures {
    WasmFeatures::WASM2
}

/// Make a valid module that fits one of the host's interfaces.
#[pyfunction]
fn generate<'py>(py: Python<'py>, seed: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let entropy = expand(seed);
    let module = make(&entropy).map_err(PyValueError::new_err)?;
    Ok(PyBytes::new(py, &module))
}

fn make(entropy: &[u8]) -> Result<Vec<u8>, String> {
    let mut source = Unstructured::new(entropy);
    let shape = shape::Shape::choose(&mut source).map_err(|e| e.to_string())?;
    let module = wasm_smith::Module::new(shape.config(), &mut source)
        .map_err(|e| e.to_string())?
        .to_bytes();
    if shape.harness {
        harness::attach(&module, shape.interface)
    } else {
        Ok(module)
    }
}

/// Change a module in one place; None where nothing fits.
#[pyfunction]
#[pyo3(signature = (module, seed, *, reduce = false))]
fn mutate<'py>(
    py: Python<'py>,
    module: &[u8],
    seed: u64,
    reduce: bool,
) -> Option<Bound<'py, PyBytes>> {
    let mut mutation = WasmMutate::default();
    mutation.seed(seed).fuel(MUTATION_FUEL).reduce(reduce);
    // The mutator panics on some modules; for this purpose that is one more "nothing fits".
    let outcome = catch_unwind(AssertUnwindSafe(|| mutation.run(module).ok()?.next()?.ok()));
    outcome.ok().flatten().map(|bytes| PyBytes::new(py, &bytes))
}

/// Say why a module is invalid; None if it is valid.
#[pyfunction]
fn invalid(module: &[u8]) -> Option<String> {
    Validator::new_with_features(features())
        .validate_all(module)
        .err()
        .map(|error| error.to_string())
}

/// Stretch a seed to the bytes that a generator draws from (SplitMix64 over FNV-1a).
fn expand(seed: &[u8]) -> Vec<u8> {
    let mut state = seed.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let words = 128 + next() % 512;
    (0..words).flat_map(|_| next().to_le_bytes()).collect()
}

#[pymodule]
fn ambientd_fuzz(module: &Bound<'_, PyModule>) -> PyResult<()> {
    set_hook(Box::new(|_| {}));
    module.add_function(wrap_pyfunction!(generate, module)?)?;
    module.add_function(wrap_pyfunction!(mutate, module)?)?;
    module.add_function(wrap_pyfunction!(invalid, module)?)
}
