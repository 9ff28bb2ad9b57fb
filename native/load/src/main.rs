//! `warmpath-load`: the load generator and the mock engine that `bench/` measures with.

mod arguments;
mod clock;
mod connection;
mod corpus;
mod generate;
mod http;
mod mock;
mod mock_answers;
mod process;
mod random;
mod report;
mod text;

use std::process::ExitCode;

use arguments::Arguments;

fn main() -> ExitCode {
    clock::raise_descriptor_limit();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("warmpath-load: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some("generate") => {
            let names = [generate::OPTIONS, corpus::OPTIONS].concat();
            generate::run(&Arguments::parse(&names, words)?)
        }
        Some("mock") => mock::run(&Arguments::parse(mock::OPTIONS, words)?),
        Some("corpus") => corpus::run(&Arguments::parse(corpus::OPTIONS, words)?),
        _ => Err("give one of: generate, mock, corpus".to_owned()),
    }
}
