//! A second, simple reader of msgpack, to compare the event walker with: builds values, and is
//! written for frames the walker has accepted, so it knows no limits but its own depth.

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(Vec<u8>),
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
    /// Everything that has no parts.
    Other,
}

const DEPTH_MAX: usize = 64;

/// The one value of a frame; null when it is no msgpack or something follows.
pub fn read(frame: &[u8]) -> Option<Value> {
    let mut rest = frame;
    let value = value(&mut rest, 0)?;
    rest.is_empty().then_some(value)
}

fn value(rest: &mut &[u8], depth: usize) -> Option<Value> {
    if depth > DEPTH_MAX {
        return None;
    }
    let [kind] = *take(rest, 1)? else { return None };
    match kind {
        0x80..=0x8f => map(rest, usize::from(kind & 15), depth),
        0x90..=0x9f => array(rest, usize::from(kind & 15), depth),
        0xa0..=0xbf => text(rest, usize::from(kind & 31)),
        0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => Some(Value::Other),
        0xc4..=0xc6 => skip_counted(rest, 1 << (kind - 0xc4), 0),
        0xc7..=0xc9 => skip_counted(rest, 1 << (kind - 0xc7), 1),
        0xca | 0xce | 0xd2 => skip(rest, 4),
        0xcb | 0xcf | 0xd3 => skip(rest, 8),
        0xcc | 0xd0 => skip(rest, 1),
        0xcd | 0xd1 => skip(rest, 2),
        0xd4..=0xd8 => skip(rest, 1 + (1 << (kind - 0xd4))),
        0xd9..=0xdb => {
            let length = number(rest, 1 << (kind - 0xd9))?;
            text(rest, length)
        }
        0xdc | 0xdd => {
            let count = number(rest, 2 << (kind - 0xdc))?;
            array(rest, count, depth)
        }
        0xde | 0xdf => {
            let count = number(rest, 2 << (kind - 0xde))?;
            map(rest, count, depth)
        }
        0xc1 => None,
    }
}

fn array(rest: &mut &[u8], count: usize, depth: usize) -> Option<Value> {
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(value(rest, depth + 1)?);
    }
    Some(Value::Array(items))
}

fn map(rest: &mut &[u8], count: usize, depth: usize) -> Option<Value> {
    let mut entries = Vec::new();
    for _ in 0..count {
        let key = value(rest, depth + 1)?;
        entries.push((key, value(rest, depth + 1)?));
    }
    Some(Value::Map(entries))
}

fn text(rest: &mut &[u8], length: usize) -> Option<Value> {
    Some(Value::Text(take(rest, length)?.to_vec()))
}

fn skip(rest: &mut &[u8], length: usize) -> Option<Value> {
    take(rest, length).map(|_| Value::Other)
}

fn skip_counted(rest: &mut &[u8], width: usize, more: usize) -> Option<Value> {
    let length = number(rest, width)?;
    skip(rest, length + more)
}

fn number(rest: &mut &[u8], width: usize) -> Option<usize> {
    let bytes = take(rest, width)?;
    Some(bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}
