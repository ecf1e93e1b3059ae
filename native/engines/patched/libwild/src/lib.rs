//! In place of the linker that wasmer carries for its experimental artifact format.
//!
//! That format is off here, and the linker is larger than the compiler. These are the names that
//! wasmer's code mentions; linking fails.

use std::fmt::Debug;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The linker's errors.
pub mod error {
    /// An error in words.
    #[derive(Debug)]
    pub struct Error(pub String);

    impl From<String> for Error {
        fn from(text: String) -> Self {
            Self(text)
        }
    }

    /// A result with such an error.
    pub type Result<T = ()> = std::result::Result<T, Error>;
}

/// Makes an error from a format string.
#[macro_export]
macro_rules! error {
    ($($argument:tt)*) => {
        $crate::error::Error(format!($($argument)*))
    };
}

const ABSENT: &str = "there is no linker in this build";

/// The linker's arguments.
pub struct Args(());

impl Args {
    /// Refuses: whoever gets here has asked for the artifact format.
    pub fn new<Arguments>(_: Arguments) -> error::Result<Self> {
        Err(error!("{ABSENT}"))
    }

    /// Refuses.
    pub fn parse<Arguments>(&mut self, _: Arguments) -> error::Result {
        Err(error!("{ABSENT}"))
    }
}

/// What a path leads to.
pub enum FileType {
    /// An ordinary file.
    File,
}

/// How an output is to be made.
pub struct OutputOptions {
    /// Its size.
    pub size: u64,
}

/// Bytes that would be linked.
pub trait InputFileData: Debug {
    /// The bytes.
    fn bytes(&self) -> &[u8];
}

/// Bytes that would have been linked.
pub trait OutputFileData {
    /// The bytes.
    fn bytes(&self) -> &[u8];
    /// The bytes, to be written.
    fn bytes_mut(&mut self) -> &mut [u8];
    /// Keeps them.
    fn finish(self) -> error::Result;
}

/// Where inputs and outputs lie.
pub trait FileSystem: Clone {
    /// An input.
    type Input: InputFileData;
    /// An output.
    type Output: OutputFileData;

    /// Opens an input.
    fn open_input(
        &self,
        path: &Path,
        prepopulate: bool,
    ) -> error::Result<(Self::Input, Option<Arc<File>>)>;
    /// Tells what a path leads to.
    fn file_type(&self, path: &Path) -> error::Result<FileType>;
    /// Resolves a path.
    fn canonicalize(&self, path: &Path) -> error::Result<PathBuf>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> error::Result<()>;
    /// Renames a file.
    fn rename_file(&self, path: &Path, new_path: &Path) -> error::Result<()>;
    /// Makes an output.
    fn create_output(
        &self,
        path: Arc<Path>,
        options: OutputOptions,
    ) -> error::Result<Self::Output>;
    /// Keeps a file beside the output.
    fn write_auxiliary(&self, path: &Path, bytes: &[u8]) -> error::Result;
}

/// The linker.
pub struct Linker<F: FileSystem>(F);

impl<F: FileSystem> Linker<F> {
    /// Takes the file system.
    pub fn with_file_system(files: F) -> Self {
        Self(files)
    }

    /// Refuses.
    pub fn run(&self, _: &Args) -> error::Result {
        Err(error!("{ABSENT}"))
    }
}
