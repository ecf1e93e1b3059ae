//! What a generated module may look like: the allowed features, and one of the interfaces.

use arbitrary::{Result, Unstructured};
use wasm_encoder::{
    CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection,
    MemorySection, MemoryType, Module, TypeSection, ValType,
};
use wasm_smith::{Config, MemoryOffsetChoices};

/// The export that a harness calls; without one the module exports the interface's own.
pub const BODY: &str = "body";

const WASI: &str = "wasi_snapshot_preview1";
const I32: ValType = ValType::I32;
const I64: ValType = ValType::I64;

/// Imports of a command, always in this order: the harness writes through the first.
const WASI_IMPORTS: &[(&str, &[ValType], &[ValType])] = &[
    ("fd_write", &[I32, I32, I32, I32], &[I32]),
    ("fd_read", &[I32, I32, I32, I32], &[I32]),
    ("random_get", &[I32, I32], &[I32]),
    ("clock_time_get", &[I32, I64, I32], &[I32]),
    ("environ_sizes_get", &[I32, I32], &[I32]),
    ("fd_fdstat_get", &[I32, I32], &[I32]),
    ("fd_close", &[I32], &[I32]),
    ("sched_yield", &[], &[I32]),
    ("proc_exit", &[I32], &[]),
];

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Interface {
    Ambient,
    Wasi,
}

pub struct Shape {
    pub interface: Interface,
    pub harness: bool,
    trapping: bool,
    pages_min: u64,
    pages_max: Option<u64>,
    instructions: usize,
    functions: usize,
}

impl Shape {
    pub fn choose(source: &mut Unstructured) -> Result<Self> {
        let pages_min = source.int_in_range(0..=24)? / 8;
        Ok(Self {
            interface: if source.ratio(1, 5)? {
                Interface::Wasi
            } else {
                Interface::Ambient
            },
            harness: source.ratio(7, 8)?,
            trapping: source.ratio(1, 3)?,
            pages_min,
            pages_max: match source.int_in_range(0..=2)? {
                0 => None,
                more => Some(pages_min + (more - 1) * 3),
            },
            instructions: source.int_in_range(20..=300)?,
            functions: source.int_in_range(1..=8)?,
        })
    }

    pub fn config(&self) -> Config {
        Config {
            module_shape: Some(self.template()),
            disallow_traps: !self.trapping,
            max_instructions: self.instructions,
            max_funcs: self.functions,
            max_types: 12,
            max_globals: 10,
            max_tables: 3,
            max_table_elements: 64,
            max_elements: 16,
            max_element_segments: 4,
            max_data_segments: 4,
            max_nesting_depth: 12,
            memory_offset_choices: MemoryOffsetChoices(120, 20, 1),
            bulk_memory_enabled: true,
            multi_value_enabled: true,
            reference_types_enabled: true,
            saturating_float_to_int_enabled: true,
            sign_extension_ops_enabled: true,
            simd_enabled: true,
            compact_imports_enabled: false,
            custom_page_sizes_enabled: false,
            exceptions_enabled: false,
            extended_const_enabled: false,
            const_expr_fuel: 0,
            gc_enabled: false,
            max_memories: 1,
            memory64_enabled: false,
            relaxed_simd_enabled: false,
            tail_call_enabled: false,
            threads_enabled: false,
            wide_arithmetic_enabled: false,
            ..Config::default()
        }
    }

    /// A module whose imports and exports the generated one copies.
    fn template(&self) -> Vec<u8> {
        let mut types = TypeSection::new();
        let mut imports = ImportSection::new();
        let mut functions = FunctionSection::new();
        let mut exports = ExportSection::new();
        let mut code = CodeSection::new();
        let mut count = 0;
        if self.interface == Interface::Wasi {
            for (name, params, results) in WASI_IMPORTS {
                types
                    .ty()
                    .function(params.iter().copied(), results.iter().copied());
                imports.import(WASI, name, EntityType::Function(count));
                count += 1;
            }
        }
        for (name, params, results) in self.exported() {
            types
                .ty()
                .function(params.iter().copied(), results.iter().copied());
            functions.function(count);
            exports.export(name, ExportKind::Func, count);
            let mut body = Function::new([]);
            body.instructions().unreachable().end();
            code.function(&body);
            count += 1;
        }
        exports.export("memory", ExportKind::Memory, 0);
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: self.pages_min,
            maximum: self.pages_max,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let mut module = Module::new();
        module
            .section(&types)
            .section(&imports)
            .section(&functions)
            .section(&memories);
        module.section(&exports).section(&code);
        module.finish()
    }

    fn exported(&self) -> &'static [(&'static str, &'static [ValType], &'static [ValType])] {
        match (self.interface, self.harness) {
            (Interface::Ambient, true) => &[(BODY, &[I32, I32], &[I64])],
            (Interface::Ambient, false) => {
                &[("alloc", &[I32], &[I32]), ("run", &[I32, I32], &[I64])]
            }
            (Interface::Wasi, true) => &[(BODY, &[], &[])],
            (Interface::Wasi, false) => &[("_start", &[], &[])],
        }
    }
}
