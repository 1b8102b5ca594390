//! Published sizes, for the tests of each network.

/// So many float32 parameters are so many MB of 2^20 bytes, to the two digits that are printed.
pub(super) fn is_of_megabytes(parameters: u64, published: f64) {
    let megabytes = 4.0 * parameters as f64 / f64::from(1 << 20);
    assert!((megabytes - published).abs() <= 0.005 + 1e-9, "{megabytes} MB, {published} published");
}
