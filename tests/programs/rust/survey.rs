//! Reads `name value` lines, answers with statistics a name; a bad line ends it with an error.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::time::Instant;

#[derive(Default)]
struct Series {
    values: Vec<f64>,
}

impl Series {
    fn mean(&self) -> f64 {
        self.values.iter().sum::<f64>() / self.values.len() as f64
    }

    fn deviation(&self) -> f64 {
        let mean = self.mean();
        let squares: f64 = self.values.iter().map(|value| (value - mean).powi(2)).sum();
        (squares / self.values.len() as f64).sqrt()
    }

    fn median(&mut self) -> f64 {
        self.values.sort_by(|one, other| one.total_cmp(other));
        self.values[self.values.len() / 2]
    }
}

fn read() -> Result<HashMap<String, Series>, Box<dyn std::error::Error>> {
    let mut all: HashMap<String, Series> = HashMap::new();
    for (number, line) in io::stdin().lock().lines().enumerate() {
        let line = line?;
        let (name, value) = line
            .split_once(' ')
            .ok_or_else(|| format!("line {}: no value in {:?}", number + 1, line))?;
        all.entry(name.to_string()).or_default().values.push(value.trim().parse()?);
    }
    Ok(all)
}

fn main() -> ExitCode {
    let begin = Instant::now();
    let all = match read() {
        Ok(all) => all,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if all.is_empty() {
        panic!("nothing to survey");
    }
    let mut out = io::stdout().lock();
    let sorted: BTreeMap<String, Series> = all.into_iter().collect();
    for (name, mut series) in sorted {
        let (mean, deviation, median) = (series.mean(), series.deviation(), series.median());
        writeln!(out, "{name}: {} values, {mean:.6} ± {deviation:e}, {median}", series.values.len())
            .unwrap();
    }
    let words: Vec<String> = std::env::args().collect();
    let file = std::fs::read("survey.txt").is_ok();
    writeln!(out, "{words:?} {file} {:?} {:?}", std::env::var("HOME"), begin.elapsed()).unwrap();
    ExitCode::SUCCESS
}
