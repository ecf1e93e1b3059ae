//! Only its lock file is of use.
