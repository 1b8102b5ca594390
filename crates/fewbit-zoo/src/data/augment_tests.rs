use super::*;

const SHAPE: ImageShape = ImageShape { channels: 2, height: 3, width: 4 };
/// Every pixel another value, none 0, so that padding is told from the image.
fn image() -> Vec<u8> {
    (1..=SHAPE.values() as u8).collect()
}

/// Leaves pixel values as they are.
fn identity() -> Normalization {
    let scale = 1.0 / 255.0;
    Normalization::new(&[0.0, 0.0], &[scale, scale]).unwrap()
}

fn draw(record: u64) -> Draw {
    Draw { seed: 1, epoch: 0, record }
}

fn varied(augmentation: Augmentation, normalization: &Normalization, draw: Draw) -> Vec<f32> {
    let mut out = vec![f32::NAN; SHAPE.values()];
    augment(&image(), SHAPE, augmentation, normalization, draw, &mut out);
    out
}

#[test] // (255/255 - 0.5)/0.25 = 2, (0 - 0.5)/0.25 = -2; (51/255 - 0.1)/0.2 = 0.5
fn normalising_subtracts_the_mean_and_divides_by_the_deviation() {
    let normalization = Normalization::new(&[0.5, 0.1], &[0.25, 0.2]).unwrap();
    let shape = ImageShape { channels: 2, height: 1, width: 2 };
    let mut out = [0.0; 4];
    normalization.apply(&[255, 0, 51, 51], shape, &mut out);
    for (found, expected) in out.iter().zip([2.0, -2.0, 0.5, 0.5]) {
        // Two roundings of numbers up to 4.
        assert!((found - expected).abs() < 1e-6, "{out:?}");
    }
}

#[test]
fn unusable_statistics_are_an_error() {
    for (means, deviations) in [
        (&[0.0][..], &[1.0, 1.0][..]),
        (&[0.0], &[0.0]),
        (&[0.0], &[-1.0]),
        (&[f32::NAN], &[1.0]),
        (&[0.0], &[f32::INFINITY]),
    ] {
        let error = Normalization::new(means, deviations).unwrap_err();
        assert!(matches!(error, DataError::Normalization { .. }));
    }
}

#[test] // Pixels 0 and 255 of channel 0: mean 1/2, deviation 1/2. Channel 1 is constant: deviation 1.
fn measured_statistics_give_mean_zero_and_deviation_one() {
    let shape = ImageShape { channels: 2, height: 1, width: 2 };
    let set = ImageSet::new(shape, 1, vec![0, 255, 51, 51], vec![0]).unwrap();
    let mut out = [0.0; 4];
    Normalization::measure(&set).apply(set.image(0), shape, &mut out);
    for (found, expected) in out.iter().zip([-1.0, 1.0, 0.0, 0.0]) {
        assert!((found - expected).abs() < 1e-6, "{out:?}");
    }
}

#[test]
fn no_augmentation_only_normalises() {
    let normalization = Normalization::new(&[0.3, 0.4], &[0.2, 0.1]).unwrap();
    let mut plain = vec![0.0; SHAPE.values()];
    normalization.apply(&image(), SHAPE, &mut plain);
    for record in 0..20 {
        assert_eq!(varied(Augmentation::NONE, &normalization, draw(record)), plain);
    }
}

#[test]
fn an_image_depends_on_seed_epoch_and_record_alone() {
    let variation = |seed, epoch, record| {
        let draw = Draw { seed, epoch, record };
        varied(Augmentation::CIFAR10, &identity(), draw)
    };
    let run = |seed, epoch| (0..20).map(|record| variation(seed, epoch, record)).collect::<Vec<_>>();
    assert_eq!(run(1, 0), run(1, 0));
    assert_ne!(run(1, 0), run(2, 0));
    assert_ne!(run(1, 0), run(1, 1));
    assert!(run(1, 0).iter().any(|other| *other != variation(1, 0, 0)));
}

/// Every output is the image seen through one of the (2p + 1)² windows, mirrored or not, and each of them occurs.
#[test]
fn every_shift_and_flip_occurs_and_nothing_else() {
    let augmentation = Augmentation { crop_padding: [1; 2], padding: Padding::Black, horizontal_flip: true };
    let window = |down: isize, right: isize, mirrored: bool| -> Vec<f32> {
        let (height, width) = (SHAPE.height as isize, SHAPE.width as isize);
        let mut out = Vec::new();
        for channel in 0..2 {
            for row in 0..height {
                for column in 0..width {
                    let column = if mirrored { width - 1 - column } else { column };
                    let (row, column) = (row + down, column + right);
                    let inside = (0..height).contains(&row) && (0..width).contains(&column);
                    let index = channel * height * width + row * width + column;
                    out.push(if inside { (index + 1) as f32 } else { 0.0 });
                }
            }
        }
        out
    };
    let mut windows = Vec::new();
    for down in -1..=1 {
        for right in -1..=1 {
            windows.extend([window(down, right, false), window(down, right, true)]);
        }
    }
    let mut seen = vec![0; windows.len()];
    // 18 windows, 1,800 draws: 100 each, deviation 10.
    for record in 0..1_800 {
        let found: Vec<f32> =
            varied(augmentation, &identity(), draw(record)).iter().map(|value| value.round()).collect();
        let index = windows.iter().position(|window| *window == found);
        seen[index.expect("one of the windows")] += 1;
    }
    assert!(seen.iter().all(|&count| (50..150).contains(&count)), "{seen:?}");
}

#[test]
fn black_is_normalised_and_zero_is_not() {
    let normalization = Normalization::new(&[0.5, 0.5], &[0.5, 0.5]).unwrap();
    let extremes = |padding| {
        let augmentation = Augmentation { crop_padding: [2; 2], padding, horizontal_flip: false };
        let values: Vec<f32> =
            (0..50).flat_map(|record| varied(augmentation, &normalization, draw(record))).collect();
        // Pixels 1..=24 of 255 are all between these two.
        (values.contains(&-1.0), values.contains(&0.0))
    };
    assert_eq!(extremes(Padding::Black), (true, false));
    assert_eq!(extremes(Padding::Zero), (false, true));
    assert_eq!(extremes(Padding::Reflect), (false, false));
}

#[test] // 0 1 2 3 padded by 2: 2 1 | 0 1 2 3 | 2 1
fn reflection_does_not_repeat_the_border() {
    let seen = |shift| {
        (0..4).map(|position| source_index(position, shift, 4, Padding::Reflect).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(seen(-2), [2, 1, 0, 1]);
    assert_eq!(seen(2), [2, 3, 2, 1]);
}
