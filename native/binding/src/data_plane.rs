//! The data plane for JavaScript. Records and orders cross in memory that is registered once;
//! strings cross in one piece with NUL behind each part, which no header and no JSON text has.

#![deny(clippy::indexing_slicing)]

use std::sync::Arc;

use bytes::Bytes;
use napi::Status;
use napi::bindgen_prelude::{Env, Error, Float64Array, Function, Result, Uint32Array};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use warmpath_core::data_plane::{
    DataPlane, Decision, Headers, Options, Order, Patch, Refusal, Target,
};
use warmpath_core::prepare::Prepare;
use warmpath_core::store::Handle;

use crate::prompt;
use crate::registry::Local;
use crate::store::STORES;

/// A plane, and the memory it shares with the thread that made it.
struct Face {
    plane: DataPlane,
    records: Float64Array,
    orders: Uint32Array,
}

thread_local! {
    static PLANES: Local<Face> = const { Local::new("data plane") };
}

/// Calls JavaScript without keeping its process alive.
type Wake = ThreadsafeFunction<(), (), (), Status, false, true>;

fn with<R>(plane: u32, act: impl FnOnce(&mut Face) -> Result<R>) -> Result<R> {
    PLANES.with(|planes| planes.with(plane, act))
}

/// Has the plane's prompts encoded before JavaScript hears of their requests.
#[napi(catch_unwind)]
pub fn plane_attach_encoder(plane: u32, encoder: u32) -> Result<()> {
    let prepare: Arc<dyn Prepare> = prompt::encoder(encoder)?;
    with(plane, |face| {
        face.plane.set_prepare(Some(prepare));
        Ok(())
    })
}

/// `options` is JSON; `wake` is called when records wait; `records` and `orders` stay registered.
#[napi(catch_unwind)]
pub fn plane_create(
    store: u32,
    options: String,
    wake: Function<'_, (), ()>,
    records: Float64Array,
    orders: Uint32Array,
) -> Result<u32> {
    let options: Options = serde_json::from_str(&options).map_err(invalid)?;
    let wake: Wake = wake
        .build_threadsafe_function::<()>()
        .callee_handled::<false>()
        .weak::<true>()
        .build()?;
    let call = Box::new(move || {
        let _ = wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
    });
    let plane = DataPlane::new(options, STORES.get(store)?, call);
    Ok(PLANES.with(|planes| {
        planes.insert(Face {
            plane,
            records,
            orders,
        })
    }))
}

/// Begins to serve; address and port, separated by a blank.
#[napi(catch_unwind)]
pub fn plane_start(plane: u32) -> Result<String> {
    with(plane, |face| {
        let address = face.plane.start().map_err(Error::from_reason)?;
        Ok(format!("{} {}", address.ip(), address.port()))
    })
}

/// `endpoints` is a JSON array by slot.
#[napi(catch_unwind)]
pub fn plane_set_endpoints(plane: u32, endpoints: String) -> Result<()> {
    let by_slot = serde_json::from_str(&endpoints).map_err(invalid)?;
    with(plane, |face| {
        face.plane.set_endpoints(by_slot);
        Ok(())
    })
}

#[napi(catch_unwind)]
pub fn plane_set_usable(plane: u32, slot: u32, usable: bool) -> Result<()> {
    with(plane, |face| {
        face.plane.set_usable(slot as usize, usable);
        Ok(())
    })
}

/// Added to the count of records when there are lines for the log.
const TROUBLES: u32 = 65_536;

/// Moves waiting records into the registered memory; their count, and whether there are troubles.
#[napi(catch_unwind)]
pub fn plane_take(plane: u32) -> Result<u32> {
    with(plane, |face| {
        // SAFETY: the memory is JavaScript's and we are called on its thread, so nothing else
        // reads or writes it until this returns.
        let records = unsafe { face.records.as_mut() };
        let count = face.plane.take_records(records) as u32;
        let troubles = face.plane.has_troubles();
        Ok(if troubles { count + TROUBLES } else { count })
    })
}

/// The records taken last have been handled.
#[napi(catch_unwind)]
pub fn plane_delivered(plane: u32) -> Result<()> {
    with(plane, |face| {
        face.plane.delivered();
        Ok(())
    })
}

/// Lines of method, path, request id, then header names and values in turn; null when stale.
#[napi(catch_unwind)]
pub fn plane_head<'env>(
    env: &'env Env,
    plane: u32,
    slot: u32,
    generation: u32,
) -> Result<Option<napi::JsString<'env>>> {
    let text = with(plane, |face| {
        Ok(face.plane.head_text(Handle { slot, generation }))
    })?;
    text.map(|text| env.create_string_latin1(text)).transpose()
}

/// Forwards as the registered order says: count of targets, for each slot and counts of request
/// and response headers; count of patches, for each offset and length. `text` has the headers'
/// names and values, then the patches' texts.
#[napi(catch_unwind)]
pub fn plane_forward(plane: u32, slot: u32, generation: u32, text: String) -> Result<bool> {
    with(plane, |face| {
        let order = read_order(&face.orders, text).ok_or_else(|| invalid("an order"))?;
        Ok(face
            .plane
            .decide(Handle { slot, generation }, Decision::Forward(order)))
    })
}

