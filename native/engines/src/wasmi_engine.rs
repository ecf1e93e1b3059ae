//! wasmi, an interpreter, configured to be deterministic.

use std::cell::RefCell;
use std::ptr::NonNull;
use std::rc::Rc;

use wasmi::errors::{ErrorKind, InstantiationError, MemoryError, TableError};
use wasmi::{
    AsContext, AsContextMut, Caller, CompilationMode, Config, Error, ExternType, Func, FuncType,
    Linker, ResourceLimiter, Store, StoreContextMut, TrapCode, Val, ValType,
};
use wasmi_core::LimiterError;

use crate::host::{Host, Lent, Raised, ask, python_name};
use crate::port::{
    Ended, Engine, Imports, Instance, Invalid, Memory, Module, Shape, Signature,
    TABLE_ELEMENTS_MAX, TABLES_MAX, check_imports,
};

/// As receipts name it; Cargo.toml pins it.
pub const VERSION: &str = "2.0.0+ambient.1"; // mended by backend.py

/// Both far beyond where the rewriter's depth limit bites: each call weighs one at least there,
/// and a unit of weight is never more than two cells of 8 bytes here.
const CALLS_MAX: usize = 1 << 17;
const STACK_BYTES_MAX: usize = 64 << 20;

/// Makes modules; holds the functions of the host that they may import.
///
/// wasmi frees a module's code only with its engine, so each module has its own.
pub struct WasmiEngine {
    config: Config,
    config_of_restored: Config,
    imports: Imports,
}

impl WasmiEngine {
    pub fn new(imports: Imports) -> Self {
        let mut config = Config::default();
        config
            .compilation_mode(CompilationMode::Eager)
            .consume_fuel(false)
            .ignore_custom_sections(true)
            .set_max_recursion_depth(CALLS_MAX)
            .set_max_stack_height(STACK_BYTES_MAX)
            .wasm_mutable_global(true)
            .wasm_sign_extension(true)
            .wasm_saturating_float_to_int(true)
            .wasm_multi_value(true)
            .wasm_bulk_memory(true)
            .wasm_reference_types(true)
            .wasm_simd(true)
            .wasm_relaxed_simd(false)
            .wasm_tail_call(false)
            .wasm_extended_const(false)
            .wasm_memory64(false)
            .wasm_multi_memory(false)
            .wasm_custom_page_sizes(false)
            .wasm_wide_arithmetic(false);
        let mut config_of_restored = config.clone();
        config_of_restored.compilation_mode(CompilationMode::Lazy);
        Self { config, config_of_restored, imports }
    }
}

impl Engine for WasmiEngine {
    fn compile(&self, module: &[u8]) -> Result<Box<dyn Module>, Invalid> {
        let refused = |error: Error| Invalid(error.to_string());
        let engine = wasmi::Engine::new(&self.config);
        let native = wasmi::Module::new(&engine, module).map_err(refused)?;
        self.finish(&engine, native, module)
    }

    /// Takes prepared bytes that `compile` has validated and translated before, as a whole.
    ///
    /// So nothing is validated again, and a function is translated when it is first called.
    unsafe fn restore(&self, compiled: &[u8]) -> Result<Box<dyn Module>, String> {
        let engine = wasmi::Engine::new(&self.config_of_restored);
        // SAFETY: the caller's promise: what comes here was validated.
        let native = unsafe { wasmi::Module::new_unchecked(&engine, compiled) };
        let native = native.map_err(|error| error.to_string())?;
        self.finish(&engine, native, compiled).map_err(|refusal| refusal.0)
    }
}

impl WasmiEngine {
    fn finish(
        &self,
        engine: &wasmi::Engine,
        module: wasmi::Module,
        source: &[u8],
    ) -> Result<Box<dyn Module>, Invalid> {
        let refused = |error: Error| Invalid(error.to_string());
        let wanted = module.imports().map(|import| {
            let kind = import.ty().func().map(signature);
            (import.module(), import.name(), kind)
        });
        let shape = shape(&module, check_imports(wanted, &self.imports)?);
        let mut linker = Linker::new(engine);
        // A module may import the same function twice; it is still one.
        linker.allow_shadowing(true);
        for import in module.imports() {
            if let ExternType::Func(kind) = import.ty() {
                serve(&mut linker, import.module(), import.name(), kind).map_err(refused)?;
            }
        }
        Ok(Box::new(WasmiModule { module, source: source.into(), linker, shape }))
    }
}

