//! wasmer with Cranelift, configured to be deterministic.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::NonZero;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use wasmer::sys::vm::{
    MemoryError, MemoryStyle, TableStyle, VMConfig, VMMemory, VMMemoryDefinition, VMTable,
    VMTableDefinition,
};
use wasmer::sys::{
    BaseTunables, Cranelift, CraneliftOptLevel, EngineBuilder, Features, NativeEngineExt, Tunables,
};
use wasmer::{
    AsStoreMut, ExternType, Function, FunctionEnv, FunctionEnvMut, FunctionType,
    Imports as NativeImports, InstantiationError, LinkError, MemoryType, Pages, RuntimeError,
    Store, StoreMut, TableType, Type, Value,
};

use wasmer_types::TrapCode;

use crate::host::{Host, Lent, Raised, ask, python_name};
use crate::port::{
    Ended, Engine, Imports, Instance, Invalid, Memory, Module, PAGE_BYTES, Shape, Signature,
    TABLE_ELEMENTS_MAX, TABLES_MAX, check_imports,
};

/// As receipts name it; Cargo.toml pins it.
pub const VERSION: &str = "7.4.2";

/// The rewriter's depth limit bites at a quarter of this.
const STACK_BYTES_MAX: usize = 8 << 20;

/// Caps memories and tables of the instance that is being made.
struct Limits {
    base: BaseTunables,
    pages_max: Arc<AtomicU32>,
    stack: VMConfig,
}

impl Limits {
    fn cap_memory(&self, kind: &MemoryType) -> Result<MemoryType, MemoryError> {
        let pages_max = Pages(self.pages_max.load(Ordering::Relaxed));
        if kind.minimum > pages_max {
            let text =
                format!("{} pages at the start, {} are allowed", kind.minimum.0, pages_max.0);
            return Err(MemoryError::Generic(text));
        }
        let maximum = kind.maximum.map_or(pages_max, |declared| declared.min(pages_max));
        Ok(MemoryType { maximum: Some(maximum), ..*kind })
    }

    fn cap_table(&self, kind: &TableType) -> Result<TableType, String> {
        if kind.minimum > TABLE_ELEMENTS_MAX {
            return Err(format!("a table of {} elements at the start", kind.minimum));
        }
        let maximum = kind.maximum.map_or(TABLE_ELEMENTS_MAX, |most| most.min(TABLE_ELEMENTS_MAX));
        Ok(TableType { maximum: Some(maximum), ..*kind })
    }
}

impl Tunables for Limits {
    fn memory_style(&self, kind: &MemoryType) -> MemoryStyle {
        self.base.memory_style(kind)
    }

    fn table_style(&self, kind: &TableType) -> TableStyle {
        self.base.table_style(kind)
    }

    fn create_host_memory(
        &self,
        kind: &MemoryType,
        style: &MemoryStyle,
    ) -> Result<VMMemory, MemoryError> {
        self.base.create_host_memory(&self.cap_memory(kind)?, style)
    }

    unsafe fn create_vm_memory(
        &self,
        kind: &MemoryType,
        style: &MemoryStyle,
        place: NonNull<VMMemoryDefinition>,
    ) -> Result<VMMemory, MemoryError> {
        // SAFETY: the caller's promise, handed on.
        unsafe { self.base.create_vm_memory(&self.cap_memory(kind)?, style, place) }
    }

    fn create_host_table(&self, kind: &TableType, style: &TableStyle) -> Result<VMTable, String> {
        self.base.create_host_table(&self.cap_table(kind)?, style)
    }

    unsafe fn create_vm_table(
        &self,
        kind: &TableType,
        style: &TableStyle,
        place: NonNull<VMTableDefinition>,
    ) -> Result<VMTable, String> {
        // SAFETY: the caller's promise, handed on.
        unsafe { self.base.create_vm_table(&self.cap_table(kind)?, style, place) }
    }

    fn vmconfig(&self) -> &VMConfig {
        &self.stack
    }
}

/// An engine for one module, and the maximum of the next instance's memory.
///
/// wasmer frees machine code only with the engine that made it, and unwinding gets slower with
/// all that is there; so each module has its own.
struct Own {
    engine: wasmer::Engine,
    pages_max: Arc<AtomicU32>,
}

impl Own {
    fn new() -> Self {
        let mut compiler = Cranelift::new();
        compiler.opt_level(CraneliftOptLevel::Speed);
        compiler.num_threads(NonZero::<usize>::MIN);
        let mut features = Features::none();
        features.reference_types(true).simd(true).bulk_memory(true).multi_value(true);
        let builder = EngineBuilder::new(compiler).set_features(Some(features));
        let mut engine: wasmer::Engine = builder.engine().into();
        let pages_max = Arc::new(AtomicU32::new(0));
        engine.set_tunables(Limits {
            base: BaseTunables::new(),
            pages_max: pages_max.clone(),
            stack: VMConfig { wasm_stack_size: Some(STACK_BYTES_MAX) },
        });
        Self { engine, pages_max }
    }
}

