//! DiffQ (Défossez, Adi, Synnaeve 2022): the bit width of each group is learned through pseudo quantization noise.
//!
//! Each group has a logit `l` and bits `b(l)` ([`BitsLaw`]). Under noise `w̃ = w + r·u(b)·ε` with `u(b) = 1/(2^b - 1)`,
//! `r` the tensor's range (a constant for gradients) and `ε` gaussian of deviation 1/2 or uniform on -1/2 to 1/2. The
//! gradient passes to the weight unchanged and to the logit as `Σ g·ε · r·u'(b)·b'(l)`. A file has the nearest whole
//! width of each group, on one min–max grid per tensor. The penalty counts `Σ len·b` bits (section 3.4).

use fewbit_kernels::{NoiseKey, NoiseLaw};

use super::{Coarseness, Counted, Method, MethodError, Phase, Sizing, Slopes, scales};
use crate::layout::Layout;
use crate::{BitWidth, BitsLaw, BitsParametrisation, GroupSize, QuantizeError, QuantizedTensor, soft_size};

/// The settings of DiffQ; the defaults are those published with the paper, with groups of 8.
#[derive(Clone, Debug, PartialEq)]
pub struct DiffQ {
    /// Weights that share one bit width.
    pub group_size: GroupSize,
    /// The law of the noise: gaussian by default.
    pub noise: NoiseLaw,
    /// What is linear in the sigmoid of a logit: the bits, or the logarithm of the noise.
    pub parametrisation: BitsParametrisation,
    /// The fewest bits of a group.
    pub min_bits: f32,
    /// The most bits of a group.
    pub max_bits: f32,
    /// The bits of every group at the start.
    pub init_bits: f32,
}

impl Default for DiffQ {
    fn default() -> Self {
        Self {
            group_size: GroupSize::new(8).expect("not 0"),
            noise: NoiseLaw::Gaussian,
            parametrisation: BitsParametrisation::Bits,
            min_bits: 2.0,
            max_bits: 15.0,
            init_bits: 8.0,
        }
    }
}

impl DiffQ {
    /// DiffQ with groups of `group_size` weights; 0 is one bit width per tensor, as in the reference package.
    pub fn with_groups_of(group_size: usize) -> Self {
        Self { group_size: GroupSize::new(group_size).unwrap_or(GroupSize::WholeTensor), ..Self::default() }
    }

    /// The law from logits to bits.
    ///
    /// # Errors
    /// [`MethodError::Bits`] where the bounds are not in order or outside of 0..=16.
    pub fn bits_law(&self) -> Result<BitsLaw, MethodError> {
        Ok(BitsLaw::new(self.min_bits, self.max_bits, self.parametrisation)?)
    }

    fn law(&self) -> BitsLaw {
        self.bits_law().expect("settings are checked before a method is used")
    }

    /// The scale of each group's noise.
    fn scales(&self, weights: &[f32], learned: &[f32]) -> Vec<f32> {
        let mut scales = vec![0.0; learned.len()];
        fewbit_kernels::steps(learned, &self.law().kernel(), range(weights), &mut scales);
        scales
    }
}

/// The largest weight less the smallest; NaN where a weight is not finite.
fn range(weights: &[f32]) -> f32 {
    match fewbit_kernels::minimum_maximum(weights) {
        Ok(Some((minimum, maximum))) => maximum - minimum,
        Ok(None) => 0.0,
        Err(_) => f32::NAN,
    }
}

impl Method for DiffQ {
    fn name(&self) -> &'static str {
        "diffq"
    }

    fn title(&self) -> &'static str {
        "DiffQ"
    }

    fn check(&self) -> Result<(), MethodError> {
        self.bits_law()?.logit(self.init_bits)?;
        Ok(())
    }

    fn group_size(&self, _: &[usize]) -> GroupSize {
        self.group_size
    }

    fn phase(&self, _: f64) -> Phase {
        Phase::Noise
    }

    fn initial(&self, layout: &Layout, _weights: &[f32]) -> Vec<f32> {
        let logit = self.law().logit(self.init_bits).expect("settings are checked before a method is used");
        vec![logit; layout.grouping().count()]
    }

    fn noisy(&self, layout: &Layout, weights: &[f32], learned: &[f32], key: NoiseKey, out: &mut [f32]) {
        let scales = self.scales(weights, learned);
        fewbit_kernels::add_noise(weights, &scales, layout.groups(), key, self.noise, out);
    }

    fn noisy_slopes(
        &self,
        layout: &Layout,
        weights: &[f32],
        learned: &[f32],
        key: NoiseKey,
        slopes: Slopes<'_>,
    ) {
        let mut of_logits = vec![0.0; learned.len()];
        let ones = vec![1.0; learned.len()];
        fewbit_kernels::logit_gradient(&ones, learned, &self.law().kernel(), range(weights), &mut of_logits);
        scales::noisy_slopes(layout, &of_logits, key, self.noise, slopes);
    }

    fn noisy_gradient(
        &self,
        layout: &Layout,
        weights: &[f32],
        learned: &[f32],
        key: NoiseKey,
        gradient: &mut [f32],
        of_learned: &mut [f32],
    ) {
        let mut sums = vec![0.0; learned.len()];
        fewbit_kernels::write_noise_gradient(gradient, layout.groups(), key, self.noise, &mut sums);
        fewbit_kernels::logit_gradient(&sums, learned, &self.law().kernel(), range(weights), of_learned);
    }

    fn size(
        &self,
        layout: &Layout,
        weights: &[f32],
        learned: &[f32],
        _of_weights: &mut [f32],
        of_learned: &mut [f32],
    ) -> Option<Counted> {
        let law = self.law().kernel();
        let bits = fewbit_kernels::code_bits(learned, &law, layout.groups(), weights.len(), 1.0, of_learned);
        Some(Counted { bits, finest: None })
    }

    fn nominal_size(&self, layout: &Layout, learned: &[f32]) -> Option<f64> {
        let law = self.law();
        let bits: Vec<f32> = learned.iter().map(|logit| law.bits(*logit)).collect();
        // The floor is the whole number that the fewest bits round to.
        let floor = BitWidth::from_bits(law.minimum())?;
        bits.iter().all(|bits| bits.is_finite()).then(|| soft_size(layout.grouping(), &bits, floor))
    }

    fn quantize(
        &self,
        layout: &Layout,
        weights: &[f32],
        learned: &[f32],
        coarseness: Coarseness,
    ) -> Result<QuantizedTensor, QuantizeError> {
        let law = self.law();
        let width = |logit: &f32| {
            BitWidth::from_bits((law.bits(*logit) - coarseness.bits).max(0.0))
                .ok_or(QuantizeError::BadRange { minimum: f32::NAN, maximum: f32::NAN })
        };
        let widths = learned.iter().map(width).collect::<Result<_, _>>()?;
        let stored = layout.to_stored(weights.to_vec());
        QuantizedTensor::quantize(&stored, &layout.stored_shape(), self.group_size, widths)
    }

    fn sizing(&self) -> Option<&dyn Sizing> {
        Some(self)
    }
}

impl Sizing for DiffQ {
    fn learned_of_scale(&self, _: f64) -> Option<f32> {
        None
    }

    fn coarser(&self) -> f32 {
        -1.0
    }

    fn trades(&self) -> bool {
        false
    }
}
