//! Several sums over the same numbers, in one pass.
//!
//! Each is taken in two times sixteen lanes, whatever the machine's registers, so that all give
//! equal bits; two, because an addition takes as long as the loads of the next but one.

use crate::simd::Simd;

/// Lanes of one register.
pub(crate) const LANES: usize = 16;

/// Adds one number each to `M` sums, made of the numbers at the same place of `N` slices.
///
/// The methods are `#[inline(always)]`.
pub(crate) trait Terms<const N: usize, const M: usize>: Copy {
    /// Numbers that add nothing, one for each slice.
    fn nothing(self) -> [f32; N];
    fn add<S: Simd>(self, simd: S, sums: [S::Lanes; M], numbers: [S::Lanes; N]) -> [S::Lanes; M];
}

/// The sums over whole slices, lane by lane; all are as long as the first.
#[inline(always)]
pub(crate) fn sums_by_lane<S: Simd, T: Terms<N, M>, const N: usize, const M: usize>(
    simd: S,
    slices: [&[f32]; N],
    terms: T,
) -> [S::Lanes; M] {
    let length = slices[0].len();
    assert!(slices.iter().all(|slice| slice.len() == length), "slices of one length");
    let mut even = [simd.splat(0.0); M];
    let mut odd = even;
    let mut place = 0;
    while place + 2 * LANES <= length {
        // SAFETY: the slices have twice sixteen numbers from `place` on.
        let [first, second] = unsafe { [load(simd, slices, place), load(simd, slices, place + LANES)] };
        even = terms.add(simd, even, first);
        odd = terms.add(simd, odd, second);
        place += 2 * LANES;
    }
    if place + LANES <= length {
        // SAFETY: the slices have sixteen numbers from `place` on.
        even = terms.add(simd, even, unsafe { load(simd, slices, place) });
        place += LANES;
    }
    if place < length {
        let nothing = terms.nothing();
        let mut rest = [[0.0; LANES]; N];
        for slice in 0..N {
            rest[slice] = [nothing[slice]; LANES];
            rest[slice][..length - place].copy_from_slice(&slices[slice][place..]);
        }
        let mut slices = slices;
        for slice in 0..N {
            slices[slice] = &rest[slice];
        }
        // SAFETY: each has sixteen numbers.
        odd = terms.add(simd, odd, unsafe { load(simd, slices, 0) });
    }
    for sum in 0..M {
        even[sum] = simd.add(even[sum], odd[sum]);
    }
    even
}

/// Sixteen numbers of each slice.
///
/// A loop, not a closure: in a large caller a closure is compiled by itself, without the instructions.
///
/// # Safety
/// Each slice has sixteen numbers from `place` on.
#[inline(always)]
unsafe fn load<S: Simd, const N: usize>(simd: S, slices: [&[f32]; N], place: usize) -> [S::Lanes; N] {
    let mut numbers = [simd.splat(0.0); N];
    for slice in 0..N {
        // SAFETY: the caller's promise.
        numbers[slice] = unsafe { simd.load(slices[slice].as_ptr().add(place)) };
    }
    numbers
}

/// The sixteen numbers.
#[inline(always)]
pub(crate) fn stored<S: Simd>(simd: S, lanes: S::Lanes) -> [f32; LANES] {
    let mut numbers = [0.0; LANES];
    // SAFETY: there is room for sixteen numbers.
    unsafe { simd.store(lanes, numbers.as_mut_ptr()) };
    numbers
}

/// The sum of sixteen numbers: the upper half of them onto the lower, and again.
#[inline(always)]
pub(crate) fn sum_of_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// The numbers themselves.
#[derive(Clone, Copy)]
pub(crate) struct Plainly;

impl Terms<1, 1> for Plainly {
    #[inline(always)]
    fn nothing(self) -> [f32; 1] {
        [0.0]
    }

    #[inline(always)]
    fn add<S: Simd>(self, simd: S, [sum]: [S::Lanes; 1], [x]: [S::Lanes; 1]) -> [S::Lanes; 1] {
        [simd.add(sum, x)]
    }
}

/// Differences from an origin, and their squares.
#[derive(Clone, Copy)]
pub(crate) struct Moments {
    pub(crate) origin: f32,
}

impl Terms<1, 2> for Moments {
    #[inline(always)]
    fn nothing(self) -> [f32; 1] {
        [self.origin]
    }

    #[inline(always)]
    fn add<S: Simd>(self, simd: S, [sum, squares]: [S::Lanes; 2], [x]: [S::Lanes; 1]) -> [S::Lanes; 2] {
        let difference = simd.add(x, simd.splat(-self.origin));
        [simd.add(sum, difference), simd.multiply_add(difference, difference, squares)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::InstructionSet;
    use crate::simd::LaneKernel;

    struct Run<'a>(&'a [f32], f32);

    impl LaneKernel for Run<'_> {
        type Output = [f32; 3];

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> [f32; 3] {
            let [sum] = sums_by_lane(simd, [self.0], Plainly);
            let [differences, squares] = sums_by_lane(simd, [self.0], Moments { origin: self.1 });
            [sum, differences, squares].map(|lanes| sum_of_lanes(stored(simd, lanes)))
        }
    }

    #[test]
    fn every_length_is_summed_whole() {
        for length in 0..150 {
            // Whole numbers, so that every order gives the exact sum.
            let numbers: Vec<f32> = (0..length).map(|x| (x % 19) as f32).collect();
            let of = |term: fn(f32) -> f32| numbers.iter().map(|&x| term(x)).sum::<f32>();
            let exact = [of(|x| x), of(|x| x - 3.0), of(|x| (x - 3.0) * (x - 3.0))];
            for set in InstructionSet::available() {
                assert_eq!(set.run_lanes(Run(&numbers, 3.0)), exact, "{length} numbers, {set:?}");
            }
        }
    }
}
