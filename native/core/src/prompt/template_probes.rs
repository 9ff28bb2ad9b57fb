//! What engines find out about a template by rendering small chats, to convert requests of other APIs
//! for it. Called by render.rs. Source: vLLM 0.32's entrypoints/anthropic/serving.py.

#![deny(clippy::indexing_slicing)]

use minijinja::Value;

use super::values::JsonMap;

const EFFORTS: [&str; 5] = ["low", "medium", "high", "xhigh", "max"];

/// Whether a template refuses system messages after the first; `render` is null where it does.
pub fn wants_system_first(render: impl Fn(Vec<Value>) -> Option<String>) -> bool {
    let roles = ["system", "user", "system", "user"];
    render(roles.map(|role| text(role, "t")).into()).is_none()
}

/// The effort that stands for no thinking: the lowest, where the template does not know `none`.
/// `render` gives what an effort makes of a chat, null where the template refuses it.
pub fn thinking_off_effort(render: impl Fn(&str) -> Option<String>) -> &'static str {
    let none = render("none");
    if none.is_none() || EFFORTS.iter().any(|effort| render(effort) == none) {
        return "low";
    }
    "none"
}

/// A message whose content is a text, whatever form the template wants.
pub fn text(role: &str, content: &str) -> Value {
    let mut message = JsonMap::with_capacity(2);
    message.set("role", Value::from(role));
    message.set("content", Value::from(content));
    Value::from_object(message)
}
