//! The body an engine gets: the stored one with ranges cut out or replaced, as a chain of slices
//! that share the stored bytes.

use bytes::Bytes;

/// Replaces `length` bytes at `offset` by `text`.
#[derive(Clone, Debug)]
pub struct Patch {
    pub offset: usize,
    pub length: usize,
    pub text: Bytes,
}

/// Slices of the patched body in order, none of them empty; `None` when patches overlap or lie
/// outside the body.
pub fn patched(body: &Bytes, patches: &mut [Patch]) -> Option<Vec<Bytes>> {
    patches.sort_by_key(|patch| patch.offset);
    let mut slices = Vec::with_capacity(2 * patches.len() + 1);
    let mut at = 0;
    for patch in patches {
        let end = patch.offset.checked_add(patch.length)?;
        if patch.offset < at || end > body.len() {
            return None;
        }
        slices.push(body.slice(at..patch.offset));
        slices.push(std::mem::take(&mut patch.text));
        at = end;
    }
    slices.push(body.slice(at..));
    slices.retain(|slice| !slice.is_empty());
    Some(slices)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(body: &str, patches: &[(usize, usize, &str)]) -> Option<String> {
        let mut patches: Vec<Patch> = patches
            .iter()
            .map(|&(offset, length, text)| Patch {
                offset,
                length,
                text: Bytes::from(text.to_owned()),
            })
            .collect();
        let slices = patched(&Bytes::from(body.to_owned()), &mut patches)?;
        assert!(slices.iter().all(|slice| !slice.is_empty()));
        Some(String::from_utf8(slices.concat()).unwrap())
    }

    #[test]
    fn patches_apply_in_any_order_and_never_overlap() {
        let patched = apply("0123456789", &[(5, 3, "NEW TEXT"), (0, 1, "")]);
        assert_eq!(patched.as_deref(), Some("1234NEW TEXT89"));
        assert_eq!(apply("0123", &[(0, 4, "")]).as_deref(), Some(""));
        assert_eq!(
            apply("0123", &[(4, 0, "x"), (0, 0, "y")]).as_deref(),
            Some("y0123x")
        );
        assert_eq!(apply("0123", &[(0, 2, ""), (1, 1, "")]), None);
        assert_eq!(apply("0123", &[(3, 2, "")]), None);
        assert_eq!(apply("0123", &[(usize::MAX, 2, "")]), None);
    }
}
