//! ambient-prove execute|prove IMAGE [--input FILE] [--output FILE] [--proof FILE] …

mod execute;
mod options;
#[cfg(feature = "prove")]
mod prove;

use std::process::ExitCode;

use options::{Options, USAGE, Verb};

fn main() -> ExitCode {
    let Some(options) = Options::parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("ambient-prove: {why:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<()> {
    options.cap_memory()?;
    let executed = execute::execute(options)?;
    println!("{}", executed.described());
    if let Some(path) = &options.output {
        std::fs::write(path, &executed.output)?;
    }
    match options.verb {
        Verb::Execute => Ok(()),
        #[cfg(feature = "prove")]
        Verb::Prove => prove::prove(options, &executed),
        #[cfg(not(feature = "prove"))]
        Verb::Prove => anyhow::bail!("this build only executes; say make proofs"),
    }
}
