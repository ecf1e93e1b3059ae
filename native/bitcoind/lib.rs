//! Nothing is compiled from here: only the sources that the lock file names are wanted.
