//! Turns letters into upper case: standard input is the task's input, standard output its output,
//! standard error its log.

use std::io::{self, Read, Write};

fn main() -> io::Result<()> {
    let mut input = Vec::new();
    io::stdin().read_to_end(&mut input)?;
    input.make_ascii_uppercase();
    io::stdout().write_all(&input)
}
