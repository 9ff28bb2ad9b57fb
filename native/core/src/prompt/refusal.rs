//! Why a request is refused, as the client reads it.

use super::json_text::without_lone_surrogates;

/// An error of the table in `layout::ERRORS`; `param` names the field where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: usize,
    pub detail: String,
    pub param: Option<String>,
}

impl Refusal {
    pub fn new(code: usize, detail: String, param: Option<String>) -> Self {
        Self {
            code,
            detail: without_lone_surrogates(detail),
            param: param.map(without_lone_surrogates),
        }
    }
}