/// Makes modules; holds the functions of the host that they may import.
pub struct WasmerEngine {
    imports: Imports,
}

impl WasmerEngine {
    pub fn new(imports: Imports) -> Self {
        Self { imports }
    }

    fn finish(&self, own: Own, module: wasmer::Module) -> Result<Box<dyn Module>, Invalid> {
        let imports: Vec<_> = module.imports().collect();
        let wanted = imports.iter().map(|import| {
            let kind = import.ty().func().map(signature);
            (import.module(), import.name(), kind)
        });
        let imported_modules = check_imports(wanted, &self.imports)?;
        let shape = shape(&module, imported_modules);
        Ok(Box::new(WasmerModule { own, module, shape }))
    }
}

impl Engine for WasmerEngine {
    fn compile(&self, module: &[u8]) -> Result<Box<dyn Module>, Invalid> {
        let own = Own::new();
        let compiled = wasmer::Module::from_binary(&own.engine, module);
        self.finish(own, compiled.map_err(|error| Invalid(error.to_string()))?)
    }

    unsafe fn restore(&self, compiled: &[u8]) -> Result<Box<dyn Module>, String> {
        let own = Own::new();
        // SAFETY: the caller's promise, handed on.
        let module = unsafe { wasmer::Module::deserialize(&own.engine, compiled) };
        let module = module.map_err(|error| error.to_string())?;
        self.finish(own, module).map_err(|refusal| refusal.0)
    }
}

struct WasmerModule {
    own: Own,
    module: wasmer::Module,
    shape: Shape,
}

impl Module for WasmerModule {
    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn instantiate(
        &self,
        memory_bytes_max: usize,
        host: Option<Host>,
    ) -> Result<Box<dyn Instance>, Ended> {
        if self.module.info().tables.len() > TABLES_MAX {
            return Err(Ended::Failed("wasmer could not instantiate: too many tables".into()));
        }
        let pages_max = memory_bytes_max / PAGE_BYTES;
        self.own.pages_max.store(pages_max.try_into().unwrap_or(u32::MAX), Ordering::Relaxed);
        let lent = Rc::new(Lent::default());
        let mut store = Store::new(self.own.engine.clone());
        let imports = self.bind(&mut store, host, lent.clone());
        let native = wasmer::Instance::new(&mut store, &self.module, &imports)?;
        let memory = native.exports.get_memory("memory").ok().cloned();
        Ok(Box::new(WasmerInstance { store: RefCell::new(store), native, memory, lent }))
    }

    fn serialize(&self) -> Result<Option<Vec<u8>>, String> {
        let bytes = self.module.serialize().map_err(|error| error.to_string())?;
        Ok(Some(bytes.to_vec()))
    }
}

/// What a host function needs of its instance.
struct Service {
    host: Option<Host>,
    lent: Rc<Lent<StoreMut<'static>>>,
}

// SAFETY: wasmer wants to be able to send a store to another thread; ours never leaves its own,
// since the Python class that holds it is unsendable.
unsafe impl Send for Service {}

impl WasmerModule {
    fn bind(
        &self,
        store: &mut Store,
        host: Option<Host>,
        lent: Rc<Lent<StoreMut<'static>>>,
    ) -> NativeImports {
        let mut imports = NativeImports::new();
        let service = FunctionEnv::new(store, Service { host, lent });
        for import in self.module.imports() {
            if let ExternType::Function(kind) = import.ty() {
                let function = serve(store, &service, kind, import.name());
                imports.define(import.module(), import.name(), function);
            }
        }
        imports
    }
}

fn serve(
    store: &mut Store,
    service: &FunctionEnv<Service>,
    kind: &FunctionType,
    name: &str,
) -> Function {
    let name = python_name(name);
    let result = kind.results().first().copied();
    let function = move |mut env: FunctionEnvMut<'_, Service>, arguments: &[Value]| {
        let arguments: Vec<i64> = arguments.iter().filter_map(integer).collect();
        let (service, mut store) = env.data_and_store_mut();
        let place = NonNull::from(&mut store).cast::<StoreMut<'static>>();
        let answer = service.lent.lend(place, || ask(service.host.as_ref(), &name, &arguments));
        match (answer, result) {
            (Err(error), _) => Err(RuntimeError::user(Box::new(Raised(error)))),
            (Ok(_), None) => Ok(vec![]),
            (Ok(Some(answer)), Some(kind)) => Ok(vec![value(kind, answer)]),
            (Ok(None), Some(_)) => Err(RuntimeError::new("the host gave no answer")),
        }
    };
    Function::new_with_env(store, service, kind, function)
}

struct WasmerInstance {
    store: RefCell<Store>,
    native: wasmer::Instance,
    memory: Option<wasmer::Memory>,
    lent: Rc<Lent<StoreMut<'static>>>,
}

