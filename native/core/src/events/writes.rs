//! Index writes of one frame. They wait in a short queue while the memory they need is loaded, and
//! are made in the order they were asked for. Two engine blocks may stand for one residency (an
//! adapter loaded from another path, look-ahead hashing): the index says so when it is added, and
//! the last of them removes it.

use std::collections::HashMap;

use crate::index::{IndexWriter, Residency, VirtualId, WriteStatus};

/// Writes under way: enough to hide a miss to memory.
const QUEUED_MAX: usize = 16;

#[derive(Clone, Copy)]
struct Write {
    residency: Residency,
    present: bool,
}

/// Residencies that more than one engine block stands for → number of the others.
pub type OtherOwners = HashMap<Residency, u32>;

/// Where one publisher's writes go during one frame.
pub struct Writes<'a> {
    pub writer: &'a mut IndexWriter,
    /// None while all virtual ids are taken: then nothing is written.
    pub virtual_id: Option<VirtualId>,
    pub other_owners: &'a mut OtherOwners,
    queue: [Write; QUEUED_MAX],
    first: usize,
    count: usize,
    /// Of an index that writers must not touch, the first write tells at once.
    queued_max: usize,
    /// Residencies not recorded because a table was full.
    pub index_full: u32,
    /// A lock's owner has died: nothing more is written.
    pub stuck: bool,
}

impl<'a> Writes<'a> {
    pub fn new(
        writer: &'a mut IndexWriter,
        virtual_id: Option<VirtualId>,
        other_owners: &'a mut OtherOwners,
    ) -> Self {
        let nothing = Write {
            residency: Residency {
                key: 0,
                tier: 0,
                group: 0,
            },
            present: false,
        };
        let queued_max = if writer.is_suspended() { 0 } else { QUEUED_MAX };
        Self {
            writer,
            virtual_id,
            other_owners,
            queue: [nothing; QUEUED_MAX],
            first: 0,
            count: 0,
            queued_max,
            index_full: 0,
            stuck: false,
        }
    }

    #[inline]
    pub fn add(&mut self, residency: Residency) {
        self.push(Write {
            residency,
            present: true,
        });
    }

    #[inline]
    pub fn remove(&mut self, residency: Residency) {
        self.push(Write {
            residency,
            present: false,
        });
    }

    /// Makes every write that waits.
    pub fn flush(&mut self) {
        while self.count > 0 {
            self.make_first();
        }
    }

    #[inline]
    fn push(&mut self, write: Write) {
        if self.queued_max == 0 {
            self.make(write);
            return;
        }
        if self.count == self.queued_max {
            self.make_first();
        }
        self.writer.prefetch(write.residency);
        self.queue[(self.first + self.count) % QUEUED_MAX] = write;
        self.count += 1;
    }

    #[inline]
    fn make_first(&mut self) {
        let write = self.queue[self.first];
        self.first = (self.first + 1) % QUEUED_MAX;
        self.count -= 1;
        self.make(write);
    }

    #[inline]
    fn make(&mut self, write: Write) {
        if self.stuck || !write.present && self.release_other_owner(write.residency) {
            return;
        }
        let status = match self.virtual_id {
            None => WriteStatus::Full,
            Some(id) if write.present => self.writer.add(id, write.residency),
            Some(id) => self.writer.remove(id, write.residency),
        };
        match status {
            WriteStatus::Stuck => self.stuck = true,
            WriteStatus::Full if write.present => self.index_full += 1,
            WriteStatus::Unchanged if write.present => {
                *self.other_owners.entry(write.residency).or_insert(0) += 1;
            }
            _ => {}
        }
    }

    #[inline]
    fn release_other_owner(&mut self, residency: Residency) -> bool {
        if self.other_owners.is_empty() {
            return false;
        }
        let Some(others) = self.other_owners.get_mut(&residency) else {
            return false;
        };
        *others -= 1;
        if *others == 0 {
            self.other_owners.remove(&residency);
        }
        true
    }
}
