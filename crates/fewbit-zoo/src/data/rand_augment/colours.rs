//! Operations on the values of a picture, whose channels lie one after the other.

use crate::data::ImageShape;

/// Shares of red, green and blue in grey, in thousandths (ITU-R BT.601).
const GREY: [u32; 3] = [299, 587, 114];

/// Each channel stretched to the whole range; one that is constant stays.
pub(super) fn auto_contrast(picture: &mut [u8], pixels: usize) {
    for channel in picture.chunks_exact_mut(pixels) {
        let (least, most) = channel.iter().fold((u8::MAX, 0), |(l, m), &v| (l.min(v), m.max(v)));
        if least < most {
            let stretched = |value: u8| 255 * u32::from(value - least) / u32::from(most - least);
            channel.iter_mut().for_each(|value| *value = stretched(*value) as u8);
        }
    }
}

/// Each channel with its values spread so that all are equally frequent, as far as that goes.
pub(super) fn equalize(picture: &mut [u8], pixels: usize) {
    for channel in picture.chunks_exact_mut(pixels) {
        let mut counts = [0usize; 256];
        channel.iter().for_each(|&value| counts[usize::from(value)] += 1);
        let of_largest = counts.iter().rev().find(|count| **count > 0).copied().unwrap_or(0);
        let step = (pixels - of_largest) / 255;
        if step == 0 {
            continue;
        }
        let mut below = step / 2;
        let spread = counts.map(|count| {
            let value = (below / step).min(255) as u8;
            below += count;
            value
        });
        channel.iter_mut().for_each(|value| *value = spread[usize::from(*value)]);
    }
}

/// Only the first `bits` of each value.
pub(super) fn posterize(picture: &mut [u8], bits: u32) {
    let kept = !(u8::MAX.checked_shr(bits).unwrap_or(0));
    picture.iter_mut().for_each(|value| *value &= kept);
}

/// Values from `threshold` on turned round.
pub(super) fn solarize(picture: &mut [u8], threshold: u16) {
    let turned = picture.iter_mut().filter(|value| u16::from(**value) >= threshold);
    turned.for_each(|value| *value = !*value);
}

/// Something added to the darker half of all values.
pub(super) fn solarize_add(picture: &mut [u8], added: u8) {
    let darker = picture.iter_mut().filter(|value| **value < 128);
    darker.for_each(|value| *value = value.saturating_add(added));
}

/// More or less than the picture's own colour: 0 is grey, 1 the picture.
pub(super) fn saturate(picture: &mut [u8], pixels: usize, factor: f32) {
    let grey: Vec<f32> = (0..pixels).map(|pixel| f32::from(grey(picture, pixels, pixel))).collect();
    for channel in picture.chunks_exact_mut(pixels) {
        channel.iter_mut().zip(&grey).for_each(|(value, grey)| *value = blend(*grey, *value, factor));
    }
}

/// More or less than the picture's own contrast: 0 is its mean grey, 1 the picture.
pub(super) fn contrast(picture: &mut [u8], pixels: usize, factor: f32) {
    let sum: u64 = (0..pixels).map(|pixel| u64::from(grey(picture, pixels, pixel))).sum();
    let mean = (sum as f64 / pixels.max(1) as f64).round() as f32;
    picture.iter_mut().for_each(|value| *value = blend(mean, *value, factor));
}

/// More or less than the picture's own light: 0 is black, 1 the picture.
pub(super) fn brighten(picture: &mut [u8], factor: f32) {
    picture.iter_mut().for_each(|value| *value = blend(0.0, *value, factor));
}

/// More or less than the picture's own sharpness: 0 is smoothed, 1 the picture. Its border stays.
pub(super) fn sharpen(picture: &mut [u8], ImageShape { height, width, .. }: ImageShape, factor: f32) {
    if height < 3 || width < 3 {
        return;
    }
    for channel in picture.chunks_exact_mut(height * width) {
        let whole = channel.to_vec();
        for (row, column) in (1..height - 1).flat_map(|row| (1..width - 1).map(move |column| (row, column))) {
            let around = (row - 1..=row + 1).flat_map(|row| &whole[row * width + column - 1..][..3]);
            let sum: u32 = around.map(|&value| u32::from(value)).sum();
            let place = row * width + column;
            // The pixel itself counts five times.
            let smooth = ((sum + 4 * u32::from(whole[place])) as f32 / 13.0).round();
            channel[place] = blend(smooth, whole[place], factor);
        }
    }
}

