//! Calls from a module into Python, and the store that such a call lends back.

use std::cell::Cell;
use std::ptr::NonNull;

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use pyo3::{PyErr, intern};

/// The object whose `call(name, *arguments)` serves the imports.
pub type Host = Py<PyAny>;

/// Asks the host; the caller knows whether an answer is due.
pub fn ask(host: Option<&Host>, name: &Py<PyString>, arguments: &[i64]) -> PyResult<Option<i64>> {
    Python::attach(|py| {
        let Some(host) = host else {
            return Err(pyo3::exceptions::PyAssertionError::new_err("no host was given"));
        };
        let mut all = Vec::with_capacity(arguments.len() + 1);
        all.push(name.bind(py).clone().into_any());
        for argument in arguments {
            all.push(argument.into_pyobject(py)?.into_any());
        }
        let answer = host.bind(py).call_method1(intern!(py, "call"), PyTuple::new(py, all)?)?;
        answer.extract()
    })
}

/// Makes a host function's name once for all its calls.
pub fn python_name(name: &str) -> Py<PyString> {
    Python::attach(|py| PyString::new(py, name).unbind())
}

/// What a host call raised, on its way through the engine.
#[derive(Debug)]
pub struct Raised(pub PyErr);

impl std::fmt::Display for Raised {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

impl std::error::Error for Raised {}

impl wasmi::errors::HostError for Raised {}

/// The way back to the store while a call is going on.
///
/// The engine has the store for itself during a call. A host call gets it back for as long as it
/// lasts, and the host, being Python, reaches it through the instance: from there through here.
pub struct Lent<S>(Cell<Option<NonNull<S>>>);

struct Back<'a, S> {
    cell: &'a Cell<Option<NonNull<S>>>,
    before: Option<NonNull<S>>,
}

impl<S> Drop for Back<'_, S> {
    fn drop(&mut self) {
        self.cell.set(self.before);
    }
}

impl<S> Default for Lent<S> {
    fn default() -> Self {
        Self(Cell::new(None))
    }
}

impl<S> Lent<S> {
    /// Lends the store for the time of `during`.
    pub fn lend<R>(&self, store: NonNull<S>, during: impl FnOnce() -> R) -> R {
        // Taken back also when `during` unwinds: nobody may find a store that is gone.
        let _back = Back { cell: &self.0, before: self.0.replace(Some(store)) };
        during()
    }

    /// Tells where the store is, if a host call is going on.
    pub fn store(&self) -> Option<NonNull<S>> {
        self.0.get()
    }
}
