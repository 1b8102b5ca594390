//! Pooling against windows read number by number, slopes, all sets and numbers of threads.

use fewbit_testing::Numbers;

use super::average::{average_pool_gradient_on, average_pool_on};
use super::global::global_average_pool_on;
use super::max::max_pool_on;
use super::*;
use crate::dispatch::InstructionSet;

fn shapes() -> Vec<PoolShape> {
    let window = |size, stride, padding| Window { size, stride, padding };
    let windows = [
        window(1, 1, 0),
        window(2, 2, 0),
        window(3, 1, 1),
        window(3, 2, 1),
        window(4, 3, 2),
        window(2, 5, 1),
    ];
    let mut shapes = vec![];
    for (planes, height, width) in [(1, 1, 1), (2, 3, 5), (3, 8, 8), (2, 19, 33), (0, 4, 4), (2, 0, 3)] {
        for vertical in windows {
            for horizontal in windows {
                shapes.push(PoolShape { planes, height, width, vertical, horizontal });
            }
        }
    }
    let vertical = window(3, 2, 1);
    shapes.push(PoolShape { planes: 40, height: 33, width: 31, vertical, horizontal: vertical });
    shapes
}

/// Places in the plane that a window sees.
fn seen(shape: PoolShape, row: usize, column: usize) -> Vec<usize> {
    let along = |window: Window, at: usize, length: usize| -> Vec<usize> {
        let places =
            (0..window.size).map(|offset| (at * window.stride + offset).wrapping_sub(window.padding));
        places.filter(|&place| place < length).collect()
    };
    let columns = along(shape.horizontal, column, shape.width);
    let rows = along(shape.vertical, row, shape.height);
    rows.iter().flat_map(|row| columns.iter().map(move |column| row * shape.width + column)).collect()
}

/// What the window of each pooled place sees, with the plane's number.
fn all_seen(shape: PoolShape) -> Vec<(usize, Vec<usize>)> {
    let (height, width) = shape.pooled();
    let windows = (0..shape.planes).flat_map(|plane| (0..height * width).map(move |place| (plane, place)));
    windows.map(|(plane, place)| (plane, seen(shape, place / width, place % width))).collect()
}

#[test]
fn the_largest_number_of_each_window_comes_out_and_its_gradient_goes_back_there() {
    for shape in shapes() {
        let mut numbers = Numbers::seeded(21);
        let pixels = shape.pixels();
        // Few values, so that windows have equal ones.
        let input: Vec<f32> = (0..shape.planes * pixels).map(|_| numbers.below(5) as f32 - 9.0).collect();
        let windows = all_seen(shape);
        let gradient = numbers.weights(windows.len());
        let (mut expected, mut expected_gradient) = (vec![], vec![0.0; input.len()]);
        for ((plane, seen), g) in windows.iter().zip(&gradient) {
            let number = |place: usize| input[plane * pixels + place];
            let first =
                seen.iter().copied().reduce(|a, b| if number(b) > number(a) { b } else { a }).unwrap();
            expected.push((number(first), first as u32));
            expected_gradient[plane * pixels + first] += g;
        }
        for set in InstructionSet::available() {
            let (mut out, mut places) = (vec![f32::NAN; windows.len()], vec![u32::MAX; windows.len()]);
            max_pool_on(set, shape, &input, &mut out, &mut places);
            assert!(
                out.iter().copied().zip(places.iter().copied()).eq(expected.clone()),
                "{shape:?}, {set:?}"
            );
            let mut input_gradient = vec![f32::NAN; input.len()];
            max_pool_gradient(shape, &places, &gradient, &mut input_gradient);
            assert!(input_gradient == expected_gradient, "{shape:?}, {set:?}");
        }
    }
}

