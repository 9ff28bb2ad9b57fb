//! What is done with a complete request before JavaScript hears of it: the data plane calls it, the
//! prompt encoder implements it, so that a prompt is encoded without a hop through JavaScript.

use crate::store::Handle;

/// A request's route; numbers are those of `layout::ROUTES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    ChatCompletions = 0,
    Completions = 1,
    Passthrough = 2,
    VllmGenerate = 4,
    SglangGenerate = 5,
    Messages = 6,
    Responses = 7,
}

/// Called exactly once, when the request's encode record can be read (or never will be: a stale
/// handle).
pub type Ready = Box<dyn FnOnce() + Send>;

pub trait Prepare: Send + Sync + 'static {
    /// Prepares a request whose body is complete. Calls `ready` before it returns when that takes
    /// little time, else later from a thread of its own.
    fn prepare(&self, handle: Handle, route: Route, ready: Ready);
}
