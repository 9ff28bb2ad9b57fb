//! Runs fuzz targets with the built-in mutator, or writes their seeds to files for libFuzzer.
//! `warmpath-fuzz run <target|all> <seconds>` (each), `warmpath-fuzz seeds <directory>`.

use std::path::Path;
use std::time::Duration;

use warmpath_fuzz::{TARGETS, drive, target};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["run", name, seconds] => run(name, seconds),
        ["seeds", directory] => write_seeds(Path::new(directory)),
        _ => Err("use: run <target|all> <seconds>, or: seeds <directory>".to_owned()),
    };
    if let Err(problem) = done {
        eprintln!("{problem}");
        std::process::exit(2);
    }
}

fn run(name: &str, seconds: &str) -> Result<(), String> {
    let seconds = seconds
        .parse()
        .map_err(|_| format!("{seconds} is no number"))?;
    if name != "all" && target(name).is_none() {
        return Err(format!("no target {name}"));
    }
    for target in TARGETS
        .iter()
        .filter(|target| ["all", target.name].contains(&name))
    {
        let seed = drive::seed();
        let inputs = drive::corpus(target);
        let runs = drive::run(target, &inputs, seed, Duration::from_secs(seconds));
        let count = inputs.len();
        println!(
            "{}: {runs} runs from {count} seeds, seed {seed}",
            target.name
        );
    }
    Ok(())
}

fn write_seeds(directory: &Path) -> Result<(), String> {
    for target in &TARGETS {
        let place = directory.join(target.name);
        std::fs::create_dir_all(&place).map_err(|error| error.to_string())?;
        for (number, input) in drive::corpus(target).iter().enumerate() {
            let file = place.join(format!("seed-{number:04}"));
            std::fs::write(file, input).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}
