//! Virtual endpoints: one bit in the endpoint sets per generation of an endpoint. Opened and
//! dropped by writers of any thread; a bit is used again only after a sweep has stripped it
//! everywhere.

use super::memory::{Mask, Memory};
use super::words::{Word, Words};
use crate::layout::index::{
    OWNER_COUNT_MASK, OWNER_COUNT_SHIFT, OWNER_SLOT_MASK, VIRTUAL_ID_BITS, VIRTUAL_ID_MASK,
    virtual_endpoint,
};

/// More than any prompt has: the window of a group that needs its whole prefix.
pub const WINDOW_BLOCKS_MAX: u32 = 0x7fff_ffff;

/// A generation of an endpoint: how often the id was opened × 1,024 + the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtualId(pub u32);

impl VirtualId {
    /// Its bit in the endpoint sets.
    #[inline]
    pub fn bit(self) -> u32 {
        self.0 & VIRTUAL_ID_MASK as u32
    }
}

/// A new generation of `slot`; None when all ids are taken.
pub fn open<W: Words>(memory: &Memory<W>, slot: u32) -> Option<VirtualId> {
    for id in 0..memory.layout.endpoint_capacity {
        let (word, bit) = (id >> 5, 1 << (id & 31));
        if memory.mask(Mask::Opened, word).or(bit) & bit != 0 {
            continue;
        }
        let owner = memory.endpoint(id, virtual_endpoint::OWNER);
        let count = ((owner.get() >> OWNER_COUNT_SHIFT) + 1) & OWNER_COUNT_MASK as u32;
        for field in virtual_endpoint::WINDOWS..virtual_endpoint::WORDS {
            memory.endpoint(id, field).set(0);
        }
        owner.set(count << OWNER_COUNT_SHIFT | (slot + 1));
        memory.mask(Mask::Alive, word).or(bit);
        return Some(VirtualId(count << VIRTUAL_ID_BITS | id as u32));
    }
    None
}

/// Whether that generation is open: not dropped, by whatever thread.
#[inline]
pub fn is_open<W: Words>(memory: &Memory<W>, virtual_id: VirtualId) -> bool {
    let id = virtual_id.bit() as usize;
    if id >= memory.layout.endpoint_capacity {
        return false;
    }
    let owner = memory.endpoint(id, virtual_endpoint::OWNER).get();
    owner >> OWNER_COUNT_SHIFT == virtual_id.0 >> VIRTUAL_ID_BITS
        && owner & OWNER_SLOT_MASK as u32 != 0
}

/// Drops the generation; one that is dropped already is left alone.
pub fn drop_generation<W: Words>(memory: &Memory<W>, virtual_id: VirtualId) {
    if is_open(memory, virtual_id) {
        let id = virtual_id.bit() as usize;
        close(
            memory,
            id,
            memory.endpoint(id, virtual_endpoint::OWNER).get(),
        );
    }
}

/// Drops all generations of `slot`, whoever opened them.
pub fn drop_slot<W: Words>(memory: &Memory<W>, slot: u32) {
    for id in 0..memory.layout.endpoint_capacity {
        let owner = memory.endpoint(id, virtual_endpoint::OWNER).get();
        if owner & OWNER_SLOT_MASK as u32 == slot + 1 {
            close(memory, id, owner);
        }
    }
}

/// Sets the window of KV group 1 to 7, in blocks; ignored for a dropped generation.
pub fn set_window<W: Words>(memory: &Memory<W>, virtual_id: VirtualId, group: u32, blocks: u32) {
    let field = virtual_endpoint::WINDOWS + group as usize - 1;
    describe(memory, virtual_id, field, blocks);
}

/// Sets what hits are multiples of, in blocks; ignored for a dropped generation.
pub fn set_alignment<W: Words>(memory: &Memory<W>, virtual_id: VirtualId, blocks: u32) {
    describe(memory, virtual_id, virtual_endpoint::ALIGNMENT, blocks);
}

fn describe<W: Words>(memory: &Memory<W>, virtual_id: VirtualId, field: usize, blocks: u32) {
    if !is_open(memory, virtual_id) {
        return;
    }
    let id = virtual_id.bit() as usize;
    memory
        .endpoint(id, field)
        .set(blocks.clamp(1, WINDOW_BLOCKS_MAX));
    memory.mask(Mask::Windowed, id >> 5).or(1 << (id & 31));
}

fn close<W: Words>(memory: &Memory<W>, id: usize, owner: u32) {
    // Of several threads that drop the same generation one goes on.
    let closed = owner & !(OWNER_SLOT_MASK as u32);
    let record = memory.endpoint(id, virtual_endpoint::OWNER);
    if record.swap_if(owner, closed).is_err() {
        return;
    }
    let bit = 1 << (id & 31);
    memory.mask(Mask::Alive, id >> 5).and(!bit);
    memory.mask(Mask::Dropped, id >> 5).or(bit);
}
