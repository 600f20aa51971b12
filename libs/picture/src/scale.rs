//! Making pictures smaller.

use image::{DynamicImage, GenericImageView, RgbImage};

/// What shows through transparent parts: white.
const BACKGROUND: u32 = 255;

/// The square in the middle of a picture, scaled down to this side, and no larger than it is. Its transparent parts are white.
///
/// Each pixel becomes the average of the area that it covers, which is what making smaller means: nothing is skipped, and no edge
/// gets a halo. It is exact, and takes no memory beside the result.
pub(crate) fn square(picture: &DynamicImage, side: u32) -> RgbImage {
    let (width, height) = picture.dimensions();
    let shorter = width.min(height);
    let (left, top) = ((width - shorter) / 2, (height - shorter) / 2);
    let side = side.min(shorter);

    // The weights of a pixel's area, in each direction, add up to the side of what was cut out.
    let whole = u64::from(shorter) * u64::from(shorter);
    let row_length = side as usize * 3;
    let mut scaled = Vec::with_capacity(row_length * side as usize);
    let mut row = vec![0_u64; row_length];
    // The sums of the row that is under way, and of the next.
    let mut sums = [vec![0_u64; row_length], vec![0_u64; row_length]];
    for y in 0..shorter {
        row.fill(0);
        for x in 0..shorter {
            let pixel = on_background(picture.get_pixel(left + x, top + y).0);
            for (place, weight) in shares(x, side, shorter) {
                for (sum, color) in row[place * 3..].iter_mut().zip(pixel) {
                    *sum += weight * u64::from(color);
                }
            }
        }
        for (place, weight) in shares(y, side, shorter) {
            for (sum, of_row) in sums[place % 2].iter_mut().zip(&row) {
                *sum += weight * of_row;
            }
        }
        let (under_way, after) = (u64::from(y) * u64::from(side), u64::from(y + 1) * u64::from(side));
        let place = under_way / u64::from(shorter);
        if after / u64::from(shorter) > place {
            let done = &mut sums[usize::from(place % 2 == 1)];
            scaled.extend(done.iter().map(|sum| u8::try_from((sum + whole / 2) / whole).unwrap_or(u8::MAX)));
            done.fill(0);
        }
    }
    RgbImage::from_raw(side, side, scaled).unwrap_or_default()
}

/// To which of `to` places the `n`th of `from` belongs, and with which part: to one, or to two that it lies between. A place is
/// `from` wide, and what is put there `to`, which is not more.
fn shares(n: u32, to: u32, from: u32) -> impl Iterator<Item = (usize, u64)> {
    let (start, to, from) = (u64::from(n) * u64::from(to), u64::from(to), u64::from(from));
    let place = start / from;
    let here = to.min((place + 1) * from - start);
    let shares = [(place, here), (place + 1, to - here)];
    shares
        .into_iter()
        .filter(|(_, weight)| *weight > 0)
        .map(|(place, weight)| (usize::try_from(place).unwrap_or(usize::MAX), weight))
}

fn on_background([red, green, blue, alpha]: [u8; 4]) -> [u8; 3] {
    [red, green, blue].map(|color| {
        let mixed = (u32::from(color) * u32::from(alpha) + BACKGROUND * (255 - u32::from(alpha)) + 127) / 255;
        u8::try_from(mixed).unwrap_or(u8::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbaImage};

    #[test]
    fn a_pixel_is_the_average_of_its_area() {
        let columns = |colors: &[u8]| {
            let side = u32::try_from(colors.len()).unwrap();
            DynamicImage::from(RgbImage::from_fn(side, side, |x, _| Rgb([colors[x as usize], 0, 0])))
        };
        let reds = |colors: &[u8], side| -> Vec<u8> {
            square(&columns(colors), side).rows().next().unwrap().map(|pixel| pixel.0[0]).collect()
        };
        assert_eq!(reds(&[10, 20, 30, 40], 2), [15, 35]);
        // Each of two covers one and a half of three.
        assert_eq!(reds(&[0, 90, 240], 2), [30, 190]);
        assert_eq!(reds(&[1, 2, 3], 3), [1, 2, 3]);
        assert_eq!(reds(&[1, 2, 3], 9), [1, 2, 3]);
    }

    #[test]
    fn what_is_transparent_counts_as_white() {
        let clear = RgbaImage::from_pixel(4, 2, image::Rgba([200, 0, 0, 0]));
        assert!(square(&clear.into(), 1).pixels().all(|pixel| pixel.0 == [255; 3]));
    }
}
