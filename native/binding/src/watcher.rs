//! The engine watcher for JavaScript. Answers cross in batches: numbers in memory that is registered
//! once, texts in one string.

#![deny(clippy::indexing_slicing)]

use std::time::Duration;

use napi::Status;
use napi::bindgen_prelude::{Error, Float64Array, Function, Result};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use warmpath_core::watch::{Keep, Watcher};

use crate::registry::Local;

/// A watcher, and the memory it shares with the thread that made it.
struct Face {
    watcher: Watcher,
    answers: Float64Array,
}

thread_local! {
    static WATCHERS: Local<Face> = const { Local::new("engine watcher") };
}

/// Calls JavaScript without keeping its process alive.
type Wake = ThreadsafeFunction<(), (), (), Status, false, true>;

fn with<R>(watcher: u32, act: impl FnOnce(&mut Face) -> Result<R>) -> Result<R> {
    WATCHERS.with(|watchers| watchers.with(watcher, act))
}

/// `options` is JSON; `wake` is called when answers wait; `answers` stays registered.
#[napi(catch_unwind)]
pub fn watcher_create(
    options: String,
    wake: Function<'_, (), ()>,
    answers: Float64Array,
) -> Result<u32> {
    let options = serde_json::from_str(&options).map_err(invalid)?;
    let wake: Wake = wake
        .build_threadsafe_function::<()>()
        .callee_handled::<false>()
        .weak::<true>()
        .build()?;
    let call = Box::new(move || {
        let _ = wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
    });
    let watcher = Watcher::new(&options, call).map_err(Error::from_reason)?;
    Ok(WATCHERS.with(|watchers| watchers.insert(Face { watcher, answers })))
}

/// Begins to watch the engine at an address, which is JSON; returns the engine's number.
#[napi(catch_unwind)]
pub fn watcher_open(watcher: u32, address: String) -> Result<u32> {
    let address = serde_json::from_str(&address).map_err(invalid)?;
    with(watcher, |face| Ok(face.watcher.open(address)))
}

/// Asks for a path, when `watcher_send` is called; of the body the wanted lines are kept (0),
/// nothing (1) or everything (2).
#[napi(catch_unwind)]
pub fn watcher_ask(
    watcher: u32,
    engine: u32,
    keep: u32,
    path: String,
    ticket: u32,
    limit_ms: u32,
) -> Result<()> {
    let keep = match keep {
        0 => Keep::Lines,
        1 => Keep::Nothing,
        2 => Keep::Everything,
        _ => return Err(invalid("a kind of question")),
    };
    let limit = Duration::from_millis(u64::from(limit_ms));
    with(watcher, |face| {
        face.watcher.ask(engine, keep, path, ticket, limit);
        Ok(())
    })
}

/// Sends what was asked.
#[napi(catch_unwind)]
pub fn watcher_send(watcher: u32) -> Result<()> {
    with(watcher, |face| {
        face.watcher.send();
        Ok(())
    })
}

/// Moves waiting answers into the registered memory and returns their count.
#[napi(catch_unwind)]
pub fn watcher_take(watcher: u32) -> Result<u32> {
    with(watcher, |face| {
        // SAFETY: the memory is JavaScript's and we are called on its thread, so nothing else
        // reads or writes it until this returns.
        let answers = unsafe { face.answers.as_mut() };
        Ok(face.watcher.take(answers) as u32)
    })
}

/// Texts of the answers taken last, one behind the other.
#[napi(catch_unwind)]
pub fn watcher_text(watcher: u32) -> Result<String> {
    with(watcher, |face| Ok(face.watcher.text().to_owned()))
}

/// Closes the connections to an engine; what it was asked is still answered.
#[napi(catch_unwind)]
pub fn watcher_close_engine(watcher: u32, engine: u32) -> Result<()> {
    with(watcher, |face| {
        face.watcher.close(engine);
        Ok(())
    })
}

/// Ends the watcher and its thread; open questions are not answered any more.
#[napi(catch_unwind)]
pub fn watcher_close(watcher: u32) {
    WATCHERS.with(|watchers| watchers.remove(watcher));
}

fn invalid(what: impl std::fmt::Display) -> Error {
    Error::from_reason(format!(
        "the engine watcher was given something invalid: {what}"
    ))
}
