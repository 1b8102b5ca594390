//! The state that every quantized parameter of one model shares: the mode and the noise clock.
//!
//! Mode is explicit, not inferred from the device: a float warm-up, a straight-through finish and
//! re-estimation of batch-norm statistics with rounded weights all run on an autodiff device.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// What reading a quantized parameter gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// The stored float weight, everywhere.
    Float = 0,
    /// The weight plus pseudo quantization noise on an autodiff device; the rounded weight elsewhere.
    Noise = 1,
    /// The rounded weight, with the gradient passed straight to the float weight.
    StraightThrough = 2,
    /// The rounded weight, without a gradient.
    Rounded = 3,
}

impl Mode {
    /// The word used in recipes, metrics and checkpoints.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Noise => "noise",
            Self::StraightThrough => "straight_through",
            Self::Rounded => "rounded",
        }
    }

    fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Float,
            1 => Self::Noise,
            2 => Self::StraightThrough,
            _ => Self::Rounded,
        }
    }
}

/// Which draw of noise is current: together with a parameter's path and an element's index it
/// decides every number that is drawn, so nothing is stored and any step can be drawn again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoiseClock {
    /// The seed of the run.
    pub seed: u64,
    /// Which of several models trained side by side.
    pub replica: u32,
    /// Optimizer steps done.
    pub step: u64,
    /// Forward passes done since the last optimizer step, where gradients are accumulated.
    pub micro_step: u32,
}

#[derive(Debug)]
struct Shared {
    mode: AtomicU8,
    seed: AtomicU64,
    replica: AtomicU32,
    step: AtomicU64,
    micro_step: AtomicU32,
}

/// A handle on the mode and the noise clock of one attached model; clones share their state.
#[derive(Clone, Debug)]
pub struct Control(Arc<Shared>);

impl Control {
    /// A clock at step 0 in [`Mode::Noise`].
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Shared {
            mode: AtomicU8::new(Mode::Noise as u8),
            seed: AtomicU64::new(seed),
            replica: AtomicU32::new(0),
            step: AtomicU64::new(0),
            micro_step: AtomicU32::new(0),
        }))
    }

    /// The current mode.
    pub fn mode(&self) -> Mode {
        Mode::from_u8(self.0.mode.load(Ordering::Relaxed))
    }

    /// Changes what every quantized parameter of the model gives from the next read on.
    pub fn set_mode(&self, mode: Mode) {
        self.0.mode.store(mode as u8, Ordering::Relaxed);
    }

    /// The current draw.
    pub fn clock(&self) -> NoiseClock {
        NoiseClock {
            seed: self.0.seed.load(Ordering::Relaxed),
            replica: self.0.replica.load(Ordering::Relaxed),
            step: self.0.step.load(Ordering::Relaxed),
            micro_step: self.0.micro_step.load(Ordering::Relaxed),
        }
    }

    /// Moves to another draw, as a resumed run does.
    pub fn seek(&self, clock: NoiseClock) {
        self.0.seed.store(clock.seed, Ordering::Relaxed);
        self.0.replica.store(clock.replica, Ordering::Relaxed);
        self.0.step.store(clock.step, Ordering::Relaxed);
        self.0.micro_step.store(clock.micro_step, Ordering::Relaxed);
    }

    /// The next read draws the noise of the next step.
    pub(crate) fn advance(&self) {
        self.0.step.fetch_add(1, Ordering::Relaxed);
        self.0.micro_step.store(0, Ordering::Relaxed);
    }

    /// The next read draws the noise of the next micro-step.
    pub(crate) fn advance_micro_step(&self) {
        self.0.micro_step.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_mode_and_clock() {
        let control = Control::new(7);
        let other = control.clone();
        other.set_mode(Mode::Rounded);
        other.advance_micro_step();
        other.advance();
        assert_eq!(control.mode(), Mode::Rounded);
        let expected = NoiseClock { seed: 7, replica: 0, step: 1, micro_step: 0 };
        assert_eq!(control.clock(), expected);
    }

    #[test]
    fn every_mode_survives_its_number() {
        for mode in [Mode::Float, Mode::Noise, Mode::StraightThrough, Mode::Rounded] {
            assert_eq!(Mode::from_u8(mode as u8), mode);
        }
    }
}
