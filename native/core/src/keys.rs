//! Request keys: the identity of a block and everything before it, as a chain of XXH3-64 values,
//! the same numbers as the portable core's `keys.ts`. `test/vectors/request-keys.json` binds both.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The key a chain starts from: XXH3-64, seeded with the deployment's secret, over pool, adapter
/// and cache salt, each as u32 little-endian byte count, then its bytes.
pub fn namespace_seed(secret: u64, pool: &str, adapter: &str, cache_salt: &str) -> u64 {
    let mut input = Vec::with_capacity(12 + pool.len() + adapter.len() + cache_salt.len());
    for part in [pool, adapter, cache_salt] {
        push_counted(&mut input, part.as_bytes());
    }
    xxh3_64_with_seed(&input, secret)
}

/// Appends the keys of all whole blocks of `token_ids` that follow `parent` to `keys` and returns
/// the last one (`parent` when there is none). Ids after the last whole block are ignored.
pub fn chain_keys(parent: u64, token_ids: &[u32], block_size: usize, keys: &mut Vec<u64>) -> u64 {
    let mut seed = parent;
    for block in token_ids.chunks_exact(block_size.max(1)) {
        seed = block_key(seed, block);
        keys.push(seed);
    }
    seed
}

/// The key of one block without extra keys.
#[inline]
pub fn block_key(parent: u64, token_ids: &[u32]) -> u64 {
    xxh3_64_with_seed(id_bytes(token_ids), parent)
}

/// The key of one block with extra keys: its token ids, then of each extra key the u32
/// little-endian byte count and the bytes, as `push_counted` lays them down.
pub fn block_key_with_extra(parent: u64, token_ids: &[u32], extra: &[u8]) -> u64 {
    xxh3_64_with_seed(&[id_bytes(token_ids), extra].concat(), parent)
}

/// Appends the u32 little-endian byte count, then the bytes.
pub fn push_counted(input: &mut Vec<u8>, bytes: &[u8]) {
    input.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    input.extend_from_slice(bytes);
}

#[cfg(target_endian = "big")]
compile_error!("token ids are hashed as the host stores them, which must be little-endian");

fn id_bytes(token_ids: &[u32]) -> &[u8] {
    // SAFETY: any initialised u32 slice is four times as many initialised bytes, alignment 1.
    unsafe { std::slice::from_raw_parts(token_ids.as_ptr().cast(), size_of_val(token_ids)) }
}
