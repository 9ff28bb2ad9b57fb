//! The rule of eviction on small pools. That both cores follow it through anything is shown by
//! `test/property/routing-history.test.ts`.

use std::sync::Arc;

use super::{RoutingHistory, Shape, Work};
use crate::index::test_table::Table;
use crate::index::{IndexOwner, IndexWriter};
use crate::store::{Handle, RequestStore};

const BLOCK: u32 = 16;

struct World {
    table: Table,
    store: Arc<RequestStore>,
    history: RoutingHistory,
}

fn world(capacity_blocks: u32) -> World {
    let table = Table::create(64, 64, 64);
    let writer = IndexWriter::open(table.words, 0, None).expect("a writer");
    let store = Arc::new(RequestStore::new());
    let mut history = RoutingHistory::new(writer, Arc::clone(&store));
    history.open(3, shape(capacity_blocks));
    World {
        table,
        store,
        history,
    }
}

/// Keys are hashes; the index takes their high half for a tag.
fn spread(key: u64) -> u64 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn shape(capacity_blocks: u32) -> Shape {
    Shape {
        capacity_blocks,
        block_size: BLOCK,
        alignment_blocks: 1,
    }
}

impl World {
    /// Sends a prompt of exactly these blocks and one token more.
    fn send(&mut self, keys: &[u64]) -> Handle {
        let handle = self.store.open(0).expect("a handle");
        let spread: Vec<u64> = keys.iter().map(|key| spread(*key)).collect();
        self.store.set_keys(handle, &spread);
        let work = self.history.begin(handle, 3, keys.len() as u32 * BLOCK + 1);
        assert_eq!(work, Work::Done);
        handle
    }

    fn end(&mut self, handle: Handle, computed: u32) {
        assert_eq!(self.history.end(handle, computed, None), Work::Done);
        self.store.release(handle);
    }

    fn held(&self, keys: &[u64]) -> Vec<u64> {
        let is_held = |key: &&u64| !self.table.holders(spread(**key), 0).is_empty();
        keys.iter().filter(is_held).copied().collect()
    }
}

#[test]
fn the_tail_of_the_oldest_request_is_evicted_first() {
    let mut world = world(6);
    for keys in [[1, 2], [11, 12]] {
        let request = world.send(&keys);
        world.end(request, 33);
    }
    assert_eq!(world.held(&[1, 2, 11, 12]), [1, 2, 11, 12]);
    // Two prompts of two blocks and a partial one each: two blocks are without a content.
    let third = world.send(&[21, 22]);
    assert_eq!(world.held(&[1, 2, 11, 12, 21, 22]), [1, 11, 12, 21, 22]);
    world.end(third, 33);
}

#[test]
fn a_hit_is_taken_out_of_the_queue() {
    let mut world = world(5);
    for keys in [[1, 2], [11, 12]] {
        let request = world.send(&keys);
        world.end(request, 33);
    }
    let again = world.send(&[1, 2]);
    world.end(again, 33);
    let third = world.send(&[21]);
    assert_eq!(world.held(&[1, 2, 11, 12, 21]), [1, 2, 11, 21]);
    world.end(third, 17);
}

#[test]
fn the_next_turn_takes_over_the_answer() {
    let mut world = world(8);
    let first = world.send(&[1, 2]);
    // Full to the end of the fifth block: three are the answer's.
    world.end(first, 80);
    let second = world.send(&[1, 2, 3, 4, 5, 6]);
    // Five of the first request, its own sixth, and the partial one: nothing was evicted.
    assert_eq!(world.history.usage(3).map(|usage| usage.blocks), Some(6));
    world.end(second, 97);
    let other = world.send(&[91]);
    assert_eq!(world.held(&[1, 2, 3, 4, 5, 6, 91]), [1, 2, 3, 4, 5, 6, 91]);
    world.end(other, 17);
}

#[test]
fn what_does_not_fit_waits_until_a_request_ends() {
    let mut world = world(5);
    let first = world.send(&[1, 2, 3]);
    let second = world.send(&[11, 12]);
    assert_eq!(world.held(&[1, 2, 3, 11, 12]), [1, 2, 3, 11]);
    // Its partial block is free for the twelfth; the other's own partial block takes the oldest tail.
    world.end(first, 49);
    assert_eq!(world.held(&[1, 2, 3, 11, 12]), [1, 2, 11, 12]);
    world.end(second, 33);
}

#[test]
fn a_withdrawn_request_leaves_what_it_hit() {
    let mut world = world(8);
    let first = world.send(&[1]);
    world.end(first, 17);
    let second = world.send(&[1, 2]);
    assert_eq!(world.history.withdraw(second), Work::Done);
    assert_eq!(world.held(&[1, 2]), [1]);
    assert_eq!(world.history.usage(3).map(|usage| usage.requests), Some(0));
}

#[test]
fn a_history_whose_residencies_were_dropped_begins_anew() {
    let mut world = world(8);
    let first = world.send(&[1, 2]);
    let owner = IndexOwner::open(world.table.words).expect("an owner");
    owner.suspend();
    owner.recover();
    let second = world.send(&[1, 3]);
    assert_eq!(world.held(&[1, 2, 3]), [1, 3]);
    world.end(first, 33);
    world.end(second, 33);
    assert_eq!(world.history.usage(3).map(|usage| usage.blocks), Some(2));
}
