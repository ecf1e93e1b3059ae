//! Lets a generated module show what it did: its result, its globals, the start of its memory.
//!
//! A module made at random hardly ever returns a range of its own memory, so functions that do
//! are put behind its own. Floats pass through stores here, which is where NaN bits would show.

use wasm_encoder::reencode::{Error, Reencode};
use wasm_encoder::{
    CodeSection, ExportKind, ExportSection, Function, FunctionSection, InstructionSink, MemArg,
    MemArgTarget, Module, TypeSection, ValType,
};
use wasmparser::{
    CodeSectionReader, ExportSectionReader, FunctionSectionReader, GlobalSectionReader, Parser,
    Payload, TypeRef, TypeSectionReader,
};

use crate::shape::{Interface, BODY};

/// How much of the memory is shown.
const SHOWN_BYTES: u64 = 8192;
/// Where a global lands: 16 bytes each, behind the result.
const GLOBALS_AT: u64 = 16;
const GLOBALS_MAX: usize = 64;
/// Where an ambient module is told to read its input.
const INPUT_AT: i32 = 4096;
const FD_WRITE: u32 = 0;

struct Harness {
    interface: Interface,
    types: u32,
    functions: u32,
    body: u32,
    globals: Vec<Option<ValType>>,
    tables: u32,
}

pub fn attach(module: &[u8], interface: Interface) -> Result<Vec<u8>, String> {
    let mut harness = Harness::read(module, interface).map_err(|e| e.to_string())?;
    let mut out = Module::new();
    harness
        .parse_core_module(&mut out, Parser::new(0), module)
        .map_err(|e| e.to_string())?;
    Ok(out.finish())
}

impl Harness {
    fn read(module: &[u8], interface: Interface) -> wasmparser::Result<Self> {
        let mut found = Self {
            interface,
            types: 0,
            functions: 0,
            body: 0,
            globals: Vec::new(),
            tables: 0,
        };
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::TypeSection(section) => found.types = section.count(),
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        found.functions += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                    }
                }
                Payload::FunctionSection(section) => found.functions += section.count(),
                Payload::TableSection(section) => found.tables = section.count(),
                Payload::GlobalSection(section) => found.globals = numbers(section)?,
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        if export.name == BODY {
                            found.body = export.index;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// Write globals and table sizes over the start of the memory.
    fn show(&self, code: &mut InstructionSink) {
        let mut at = GLOBALS_AT;
        for (index, kind) in self.globals.iter().take(GLOBALS_MAX).enumerate() {
            let Some(kind) = kind else { continue };
            code.i32_const(0).global_get(index as u32);
            store(code, *kind, at);
            at += 16;
        }
        for table in 0..self.tables {
            code.i32_const(0).table_size(table).i32_store(place(at));
            at += 16;
        }
    }

    fn ambient(&self) -> [Function; 2] {
        let mut alloc = Function::new([]);
        alloc.instructions().i32_const(INPUT_AT).end();
        let mut run = Function::new([(1, ValType::I64)]);
        let mut code = run.instructions();
        code.local_get(0).local_get(1).call(self.body).local_set(2);
        code.memory_size(0)
            .i32_eqz()
            .if_(wasm_encoder::BlockType::Empty);
        code.local_get(2).return_().end();
        code.i32_const(0).local_get(2).i64_store(place(0));
        self.show(&mut code);
        code.i64_const(SHOWN_BYTES as i64).end();
        [alloc, run]
    }

    fn wasi(&self) -> Function {
        let mut start = Function::new([]);
        let mut code = start.instructions();
        code.call(self.body);
        code.memory_size(0)
            .i32_eqz()
            .if_(wasm_encoder::BlockType::Empty)
            .return_()
            .end();
        self.show(&mut code);
        // one vector, right behind what is shown
        let vector = SHOWN_BYTES as i32;
        code.i32_const(vector)
            .i64_const((SHOWN_BYTES << 32) as i64)
            .i64_store(place(0));
        code.i32_const(1)
            .i32_const(vector)
            .i32_const(1)
            .i32_const(vector + 8);
        code.call(FD_WRITE).drop().end();
        start
    }

    fn added(&self) -> &'static [(&'static str, &'static [ValType], &'static [ValType])] {
        const I32: ValType = ValType::I32;
        match self.interface {
            Interface::Ambient => &[
                ("alloc", &[I32], &[I32]),
                ("run", &[I32, I32], &[ValType::I64]),
            ],
            Interface::Wasi => &[("_start", &[], &[])],
        }
    }
}

impl Reencode for Harness {
    type Error = std::convert::Infallible;

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: TypeSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        wasm_encoder::reencode::utils::parse_type_section(self, types, section)?;
        for (_, params, results) in self.added() {
            types
                .ty()
                .function(params.iter().copied(), results.iter().copied());
        }
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        wasm_encoder::reencode::utils::parse_function_section(self, functions, section)?;
        for index in 0..self.added().len() {
            functions.function(self.types + index as u32);
        }
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: ExportSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        wasm_encoder::reencode::utils::parse_export_section(self, exports, section)?;
        for (index, (name, _, _)) in self.added().iter().enumerate() {
            exports.export(name, ExportKind::Func, self.functions + index as u32);
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        wasm_encoder::reencode::utils::parse_code_section(self, code, section)?;
        match self.interface {
            Interface::Ambient => {
                for function in self.ambient() {
                    code.function(&function);
                }
            }
            Interface::Wasi => {
                code.function(&self.wasi());
            }
        }
        Ok(())
    }
}

fn numbers(section: GlobalSectionReader<'_>) -> wasmparser::Result<Vec<Option<ValType>>> {
    section
        .into_iter()
        .map(|global| {
            Ok(match global?.ty.content_type {
                wasmparser::ValType::I32 => Some(ValType::I32),
                wasmparser::ValType::I64 => Some(ValType::I64),
                wasmparser::ValType::F32 => Some(ValType::F32),
                wasmparser::ValType::F64 => Some(ValType::F64),
                wasmparser::ValType::V128 => Some(ValType::V128),
                wasmparser::ValType::Ref(_) => None,
            })
        })
        .collect()
}

fn place(offset: u64) -> MemArg {
    MemArg {
        offset,
        align: 0,
        target: MemArgTarget::Memory(0),
        ordering: None,
    }
}

fn store(code: &mut InstructionSink, kind: ValType, at: u64) {
    match kind {
        ValType::I32 => code.i32_store(place(at)),
        ValType::I64 => code.i64_store(place(at)),
        ValType::F32 => code.f32_store(place(at)),
        ValType::F64 => code.f64_store(place(at)),
        ValType::V128 => code.v128_store(place(at)),
        ValType::Ref(_) => code.drop().drop(),
    };
}