fn serve(
    linker: &mut Linker<Context>,
    module: &str,
    name: &str,
    kind: &FuncType,
) -> Result<(), Error> {
    let python = python_name(name);
    let function = move |mut caller: Caller<'_, Context>,
                         arguments: &[Val],
                         results: &mut [Val]| {
        let arguments: Vec<i64> = arguments.iter().filter_map(integer).collect();
        let service = caller.data().service.clone();
        let mut store = caller.as_context_mut();
        let place = NonNull::from(&mut store).cast::<StoreContextMut<'static, Context>>();
        let answer = service.lent.lend(place, || ask(service.host.as_ref(), &python, &arguments));
        let answer = answer.map_err(|error| Error::host(Raised(error)))?;
        if let Some(result) = results.first_mut() {
            let answer = answer.ok_or_else(|| Error::new("the host gave no answer"))?;
            *result = value(result.ty(), answer);
        }
        Ok(())
    };
    linker.func_new(module, name, kind.clone(), function).map(|_| ()).map_err(Error::from)
}

/// What an instance's host functions need, and the caps on it.
struct Context {
    service: Rc<Service>,
    limits: Limits,
}

struct Service {
    host: Option<Host>,
    lent: Lent<StoreContextMut<'static, Context>>,
}

/// Growing fails beyond these caps; where the device's memory ends, the execution does, too.
struct Limits {
    memory_bytes_max: usize,
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> Result<bool, LimiterError> {
        Ok(desired <= self.memory_bytes_max)
    }

    fn table_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> Result<bool, LimiterError> {
        Ok(desired <= TABLE_ELEMENTS_MAX as usize)
    }

    fn memory_grow_failed(&mut self, error: &MemoryError) -> Result<(), LimiterError> {
        match error {
            MemoryError::OutOfSystemMemory => Err(LimiterError::ResourceLimiterDeniedAllocation),
            _ => Ok(()),
        }
    }

    fn table_grow_failed(&mut self, error: &TableError) -> Result<(), LimiterError> {
        match error {
            TableError::OutOfSystemMemory => Err(LimiterError::ResourceLimiterDeniedAllocation),
            _ => Ok(()),
        }
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        1
    }
}

struct WasmiModule {
    module: wasmi::Module,
    source: Box<[u8]>,
    linker: Linker<Context>,
    shape: Shape,
}

impl Module for WasmiModule {
    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn instantiate(
        &self,
        memory_bytes_max: usize,
        host: Option<Host>,
    ) -> Result<Box<dyn Instance>, Ended> {
        let service = Rc::new(Service { host, lent: Lent::default() });
        let limits = Limits { memory_bytes_max };
        let context = Context { service: service.clone(), limits };
        let mut store = Store::new(self.module.engine(), context);
        store.limiter(|context| &mut context.limits);
        let native = self.linker.instantiate_and_start(&mut store, &self.module)?;
        let memory = native.get_memory(&store, "memory");
        Ok(Box::new(WasmiInstance { store: RefCell::new(store), native, memory, service }))
    }

    fn serialize(&self) -> Result<Option<Vec<u8>>, String> {
        Ok(Some(self.source.to_vec()))
    }
}

struct WasmiInstance {
    store: RefCell<Store<Context>>,
    native: wasmi::Instance,
    memory: Option<wasmi::Memory>,
    service: Rc<Service>,
}

impl WasmiInstance {
    fn with_store<R>(&self, act: impl FnOnce(StoreContextMut<'_, Context>) -> R) -> R {
        match self.service.lent.store() {
            // SAFETY: the host call that lent it has not returned, and uses it through here only.
            Some(mut store) => act(unsafe { store.as_mut() }.as_context_mut()),
            None => act(self.store.borrow_mut().as_context_mut()),
        }
    }

    fn function(&self, store: impl AsContext, name: &str) -> Result<Func, Ended> {
        let missing = || Ended::Failed(format!("no function {name}"));
        self.native.get_func(store, name).ok_or_else(missing)
    }
}

impl Instance for WasmiInstance {
    fn memory(&self) -> Memory {
        self.with_store(|mut store| match &self.memory {
            None => Memory { base: NonNull::dangling().as_ptr(), size_bytes: 0 },
            Some(memory) => {
                let data = memory.data_mut(&mut store);
                Memory { base: data.as_mut_ptr(), size_bytes: data.len() }
            }
        })
    }

