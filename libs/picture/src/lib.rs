//! From an uploaded picture to the small ones that are shown: squares of 64, 256 and 1024 pixels, as JPEG.
//!
//! What was uploaded is never served. It is decoded and encoded anew, so nothing of it remains but what can be seen: no metadata
//! (where it was taken, with what), no second file hidden behind the picture, nothing that a browser could take for a script.
//!
//! Nothing that the sender says is believed: the kind is read from the first bytes, and the dimensions from the picture's own
//! header, before any pixel is decoded. A file of a few hundred bytes can announce gigabytes.
//!
//! Always JPEG, because these are mostly photographs, of which it makes a fifth to a tenth of what any lossless form does, and
//! because everything shows it; transparent parts become white. Of an animation the first frame counts.

mod jpeg;
mod scale;

use image::codecs::{jpeg::JpegDecoder, jpeg::JpegEncoder, png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageFormat, ImageResult, Limits, RgbImage};
use std::io::Cursor;

/// The most bytes of an uploaded picture.
pub const UPLOAD_BYTES_MAX: usize = 1024 * 1024;

/// The sides of the squares, in pixels, from the smallest. A picture that is smaller is not enlarged.
pub use plaza_domain::user::IMAGE_SIDES as SIDES;

/// The longest side of an uploaded picture, in pixels.
pub const SIDE_MAX: u32 = 8192;

/// The most memory that decoding a picture may take, in bytes. A function has 64 MiB for everything.
pub const WORKING_BYTES_MAX: u64 = 40 * 1024 * 1024;

/// The quality of what is made, of 100.
const QUALITY: u8 = 85;

/// Why a picture is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Its first bytes are not those of a PNG, a JPEG or a WebP.
    Unknown,
    /// It has more pixels than may be decoded.
    TooLarge,
    /// It cannot be decoded.
    Broken,
}

/// Makes the squares of [`SIDES`], in that order, each a JPEG.
pub fn squares(upload: &[u8]) -> Result<[Vec<u8>; SIDES.len()], Refused> {
    let (picture, orientation) = decode(upload)?;
    let mut squares = [const { Vec::new() }; SIDES.len()];
    // From the largest down, each from the one before: by then the uploaded one is gone.
    let mut larger = DynamicImage::from(scale::square(&picture, SIDES[SIDES.len() - 1]));
    drop(picture);
    larger.apply_orientation(orientation);
    for (jpeg, side) in squares.iter_mut().zip(SIDES).rev() {
        let square = scale::square(&larger, side);
        *jpeg = encode(&square)?;
        larger = square.into();
    }
    Ok(squares)
}

/// The first frame, as it is stored, and how it must be turned.
fn decode(upload: &[u8]) -> Result<(DynamicImage, Orientation), Refused> {
    let format = image::guess_format(upload).map_err(|_| Refused::Unknown)?;
    let bytes = Cursor::new(upload);
    match format {
        ImageFormat::Png => {
            read(PngDecoder::with_limits(bytes, limits()), |decoder| decoder.color_type().bytes_per_pixel().into())
        }
        ImageFormat::Jpeg => read(JpegDecoder::new(bytes), |_| jpeg::working_bytes_per_pixel(upload)),
        // RGBA, beside it the planes of a lossy picture, or the canvas that a frame is drawn on.
        ImageFormat::WebP => read(WebPDecoder::new(bytes), |_| 10),
        _ => Err(Refused::Unknown),
    }
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(WORKING_BYTES_MAX);
    limits
}

/// Decodes what is not too large. `cost` tells how much memory that takes, in bytes for each pixel.
fn read<D: ImageDecoder>(
    decoder: ImageResult<D>,
    cost: impl Fn(&D) -> u64,
) -> Result<(DynamicImage, Orientation), Refused> {
    let mut decoder = decoder.map_err(refuse)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if width > SIDE_MAX || height > SIDE_MAX || pixels * cost(&decoder) > WORKING_BYTES_MAX {
        return Err(Refused::TooLarge);
    }
    // What cannot be read of it does not make the picture a bad one.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).map_err(refuse)?;
    Ok((picture, orientation))
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn refuse(error: image::ImageError) -> Refused {
    match error {
        image::ImageError::Limits(_) => Refused::TooLarge,
        _ => Refused::Broken,
    }
}

/// A JPEG of it.
fn encode(picture: &RgbImage) -> Result<Vec<u8>, Refused> {
    let mut jpeg = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
    encoder.encode(picture, picture.width(), picture.height(), ExtendedColorType::Rgb8).map_err(refuse)?;
    Ok(jpeg)
}
