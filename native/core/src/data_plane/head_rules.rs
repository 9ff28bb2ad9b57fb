//! Which heads are whose: methods that are known, names that are reserved or belong to one
//! connection, targets and request ids that are acceptable.

#![deny(clippy::indexing_slicing)]

use std::ops::Range;

use super::head::range;
use crate::layout::limits::REQUEST_ID_LENGTH_MAX;

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

/// Headers by which routers and their sidecars steer; a client must not.
const RESERVED_PREFIXES: [&[u8]; 6] = [
    b"x-gateway-destination-endpoint",
    b"x-warmpath-",
    b"x-data-parallel-",
    b"x-prefiller-",
    b"x-encoder-",
    b"x-kv-cache-source-",
];

/// The one header of a gateway that JavaScript may be configured to go by; engines never see it.
pub const ENDPOINT_SUBSET: &[u8] = b"x-gateway-destination-endpoint-subset";

/// Headers by which a client asks the router for something; engines have no use for them.
const WISH_PREFIXES: [&[u8]; 4] = [
    b"x-llm-d-",
    b"x-gateway-inference-",
    b"x-gateway-model-name-rewrite",
    ENDPOINT_SUBSET,
];

/// The one name with an underscore that is let through: old Codex names its session so, and read
/// with a hyphen it is still no name that steers.
const SESSION_OF_OLD_CODEX: &[u8] = b"session_id";

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

pub fn is_reserved(name: &[u8]) -> bool {
    // Some servers read `_` as `-`: an underscore can spell a reserved name.
    if name.contains(&b'_') {
        return !name.eq_ignore_ascii_case(SESSION_OF_OLD_CODEX);
    }
    begins_with_any(name, &RESERVED_PREFIXES) && !name.eq_ignore_ascii_case(ENDPOINT_SUBSET)
}

/// Whether the router reads the header and passes it on to nobody.
pub fn is_wish(name: &[u8]) -> bool {
    begins_with_any(name, &WISH_PREFIXES)
}

/// All prefixes begin with `x-`, which most names do not.
fn begins_with_any(name: &[u8], prefixes: &[&[u8]]) -> bool {
    let begins = |prefix: &[u8]| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    begins(b"x-") && prefixes.iter().any(|prefix| begins(prefix))
}

/// RFC 9110 §7.6.1, and what this side of the connection decides itself. Answers must stay
/// readable for usage and for the error event of a cut stream, hence the encodings.
pub fn is_own(name: &[u8]) -> bool {
    const OWN: [&[u8]; 15] = [
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"expect",
        b"host",
        b"content-length",
        b"accept-encoding",
        b"content-encoding",
        b"x-request-id",
    ];
    OWN.iter().any(|own| name.eq_ignore_ascii_case(own))
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
