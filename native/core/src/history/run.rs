//! One request inside a history: the blocks it references, and how far its prompt has been taken in.

/// Referenced blocks in order: hits, then its own ones, the last of which may be partial.
#[derive(Debug, Default)]
pub struct Run {
    /// Of the handle that names the request.
    pub generation: u32,
    /// Endpoint slot, and which history of it.
    pub slot: u32,
    pub life: u32,
    pub blocks: Vec<u32>,
    /// Leading blocks that were hit.
    pub hits: usize,
    /// Blocks of the prompt that have a key, and all of them.
    pub keys: usize,
    pub wanted: usize,
    /// Most blocks it may hit: never the last token.
    pub reusable: usize,
    /// Whether all blocks so far were hits.
    pub hitting: bool,
}

impl Run {
    pub fn is_filled(&self) -> bool {
        self.blocks.len() >= self.wanted
    }

    /// Keys of the prompt still to be taken in, and where they begin.
    pub fn left(&self) -> (usize, usize) {
        let from = self.blocks.len().min(self.keys);
        (from, self.keys - from)
    }
}
