//! What the prompt encoder needs of the block index: where the leading blocks of a prompt are.

/// Result of one match, by endpoint slot (tiers: slot × 4 + tier). Every element is overwritten.
pub struct PromptMatch {
    /// Leading blocks the engine will reuse, in any tier, all groups considered.
    pub usable_blocks: Vec<u32>,
    /// Leading blocks of group 0 alone.
    pub raw_blocks: Vec<u32>,
    /// Leading blocks resident or expected to be within moments (speculative residencies).
    pub speculative_blocks: Vec<u32>,
    /// Of the usable blocks, how many have each tier as their fastest residency.
    pub tier_blocks: Vec<u32>,
}

impl PromptMatch {
    pub fn new(endpoint_capacity: usize) -> Self {
        Self {
            usable_blocks: vec![0; endpoint_capacity],
            raw_blocks: vec![0; endpoint_capacity],
            speculative_blocks: vec![0; endpoint_capacity],
            tier_blocks: vec![0; 4 * endpoint_capacity],
        }
    }
}

/// Matches prompts of one thread against block index and speculative residencies.
pub trait Matcher: Send {
    /// Matches `keys`; `block_limit` ≤ `keys.len()` is the most an engine would reuse. Returns the
    /// index epoch it read in.
    fn match_keys(&mut self, keys: &[u64], block_limit: usize, result: &mut PromptMatch) -> u32;
}
