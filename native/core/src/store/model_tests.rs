//! The request store against a map of bodies: every handle ever given out is tried again and again,
//! and a stale one neither reads nor changes anything.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// Few, so that they are used up and used again.
const SLOTS: u32 = 4;

#[derive(Clone, Debug)]
enum Step {
    Open {
        hint: usize,
    },
    Append {
        handle: Index,
        chunk: Vec<u8>,
    },
    /// `text` instead of a part that may reach past the end.
    Replace {
        handle: Index,
        offset: usize,
        length: usize,
        text: Vec<u8>,
    },
    /// A read of up to `limit` bytes that gives `filled`.
    Receive {
        handle: Index,
        limit: usize,
        filled: usize,
    },
    /// Keeps the body's bytes while the store goes on.
    Share {
        handle: Index,
    },
    SetKeys {
        handle: Index,
        keys: Vec<u64>,
    },
    Release {
        handle: Index,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let handle = any::<Index>;
    prop_oneof![
        4 => (0..5000_usize).prop_map(|hint| Step::Open { hint }),
        6 => (handle(), vec(any::<u8>(), 0..50))
            .prop_map(|(handle, chunk)| Step::Append { handle, chunk }),
        3 => (handle(), 0..60_usize, 0..30_usize, vec(any::<u8>(), 0..50)).prop_map(
            |(handle, offset, length, text)| Step::Replace { handle, offset, length, text }
        ),
        4 => (handle(), 0..100_usize, 0..100_usize).prop_map(|(handle, limit, filled)| {
            Step::Receive { handle, limit, filled: filled.min(limit) }
        }),
        2 => handle().prop_map(|handle| Step::Share { handle }),
        2 => (handle(), vec(any::<u64>(), 0..9))
            .prop_map(|(handle, keys)| Step::SetKeys { handle, keys }),
        3 => handle().prop_map(|handle| Step::Release { handle }),
    ]
}

#[derive(Default)]
struct Request {
    body: Vec<u8>,
    keys: Vec<u64>,
}

struct Machine {
    store: RequestStore,
    open: BTreeMap<(u32, u32), Request>,
    /// All handles there ever were, and some that never were.
    handles: Vec<Handle>,
    shared: Vec<(Bytes, Vec<u8>)>,
    /// Bytes that bodies not in the model take up.
    others: usize,
}

impl Machine {
    /// A store in which other bodies leave `room` bytes.
    fn new(room: usize) -> Self {
        let store = RequestStore::with_slots(SLOTS);
        let others = BODY_STORE_BYTES - room;
        store.bytes.store(others, Ordering::Relaxed);
        let never = |slot, generation| Handle { slot, generation };
        Self {
            store,
            open: BTreeMap::new(),
            handles: vec![never(0, 0), never(0, 9_999), never(u32::MAX, 1)],
            shared: Vec::new(),
            others,
        }
    }

    fn bytes(&self) -> usize {
        self.others + self.open.values().map(|one| one.body.len()).sum::<usize>()
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Open { hint } => self.open(hint),
            Step::Append { handle, chunk } => {
                let (handle, room) = (self.pick(handle), BODY_STORE_BYTES - self.bytes());
                let request = self.open.get_mut(&(handle.slot, handle.generation));
                let expected = match request {
                    None => Append::Stale,
                    Some(_) if chunk.len() > room => Append::Full,
                    Some(request) => {
                        request.body.extend_from_slice(&chunk);
                        Append::Done
                    }
                };
                assert_eq!(self.store.append(handle, &chunk), expected);
            }
            Step::Replace {
                handle,
                offset,
                length,
                text,
            } => self.replace(handle, offset, length, text),
            Step::Receive {
                handle,
                limit,
                filled,
            } => self.receive(handle, limit, filled),
            Step::Share { handle } => {
                let body = self.store.body(self.pick(handle));
                self.shared
                    .extend(body.map(|body| (body.clone(), body.to_vec())));
            }
            Step::SetKeys { handle, keys } => {
                let handle = self.pick(handle);
                self.store.set_keys(handle, &keys);
                if let Some(request) = self.open.get_mut(&(handle.slot, handle.generation)) {
                    request.keys = keys;
                }
            }
            Step::Release { handle } => {
                let handle = self.pick(handle);
                self.store.release(handle);
                self.open.remove(&(handle.slot, handle.generation));
            }
        }
        self.check();
    }

    fn pick(&self, handle: Index) -> Handle {
        *handle.get(&self.handles)
    }

    fn open(&mut self, hint: usize) {
        let is_full = self.bytes() >= BODY_STORE_BYTES || self.open.len() == SLOTS as usize;
        let opened = self.store.open(hint);
        assert_eq!(opened.is_none(), is_full);
        let Some(handle) = opened else { return };
        assert_eq!(handle.generation % 2, 1, "an open generation is odd");
        assert!(
            self.open.keys().all(|(slot, _)| *slot != handle.slot),
            "the slot is in use"
        );
        assert!(
            !self.handles[3..].contains(&handle),
            "{handle:?} was given out before"
        );
        self.handles.push(handle);
        self.open
            .insert((handle.slot, handle.generation), Request::default());
    }

