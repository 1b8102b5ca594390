//! How far windows reach beyond an image.

use burn::nn::PaddingConfig2d;

/// Rows `[above, below]` and columns `[left, right]` that `padding` adds to an image of `size`.
///
/// As burn does: where the padding keeps the size (`Same`), an odd row or column goes below or right.
pub(crate) fn pairs(
    padding: &PaddingConfig2d,
    size: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
) -> [[usize; 2]; 2] {
    match *padding {
        PaddingConfig2d::Valid => [[0; 2]; 2],
        PaddingConfig2d::Explicit(top, left, bottom, right) => [[top, bottom], [left, right]],
        PaddingConfig2d::Same => [0, 1].map(|axis| {
            let results = size[axis].div_ceil(stride[axis].max(1));
            let reach = results.saturating_sub(1) * stride[axis] + kernel[axis];
            let added = if results == 0 { 0 } else { reach.saturating_sub(size[axis]) };
            [added / 2, added - added / 2]
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_keeps_the_size_and_puts_the_odd_one_behind() {
        // 5 wide, kernel 2, stride 1: 5 results reach 6. 5 high, kernel 3, stride 2: 3 results reach 7.
        let found = pairs(&PaddingConfig2d::Same, [5, 5], [3, 2], [2, 1]);
        assert_eq!(found, [[1, 1], [0, 1]]);
        let explicit = PaddingConfig2d::Explicit(1, 2, 3, 4);
        assert_eq!(pairs(&explicit, [9, 9], [3, 3], [1, 1]), [[1, 3], [2, 4]]);
        assert_eq!(pairs(&PaddingConfig2d::Valid, [9, 9], [3, 3], [1, 1]), [[0; 2]; 2]);
    }
}
