//! What the index holds: conversations of 450 blocks, the first 100 of which are one of 64 system
//! prompts, on one (70 %), two (20 %) or four (10 %) endpoints; a tenth of them in tier cpu.

pub const ENDPOINTS: usize = 64;
pub const CHAIN_BLOCKS: usize = 450;
const SYSTEM_BLOCKS: usize = 100;
const SYSTEMS: u64 = 64;

pub struct Conversation {
    number: u64,
    system: u64,
    endpoints: Vec<usize>,
    /// Endpoints of these that did not hold the system prompt before.
    fresh: Vec<usize>,
    pub tier: u32,
}

pub struct Fleet {
    pub conversations: Vec<Conversation>,
    pub residencies: usize,
    pub blocks: usize,
}

impl Fleet {
    pub fn new(residencies: usize) -> Self {
        let mut random = Random(7);
        let mut holds = vec![[false; ENDPOINTS]; SYSTEMS as usize];
        let mut fleet = Self {
            conversations: Vec::new(),
            residencies: 0,
            blocks: SYSTEM_BLOCKS * SYSTEMS as usize,
        };
        while fleet.residencies < residencies {
            let system = random.below(SYSTEMS);
            let copies = match random.below(10) {
                0..=6 => 1,
                7..=8 => 2,
                _ => 4,
            };
            let mut endpoints = Vec::new();
            let mut fresh = Vec::new();
            while endpoints.len() < copies {
                let endpoint = random.below(ENDPOINTS as u64) as usize;
                if endpoints.contains(&endpoint) {
                    continue;
                }
                endpoints.push(endpoint);
                fleet.residencies += CHAIN_BLOCKS - SYSTEM_BLOCKS;
                if !std::mem::replace(&mut holds[system as usize][endpoint], true) {
                    fresh.push(endpoint);
                    fleet.residencies += SYSTEM_BLOCKS;
                }
            }
            fleet.blocks += CHAIN_BLOCKS - SYSTEM_BLOCKS;
            fleet.conversations.push(Conversation {
                number: fleet.conversations.len() as u64,
                system,
                endpoints,
                fresh,
                tier: u32::from(random.below(10) == 0),
            });
        }
        fleet
    }

    /// Endpoints of a conversation, and the first block each has to store.
    pub fn places<'a>(
        &self,
        conversation: &'a Conversation,
    ) -> impl Iterator<Item = (usize, usize)> + 'a {
        conversation.endpoints.iter().map(|endpoint| {
            let from = if conversation.fresh.contains(endpoint) {
                0
            } else {
                SYSTEM_BLOCKS
            };
            (*endpoint, from)
        })
    }

    /// Keys of the first `blocks` blocks; beyond 450 nobody holds them.
    pub fn keys(&self, conversation: &Conversation, blocks: usize, keys: &mut Vec<u64>) {
        for block in 0..blocks {
            let owner = if block < SYSTEM_BLOCKS {
                1 << 41 | conversation.system
            } else {
                conversation.number
            };
            keys.push(key(owner, block as u64));
        }
    }

    /// Conversations in an order that caches cannot know.
    pub fn conversation(&self, round: usize) -> &Conversation {
        &self.conversations[round * 611 % self.conversations.len()]
    }
}

pub fn key(owner: u64, block: u64) -> u64 {
    let mut random = Random(
        owner.wrapping_mul(0xd134_2543_de82_ef95) ^ block.wrapping_mul(0x2545_f491_4f6c_dd1d),
    );
    random.next();
    random.next()
}

/// Keys of one very long prompt.
pub fn long_key(block: u64) -> u64 {
    key(1 << 42, block)
}

pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub fn below(&mut self, count: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(count)) >> 64) as u64
    }
}