    fn replace(&mut self, handle: Index, offset: usize, length: usize, text: Vec<u8>) {
        let (handle, room) = (self.pick(handle), BODY_STORE_BYTES - self.bytes());
        let replaced = self.store.replace(handle, offset, length, &text);
        let request = self.open.get_mut(&(handle.slot, handle.generation));
        let expected = match request {
            None => Replace::Stale,
            Some(request) if offset + length > request.body.len() => Replace::OutOfBounds,
            Some(_) if text.len() > room + length => Replace::Full,
            Some(request) => {
                request.body.splice(offset..offset + length, text);
                Replace::Done
            }
        };
        assert_eq!(replaced, expected);
    }

    fn receive(&mut self, handle: Index, limit: usize, filled: usize) {
        let (handle, room) = (self.pick(handle), BODY_STORE_BYTES - self.bytes());
        let received = self.store.receive(handle, limit, |place| {
            assert_eq!(place.len(), limit);
            place[..filled].fill(7);
            (filled, limit)
        });
        let request = self.open.get_mut(&(handle.slot, handle.generation));
        let expected = request.map(|request| {
            if filled > room {
                return (Append::Full, limit);
            }
            request.body.resize(request.body.len() + filled, 7);
            (Append::Done, limit)
        });
        assert_eq!(received, expected);
    }

    fn check(&self) {
        for handle in &self.handles {
            let request = self.open.get(&(handle.slot, handle.generation));
            let length = request.map_or(0, |request| request.body.len());
            assert_eq!(self.store.length(*handle), length, "{handle:?}");
            let keys = self.store.with_keys(*handle, <[u64]>::to_vec);
            assert_eq!(keys, request.map(|request| request.keys.clone()));
            assert_eq!(self.store.while_open(*handle, || ()), request.map(|_| ()));
        }
        for (shared, bytes) in &self.shared {
            assert_eq!(shared, bytes, "what was shared stays as it was");
        }
        let (slots, bytes) = (self.open.len(), self.bytes());
        assert_eq!(self.store.usage(), StoreUsage { slots, bytes });
    }

    /// Reading the bodies ends their growing in place, so it waits until the end.
    fn finish(self) {
        for handle in &self.handles {
            let body = self
                .open
                .get(&(handle.slot, handle.generation))
                .map(|one| &one.body[..]);
            assert_eq!(self.store.body(*handle).as_deref(), body);
            self.store.release(*handle);
        }
        let usage = self.store.usage();
        assert_eq!(
            usage,
            StoreUsage {
                slots: 0,
                bytes: self.others
            }
        );
    }
}

/// Under miri every step takes a thousand times as long.
const STEPS_MAX: usize = if cfg!(miri) { 30 } else { 120 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 1024 }))]

    #[test]
    fn handles_name_their_own_body_only(room in 0..3000_usize, steps in vec(step(), 1..STEPS_MAX)) {
        let mut machine = Machine::new(room);
        for step in steps {
            machine.apply(step);
        }
        machine.finish();
    }
}

#[test]
#[cfg_attr(miri, ignore = "32 MiB take miri minutes and show nothing else")]
fn a_body_ends_at_its_limit() {
    let store = RequestStore::with_slots(1);
    let handle = store.open(0).unwrap();
    let half = vec![1; BODY_BYTES_MAX / 2];
    assert_eq!(store.append(handle, &half), Append::Done);
    assert_eq!(store.append(handle, &half[1..]), Append::Done);
    assert_eq!(store.append(handle, &[1, 2]), Append::TooLarge);
    let given = store.receive(handle, 100, |place| (place.len(), place.len()));
    assert_eq!(given, Some((Append::Done, 1)), "one byte is left");
    let none = store.receive(handle, 100, |place| (place.len(), place.len()));
    assert_eq!(none, Some((Append::Done, 0)));
    assert_eq!(store.length(handle), BODY_BYTES_MAX);
}

#[test]
#[cfg_attr(miri, ignore = "as many slots take miri minutes and show nothing else")]
fn there_are_as_many_slots_as_requests_in_flight() {
    let store = RequestStore::new();
    let handles: Vec<Handle> = (0..REQUESTS_IN_FLIGHT_MAX)
        .map_while(|_| store.open(0))
        .collect();
    assert_eq!(handles.len(), REQUESTS_IN_FLIGHT_MAX);
    assert_eq!(store.open(0), None);
    store.release(handles[77]);
    assert_eq!(
        store.open(0).map(|handle| handle.slot),
        Some(handles[77].slot)
    );
    assert_eq!(store.open(0), None);
}
