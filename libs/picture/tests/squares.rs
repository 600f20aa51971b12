//! Pictures of every kind, and what is sent in their place. The files of `pictures/` were made with Pillow: a scene whose left
//! half is red with green above, and whose right half is blue.

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use plaza_picture::{Refused, SIDE_MAX, squares};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Cursor;

macro_rules! picture {
    ($name:literal) => {
        include_bytes!(concat!("pictures/", $name)).as_slice()
    };
}

const GREEN: [u8; 3] = [30, 200, 30];
const RED: [u8; 3] = [220, 30, 30];
const BLUE: [u8; 3] = [30, 30, 220];

/// Counts what this thread has allocated, and the most that it had at a time.
struct Counting;

thread_local! {
    static NOW_AND_MOST: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

fn count(change: impl Fn(usize) -> usize) {
    let _ = NOW_AND_MOST.try_with(|counts| {
        let now = change(counts.get().0);
        counts.set((now, counts.get().1.max(now)));
    });
}

#[expect(unsafe_code, reason = "an allocator is what can count memory")]
// SAFETY: it hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(|now| now + layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(|now| now + layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(|now| now.saturating_sub(layout.size()));
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).expect("it can be encoded");
    bytes.into_inner()
}

fn shown(jpeg: &[u8]) -> RgbImage {
    assert_eq!(image::guess_format(jpeg).ok(), Some(ImageFormat::Jpeg));
    image::load_from_memory(jpeg).expect("a JPEG").to_rgb8()
}

fn is_near(pixel: Rgb<u8>, wanted: [u8; 3], tolerance: u8) -> bool {
    pixel.0.iter().zip(wanted).all(|(is, wanted)| is.abs_diff(wanted) <= tolerance)
}

/// The scene, cut to the square in its middle.
fn shows_the_scene(upload: &[u8], tolerance: u8, name: &str) {
    let squares = squares(upload).unwrap_or_else(|refused| panic!("{name}: {refused:?}"));
    for jpeg in squares {
        let picture = shown(&jpeg);
        let (side, quarter) = (picture.width(), picture.width() / 4);
        assert_eq!(side, picture.height());
        for (x, y, color) in [
            (quarter, quarter, GREEN),
            (quarter, 3 * quarter, RED),
            (3 * quarter, quarter, BLUE),
            (3 * quarter, 3 * quarter, BLUE),
        ] {
            let pixel = *picture.get_pixel(x, y);
            assert!(is_near(pixel, color, tolerance), "{name}: {pixel:?} at {x}, {y} of {side} is not {color:?}");
        }
    }
}

#[test]
fn every_kind_is_shown_as_it_is_meant_to_be_seen() {
    for (name, upload) in [
        ("progressive", picture!("progressive.jpg")),
        ("rotated by its EXIF", picture!("rotated.jpg")),
        ("animated PNG", picture!("animated.png")),
        ("animated WebP", picture!("animated.webp")),
        ("lossy WebP", picture!("lossy.webp")),
        ("palette", picture!("palette.png")),
    ] {
        shows_the_scene(upload, 24, name);
    }
    // Without a profile nobody knows what its inks look like.
    shows_the_scene(picture!("cmyk.jpg"), 60, "CMYK");
    let grey = squares(picture!("grey.jpg")).unwrap();
    let [red, green, blue] = shown(&grey[0]).get_pixel(10, 10).0;
    assert!(red.abs_diff(green) < 4 && green.abs_diff(blue) < 4);
}

#[test]
fn sixteen_bits_and_transparency_are_understood() {
    let deep = image::ImageBuffer::from_pixel(90, 70, Rgba([60_000_u16, 10_000, 30_000, u16::MAX]));
    let [small, ..] = squares(&encoded(DynamicImage::ImageRgba16(deep), ImageFormat::Png)).unwrap();
    assert!(is_near(*shown(&small).get_pixel(30, 30), [233, 39, 117], 8));

    let half = RgbaImage::from_pixel(90, 70, Rgba([0, 0, 0, 128]));
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let [small, ..] = squares(&encoded(half.clone(), format)).unwrap();
        assert!(is_near(*shown(&small).get_pixel(30, 30), [127; 3], 4), "transparent parts are white below");
    }
}

#[test]
fn squares_are_as_large_as_there_is_something_to_see() {
    for (width, height, sides) in [
        (3000, 2000, [64, 256, 1024]),
        (300, 2000, [64, 256, 300]),
        (100, 80, [64, 80, 80]),
        (1, 1, [1, 1, 1]),
        (SIDE_MAX, 1, [1, 1, 1]),
        (256, 256, [64, 256, 256]),
    ] {
        let upload = encoded(RgbImage::from_pixel(width, height, Rgb([9, 99, 199])), ImageFormat::Png);
        let made = squares(&upload).unwrap().map(|jpeg| shown(&jpeg).dimensions());
        assert_eq!(made, sides.map(|side| (side, side)), "{width} × {height}");
    }
}