#[test]
fn a_nan_is_above_all() {
    let window = Window { size: 3, stride: 1, padding: 0 };
    let line = Window { size: 1, stride: 1, padding: 0 };
    let shape = PoolShape { planes: 1, height: 1, width: 5, vertical: line, horizontal: window };
    let (mut out, mut places) = ([0.0; 3], [9; 3]);
    max_pool(shape, &[1.0, f32::NAN, 3.0, f32::NAN, 2.0], &mut out, &mut places);
    assert!(out.iter().all(|x| x.is_nan()));
    assert_eq!(places, [1, 1, 3]);
}

#[test]
fn the_mean_of_each_window_comes_out_and_its_gradient_is_shared_out() {
    for shape in shapes() {
        for counts_padding in [false, true] {
            let mut numbers = Numbers::seeded(22);
            let pixels = shape.pixels();
            let input = numbers.weights(shape.planes * pixels);
            let windows = all_seen(shape);
            let gradient = numbers.weights(windows.len());
            let (mut expected, mut expected_gradient) = (vec![], vec![0.0; input.len()]);
            for ((plane, seen), g) in windows.iter().zip(&gradient) {
                let whole = shape.vertical.size * shape.horizontal.size;
                let count = if counts_padding { whole } else { seen.len() } as f64;
                expected.push(
                    seen.iter().map(|place| f64::from(input[plane * pixels + place])).sum::<f64>() / count,
                );
                for place in seen {
                    expected_gradient[plane * pixels + place] += f64::from(*g) / count;
                }
            }
            // Sums of at most sixteen numbers below 8.
            let close = |ours: &[f32], exact: &[f64]| {
                ours.len() == exact.len()
                    && ours.iter().zip(exact).all(|(&ours, exact)| (f64::from(ours) - exact).abs() < 5e-6)
            };
            let mut first = None;
            for set in InstructionSet::available() {
                let mut out = vec![f32::NAN; windows.len()];
                average_pool_on(set, shape, counts_padding, &input, &mut out);
                assert!(close(&out, &expected), "{shape:?}, {set:?}");
                let mut input_gradient = vec![f32::NAN; input.len()];
                average_pool_gradient_on(set, shape, counts_padding, &gradient, &mut input_gradient);
                assert!(close(&input_gradient, &expected_gradient), "{shape:?}, {set:?}");
                let ours = (out, input_gradient);
                assert!(*first.get_or_insert(ours.clone()) == ours, "{shape:?}, {set:?}");
            }
        }
    }
}

#[test]
fn the_mean_of_each_plane_comes_out_and_its_gradient_is_shared_out() {
    let mut numbers = Numbers::seeded(23);
    for (planes, pixels) in [(0, 3), (1, 1), (3, 64), (5, 49), (2, 1025), (300, 77)] {
        let input = numbers.weights(planes * pixels);
        let mut first = None;
        for set in InstructionSet::available() {
            let mut out = vec![f32::NAN; planes];
            global_average_pool_on(set, pixels, &input, &mut out);
            for (out, plane) in out.iter().zip(input.chunks(pixels)) {
                let exact = plane.iter().map(|&x| f64::from(x)).sum::<f64>() / pixels as f64;
                assert!((f64::from(*out) - exact).abs() < 1e-6, "{out}, exact {exact}");
            }
            assert!(*first.get_or_insert(out.clone()) == out, "{planes} x {pixels}, {set:?}");
        }
        let gradient = numbers.weights(planes);
        let mut input_gradient = vec![f32::NAN; planes * pixels];
        global_average_pool_gradient(pixels, &gradient, &mut input_gradient);
        assert!(input_gradient.iter().enumerate().all(|(i, &g)| g == gradient[i / pixels] / pixels as f32));
    }
    let mut out = [0.0; 2];
    global_average_pool(0, &[], &mut out);
    assert!(out.iter().all(|mean| mean.is_nan()));
}

#[test]
#[should_panic(expected = "a window that always holds a number")]
fn a_window_of_padding_alone_is_refused() {
    Window { size: 2, stride: 1, padding: 2 }.count(5);
}
