//! Models of the block index: buckets, locks, and set ids that are used again. Each has a control in
//! which one rule is broken and loom finds the order that shows it.

// Models may fail loudly; the allowance for tests does not reach their helpers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use warmpath_core::index::{
    IndexReader, IndexWriter, MatchResult, Memory, Place, Residency, Word, WriteStatus,
    delete_slot, find_slot, insert_slot, lock, probe, unlock,
};
use warmpath_core::layout::index::{bucket, state};
use warmpath_loom::{
    CountsNotAtomic, Fault, GenerationNotRaised, LockNotExclusive, LoomWords, Slots, Sound,
    TagUnchecked, create,
};

/// Times a thread may be interrupted at any point; more finds no more here and takes much longer.
const PREEMPTIONS: usize = 3;

fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    // The long checks look further than a merge has time for.
    let asked = std::env::var("WARMPATH_LOOM_PREEMPTIONS");
    let asked = asked.ok().and_then(|count| count.parse().ok());
    builder.preemption_bound = Some(preemptions.max(asked.unwrap_or(0)));
    builder.max_branches = 100_000;
    builder.check(model);
}

/// A key homed at bucket `home` of `buckets`, told apart by its tag.
fn place(home: usize, tag: u32) -> Place {
    Place { home, tag }
}

const SUBJECT: Place = Place { home: 0, tag: 77 };

fn remove<F: Fault>(memory: &Memory<LoomWords<F>>, place: Place) {
    let found = find_slot(memory, place);
    delete_slot(memory, place.home, found.expect("the key is there"));
}

/// A slot goes from one key to another while a reader looks the first one up.
fn slot_changes_hands<F: Fault>(slots: Slots) {
    check(PREEMPTIONS, move || {
        let memory = create::<F>(1, slots);
        assert!(insert_slot(&memory, SUBJECT, 1));
        let reader = {
            let memory = memory.clone();
            thread::spawn(move || probe(&memory, SUBJECT))
        };
        remove(&memory, SUBJECT);
        assert!(insert_slot(&memory, place(0, 88), 2));
        let found = reader.join().unwrap();
        assert!(found == 0 || found == 1, "claims a stranger's set {found}");
        assert_eq!(probe(&memory, SUBJECT), 0);
        assert_eq!(probe(&memory, place(0, 88)), 2);
    });
}

#[test]
fn a_reader_never_takes_the_set_of_another_key() {
    slot_changes_hands::<Sound>(Slots::Narrow);
}

#[test]
fn nor_where_slots_are_read_at_once_and_written_by_halves() {
    slot_changes_hands::<Sound>(Slots::Wide);
}

#[test]
#[should_panic(expected = "claims a stranger's set")]
fn control_without_a_second_look_at_the_tag_it_does() {
    slot_changes_hands::<TagUnchecked>(Slots::Narrow);
}

/// A key is stored past a full bucket; whoever knows that it was stored must find it, and its set
/// changes in one step.
fn stored_further_on(slots: Slots) {
    check(PREEMPTIONS, move || {
        let memory = create::<Sound>(2, slots);
        assert!(insert_slot(&memory, place(0, 1), 9));
        let is_stored = Arc::new(AtomicBool::new(false));
        let reader = {
            let (memory, is_stored) = (memory.clone(), Arc::clone(&is_stored));
            thread::spawn(move || {
                let is_due = is_stored.load(Ordering::Acquire);
                (is_due, probe(&memory, SUBJECT))
            })
        };
        assert!(insert_slot(&memory, SUBJECT, 1));
        is_stored.store(true, Ordering::Release);
        let stored = find_slot(&memory, SUBJECT).expect("the key is there");
        memory.word(stored.at + 1).set(stored.with_set(2));
        let (is_due, found) = reader.join().unwrap();
        assert!(found <= 2);
        assert!(found > 0 || !is_due, "a stored key is not found");
        assert_eq!(probe(&memory, SUBJECT), 2);
    });
}

#[test]
fn a_stored_key_is_found_and_its_set_changes_in_one_step() {
    stored_further_on(Slots::Narrow);
    stored_further_on(Slots::Wide);
}

/// Two writers of different homes count on one bucket; afterwards the counts are right, so no key
/// is lost and none is looked for in vain.
fn counts_on_one_path<F: Fault>() {
    check(PREEMPTIONS, || {
        let memory = create::<F>(4, Slots::Narrow);
        assert!(insert_slot(&memory, place(0, 1), 1));
        assert!(insert_slot(&memory, place(1, 2), 1));
        let other = {
            let memory = memory.clone();
            thread::spawn(move || assert!(insert_slot(&memory, place(1, 3), 2)))
        };
        assert!(insert_slot(&memory, place(0, 4), 3));
        remove(&memory, place(0, 4));
        other.join().unwrap();
        assert_eq!(
            probe(&memory, place(1, 3)),
            2,
            "counts are wrong: a key is lost"
        );
        let counts: Vec<u32> = (0..4)
            .map(|home| memory.bucket(home, 0)[bucket::OVERFLOW].get())
            .collect();
        let past_second =
            u32::from(find_slot(&memory, place(1, 3)).is_some_and(|slot| slot.distance() > 1));
        assert_eq!(counts, [0, 1, past_second, 0], "counts are wrong");
    });
}