fn grey(picture: &[u8], pixels: usize, pixel: usize) -> u8 {
    let sum: u32 =
        GREY.iter().enumerate().map(|(at, share)| share * u32::from(picture[at * pixels + pixel])).sum();
    ((sum + 500) / 1000) as u8
}

/// `factor` of the way from `from` to `to`, and beyond it where that is above 1.
fn blend(from: f32, to: u8, factor: f32) -> u8 {
    (from + factor * (f32::from(to) - from)).clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three channels of four pixels.
    const PICTURE: [u8; 12] = [10, 20, 30, 60, 0, 0, 0, 0, 100, 100, 100, 200];

    fn changed(change: impl FnOnce(&mut [u8])) -> [u8; 12] {
        let mut picture = PICTURE;
        change(&mut picture);
        picture
    }

    #[test] // 10 to 60 becomes 0 to 255, each step of ten 51; 100 to 200 likewise.
    fn contrast_is_stretched_channel_by_channel() {
        let found = changed(|picture| auto_contrast(picture, 4));
        assert_eq!(found, [0, 51, 102, 255, 0, 0, 0, 0, 0, 0, 0, 255]);
    }

    /// 1,024 pixels of four values, equally many: all but the largest are 768, so that a step is 3, and half of one lies below
    /// the first. Below the second are 256 and that half: 257 / 3 = 85.
    #[test]
    fn values_are_spread_evenly() {
        let mut channel: Vec<u8> = (0..1024).map(|at| [7, 8, 9, 200][at % 4]).collect();
        equalize(&mut channel, 1024);
        assert_eq!(channel[..4], [0, 85, 171, 255]);
        // Too few pixels for steps: they stay.
        assert_eq!(changed(|picture| equalize(picture, 4)), PICTURE);
    }

    #[test]
    fn bits_are_kept_and_values_turned_round() {
        assert_eq!(changed(|picture| posterize(picture, 3))[..4], [0, 0, 0, 32]);
        assert_eq!(changed(|picture| posterize(picture, 0)), [0; 12]);
        assert_eq!(changed(|picture| posterize(picture, 8)), PICTURE);
        assert_eq!(changed(|picture| solarize(picture, 30))[..4], [10, 20, 225, 195]);
        assert_eq!(changed(|picture| solarize(picture, 256)), PICTURE);
        assert_eq!(changed(|picture| solarize_add(picture, 100))[8..], [200, 200, 200, 200]);
    }

    /// The grey of the first pixel is (10·299 + 100·114)/1000 = 14.39, of the last (60·299 + 200·114)/1000 = 40.74.
    #[test]
    fn without_colour_all_channels_are_grey() {
        let found = changed(|picture| saturate(picture, 4, 0.0));
        assert_eq!((found[0], found[3]), (14, 41));
        assert_eq!((&found[..4], &found[..4]), (&found[4..8], &found[8..]));
        assert_eq!(changed(|picture| saturate(picture, 4, 1.0)), PICTURE);
    }

    /// The greys are 14, 17, 20 and 41, their mean 23.
    #[test]
    fn without_contrast_all_is_the_mean_grey() {
        assert_eq!(changed(|picture| contrast(picture, 4, 0.0)), [23; 12]);
        assert_eq!(changed(|picture| brighten(picture, 0.5))[..4], [5, 10, 15, 30]);
        assert_eq!(changed(|picture| brighten(picture, 1.9))[11], 255);
    }

    /// Nine pixels, the middle one 130 and the others 0: smoothed it is 5/13 of itself, 50.
    #[test]
    fn smoothing_counts_the_pixel_five_times_and_leaves_the_border() {
        let shape = ImageShape { channels: 1, height: 3, width: 3 };
        let mut channel = [0, 0, 0, 0, 130, 0, 0, 0, 0];
        sharpen(&mut channel, shape, 0.0);
        assert_eq!(channel, [0, 0, 0, 0, 50, 0, 0, 0, 0]);
    }
}
