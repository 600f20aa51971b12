//! How a record's headers are stored: one blob of (length, name, length, value), lengths as 32-bit little endian.

use bytes::{Buf, BufMut, Bytes};

use crate::Header;

pub(crate) fn encode(headers: &[Header]) -> Vec<u8> {
    let size = headers.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
    let mut blob = Vec::with_capacity(size);
    for (name, value) in headers {
        for part in [name.as_bytes(), value] {
            // A record is far smaller than 4 GiB, which is checked before.
            blob.put_u32_le(u32::try_from(part.len()).unwrap_or(u32::MAX));
            blob.put_slice(part);
        }
    }
    blob
}

/// `None` if the blob is not what [`encode`] makes.
pub(crate) fn decode(blob: Vec<u8>) -> Option<Vec<Header>> {
    let mut blob = Bytes::from(blob);
    let mut headers = Vec::new();
    while !blob.is_empty() {
        let name = String::from_utf8(part(&mut blob)?.into()).ok()?;
        headers.push((name, part(&mut blob)?));
    }
    Some(headers)
}

fn part(blob: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(blob.try_get_u32_le().ok()?).ok()?;
    (length <= blob.len()).then(|| blob.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_and_damage_is_noticed() {
        let headers = vec![
            ("ce_id".to_owned(), Bytes::from_static(b"1")),
            (String::new(), Bytes::from_static(b"\x00\xff")),
            ("ce_id".to_owned(), Bytes::new()),
        ];
        let blob = encode(&headers);
        assert_eq!(decode(blob.clone()), Some(headers));
        assert_eq!(decode(Vec::new()), Some(Vec::new()));
        for length in 1..blob.len() {
            if ![14, 24].contains(&length) {
                assert_eq!(decode(blob[..length].to_vec()), None, "{length}");
            }
        }
    }
}
