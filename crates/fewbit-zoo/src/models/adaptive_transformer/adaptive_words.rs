//! Words as vectors and back: adaptive input representations (Baevski & Auli 2019, section 3) and the adaptive softmax
//! (Grave et al. 2017), which share their weights.

use burn::module::Module;
use burn::nn::{EmbeddingConfig, Initializer, LinearConfig};
use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};
use fewbit_burn::nn::{Embedding, Linear, distilled_cross_entropy_of_rows};

use super::config::BandSize;

/// Vectors of all words, in bands of falling frequency and width.
///
/// The first softmax, the head, is over the words of the first band and one entry for each other band; the chance of a
/// rarer word is that of its band, times its own among the band's.
#[derive(Module, Debug)]
pub struct AdaptiveWords {
    /// The bands, the most frequent words first.
    pub bands: Vec<Band>,
    /// `dim` to the logit of each band but the first; `None` for a single band.
    pub clusters: Option<Linear>,
}

/// Words that follow each other in frequency.
#[derive(Module, Debug)]
pub struct Band {
    /// `[words, width]`, read as rows on the way in and as the output matrix on the way out.
    pub embedding: Embedding,
    /// `width` to `dim` on the way in, transposed on the way out. The head, which is as wide as the states, reads them
    /// without.
    pub projection: Linear,
}

/// Those of a list of words that are in one band.
#[derive(Default)]
struct Members {
    /// Where they are in the list.
    positions: Vec<i64>,
    /// Their rows in the band.
    rows: Vec<i64>,
}

impl AdaptiveWords {
    /// Fresh vectors that end up `dim` wide.
    pub(super) fn new(sizes: &[BandSize], dim: usize, device: &Device) -> Self {
        let linear = |inputs, outputs| {
            let config = LinearConfig::new(inputs, outputs).with_bias(false);
            Linear::new(&config.with_initializer(Initializer::XavierUniform { gain: 1.0 }), device)
        };
        let band = |size: &BandSize| {
            let std = (size.width as f64).powf(-0.5);
            let config = EmbeddingConfig::new(size.words, size.width);
            let config = config.with_initializer(Initializer::Normal { mean: 0.0, std });
            Band { embedding: Embedding::new(&config, device), projection: linear(size.width, dim) }
        };
        let others = sizes.len() - 1;
        Self { bands: sizes.iter().map(band).collect(), clusters: (others > 0).then(|| linear(dim, others)) }
    }

    /// Number of words.
    pub fn vocabulary(&self) -> usize {
        self.bands.iter().map(Band::words).sum()
    }

    /// The vector of each word: `[words, dim]`.
    ///
    /// # Panics
    /// If a word is not of the [`vocabulary`](Self::vocabulary).
    pub fn vectors(&self, words: &[u32], device: &Device) -> Tensor<2> {
        let [_, dim] = self.bands[0].projection.weight.dims();
        let mut vectors = Tensor::<2>::zeros([words.len(), dim], device);
        for (band, members) in self.bands.iter().zip(self.members(words)) {
            if members.is_empty() {
                continue;
            }
            let found = band.vectors(integers(members.rows, device));
            let positions = integers(members.positions, device);
            vectors = vectors.select_assign(0, positions, found, IndexingUpdateOp::Add);
        }
        vectors
    }

    /// −ln of the chance that a state gives its target: states `[N, dim]` and N words give `[N]`.
    ///
    /// Each band but the first scores only the states whose target is in it.
    ///
    /// # Panics
    /// If a target is not of the [`vocabulary`](Self::vocabulary), or there is not one for each state.
    pub fn nats(&self, states: Tensor<2>, targets: &[u32], device: &Device) -> Tensor<1> {
        assert_eq!(states.dims()[0], targets.len(), "targets of as many states");
        let members = self.members(targets);
        let entries = integers(self.entries(targets, &members), device);
        let mut nats = picked(log_softmax(self.head(states.clone()), 1), entries).neg();
        for (band, members) in self.bands.iter().zip(members).skip(1) {
            if members.is_empty() {
                continue;
            }
            let positions = integers(members.positions, device);
            let own = states.clone().select(0, positions.clone());
            let within = picked(log_softmax(band.tail(own), 1), integers(members.rows, device)).neg();
            nats = nats.select_assign(0, positions, within, IndexingUpdateOp::Add);
        }
        nats
    }

