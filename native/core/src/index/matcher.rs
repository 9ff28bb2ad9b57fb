//! What the threads of the prompt encoder match with: the block index and the speculative
//! residencies of moments ago.

use super::reader::{IndexReader, MatchResult};
use super::speculative::SpeculativeTable;
use crate::clock;
use crate::matching::{Matcher, PromptMatch};
use crate::shared_words::SharedWords;

/// Matches the prompts of one thread. Allocates nothing per match once it has seen the longest.
pub struct SharedMatcher {
    index: IndexReader,
    speculative: SpeculativeTable,
}

impl SharedMatcher {
    /// Opens the `index` and `requests` buffers; an error names what is wrong with them.
    pub fn new(index: SharedWords, requests: SharedWords) -> Result<Self, String> {
        Ok(Self {
            index: IndexReader::open(index)?,
            speculative: SpeculativeTable::open(requests)?,
        })
    }
}

impl Matcher for SharedMatcher {
    fn match_keys(&mut self, keys: &[u64], block_limit: usize, result: &mut PromptMatch) -> u32 {
        let mut found = MatchResult {
            usable_blocks: &mut result.usable_blocks,
            tier_blocks: &mut result.tier_blocks,
            raw_blocks: &mut result.raw_blocks,
        };
        let epoch = self.index.match_keys(keys, block_limit, &mut found);
        self.speculative.match_keys(
            keys,
            block_limit,
            &result.usable_blocks,
            &mut result.speculative_blocks,
            clock::now_ms(),
        );
        epoch
    }
}
