//! An error this router answers with: a number of the error table, and what the client reads. The
//! body is the same, byte for byte, as `RouterError.toBody` makes it.

use super::added_headers::Headers;
use crate::layout::{ERRORS, ErrorDefinition, error};

/// Seconds after which a refused client may come back.
const RETRY_AFTER: &str = "1";

/// An error answer.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Number in the error table.
    pub number: usize,
    pub body: String,
    /// What the client reads, for the log.
    pub message: String,
}

impl Refusal {
    pub fn new(number: usize, message: &str) -> Self {
        Self::build(number, message, None)
    }

    /// An error about one field of the request.
    pub fn about(number: usize, message: &str, param: &str) -> Self {
        Self::build(number, message, Some(param))
    }

    /// An error whose body JavaScript has built.
    pub fn with_body(number: usize, body: String) -> Self {
        Self {
            number,
            body,
            message: String::new(),
        }
    }

    fn build(number: usize, message: &str, param: Option<&str>) -> Self {
        let row = definition(number);
        let quote = |text: &str| serde_json::Value::from(text).to_string();
        let body = format!(
            r#"{{"error":{{"message":{},"type":"{}","param":{},"code":"{}","source":"{}"}}}}"#,
            quote(message),
            row.kind,
            param.map_or_else(|| "null".to_owned(), quote),
            row.code,
            row.source,
        );
        Self {
            number,
            body,
            message: message.to_owned(),
        }
    }

    pub fn status(&self) -> u16 {
        definition(self.number).status
    }

    /// Headers of the answer, besides its length.
    pub fn headers(&self) -> Headers {
        let row = definition(self.number);
        let mut headers = vec![
            ("content-type", "application/json"),
            ("x-warmpath-error-source", row.source),
        ];
        if row.status == 429 || row.status == 503 {
            headers.push(("retry-after", RETRY_AFTER));
        }
        if let Some(dropped) = row.dropped {
            headers.push(("x-llm-d-request-dropped-reason", dropped));
        }
        Headers::of(&headers)
    }

    /// The event that ends a stream which cannot be completed.
    pub fn event(&self, at_boundary: bool) -> Vec<u8> {
        let separator = if at_boundary { "" } else { "\n\n" };
        format!("{separator}data: {}\n\n", self.body).into_bytes()
    }
}

/// A number outside the table can only come from JavaScript; the router has failed then.
fn definition(number: usize) -> &'static ErrorDefinition {
    const { assert!(error::INTERNAL_ERROR < ERRORS.len()) };
    ERRORS.get(number).unwrap_or(&ERRORS[error::INTERNAL_ERROR])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_shape_of_the_table() {
        let refusal = Refusal::about(
            error::UNSUPPORTED_ENCODING,
            "No \"gzip\".",
            "content-encoding",
        );
        assert_eq!(
            refusal.body,
            r#"{"error":{"message":"No \"gzip\".","type":"invalid_request_error","param":"content-encoding","code":"unsupported_encoding","source":"client"}}"#
        );
        assert_eq!(refusal.status(), 415);
        let full = Refusal::new(error::TOO_MANY_REQUESTS, "Full.");
        assert!(
            full.headers()
                .iter()
                .any(|(name, value)| name == b"retry-after" && value == b"1")
        );
        assert!(full.event(false).starts_with(b"\n\ndata: {\"error\""));
    }
}
