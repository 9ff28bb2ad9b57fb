//! Values inside a running template: JSON values as minijinja sees them, keeping what Python's
//! parser would keep, i.e. the order of keys, integers of any size, 1.0 beside 1. Called by
//! messages.rs and render.rs; python_print.rs prints them.

#![deny(clippy::indexing_slicing)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{State, Value};

use super::json_tape::{Kind, Tape};

/// Entries up to which looking through them is faster than hashing.
const SCANNED_MAX: usize = 24;
/// Bytes the scratch text of a thread keeps between two values.
const SCRATCH_KEPT: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<String> = const { RefCell::new(String::new()) };
}

/// An object of JSON: entries in the order they came in.
#[derive(Debug, Default)]
pub struct JsonMap {
    entries: Vec<(Value, Value)>,
    /// Where keys are, for maps with many.
    #[expect(
        clippy::box_collection,
        reason = "without it each of the many small maps is 40 bytes larger"
    )]
    positions: Option<Box<HashMap<Box<str>, usize>>>,
}

impl JsonMap {
    pub fn with_capacity(entries: usize) -> Self {
        Self {
            entries: Vec::with_capacity(entries),
            positions: None,
        }
    }

    /// Sets an entry; a key that is there keeps its place.
    pub fn set(&mut self, key: &str, value: Value) {
        self.set_value(Value::from(key), value);
    }

    pub fn set_value(&mut self, key: Value, value: Value) {
        let name = key.as_str().unwrap_or_default();
        if let Some(at) = self.position(name) {
            if let Some(entry) = self.entries.get_mut(at) {
                entry.1 = value;
            }
            return;
        }
        if self.entries.len() >= SCANNED_MAX {
            let at = self.entries.len();
            self.hashed().insert(name.into(), at);
        }
        self.entries.push((key, value));
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        let at = self.position(key)?;
        self.entries.get(at).map(|(_, value)| value)
    }

    pub fn entries(&self) -> &[(Value, Value)] {
        &self.entries
    }

    fn hashed(&mut self) -> &mut HashMap<Box<str>, usize> {
        let Self { entries, positions } = self;
        positions.get_or_insert_with(|| {
            let named = entries.iter().enumerate();
            let named = named.map(|(at, (key, _))| (key.as_str().unwrap_or_default().into(), at));
            Box::new(named.collect())
        })
    }

    fn position(&self, key: &str) -> Option<usize> {
        if let Some(positions) = &self.positions {
            return positions.get(key).copied();
        }
        self.entries
            .iter()
            .position(|(name, _)| name.as_str() == Some(key))
    }
}

impl Object for JsonMap {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get(key.as_str()?).cloned()
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.get(key).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let map = Arc::clone(self);
        let mut at = 0;
        Enumerator::KeyValueIter(Box::new(std::iter::from_fn(move || {
            let entry = map.entries.get(at)?.clone();
            at += 1;
            Some(entry)
        })))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// An integer that no machine type holds, by its digits.
#[derive(Debug)]
pub struct BigInteger(pub String);

impl Object for BigInteger {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn call_method(
        self: &Arc<Self>,
        _state: &State<'_, '_>,
        _method: &str,
        _args: &[Value],
    ) -> Result<Value, minijinja::Error> {
        Err(minijinja::Error::from(minijinja::ErrorKind::UnknownMethod))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The value at a position of a tape; depth is that of the body, so recursion is bounded.
pub fn to_value(text: &str, tape: &Tape, at: u32) -> Value {
    match tape.node(at).kind {
        Kind::Null => Value::from(()),
        Kind::False => Value::from(false),
        Kind::True => Value::from(true),
        Kind::Number => number(tape.raw(text, at)),
        Kind::Text => text_value(|out| tape.push_text(text, at, out)),
        Kind::Array => {
            let items = tape.items(at).map(|item| to_value(text, tape, item));
            Value::from(items.collect::<Vec<_>>())
        }
        Kind::Object => Value::from_object(to_map(text, tape, at)),
    }
}

pub fn to_map(text: &str, tape: &Tape, object: u32) -> JsonMap {
    let mut map = JsonMap::default();
    for (key, value) in tape.entries(object) {
        let name = text_value(|out| tape.push_text(text, key, out));
        map.set_value(name, to_value(text, tape, value));
    }
    map
}

/// A text put together by `fill` in memory that is used again.
pub fn text_value(fill: impl FnOnce(&mut String)) -> Value {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        fill(scratch);
        let value = Value::from(scratch.as_str());
        scratch.shrink_to(SCRATCH_KEPT);
        value
    })
}

/// A number as Python reads it: an integer unless it has a point or an exponent.
pub fn number(raw: &str) -> Value {
    if raw.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return Value::from(raw.parse::<f64>().unwrap_or(f64::NAN));
    }
    if let Ok(small) = raw.parse::<i64>() {
        return Value::from(small);
    }
    match raw.parse::<i128>() {
        Ok(large) => Value::from(large),
        Err(_) => Value::from_object(BigInteger(raw.to_owned())),
    }
}

/// A number as a double has it: `reasoning_effort` is no member whose spelling is kept.
pub fn double(raw: &str) -> Value {
    let value: f64 = raw.parse().unwrap_or(f64::NAN);
    if value.trunc() == value && value.abs() < 1e18 {
        return Value::from(value as i64);
    }
    Value::from(value)
}