/// Refuses with an error's number and its body.
#[napi(catch_unwind)]
pub fn plane_reject(
    plane: u32,
    slot: u32,
    generation: u32,
    error: u32,
    body: String,
) -> Result<bool> {
    let refusal = Refusal::with_body(error as usize, body);
    with(plane, |face| {
        Ok(face
            .plane
            .decide(Handle { slot, generation }, Decision::Reject(refusal)))
    })
}

#[napi(catch_unwind)]
pub fn plane_respond(
    plane: u32,
    slot: u32,
    generation: u32,
    status: u32,
    headers: String,
    body: &[u8],
) -> Result<bool> {
    let status = u16::try_from(status)
        .ok()
        .filter(|status| (200..=999).contains(status));
    let headers = Headers::read(Bytes::from(headers)).ok_or_else(|| invalid("a header"))?;
    let status = status.ok_or_else(|| invalid("a status"))?;
    let decision = Decision::Respond {
        status,
        headers,
        body: body.to_vec(),
    };
    with(plane, |face| {
        Ok(face.plane.decide(Handle { slot, generation }, decision))
    })
}

/// Lines about requests gone wrong, four strings each: sentence, request id, endpoint, error.
#[napi(catch_unwind)]
pub fn plane_troubles(plane: u32) -> Result<Vec<String>> {
    with(plane, |face| {
        let troubles = face.plane.take_troubles().into_iter();
        Ok(troubles
            .flat_map(|one| {
                [
                    one.sentence.to_owned(),
                    one.request_id,
                    one.endpoint,
                    one.error,
                ]
            })
            .collect())
    })
}

#[napi(catch_unwind)]
pub fn plane_in_flight(plane: u32) -> Result<u32> {
    with(plane, |face| Ok(face.plane.in_flight() as u32))
}

/// True when no request is open and every last record was handled.
#[napi(catch_unwind)]
pub fn plane_is_idle(plane: u32) -> Result<bool> {
    with(plane, |face| Ok(face.plane.is_idle()))
}

/// Connections, stripped headers, refused requests, retries, reconnects, missed policies, late
/// orders.
#[napi(catch_unwind)]
pub fn plane_stats(plane: u32) -> Result<Vec<f64>> {
    with(plane, |face| {
        let stats = face.plane.stats();
        Ok(vec![
            stats.connections as f64,
            stats.stripped_headers as f64,
            stats.refused_requests as f64,
            stats.retries as f64,
            stats.reconnects as f64,
            stats.policy_missed as f64,
            stats.late_orders as f64,
        ])
    })
}

/// Moves a manual clock.
#[napi(catch_unwind)]
pub fn plane_set_time(plane: u32, now_ms: f64) -> Result<()> {
    with(plane, |face| {
        face.plane.set_time(now_ms);
        Ok(())
    })
}

/// Stops listening (0), ends every request with an error (1), cuts every connection (2).
#[napi(catch_unwind)]
pub fn plane_drain(plane: u32, step: u32) -> Result<()> {
    with(plane, |face| {
        match step {
            0 => face.plane.drain(),
            1 => face.plane.terminate(),
            _ => face.plane.cut(),
        }
        Ok(())
    })
}

/// Ends the plane's threads; records may still be taken.
#[napi(catch_unwind)]
pub fn plane_stop(plane: u32) -> Result<()> {
    with(plane, |face| {
        face.plane.stop();
        Ok(())
    })
}

/// Forgets the plane, whose threads have ended.
#[napi(catch_unwind)]
pub fn plane_close(plane: u32) {
    PLANES.with(|planes| planes.remove(plane));
}

fn read_order(numbers: &[u32], text: String) -> Option<Order> {
    let mut numbers = numbers.iter().map(|&number| number as usize);
    let mut parts = Parts(Bytes::from(text));
    let mut order = Order::default();
    for _ in 0..numbers.next()? {
        let slot = u32::try_from(numbers.next()?).ok()?;
        let (requests, responses) = (numbers.next()?, numbers.next()?);
        order.targets.push(Target {
            slot,
            request_headers: Headers::read(parts.take(2 * requests)?)?,
            response_headers: Headers::read(parts.take(2 * responses)?)?,
        });
    }
    for _ in 0..numbers.next()? {
        let (offset, length) = (numbers.next()?, numbers.next()?);
        order.patches.push(Patch {
            offset,
            length,
            text: parts.take_one()?,
        });
    }
    Some(order)
}

/// What is left of a text of parts, NUL behind each.
struct Parts(Bytes);

impl Parts {
    /// The next `count` parts, as they stand in the text.
    fn take(&mut self, count: usize) -> Option<Bytes> {
        let Some(last) = count.checked_sub(1) else {
            return Some(Bytes::new());
        };
        let end = memchr::memchr_iter(0, &self.0).nth(last)?;
        Some(self.0.split_to(end + 1))
    }

    /// The next part alone.
    fn take_one(&mut self) -> Option<Bytes> {
        let mut part = self.take(1)?;
        part.truncate(part.len() - 1);
        Some(part)
    }
}

fn invalid(what: impl std::fmt::Display) -> Error {
    Error::from_reason(format!(
        "the data plane was given something invalid: {what}"
    ))
}
