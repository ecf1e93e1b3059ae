//! ambient-verify FILE [--image ID|ELF] [--module FILE | --prepared FILE] [--input FILE] …
//! ambient-verify image ELF

use std::io::Read;
use std::process::ExitCode;
use std::time::Instant;

use ambient_verify::file::{FILE_BYTES_MAX, Proof};
use ambient_verify::statement::{Hash, Stated, Statement, committed, prepared};
use ambient_verify::step::Step;
use ambient_verify::{image, verify};

const USAGE: &str = "usage: ambient-verify FILE [--image ID|ELF] [--module FILE | --prepared FILE] \
[--input FILE] [--output FILE] [--salt HEX]\n       ambient-verify image ELF\n\
Exit code 0: all that was asked holds. 2: this text. 4: it does not hold.";
const NOT_VERIFIED: u8 = 4;
/// What a module, input, output or image may have; longer ones are not proven (protocols/18 §3).
const OTHER_BYTES_MAX: u64 = 64 << 20;

fn main() -> ExitCode {
    // What a hostile seal does to the published verifier is told as a refusal, not as a crash.
    std::panic::set_hook(Box::new(|_| {}));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.split_first() {
        Some((verb, rest)) if verb == "image" && rest.len() == 1 => show_image(&rest[0]),
        Some((file, options)) if !file.starts_with('-') => match Options::parse(options) {
            Some(options) => check(file, &options),
            None => return usage(),
        },
        _ => return usage(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("not verified: {why}");
            ExitCode::from(NOT_VERIFIED)
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

#[derive(Default)]
struct Options {
    image: Option<String>,
    module: Option<String>,
    prepared: Option<String>,
    input: Option<String>,
    output: Option<String>,
    salt: Option<Hash>,
}

impl Options {
    fn parse(arguments: &[String]) -> Option<Self> {
        let mut options = Self::default();
        let (pairs, rest) = arguments.as_chunks::<2>();
        for [name, value] in pairs {
            let value = Some(value.clone());
            match name.as_str() {
                "--image" => options.image = value,
                "--module" => options.module = value,
                "--prepared" => options.prepared = value,
                "--input" => options.input = value,
                "--output" => options.output = value,
                "--salt" => options.salt = Some(unhex(&value?)?),
                _ => return None,
            }
        }
        rest.is_empty().then_some(options)
    }
}

fn read(path: &str, bytes_max: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes))
        .map_err(|why| format!("{path}: {why}"))?;
    if bytes.len() as u64 > bytes_max {
        return Err(format!("{path}: it has more than {bytes_max} bytes"));
    }
    Ok(bytes)
}

fn show_image(path: &str) -> Result<(), String> {
    let id = image::id(&read(path, OTHER_BYTES_MAX)?).map_err(|why| format!("{path}: {why}"))?;
    println!("{}", hex(&id));
    Ok(())
}

fn check(path: &str, options: &Options) -> Result<(), String> {
    let told = |why: String| format!("{path}: {why}");
    let proof = Proof::decode(&read(path, FILE_BYTES_MAX)?).map_err(told)?;
    let known = options.image.as_deref().map(image_of).transpose()?;
    let started = Instant::now();
    let statement = verify::verify(&proof).map_err(told)?;
    let took = started.elapsed();
    if let Some(known) = known
        && known != proof.image
    {
        let (it, asked) = (hex(&proof.image), hex(&known));
        return Err(told(format!("it is a proof of the image {it}, you asked about {asked}")));
    }
    match statement {
        Stated::Execution(statement) => {
            matches(path, options, &statement)?;
            tell(&proof, &statement, known.is_some());
        }
        Stated::Step(step) => {
            step_matches(path, options, &step)?;
            tell_step(&proof, &step, known.is_some());
        }
    }
    println!("verified in {:.1} ms", took.as_secs_f64() * 1e3);
    Ok(())
}

fn image_of(text: &str) -> Result<Hash, String> {
    match unhex(text) {
        Some(id) => Ok(id),
        None => image::id(&read(text, OTHER_BYTES_MAX)?).map_err(|why| format!("{text}: {why}")),
    }
}

fn matches(path: &str, options: &Options, statement: &Statement) -> Result<(), String> {
    if options.salt.is_some() && !statement.salted {
        return Err(format!("{path}: its input and output are named without a salt"));
    }
    if options.salt.is_none()
        && statement.salted
        && (options.input.is_some() || options.output.is_some())
    {
        return Err(format!("{path}: its input and output are salted; give the salt with --salt"));
    }
    let salt = options.salt.as_ref();
    for (what, file, salt, known) in [
        ("module", &options.module, None, &statement.module),
        ("input", &options.input, salt, &statement.input),
        ("output", &options.output, salt, &statement.output),
    ] {
        if let Some(file) = file
            && committed(salt, &read(file, OTHER_BYTES_MAX)?) != *known
        {
            return Err(format!("{path}: it is about another {what} than {file}"));
        }
    }
    if let Some(file) = &options.prepared
        && prepared(&read(file, OTHER_BYTES_MAX)?) != statement.module
    {
        return Err(format!("{path}: it is about another prepared module than {file}"));
    }
    Ok(())
}

fn step_matches(path: &str, options: &Options, step: &Step) -> Result<(), String> {
    let others = [&options.module, &options.prepared, &options.input];
    if options.salt.is_some() || others.into_iter().any(Option::is_some) {
        return Err(format!(
            "{path}: it is a proof of a step, which names states alone: ask about its --image, or \
             the --output that it ends with"
        ));
    }
    match &options.output {
        Some(file)
            if !step.ended || committed(None, &read(file, OTHER_BYTES_MAX)?) != step.output =>
        {
            Err(format!("{path}: it is about another output than {file}"))
        }
        _ => Ok(()),
    }
}

fn tell_step(proof: &Proof, step: &Step, image_known: bool) {
    println!("image     {}", hex(&proof.image));
    println!("start     {} at gas index {}", hex(&step.start), step.start_gas);
    println!("until     {}", step.until_gas);
    match step.ended {
        false => println!("end       {} at gas index {}", hex(&step.end), step.gas),
        true => println!("end       the execution's, with {} bytes of output", step.output_size),
    }
    println!("output    {}", hex(&step.output));
    println!("outcome   {}", step.end_shown());
    println!("gas       {} of {}", step.gas, step.gas_max);
    println!("segments  {}", proof.seals.len());
    if !image_known {
        println!(
            "not checked: that the image is that of steps. Give it with --image (protocols/18)."
        );
    }
}

fn tell(proof: &Proof, statement: &Statement, image_known: bool) {
    let salted = if statement.salted { " (salted)" } else { "" };
    println!("image     {}", hex(&proof.image));
    println!("module    {}", hex(&statement.module));
    println!("input     {}{salted}", hex(&statement.input));
    println!("output    {}{salted}", hex(&statement.output));
    println!("outcome   {}", statement.outcome_shown());
    println!("gas       {} of {}", statement.gas, statement.gas_max);
    println!(
        "limits    {} bytes of memory, {} of output",
        statement.memory_bytes_max, statement.output_bytes_max
    );
    println!("segments  {}", proof.seals.len());
    if !image_known {
        println!(
            "not checked: that the image is the module's. Translate the module yourself and give \
             the image with --image (protocols/18)."
        );
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Hash> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).map(|value| value as u8))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> =
        digits.chunks(2).map(|pair| pair[0] << 4 | *pair.last().unwrap()).collect();
    (digits.len() == 64).then(|| bytes.try_into().expect("32 bytes"))
}
