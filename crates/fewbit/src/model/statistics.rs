//! Running statistics of batch norms in a stored network.

use super::{StoredModel, StoredTensor};
use crate::FloatEncoding;
use crate::selection::is_running_statistic;

/// How much wider or narrower a channel can become: beyond that there is next to nothing to be measured.
const FURTHEST: f64 = 4.0;

impl StoredModel {
    /// Whether any tensor is a running statistic.
    pub fn has_running_statistics(&self) -> bool {
        self.tensors.keys().any(|path| is_running_statistic(path))
    }

    /// The same with the running statistics of `other`, of the same model.
    #[must_use]
    pub fn with_running_statistics_of(mut self, other: Self) -> Self {
        self.tensors.extend(other.tensors.into_iter().filter(|(path, _)| is_running_statistic(path)));
        self
    }

    /// This network, whose statistics were measured with its own weights, with those of `float` moved as far as what is
    /// measured has moved from `measured`: `float` with statistics measured on the same records.
    #[must_use]
    pub fn with_statistics_in_line(mut self, float: &Self, measured: &Self) -> Self {
        let norms: Vec<String> = self
            .tensors
            .keys()
            .filter_map(|path| path.strip_suffix("running_mean"))
            .map(str::to_owned)
            .collect();
        for norm in norms {
            let [mean, variance] = ["running_mean", "running_var"].map(|field| format!("{norm}{field}"));
            let of =
                |model: &Self| Some((model.statistic(&mean)?.to_vec(), model.statistic(&variance)?.to_vec()));
            let (Some(own), Some(before), Some(after)) = (of(float), of(measured), of(&self)) else {
                continue;
            };
            let channels = own.0.iter().zip(&own.1).zip(before.0.iter().zip(&before.1));
            let moved = channels.zip(after.0.iter().zip(&after.1)).map(|((own, before), after)| {
                let numbers = |(mean, variance): (&f32, &f32)| (f64::from(*mean), f64::from(*variance));
                let (own, before, after) = (numbers(own), numbers(before), numbers(after));
                let wider = (after.1 / before.1).sqrt();
                let wider = if wider.is_finite() { wider.clamp(1.0 / FURTHEST, FURTHEST) } else { 1.0 };
                ((after.0 - wider * (before.0 - own.0)) as f32, (own.1 * wider * wider) as f32)
            });
            let (means, variances) = moved.unzip();
            for (path, found) in [(mean, means), (variance, variances)] {
                if let Some(StoredTensor::Float { values, .. }) = self.tensors.get_mut(&path) {
                    *values = found;
                }
            }
        }
        self
    }

    fn statistic(&self, path: &str) -> Option<&[f32]> {
        match self.tensors.get(path)? {
            StoredTensor::Float { values, .. } => Some(values),
            StoredTensor::Quantized(_) => None,
        }
    }

    /// The same with every running statistic times `factor`.
    pub fn scale_statistics(&mut self, factor: f64) {
        for (path, tensor) in &mut self.tensors {
            if let StoredTensor::Float { values, encoding, .. } = tensor
                && is_running_statistic(path)
            {
                values.iter_mut().for_each(|value| *value = (f64::from(*value) * factor) as f32);
                *encoding = FloatEncoding::Float32;
            }
        }
    }
}
