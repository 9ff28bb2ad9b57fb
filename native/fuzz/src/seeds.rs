//! Seeds read from the repository's golden data.

use std::path::{Path, PathBuf};

use serde_json::Value;

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub fn golden(name: &str) -> Value {
    let file = root().join("test/golden").join(name);
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// The files of the golden data whose names end so.
pub fn golden_named(end: &str) -> Vec<Value> {
    let entries = std::fs::read_dir(root().join("test/golden")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(end)).collect();
    names.sort();
    names.iter().map(|name| golden(name)).collect()
}

pub fn bytes_of_hex(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len() / 2).map(|at| digit(2 * at)).collect()
}
