//! Which heads are whose: methods that are known, names that are reserved or belong to one
//! connection, targets and request ids that are acceptable.

#![deny(clippy::indexing_slicing)]

use std::ops::Range;

use super::head::range;
use crate::layout::limits::REQUEST_ID_LENGTH_MAX;
use crate::layout::{
    ENDPOINT_SUBSET_HEADER, MODEL_REWRITE_HEADER, OLD_MODEL_REWRITE_HEADER, OWN_HEADERS,
    RESERVED_PREFIXES, SESSION_OF_OLD_CODEX, TELLING_HEADERS, WISH_PREFIXES,
};

/// Methods that llhttp, and so the portable plane, knows. CONNECT is no request for a router.
pub const METHODS: [&[u8]; 34] = [
    b"GET",
    b"POST",
    b"HEAD",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"PATCH",
    b"TRACE",
    b"COPY",
    b"LOCK",
    b"MKCOL",
    b"MOVE",
    b"PROPFIND",
    b"PROPPATCH",
    b"SEARCH",
    b"UNLOCK",
    b"BIND",
    b"REBIND",
    b"UNBIND",
    b"ACL",
    b"REPORT",
    b"MKACTIVITY",
    b"CHECKOUT",
    b"MERGE",
    b"M-SEARCH",
    b"NOTIFY",
    b"SUBSCRIBE",
    b"UNSUBSCRIBE",
    b"PURGE",
    b"MKCALENDAR",
    b"LINK",
    b"UNLINK",
    b"SOURCE",
    b"QUERY",
];

/// Path and query of a request target (RFC 9112 §3.2).
pub fn request_path(bytes: &[u8], target: &Range<u32>) -> (Option<Range<u32>>, bool) {
    let text = range(bytes, target);
    if text.first() == Some(&b'/') || text == b"*" {
        return (Some(target.clone()), true);
    }
    let scheme = [&b"http://"[..], b"https://"].into_iter().find(|scheme| {
        text.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let Some(scheme) = scheme else {
        return (None, true);
    };
    let rest = text.get(scheme.len()..).unwrap_or_default();
    let authority = rest
        .iter()
        .take_while(|byte| !b"/?#".contains(byte))
        .count();
    if authority == 0 {
        return (None, true);
    }
    let at = target.start + (scheme.len() + authority) as u32;
    (Some(at..target.end), rest.get(authority) == Some(&b'/'))
}

/// As `droppedHeader` of `header-names.ts`.
pub fn is_reserved(name: &[u8]) -> bool {
    // Some servers read `_` as `-`: an underscore can spell a reserved name.
    if name.contains(&b'_') {
        return !is(name, SESSION_OF_OLD_CODEX);
    }
    begins_with_any(name, &RESERVED_PREFIXES) && !is(name, ENDPOINT_SUBSET_HEADER)
}

/// Whether the router reads the header and passes it on to nobody.
pub fn is_wish(name: &[u8]) -> bool {
    begins_with_any(name, &WISH_PREFIXES)
}

/// Whether the header concerns the connection, or the router's own side of it.
pub fn is_own(name: &[u8]) -> bool {
    OWN_HEADERS.iter().any(|own| is(name, own))
}

/// Whether the header says something even to a policy that reads none.
pub fn is_telling(name: &[u8]) -> bool {
    TELLING_HEADERS.iter().any(|telling| is(name, telling))
}

/// Whether the header says who may answer, or which model: JavaScript alone can tell.
pub fn is_choosing(name: &[u8]) -> bool {
    is(name, ENDPOINT_SUBSET_HEADER)
        || is(name, MODEL_REWRITE_HEADER)
        || is(name, OLD_MODEL_REWRITE_HEADER)
}

fn is(name: &[u8], known: &str) -> bool {
    name.eq_ignore_ascii_case(known.as_bytes())
}

/// All prefixes begin with `x-`, which most names do not.
fn begins_with_any(name: &[u8], prefixes: &[&str]) -> bool {
    let begins = |prefix: &str| {
        name.get(..prefix.len())
            .is_some_and(|start| is(start, prefix))
    };
    begins("x-") && prefixes.iter().any(|prefix| begins(prefix))
}

pub fn is_authorization(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"authorization")
}

pub fn is_request_id(value: &[u8]) -> bool {
    (1..=REQUEST_ID_LENGTH_MAX).contains(&value.len())
        && value
            .iter()
            .all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}
