//! How many values layers have.

/// Values of a layer `[outputs, inputs]` with one bias per output.
pub(super) fn linear_values(inputs: usize, outputs: usize) -> u64 {
    (inputs as u64 + 1) * outputs as u64
}

/// Values of a batch norm: scale, shift, mean and variance of each channel.
pub(super) fn batch_norm_values(channels: usize) -> u64 {
    4 * channels as u64
}
