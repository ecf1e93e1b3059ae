//! Nothing: this crate only locks.
