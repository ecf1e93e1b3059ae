//! What wasmer's compiler asks of rayon, done on the calling thread.
//!
//! A worker process may start no thread, and rayon's pools begin with starting some. Nothing here
//! is parallel; the names are rayon's.

use std::convert::Infallible;
use std::marker::PhantomData;

/// A pool whose one worker is whoever calls it.
pub struct ThreadPool(());

impl ThreadPool {
    /// Runs the operation at once.
    pub fn install<R>(&self, operation: impl FnOnce() -> R) -> R {
        operation()
    }

    /// Runs the operation; whatever it spawns is done when it is spawned.
    pub fn scope<'scope, R>(&self, operation: impl FnOnce(&Scope<'scope>) -> R) -> R {
        operation(&Scope(PhantomData))
    }

    /// Counts the calling thread.
    pub fn current_num_threads(&self) -> usize {
        1
    }
}

/// Where work is spawned.
pub struct Scope<'scope>(PhantomData<&'scope ()>);

impl<'scope> Scope<'scope> {
    /// Runs the work at once.
    pub fn spawn(&self, work: impl FnOnce(&Scope<'scope>) + 'scope) {
        work(self);
    }
}

/// Builds the pool; there is nothing to choose.
#[derive(Default)]
pub struct ThreadPoolBuilder(());

impl ThreadPoolBuilder {
    /// Makes a builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes any number for one.
    pub fn num_threads(self, _: usize) -> Self {
        self
    }

    /// Starts nothing, so nothing can fail.
    pub fn build(self) -> Result<ThreadPool, Infallible> {
        Ok(ThreadPool(()))
    }
}

/// Iterators that are called parallel.
pub mod iter {
    use std::slice;

    /// Gives an ordinary iterator where rayon would give a parallel one.
    pub trait IntoParallelRefIterator<'data> {
        /// The ordinary iterator.
        type Iter;

        /// Iterates in order.
        fn par_iter(&'data self) -> Self::Iter;
    }

    impl<'data, T: 'data> IntoParallelRefIterator<'data> for [T] {
        type Iter = slice::Iter<'data, T>;

        fn par_iter(&'data self) -> Self::Iter {
            self.iter()
        }
    }

    /// What rayon's iterators have beyond ordinary ones.
    pub trait ParallelIterator: Iterator + Sized {
        /// Maps with a state that is made once.
        fn map_init<State, R>(
            self,
            init: impl FnOnce() -> State,
            mut operation: impl FnMut(&mut State, Self::Item) -> R,
        ) -> impl Iterator<Item = R> {
            let mut state = init();
            self.map(move |item| operation(&mut state, item))
        }
    }

    impl<I: Iterator> ParallelIterator for I {}
}

/// The traits under their other path.
pub mod prelude {
    pub use crate::iter::{IntoParallelRefIterator, ParallelIterator};
}
