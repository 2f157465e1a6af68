//! Payloads and distributions as bytes.

use lz4_flex::block;

use crate::domain::sketch::Sketch;

/// Bytes from which on a payload is compressed: below, it gains nothing.
const COMPRESSED_FROM: usize = 128;
/// The most bytes that a payload may have when it is unpacked: far more than what may be recorded.
const MOST: usize = 64 * 1024 * 1024;
/// The first byte of a payload that is as it was, and of one that is compressed by LZ4, with its length before it. Deflate makes payloads of 0.5 KiB
/// smaller by a quarter, and takes twenty times as long for them.
const PLAIN: u8 = 0;
const LZ4: u8 = 1;

/// Packs texts: each with its length plus one, 0 for none, behind one byte that says whether it is compressed. `None` where there is no text.
pub(super) fn pack(parts: &[Option<&str>]) -> Option<Vec<u8>> {
    if parts.iter().all(Option::is_none) {
        return None;
    }
    let length: usize = parts.iter().flatten().map(|part| part.len() + 5).sum();
    let mut plain = Vec::with_capacity(length + 8);
    plain.push(PLAIN);
    for part in parts {
        let length = part.map_or(0, |part| part.len() as u64 + 1);
        put(&mut plain, length);
        plain.extend_from_slice(part.unwrap_or_default().as_bytes());
    }
    if plain.len() < COMPRESSED_FROM {
        return Some(plain);
    }
    let packed = block::compress(&plain[1..]);
    let mut bytes = Vec::with_capacity(packed.len() + 6);
    bytes.push(LZ4);
    put(&mut bytes, plain.len() as u64 - 1);
    bytes.extend_from_slice(&packed);
    Some(if bytes.len() < plain.len() {
        bytes
    } else {
        plain
    })
}

/// Unpacks `N` texts; `None` where the bytes are not those of [`pack`].
pub(super) fn unpack<const N: usize>(data: &[u8]) -> Option<[Option<String>; N]> {
    let (form, rest) = data.split_first()?;
    let mut rest = rest;
    let plain;
    if *form == LZ4 {
        let length = usize::try_from(take(&mut rest)?).ok()?;
        plain = block::decompress(rest, length.min(MOST)).ok()?;
        rest = &plain;
    } else if *form != PLAIN {
        return None;
    }
    let mut parts = [const { None }; N];
    for part in &mut parts {
        let length = take(&mut rest)?;
        if length > 0 {
            let (text, after) = rest.split_at_checked(usize::try_from(length - 1).ok()?)?;
            *part = Some(String::from_utf8(text.to_vec()).ok()?);
            rest = after;
        }
    }
    rest.is_empty().then_some(parts)
}

/// A distribution as bytes: for each bucket the distance from the one before, and the count.
pub(super) fn from_sketch(sketch: &Sketch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut before = 0;
    for (bucket, count) in sketch.buckets() {
        put(&mut bytes, u64::from(bucket - before));
        // Sums over whole groups have no negative counts.
        put(&mut bytes, count.unsigned_abs());
        before = bucket;
    }
    bytes
}

/// The distribution that these bytes stand for; what cannot be read is left out.
pub(super) fn to_sketch(bytes: &[u8]) -> Sketch {
    Sketch::from_buckets(buckets(bytes))
}

/// The buckets of a distribution and their counts.
pub(super) fn buckets(mut bytes: &[u8]) -> impl Iterator<Item = (u16, i64)> {
    let mut bucket = 0_u16;
    std::iter::from_fn(move || {
        let (distance, count) = (take(&mut bytes)?, take(&mut bytes)?);
        bucket = bucket.saturating_add(u16::try_from(distance).unwrap_or(u16::MAX));
        Some((bucket, i64::try_from(count).unwrap_or(i64::MAX)))
    })
}

/// Appends a number, seven bits to a byte, the lowest first.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap_or(0));
}

/// Takes a number off the front.
fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_come_back_as_they_were(parts in prop::array::uniform4(prop::option::of(".{0,400}"))) {
            let packed = pack(&[0, 1, 2, 3].map(|index| parts[index].as_deref()));
            match packed {
                None => prop_assert!(parts.iter().all(Option::is_none)),
                Some(packed) => prop_assert_eq!(unpack::<4>(&packed), Some(parts)),
            }
        }

        #[test]
        fn distributions_come_back_as_they_were(values in prop::collection::vec(any::<u64>(), 0..100)) {
            let mut sketch = Sketch::default();
            values.iter().for_each(|value| sketch.record(*value));
            prop_assert_eq!(to_sketch(&from_sketch(&sketch)), sketch);
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            drop(unpack::<4>(&bytes));
            drop(to_sketch(&bytes));
        }
    }

    #[test]
    fn what_repeats_gets_smaller() {
        let long = "the same again and ".repeat(100);
        let packed = pack(&[Some(&long)]).expect("a payload");
        assert!(packed.len() < long.len() / 10, "{}", packed.len());
    }
}
