//! An index and its writer, for what writes residencies.

use std::collections::BTreeSet;

use super::super::writes::{OtherOwners, Writes};
use crate::index::test_table::Table;
use crate::index::{IndexWriter, VirtualId};

/// One publisher's place in an index of its own.
pub struct World {
    pub table: Table,
    pub writer: IndexWriter,
    pub virtual_id: VirtualId,
    pub other_owners: OtherOwners,
}

impl World {
    pub fn new() -> Self {
        let table = Table::create(64, 64, 64);
        let writer = IndexWriter::open(table.words, 0, None).expect("a writer");
        let virtual_id = writer.open_endpoint(0).expect("an id");
        Self {
            table,
            writer,
            virtual_id,
            other_owners: OtherOwners::new(),
        }
    }

    /// Where one frame's writes go; to be flushed.
    pub fn writes(&mut self) -> Writes<'_> {
        let id = Some(self.virtual_id);
        Writes::new(&mut self.writer, id, &mut self.other_owners)
    }

    /// As a publisher does whose stream begins anew.
    pub fn renew_generation(&mut self) {
        self.writer.drop_endpoint(self.virtual_id);
        assert!(self.writer.sweep(usize::MAX));
        self.virtual_id = self.writer.open_endpoint(0).expect("an id");
        self.other_owners = OtherOwners::new();
    }

    /// Tiers in which the index has the key.
    pub fn tiers(&self, key: u64, group: u32) -> BTreeSet<u32> {
        let holders = self.table.holders(key, group).into_iter();
        let own = holders.filter(|(id, _)| *id == self.virtual_id.bit());
        own.map(|(_, tier)| tier).collect()
    }
}