#[test]
fn overflow_counts_of_two_writers_add_up() {
    counts_on_one_path::<Sound>();
}

#[test]
#[should_panic(expected = "counts are wrong")]
fn control_counted_without_atomics_they_do_not() {
    counts_on_one_path::<CountsNotAtomic>();
}

/// Two writers under one home's lock: what it guards is touched by one at a time.
fn lock_excludes<F: Fault>() {
    check(2, || {
        let memory = create::<F>(1, Slots::Narrow);
        let guarded = Arc::new(loom::cell::UnsafeCell::new(0));
        let turn = |owner: u32| {
            let (memory, guarded) = (memory.clone(), Arc::clone(&guarded));
            move || {
                let word = &memory.bucket(0, 0)[bucket::LOCK];
                assert!(lock::<LoomWords<F>>(word, owner, 100));
                // SAFETY: the lock is held; that no other thread is here is what loom checks.
                guarded.with_mut(|count| unsafe { *count += 1 });
                unlock(word);
            }
        };
        let other = thread::spawn(turn(1));
        turn(2)();
        other.join().unwrap();
    });
}

#[test]
fn a_lock_excludes() {
    lock_excludes::<Sound>();
}

#[test]
#[should_panic(expected = "Causality violation")]
fn control_taken_by_load_and_store_it_does_not() {
    lock_excludes::<LockNotExclusive>();
}

/// A writer dies with the lock: the next one gives up and suspends the index, and from then on no
/// reader claims anything.
#[test]
fn a_dead_owners_lock_suspends_the_index() {
    check(2, || {
        let memory = create::<Sound>(1, Slots::Narrow);
        let mut first = IndexWriter::over(memory.clone(), 0, Some(1)).expect("a writer id");
        let id = first.open_endpoint(0).expect("a virtual id");
        let held = residency(5);
        first.add(id, held);
        memory.bucket(0, 0)[bucket::LOCK].set(7);
        let reader = {
            let memory = memory.clone();
            thread::spawn(move || matched(&memory, held.key))
        };
        let mut writer = IndexWriter::over(memory.clone(), 1, Some(1)).expect("a writer id");
        assert_eq!(writer.add(id, residency(6)), WriteStatus::Stuck);
        let seen = reader.join().unwrap();
        assert!(seen == [0, 0] || seen == [1, 0]);
        let after = matched(&memory, held.key);
        assert_eq!(after, [0, 0], "a suspended index claims");
    });
}

/// The set id of a removed key is freed by a sweep and used again for other endpoints, while a
/// reader is between the key's slot and the set's bits.
fn set_id_is_used_again<F: Fault>() {
    check(2, || {
        let memory = create::<F>(1, Slots::Wide);
        let mut writer = IndexWriter::over(memory.clone(), 0, None).expect("a writer id");
        let first = writer.open_endpoint(0).expect("a virtual id");
        let second = writer.open_endpoint(1).expect("a virtual id");
        let key = residency(5);
        writer.add(first, key);
        memory.state(state::SETS_WANTED).set(1);
        let reader = {
            let memory = memory.clone();
            thread::spawn(move || matched(&memory, key.key))
        };
        writer.remove(first, key);
        while !writer.sweep(1) {}
        writer.add(second, residency(6));
        let [_, second] = reader.join().unwrap();
        assert_eq!(second, 0, "a set's id has changed its meaning");
    });
}

#[test]
fn a_reader_never_takes_a_set_id_that_is_used_again() {
    set_id_is_used_again::<Sound>();
}

#[test]
#[should_panic(expected = "a set's id has changed its meaning")]
fn control_without_the_generation_it_does() {
    set_id_is_used_again::<GenerationNotRaised>();
}

/// The key with that tag, homed at the first bucket.
fn residency(tag: u64) -> Residency {
    Residency {
        key: tag << 32,
        tier: 0,
        group: 0,
    }
}

/// Usable blocks of a prompt of one block on the first two endpoint slots.
fn matched<F: Fault>(memory: &Memory<LoomWords<F>>, key: u64) -> [u32; 2] {
    let mut reader = IndexReader::over(memory.clone());
    let (mut usable, mut tiers, mut raw) = ([0; 2], [0; 8], [0; 2]);
    let mut result = MatchResult {
        usable_blocks: &mut usable,
        tier_blocks: &mut tiers,
        raw_blocks: &mut raw,
    };
    reader.match_keys(&[key], 1, &mut result);
    usable
}
