//! Words as vectors and back: adaptive input representations (Baevski & Auli 2019, section 3) and the adaptive softmax
//! (Grave et al. 2017), which share their weights.

use burn::module::Module;
use burn::nn::{EmbeddingConfig, Initializer, LinearConfig};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};
use fewbit_burn::nn::{Embedding, Linear};

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
        let frequent = self.bands[0].words();
        let members = self.members(targets);
        let mut entries: Vec<i64> = targets.iter().map(|&word| i64::from(word)).collect();
        for (other, members) in members[1..].iter().enumerate() {
            for &position in &members.positions {
                entries[position as usize] = (frequent + other) as i64;
            }
        }
        let mut nats = picked(self.head(states.clone()), integers(entries, device)).neg();
        for (band, members) in self.bands.iter().zip(members).skip(1) {
            if members.is_empty() {
                continue;
            }
            let positions = integers(members.positions, device);
            let own = states.clone().select(0, positions.clone());
            let within = picked(band.tail(own), integers(members.rows, device)).neg();
            nats = nats.select_assign(0, positions, within, IndexingUpdateOp::Add);
        }
        nats
    }

    /// ln of the chance of every word: states `[N, dim]` give `[N, words]`, all of it in memory at once.
    pub fn log_probabilities(&self, states: Tensor<2>) -> Tensor<2> {
        let frequent = self.bands[0].words();
        let head = self.head(states.clone());
        let mut parts = vec![head.clone().narrow(1, 0, frequent)];
        for (other, band) in self.bands[1..].iter().enumerate() {
            parts.push(band.tail(states.clone()) + head.clone().narrow(1, frequent + other, 1));
        }
        Tensor::cat(parts, 1)
    }

    /// ln of the chance of each frequent word, then of each other band: `[N, words of the first band + other bands]`.
    fn head(&self, states: Tensor<2>) -> Tensor<2> {
        let words = self.bands[0].logits(states.clone());
        let logits = match &self.clusters {
            Some(clusters) => Tensor::cat(vec![words, clusters.forward(states)], 1),
            None => words,
        };
        log_softmax(logits, 1)
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

    /// ln of the chance of each of its words among them: `[N, dim]` to `[N, words]`.
    fn tail(&self, states: Tensor<2>) -> Tensor<2> {
        log_softmax(self.logits(states.matmul(self.projection.weight.val().transpose())), 1)
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