#[test]
fn nothing_remains_of_what_cannot_be_seen() {
    let upload = picture!("rotated.jpg");
    let has = |bytes: &[u8], word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    assert!(has(upload, b"SECRET-CAMERA") && has(upload, b"SECRET-COMMENT"));
    let hidden = [upload, b"<script>alert(1)</script> PK\x03\x04"].concat();
    for jpeg in squares(&hidden).unwrap() {
        for word in [b"SECRET".as_slice(), b"Exif", b"<script", b"PK\x03\x04"] {
            assert!(!has(&jpeg, word), "{}", String::from_utf8_lossy(word));
        }
    }
}

#[test]
fn what_is_no_picture_is_refused() {
    let gif = picture!("animated.gif");
    for other in
        [b"".as_slice(), b"\xff", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<html>", b"RIFF\0\0\0\0WAVE", gif]
    {
        assert_eq!(squares(other), Err(Refused::Unknown), "{:?}", String::from_utf8_lossy(other));
    }
    // The first bytes alone are not enough.
    for begins_well in [b"\xff\xd8\xff\xe0".as_slice(), b"\x89PNG\r\n\x1a\n", b"RIFF\x10\0\0\0WEBPVP8 "] {
        assert_eq!(squares(begins_well), Err(Refused::Broken));
    }
}

#[test]
fn a_picture_that_stops_early_is_refused_or_shown_as_far_as_it_goes() {
    let whole = [
        picture!("rotated.jpg"),
        picture!("progressive.jpg"),
        picture!("cmyk.jpg"),
        picture!("lossy.webp"),
        picture!("animated.webp"),
        picture!("animated.png"),
        picture!("palette.png"),
    ];
    for upload in whole {
        for length in 0..upload.len() {
            // Neither a panic nor anything without a picture in it.
            if let Ok(squares) = squares(&upload[..length]) {
                let _ = squares.map(|jpeg| shown(&jpeg));
            }
        }
        for place in 0..upload.len() {
            let mut spoiled = upload.to_vec();
            spoiled[place] ^= 0xff;
            let _ = squares(&spoiled);
        }
    }
    let png = picture!("palette.png");
    assert_eq!(squares(&png[..png.len() / 2]), Err(Refused::Broken));
}

/// A PNG that announces these dimensions and has next to no pixels.
fn announcing(width: u32, height: u32) -> Vec<u8> {
    let mut png = encoded(RgbImage::new(1, 1), ImageFormat::Png);
    png[16..20].copy_from_slice(&width.to_be_bytes());
    png[20..24].copy_from_slice(&height.to_be_bytes());
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    png
}

/// The checksum of a PNG's chunks (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[test]
fn dimensions_are_bounded_before_a_pixel_is_decoded() {
    for (width, height) in [(SIDE_MAX + 1, 1), (1, SIDE_MAX + 1), (8000, 8000), (0x7fff_ffff, 0x7fff_ffff)] {
        let before = NOW_AND_MOST.get().0;
        NOW_AND_MOST.set((before, before));
        assert_eq!(squares(&announcing(width, height)), Err(Refused::TooLarge), "{width} × {height}");
        let most = NOW_AND_MOST.get().1 - before;
        assert!(most < 1 << 20, "{width} × {height} took {most} bytes");
    }
    assert_eq!(squares(&announcing(0, 10)), Err(Refused::Broken));
    let mut jpeg = picture!("largest-progressive.jpg").to_vec();
    let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc2]).unwrap();
    jpeg[frame + 5..frame + 7].copy_from_slice(&1870_u16.to_be_bytes());
    jpeg[frame + 7..frame + 9].copy_from_slice(&1870_u16.to_be_bytes());
    assert_eq!(squares(&jpeg), Err(Refused::TooLarge));
}

/// The largest that are taken stay below what a function has (64 MiB), with room for the upload, the code's own data and what
/// an allocator loses.
#[test]
fn the_largest_of_every_kind_have_room() {
    const BYTES_MAX: usize = 56 * 1024 * 1024;
    for (name, upload) in [
        ("progressive JPEG", picture!("largest-progressive.jpg")),
        ("sequential JPEG", picture!("largest-sequential.jpg")),
        ("16-bit PNG", picture!("largest-16-bit.png")),
        ("lossless WebP", picture!("largest-lossless.webp")),
        ("lossy WebP", picture!("largest-lossy.webp")),
        ("animated WebP", picture!("largest-animated.webp")),
    ] {
        let before = NOW_AND_MOST.get().0;
        NOW_AND_MOST.set((before, before));
        squares(upload).unwrap_or_else(|refused| panic!("{name}: {refused:?}"));
        let most = NOW_AND_MOST.get().1 - before;
        eprintln!("{name}: {} MiB", most >> 20);
        assert!(most < BYTES_MAX, "{name} took {most} bytes");
    }
}
