//! Reading members of a body that is JSON, and refusing what is not as it must be. Used by parse.rs and
//! completion.rs.

#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;

use super::json_tape::{Kind, Tape};
use super::json_text::javascript_number;
use super::refusal::Refusal;
use crate::layout::error;

const PRIORITY_MAX: f64 = 2_147_483_647.0;
/// Fields that change the prompt in ways only the engine can know.
const ENGINE_ONLY: [&str; 4] = [
    "prompt_embeds",
    "mm_processor_kwargs",
    "media_io_kwargs",
    "truncate_prompt_tokens",
];

/// The members of a body that is JSON.
pub(super) struct Body<'b, 't> {
    pub text: &'b str,
    pub tape: &'t Tape,
}

impl<'b> Body<'b, '_> {
    pub fn needs_engine(&self) -> bool {
        ENGINE_ONLY.iter().any(|name| self.has(name))
    }

    pub fn array(&self, name: &str, value: Option<u32>) -> Result<u32, Refusal> {
        let array = value.filter(|at| self.kind(*at) == Kind::Array);
        array.ok_or_else(|| {
            let problem = format!("must be an array, got {}", self.kind_of(value));
            invalid(name, &problem)
        })
    }

    pub fn kind(&self, at: u32) -> Kind {
        self.tape.node(at).kind
    }

    pub fn member(&self, name: &str) -> Option<u32> {
        self.tape.member(self.text, name).map(|(_, value)| value)
    }

    /// A member that is there and not null.
    pub fn present(&self, name: &str) -> Option<u32> {
        self.member(name).filter(|at| self.kind(*at) != Kind::Null)
    }

    pub fn has(&self, name: &str) -> bool {
        self.present(name).is_some()
    }

    pub fn string(&self, name: &str) -> Result<Option<Cow<'b, str>>, Refusal> {
        let Some(value) = self.present(name) else {
            return Ok(None);
        };
        if self.kind(value) != Kind::Text {
            let problem = format!("must be a string, got {}", self.kind_of(Some(value)));
            return Err(invalid(name, &problem));
        }
        Ok(Some(self.tape.text(self.text, value)))
    }

    pub fn boolean(&self, name: &str, fallback: bool) -> Result<bool, Refusal> {
        match self.present(name).map(|at| (at, self.kind(at))) {
            None => Ok(fallback),
            Some((_, Kind::True)) => Ok(true),
            Some((_, Kind::False)) => Ok(false),
            Some((at, _)) => {
                let problem = format!("must be true or false, got {}", self.kind_of(Some(at)));
                Err(invalid(name, &problem))
            }
        }
    }

    pub fn priority(&self) -> Result<i32, Refusal> {
        let Some(value) = self.present("priority") else {
            return Ok(0);
        };
        let number = match self.kind(value) {
            Kind::Number => self.tape.raw(self.text, value).parse().unwrap_or(f64::NAN),
            _ => f64::NAN,
        };
        if number.trunc() == number && number.abs() <= PRIORITY_MAX {
            return Ok(number as i32);
        }
        let kind = self.kind_of(Some(value));
        let problem = format!("must be an integer of at most 32 bits, got {kind}");
        Err(invalid("priority", &problem))
    }

    /// What a value is, in words of the client's language.
    pub fn kind_of(&self, value: Option<u32>) -> Cow<'static, str> {
        let Some(at) = value else {
            return Cow::Borrowed("nothing");
        };
        kind_name(self.kind(at), self.tape.raw(self.text, at))
    }
}

pub(super) fn kind_name(kind: Kind, raw: &str) -> Cow<'static, str> {
    Cow::Borrowed(match kind {
        Kind::Null => "null",
        Kind::False | Kind::True => "a boolean",
        Kind::Text => "a string",
        Kind::Array => "an array",
        Kind::Object => "an object",
        Kind::Number => {
            let number = javascript_number(raw.parse().unwrap_or(f64::NAN));
            return Cow::Owned(format!("the number {number}"));
        }
    })
}

pub(super) fn invalid(param: &str, problem: &str) -> Refusal {
    let detail = format!("{param}: {problem}");
    Refusal::new(error::INVALID_BODY, detail, Some(param.to_owned()))
}
