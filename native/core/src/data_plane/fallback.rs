//! The native pick that replaces a policy which missed its limit: fewest requests in flight. It
//! only takes requests that it can forward as JavaScript would have: a prompt route, a model that
//! an endpoint may be picked for, nobody who says which endpoints or model may answer, and a body
//! without any field that JavaScript refuses or cuts. JavaScript has left out of the endpoints' models
//! what its filters or rewrites would send elsewhere.
//! Everything else goes on waiting for JavaScript.

#![deny(clippy::indexing_slicing)]

use std::fmt;
use std::sync::atomic::Ordering;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::added_headers::Headers;
use super::exchange::Exchange;
use super::hand_over::prompt_route;
use super::head_rules::is_choosing;
use super::shared::{Order, Target, count};
use crate::layout::limits::ATTEMPTS_MAX;

/// Fields JavaScript refuses (templates), cuts (transfer parameters), or must look into.
const LEFT_TO_JAVASCRIPT: [&str; 8] = [
    "chat_template",
    "chat_template_kwargs",
    "kv_transfer_params",
    "ec_transfer_params",
    "bootstrap_host",
    "bootstrap_port",
    "bootstrap_room",
    "vllm_xargs",
];

/// True once JavaScript knows of the request, so that the limit is its own.
pub fn is_due(exchange: &Exchange) -> bool {
    exchange
        .handle
        .is_some_and(|handle| exchange.shard.shared.is_announced(handle))
}

/// Takes the decision from JavaScript and makes it; `None` leaves it there.
pub fn pick(exchange: &Exchange) -> Option<Order> {
    let shared = &exchange.shard.shared;
    let handle = exchange.handle?;
    prompt_route(&exchange.head)?;
    let chooses = |(name, _): (&[u8], &[u8])| is_choosing(name);
    if exchange.head.shown().any(chooses) {
        return None;
    }
    let body = shared.store.body(handle)?;
    let Fields {
        model: Some(model),
        plain: true,
    } = serde_json::from_slice(&body).ok()?
    else {
        return None;
    };
    let endpoints = shared.endpoints();
    let mut candidates: Vec<(u32, usize)> = endpoints
        .iter()
        .enumerate()
        .filter_map(|(slot, endpoint)| {
            let usable = !shared.unusable.get(slot)?.load(Ordering::Relaxed);
            let serves = endpoint.as_ref()?.models.contains(&model);
            let in_flight = shared.in_flight.get(slot)?.load(Ordering::Relaxed);
            (usable && serves).then_some((in_flight, slot))
        })
        .collect();
    candidates.sort_unstable();
    candidates.truncate(ATTEMPTS_MAX);
    if candidates.is_empty() || !shared.miss_decision(handle) {
        return None;
    }
    count(&shared.counters.policy_missed);
    exchange.trouble(
        "the policy missed its limit; picked by fewest in flight",
        "",
        "",
    );
    let target = |&(_, slot): &(u32, usize)| {
        let rank = endpoints.get(slot).and_then(|one| one.as_ref()?.dp_rank);
        let header = |rank: u32| Headers::of(&[("x-data-parallel-rank", &rank.to_string())]);
        Target {
            slot: slot as u32,
            request_headers: rank.map(header).unwrap_or_default(),
            response_headers: Headers::default(),
        }
    };
    Some(Order {
        targets: candidates.iter().map(target).collect(),
        patches: Vec::new(),
    })
}

/// What the pick must know of a body.
struct Fields {
    model: Option<String>,
    /// No field is JavaScript's business, and none is there twice.
    plain: bool,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields {
            model: None,
            plain: true,
        };
        let mut seen: Vec<String> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            fields.plain &= !seen.contains(&name) && !LEFT_TO_JAVASCRIPT.contains(&name.as_str());
            // A client with so many fields is JavaScript's business too.
            fields.plain &= seen.len() < 64;
            if !fields.plain {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if name == "model" {
                fields.model = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            seen.push(name);
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_bodies_are_taken_from_javascript() {
        let read = |body: &str| serde_json::from_str::<Fields>(body);
        let plain = read(r#"{"messages":[{"model":"x"}],"model":"m","stream":true}"#).unwrap();
        assert_eq!((plain.model.as_deref(), plain.plain), (Some("m"), true));
        for body in [
            r#"{"model":"m","model":"n"}"#,
            r#"{"model":"m","kv_transfer_params":{}}"#,
            r#"{"mod\u0065l":"m","model":"n"}"#,
            r#"{"chat_template":"x","model":"m"}"#,
        ] {
            assert!(!read(body).unwrap().plain, "{body}");
        }
        assert!(read("[1]").is_err());
        assert!(read(r#"{"model":1}"#).is_err());
        assert!(read(r#"{"messages":[]}"#).unwrap().model.is_none());
    }
}