    fn global(&self, name: &str) -> Option<i64> {
        self.with_store(|store| integer(&self.native.get_global(&store, name)?.get(&store)))
    }

    fn set_global(&self, name: &str, value: i64) -> Result<(), String> {
        self.with_store(|mut store| {
            let missing = || format!("no global {name}");
            let global = self.native.get_global(&store, name).ok_or_else(missing)?;
            global.set(&mut store, Val::I64(value)).map_err(|error| error.to_string())
        })
    }

    fn call(&self, name: &str, arguments: &[i64]) -> Result<Option<i64>, Ended> {
        self.with_store(|mut store| {
            let function = self.function(&store, name)?;
            let kind = function.ty(&store);
            let pairs = kind.params().iter().zip(arguments);
            let arguments: Vec<Val> = pairs.map(|(kind, number)| value(*kind, *number)).collect();
            let mut results: Vec<Val> =
                kind.results().iter().map(|kind| Val::default_for_ty(*kind)).collect();
            function.call(&mut store, &arguments, &mut results)?;
            Ok(results.first().and_then(integer))
        })
    }
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        if let Some(reason) = error.as_trap_code().and_then(reason) {
            return Self::Trap(reason, text);
        }
        if let ErrorKind::Instantiation(cause) = error.kind() {
            return match cause {
                InstantiationError::ElementSegmentDoesNotFit { .. } => {
                    Self::Trap("table_out_of_bounds", text)
                }
                _ => Self::Failed(format!("wasmi could not instantiate: {text}")),
            };
        }
        match error.downcast::<Raised>() {
            Some(Raised(raised)) => Self::Raised(raised),
            None => Self::Failed(format!("wasmi gave up: {text}")),
        }
    }
}

/// Names a trap; None where the module is not to blame, as at the end of the stack.
fn reason(trap: TrapCode) -> Option<&'static str> {
    match trap {
        TrapCode::UnreachableCodeReached => Some("unreachable"),
        TrapCode::MemoryOutOfBounds => Some("memory_out_of_bounds"),
        TrapCode::TableOutOfBounds => Some("table_out_of_bounds"),
        TrapCode::IndirectCallToNull => Some("indirect_call_to_null"),
        TrapCode::BadSignature => Some("indirect_call_type_mismatch"),
        TrapCode::IntegerDivisionByZero => Some("integer_divide_by_zero"),
        TrapCode::IntegerOverflow => Some("integer_overflow"),
        TrapCode::BadConversionToInteger => Some("bad_conversion_to_integer"),
        _ => None,
    }
}

fn integer(value: &Val) -> Option<i64> {
    match value {
        Val::I32(number) => Some((*number).into()),
        Val::I64(number) => Some(*number),
        _ => None,
    }
}

fn value(kind: ValType, number: i64) -> Val {
    match kind {
        ValType::I32 => Val::I32(number as i32),
        _ => Val::I64(number),
    }
}

fn letters(kinds: &[ValType]) -> String {
    let letter = |kind: &ValType| match kind {
        ValType::I32 => 'i',
        ValType::I64 => 'l',
        _ => '?',
    };
    kinds.iter().map(letter).collect()
}

fn signature(kind: &FuncType) -> Signature {
    Signature { params: letters(kind.params()), results: letters(kind.results()) }
}

fn shape(module: &wasmi::Module, imported_modules: Vec<String>) -> Shape {
    let mut shape = Shape { imported_modules, ..Shape::default() };
    for export in module.exports() {
        let name = export.name().to_owned();
        match export.ty() {
            ExternType::Func(kind) => {
                shape.functions.insert(name, signature(kind));
            }
            ExternType::Global(kind)
                if kind.mutability().is_mut()
                    && matches!(kind.content(), ValType::I32 | ValType::I64) =>
            {
                shape.integer_globals.push(name);
            }
            ExternType::Memory(kind) if name == "memory" => {
                shape.memory_pages_min = Some(kind.minimum());
            }
            _ => {}
        }
    }
    shape
}
