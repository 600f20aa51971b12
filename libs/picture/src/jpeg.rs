//! What decoding a JPEG takes.

/// Bytes for each pixel where the picture is decoded line by line: its colours.
const SEQUENTIAL: u64 = 3;

/// Where its coefficients are all kept until the end: four components of two bytes, and the colours.
const WHOLE: u64 = 12;

/// The memory that decoding takes, in bytes for each pixel. What is not certain to be decoded line by line counts as what is not.
pub(crate) fn working_bytes_per_pixel(jpeg: &[u8]) -> u64 {
    if is_sequential(jpeg).unwrap_or(false) { SEQUENTIAL } else { WHOLE }
}

/// Whether it has one frame, not progressive, all of whose components come in the first scan (ITU-T T.81, B.1 and B.2).
fn is_sequential(jpeg: &[u8]) -> Option<bool> {
    let mut rest = jpeg.strip_prefix(&[0xff, 0xd8])?;
    let mut components = None;
    loop {
        let (&[0xff, marker], after) = rest.split_first_chunk()? else { return None };
        // A marker may be preceded by any number of fill bytes.
        if marker == 0xff {
            rest = &rest[1..];
            continue;
        }
        let length: usize = u16::from_be_bytes(*after.first_chunk()?).into();
        let segment = after.get(2..length)?;
        match marker {
            // SOF0, SOF1: sequential.
            0xc0 | 0xc1 if components.is_none() => components = Some(*segment.get(5)?),
            // Any other frame; DHT, JPG and DAC only share its numbers.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => return Some(false),
            // SOS
            0xda => return Some(components? == *segment.first()?),
            _ => {}
        }
        rest = after.get(length..)?;
    }
}