    /// The mean of the nats of targets and of those of a `teacher`'s words, which has a `share` in it: the cross entropy with
    /// the chances that it gives every word from states of its own. N states of each and N targets give `[1]`.
    ///
    /// The chance of a word is that of its band times its own in the band, so that the cross entropy is that of the heads,
    /// and that of each band times its chance: what would be a chance of every word is never made.
    ///
    /// # Panics
    /// As [`nats`](Self::nats), or if the teacher has other bands.
    pub fn distilled_nats(
        &self,
        states: Tensor<2>,
        targets: &[u32],
        (teacher, taught): (&Self, Tensor<2>),
        share: f64,
        device: &Device,
    ) -> Tensor<1> {
        let count = targets.len();
        assert_eq!(states.dims()[0], count, "targets of as many states");
        let members = self.members(targets);
        let entries = integers(self.entries(targets, &members), device);
        // What the chances weigh: those of labels are 1 in the band of the target.
        let weights = |label: Tensor<2>, taught: Tensor<2>| {
            Tensor::cat(vec![label * (1.0 - share), taught * share], 1) / count.max(1) as f64
        };
        let ones = || Tensor::<2>::ones([count, 1], device);
        let head = teacher.head(taught.clone());
        let bands = softmax(head.clone(), 1);
        let mut nats = distilled_cross_entropy_of_rows(
            self.head(states.clone()),
            entries,
            Tensor::from_inner(head),
            weights(ones(), ones()),
        );
        let frequent = self.bands[0].words();
        let bands_of_both = self.bands.iter().zip(&teacher.bands).zip(members).skip(1);
        for (other, ((band, teacher), members)) in bands_of_both.enumerate() {
            let (mut rows, mut label) = (vec![0; count], vec![0.0f32; count]);
            for (&position, row) in members.positions.iter().zip(members.rows) {
                (rows[position as usize], label[position as usize]) = (row, 1.0);
            }
            let label = Tensor::from_data(TensorData::new(label, [count, 1]), device);
            let chance = Tensor::from_inner(bands.clone().narrow(1, frequent + other, 1));
            let tail = Tensor::from_inner(teacher.tail(taught.clone()));
            let logits = band.tail(states.clone());
            let rows = integers(rows, device);
            nats = nats + distilled_cross_entropy_of_rows(logits, rows, tail, weights(label, chance));
        }
        nats
    }

    /// ln of the chance of every word: states `[N, dim]` give `[N, words]`, all of it in memory at once.
    pub fn log_probabilities(&self, states: Tensor<2>) -> Tensor<2> {
        let frequent = self.bands[0].words();
        let head = log_softmax(self.head(states.clone()), 1);
        let mut parts = vec![head.clone().narrow(1, 0, frequent)];
        for (other, band) in self.bands[1..].iter().enumerate() {
            let within = log_softmax(band.tail(states.clone()), 1);
            parts.push(within + head.clone().narrow(1, frequent + other, 1));
        }
        Tensor::cat(parts, 1)
    }

    /// The logit of each frequent word, then of each other band: `[N, words of the first band + other bands]`.
    fn head(&self, states: Tensor<2>) -> Tensor<2> {
        let words = self.bands[0].logits(states.clone());
        match &self.clusters {
            Some(clusters) => Tensor::cat(vec![words, clusters.forward(states)], 1),
            None => words,
        }
    }

    /// The entry of the head for each word, of which `members` says what is in which band.
    fn entries(&self, words: &[u32], members: &[Members]) -> Vec<i64> {
        let frequent = self.bands[0].words();
        let mut entries: Vec<i64> = words.iter().map(|&word| i64::from(word)).collect();
        for (other, members) in members[1..].iter().enumerate() {
            for &position in &members.positions {
                entries[position as usize] = (frequent + other) as i64;
            }
        }
        entries
    }

    /// The members of each band among `words`.
    fn members(&self, words: &[u32]) -> Vec<Members> {
        let mut starts = vec![0];
        starts.extend(self.bands.iter().scan(0, |end, band| {
            *end += band.words();
            Some(*end)
        }));
        let mut members: Vec<Members> = self.bands.iter().map(|_| Members::default()).collect();
        for (position, &word) in words.iter().enumerate() {
            let word = word as usize;
            let band = starts.partition_point(|&start| start <= word) - 1;
            assert!(band < members.len(), "word {word} found, words below {} needed", self.vocabulary());
            members[band].positions.push(position as i64);
            members[band].rows.push((word - starts[band]) as i64);
        }
        members
    }
}

impl Band {
    /// Number of words.
    fn words(&self) -> usize {
        self.embedding.weight.dims()[0]
    }

    /// The vectors of its `rows`: `[rows, dim]`.
    fn vectors(&self, rows: Tensor<1, Int>) -> Tensor<2> {
        self.projection.forward(self.embedding.forward(rows.unsqueeze_dim(0))).flatten(0, 1)
    }

    /// The logit of each of its words among them: `[N, dim]` to `[N, words]`.
    fn tail(&self, states: Tensor<2>) -> Tensor<2> {
        self.logits(states.matmul(self.projection.weight.val().transpose()))
    }

    /// `[N, width]` to the logit of each word, `[N, words]`.
    fn logits(&self, narrow: Tensor<2>) -> Tensor<2> {
        narrow.matmul(self.embedding.weight.val().transpose())
    }
}

impl Members {
    fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Of each row of `[N, entries]` the entry that is asked for: `[N]`.
fn picked(rows: Tensor<2>, entries: Tensor<1, Int>) -> Tensor<1> {
    rows.gather(1, entries.unsqueeze_dim(1)).squeeze_dim(1)
}

fn integers(values: Vec<i64>, device: &Device) -> Tensor<1, Int> {
    let shape = [values.len()];
    Tensor::from_data(TensorData::new(values, shape), device)
}