impl WasmerInstance {
    fn with_store<R>(&self, act: impl FnOnce(&mut StoreMut<'_>) -> R) -> R {
        match self.lent.store() {
            // SAFETY: the host call that lent it has not returned, and uses it through here only.
            Some(mut store) => act(unsafe { store.as_mut() }),
            None => act(&mut self.store.borrow_mut().as_store_mut()),
        }
    }
}

impl Instance for WasmerInstance {
    fn memory(&self) -> Memory {
        self.with_store(|store| match &self.memory {
            None => Memory { base: NonNull::dangling().as_ptr(), size_bytes: 0 },
            Some(memory) => {
                let view = memory.view(store);
                Memory { base: view.data_ptr(), size_bytes: view.data_size() as usize }
            }
        })
    }

    fn global(&self, name: &str) -> Option<i64> {
        let global = self.native.exports.get_global(name).ok()?;
        self.with_store(|store| integer(&global.get(store)))
    }

    fn set_global(&self, name: &str, value: i64) -> Result<(), String> {
        let global = self.native.exports.get_global(name).map_err(|error| error.to_string())?;
        self.with_store(|store| global.set(store, Value::I64(value)))
            .map_err(|error| error.message())
    }

    fn call(&self, name: &str, arguments: &[i64]) -> Result<Option<i64>, Ended> {
        let missing = |_| Ended::Failed(format!("no function {name}"));
        let function = self.native.exports.get_function(name).map_err(missing)?;
        self.with_store(|store| {
            let kind = function.ty(store);
            let pairs = kind.params().iter().zip(arguments);
            let arguments: Vec<Value> = pairs.map(|(kind, number)| value(*kind, *number)).collect();
            let results = function.call(store, &arguments)?;
            Ok(results.first().and_then(integer))
        })
    }
}

impl From<InstantiationError> for Ended {
    fn from(error: InstantiationError) -> Self {
        match error {
            InstantiationError::Start(trap) | InstantiationError::Link(LinkError::Trap(trap)) => {
                trap.into()
            }
            other => Self::Failed(format!("wasmer could not instantiate: {other}")),
        }
    }
}

impl From<RuntimeError> for Ended {
    fn from(error: RuntimeError) -> Self {
        let text = error.message();
        match error.downcast::<Raised>() {
            Ok(Raised(raised)) => Self::Raised(raised),
            Err(error) => match error.to_trap().and_then(reason) {
                Some(reason) => Self::Trap(reason, text),
                None => Self::Failed(format!("wasmer gave up: {text}")),
            },
        }
    }
}

/// Names a trap; None where the module is not to blame, as at the end of the stack.
fn reason(trap: TrapCode) -> Option<&'static str> {
    match trap {
        TrapCode::UnreachableCodeReached => Some("unreachable"),
        TrapCode::HeapAccessOutOfBounds => Some("memory_out_of_bounds"),
        TrapCode::TableAccessOutOfBounds => Some("table_out_of_bounds"),
        TrapCode::IndirectCallToNull => Some("indirect_call_to_null"),
        TrapCode::BadSignature => Some("indirect_call_type_mismatch"),
        TrapCode::IntegerDivisionByZero => Some("integer_divide_by_zero"),
        TrapCode::IntegerOverflow => Some("integer_overflow"),
        TrapCode::BadConversionToInteger => Some("bad_conversion_to_integer"),
        _ => None,
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::I32(number) => Some((*number).into()),
        Value::I64(number) => Some(*number),
        _ => None,
    }
}

fn value(kind: Type, number: i64) -> Value {
    match kind {
        Type::I32 => Value::I32(number as i32),
        _ => Value::I64(number),
    }
}

fn letters(kinds: &[Type]) -> String {
    let letter = |kind: &Type| match kind {
        Type::I32 => 'i',
        Type::I64 => 'l',
        _ => '?',
    };
    kinds.iter().map(letter).collect()
}

fn signature(kind: &FunctionType) -> Signature {
    Signature { params: letters(kind.params()), results: letters(kind.results()) }
}

fn shape(module: &wasmer::Module, imported_modules: Vec<String>) -> Shape {
    let mut shape = Shape { imported_modules, functions: BTreeMap::new(), ..Shape::default() };
    for export in module.exports() {
        let name = export.name().to_owned();
        match export.ty() {
            ExternType::Function(kind) => {
                shape.functions.insert(name, signature(kind));
            }
            ExternType::Global(kind)
                if kind.mutability.is_mutable() && matches!(kind.ty, Type::I32 | Type::I64) =>
            {
                shape.integer_globals.push(name);
            }
            ExternType::Memory(kind) if name == "memory" => {
                shape.memory_pages_min = Some(kind.minimum.0.into());
            }
            _ => {}
        }
    }
    shape
}
