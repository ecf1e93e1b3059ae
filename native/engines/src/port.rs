//! The engine port of ambientd in Rust: what an engine gives, and how a call can end.

use std::collections::BTreeMap;

use pyo3::PyErr;

use crate::host::Host;

/// What one memory page holds.
pub const PAGE_BYTES: usize = 1 << 16;
/// As many elements as preparation lets a table have (protocols/04 §8).
pub const TABLE_ELEMENTS_MAX: u32 = 1 << 18;
pub const TABLES_MAX: usize = 8;

/// A function's type in letters: i for i32, l for i64, ? for any other.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature {
    pub params: String,
    pub results: String,
}

/// The functions of the host: module, then name.
pub type Imports = BTreeMap<String, BTreeMap<String, Signature>>;

/// What a module exports and imports, as far as the host cares.
#[derive(Clone, Default)]
pub struct Shape {
    pub functions: BTreeMap<String, Signature>,
    pub integer_globals: Vec<String>,
    pub memory_pages_min: Option<u64>,
    pub imported_modules: Vec<String>,
}

/// Why a call, or the start of an instance, ended without a result.
pub enum Ended {
    /// The module trapped: the reason's name in ambientd, and the engine's wording.
    Trap(&'static str, String),
    /// The engine gave up for a reason of its own.
    Failed(String),
    /// A host call raised this.
    Raised(PyErr),
}

/// The engine refuses a module, in its own words.
pub struct Invalid(pub String);

/// Where the linear memory lies at this moment.
pub struct Memory {
    pub base: *mut u8,
    pub size_bytes: usize,
}

/// Compiles modules.
pub trait Engine {
    fn compile(&self, module: &[u8]) -> Result<Box<dyn Module>, Invalid>;

    /// Takes back what `Module::serialize` gave.
    ///
    /// # Safety
    ///
    /// The bytes are machine code and are not checked; they must come from this engine.
    unsafe fn restore(&self, compiled: &[u8]) -> Result<Box<dyn Module>, String>;
}

/// A compiled module.
pub trait Module {
    fn shape(&self) -> &Shape;

    fn instantiate(
        &self,
        memory_bytes_max: usize,
        host: Option<Host>,
    ) -> Result<Box<dyn Instance>, Ended>;

    fn serialize(&self) -> Result<Option<Vec<u8>>, String>;
}

/// An instance in its own store. The host may use it while one of its calls is going on.
pub trait Instance {
    fn memory(&self) -> Memory;

    /// Reads a global; None if there is no such integer.
    fn global(&self, name: &str) -> Option<i64>;

    fn set_global(&self, name: &str, value: i64) -> Result<(), String>;

    /// Calls an export; integers of 32 bits are given and taken with their sign.
    fn call(&self, name: &str, arguments: &[i64]) -> Result<Option<i64>, Ended>;
}

/// Refuses a module with an import that the host does not give.
pub fn check_imports<'m>(
    wanted: impl Iterator<Item = (&'m str, &'m str, Option<Signature>)>,
    given: &Imports,
) -> Result<Vec<String>, Invalid> {
    let mut modules = Vec::new();
    for (module, name, signature) in wanted {
        let known = given.get(module).and_then(|functions| functions.get(name));
        if known.is_none() || known != signature.as_ref() {
            return Err(Invalid(format!("unknown import {module}.{name}")));
        }
        modules.push(module.to_owned());
    }
    Ok(modules)
}
