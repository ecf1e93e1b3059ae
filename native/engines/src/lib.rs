//! wasmer and wasmi for ambientd: `ports/engine.py` in Rust, and the way from Python to it.
//!
//! The interpreter's lock stays held while a module runs: a worker process has one thread, and
//! giving the lock up and taking it back at each host call would only cost.

mod host;
mod port;
mod wasmer_engine;
mod wasmi_engine;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use pyo3::buffer::PyBuffer;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyIndexError, PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::port::{Ended, Imports, Signature};

create_exception!(ambientd_engines, TrapError, PyException, "The module trapped: reason, wording.");
create_exception!(ambientd_engines, FailureError, PyException, "The engine gave up.");

impl From<Ended> for PyErr {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Trap(reason, detail) => TrapError::new_err((reason, detail)),
            Ended::Failed(text) => FailureError::new_err(text),
            Ended::Raised(error) => error,
        }
    }
}

/// An engine with its settings.
#[pyclass(unsendable, frozen)]
struct Engine(Box<dyn port::Engine>);

#[pymethods]
impl Engine {
    /// Opens wasmer or wasmi with the host's functions: module, name, letters of the type.
    #[new]
    fn new(
        name: &str,
        imports: BTreeMap<String, BTreeMap<String, (String, String)>>,
    ) -> PyResult<Self> {
        let imports: Imports = imports
            .into_iter()
            .map(|(module, functions)| {
                let functions = functions.into_iter();
                (module, functions.map(|(name, kind)| (name, signature(kind))).collect())
            })
            .collect();
        match name {
            "wasmer" => Ok(Self(Box::new(wasmer_engine::WasmerEngine::new(imports)))),
            "wasmi" => Ok(Self(Box::new(wasmi_engine::WasmiEngine::new(imports)))),
            _ => Err(PyValueError::new_err(format!("no engine is called {name}"))),
        }
    }

    fn compile(&self, module: &[u8]) -> PyResult<Module> {
        let compiled = self.0.compile(module);
        compiled.map(Module).map_err(|refusal| PyValueError::new_err(refusal.0))
    }

    /// Takes back what `serialize` gave; anything else must never come here.
    ///
    /// It is read where it lies: a copy of some megabytes takes longer than all the rest.
    fn restore(&self, compiled: PyBuffer<u8>) -> PyResult<Module> {
        if !compiled.is_c_contiguous() {
            return Err(PyValueError::new_err("the compiled module lies in pieces"));
        }
        let (start, size_bytes) = (compiled.buf_ptr().cast::<u8>(), compiled.len_bytes());
        let compiled = match size_bytes {
            0 => &[],
            // SAFETY: the buffer is held until we return, and nothing else runs meanwhile.
            _ => unsafe { std::slice::from_raw_parts(start, size_bytes) },
        };
        // SAFETY: the caller's promise, as the docstring has it.
        let restored = unsafe { self.0.restore(compiled) };
        restored.map(Module).map_err(FailureError::new_err)
    }
}

fn signature((params, results): (String, String)) -> Signature {
    Signature { params, results }
}

/// A compiled module.
#[pyclass(unsendable, frozen)]
struct Module(Box<dyn port::Module>);

#[pymethods]
impl Module {
    fn functions(&self) -> BTreeMap<String, String> {
        let functions = self.0.shape().functions.iter();
        functions
            .map(|(name, kind)| (name.clone(), format!("{}->{}", kind.params, kind.results)))
            .collect()
    }

    fn integer_globals(&self) -> Vec<String> {
        self.0.shape().integer_globals.clone()
    }

    fn memory_pages_min(&self) -> Option<u64> {
        self.0.shape().memory_pages_min
    }

    fn imported_modules(&self) -> Vec<String> {
        self.0.shape().imported_modules.clone()
    }

    fn instantiate(&self, memory_bytes_max: usize, host: Option<Py<PyAny>>) -> PyResult<Instance> {
        let instance = self.0.instantiate(memory_bytes_max, host)?;
        Ok(Instance(RefCell::new(Some(Rc::from(instance)))))
    }

    fn serialize<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let compiled = self.0.serialize().map_err(FailureError::new_err)?;
        Ok(compiled.map(|bytes| PyBytes::new(py, &bytes)))
    }
}

/// An instance, until it is closed.
#[pyclass(unsendable, frozen)]
struct Instance(RefCell<Option<Rc<dyn port::Instance>>>);

impl Instance {
    /// Holds the instance for one use, so that closing it meanwhile takes nothing away.
    fn open(&self) -> PyResult<Rc<dyn port::Instance>> {
        let closed = || PyValueError::new_err("the instance is closed");
        self.0.borrow().clone().ok_or_else(closed)
    }
}

#[pymethods]
impl Instance {
    fn memory_bytes(&self) -> PyResult<usize> {
        Ok(self.open()?.memory().size_bytes)
    }

    fn read<'py>(
        &self,
        py: Python<'py>,
        address: usize,
        size_bytes: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let instance = self.open()?;
        let memory = instance.memory();
        check_range(address, size_bytes, memory.size_bytes)?;
        // SAFETY: inside the memory, which nothing changes or moves while we are here.
        let bytes = unsafe { std::slice::from_raw_parts(memory.base.add(address), size_bytes) };
        Ok(PyBytes::new(py, bytes))
    }

    fn write(&self, address: usize, data: &[u8]) -> PyResult<()> {
        let instance = self.open()?;
        let memory = instance.memory();
        check_range(address, data.len(), memory.size_bytes)?;
        // SAFETY: as in `read`; `data` is Python's and cannot overlap.
        unsafe { memory.base.add(address).copy_from_nonoverlapping(data.as_ptr(), data.len()) };
        Ok(())
    }

    fn global_value(&self, name: &str) -> PyResult<i64> {
        let missing = || PyKeyError::new_err(name.to_owned());
        self.open()?.global(name).ok_or_else(missing)
    }

    fn set_global(&self, name: &str, value: i64) -> PyResult<()> {
        self.open()?.set_global(name, value).map_err(FailureError::new_err)
    }

    #[pyo3(signature = (name, /, *arguments))]
    fn call(&self, name: &str, arguments: &Bound<'_, PyTuple>) -> PyResult<Option<i64>> {
        let arguments: Vec<i64> = arguments.extract()?;
        Ok(self.open()?.call(name, &arguments)?)
    }

    fn close(&self) {
        self.0.take();
    }
}

fn check_range(address: usize, size_bytes: usize, memory_bytes: usize) -> PyResult<()> {
    match address.checked_add(size_bytes) {
        Some(end) if end <= memory_bytes => Ok(()),
        _ => Err(PyIndexError::new_err("the range lies outside the memory")),
    }
}

#[pymodule]
fn ambientd_engines(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Engine>()?;
    module.add_class::<Module>()?;
    module.add_class::<Instance>()?;
    module.add("TrapError", module.py().get_type::<TrapError>())?;
    module.add("FailureError", module.py().get_type::<FailureError>())?;
    module.add(
        "VERSIONS",
        BTreeMap::from([("wasmer", wasmer_engine::VERSION), ("wasmi", wasmi_engine::VERSION)]),
    )
}
