//! Proofs of executions (protocols/18): the file, the statement, and whether it holds.

pub mod file;
pub mod image;
pub mod statement;
pub mod step;
pub mod verify;
