//! Symbols per second of the entropy coder on one thread, beside a copy of as many bytes, the scalar twin
//! and the lookup-table decoder of the crate `constriction`.
//!
//! Normally distributed codes of 2 to 8 bits, one block of 2^18 and shorter ones; the competitors take turns. Each figure
//! is the best of its rounds, as other work on the machine can only slow them down. All results are
//! checked. Prints one JSON object per line to stdout.

use std::hint::black_box;
use std::time::Instant;

use constriction::stream::Decode;
use constriction::stream::model::SmallContiguousLookupDecoderModel;
use constriction::stream::stack::DefaultAnsCoder;
use fewbit_kernels::InstructionSet;
use fewbit_kernels::rans::{BLOCK, Decoder, Encoder, FrequencyTable, entropy_bits, histogram, scalar};

/// Codes of a normal distribution that is cut off at 4.9 standard deviations.
fn codes(bits: u32, count: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut unit = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let last = ((1u32 << bits) - 1) as f32;
    let mut code = || {
        let normal = (0..12).map(|_| unit()).sum::<f32>() - 6.0;
        ((normal / 9.8 + 0.5).clamp(0.0, 1.0) * last).round() as u8
    };
    (0..count).map(|_| code()).collect()
}

/// Those who take turns.
#[derive(Default)]
struct Contest<'a> {
    entries: Vec<(String, Box<dyn FnMut() + 'a>)>,
}

impl<'a> Contest<'a> {
    fn enter(&mut self, name: impl Into<String>, run: impl FnMut() + 'a) {
        self.entries.push((name.into(), Box::new(run)));
    }

    /// Prints what each did in the best of its rounds.
    fn hold(mut self, rounds: usize, symbols: usize, about: &str) {
        let mut best = vec![f64::INFINITY; self.entries.len()];
        for round in 0..rounds {
            for ((name, run), best) in self.entries.iter_mut().zip(&mut best) {
                // The slow ones need not be slow as often.
                if round % 8 == 0 || !name.starts_with("slow") {
                    let start = Instant::now();
                    run();
                    *best = best.min(start.elapsed().as_secs_f64());
                }
            }
        }
        for ((name, _), seconds) in self.entries.iter().zip(best) {
            let speed = symbols as f64 / seconds / 1e9;
            println!(
                r#"{{{about},"run":"{name}","gigasymbols_per_second":{speed:.3},"microseconds":{:.1}}}"#,
                seconds * 1e6
            );
        }
    }
}

fn main() {
    let rounds = if std::env::args().any(|word| word == "--quick") { 1 } else { 200 };
    for bits in [2, 3, 4, 5, 6, 8] {
        let symbols = codes(bits, BLOCK);
        let counts = histogram(&symbols);
        contest(bits, &symbols, &FrequencyTable::with_precision(&counts, 12), rounds);
        contest(bits, &symbols, &FrequencyTable::with_precision(&counts, 13), rounds);
        contest(bits, &symbols, &FrequencyTable::fit(&counts), rounds);
    }
    // Four lanes, and one.
    for count in [30_000, 1000] {
        let symbols = codes(4, count);
        contest(4, &symbols, &FrequencyTable::fit(&histogram(&symbols)), rounds);
    }
}

fn contest(bits: u32, symbols: &[u8], table: &FrequencyTable, rounds: usize) {
    let counts = histogram(symbols);
    let (encoder, decoder) = (&Encoder::new(table), &Decoder::new(table));
    let bytes = &mut vec![];
    encoder.encode(symbols, bytes).expect("the table is of these symbols");
    let bytes: &[u8] = bytes;
    let about = format!(
        r#""bits":{bits},"symbols":{},"rare":{},"precision":{},"table_bytes":{},"bytes":{},"entropy_bytes":{:.0}"#,
        symbols.len(),
        table.rare().is_some(),
        table.precision(),
        table.byte_len(),
        bytes.len(),
        entropy_bits(&counts) / 8.0
    );

    let mut contest = Contest::default();
    let mut copy = vec![0; symbols.len()];
    contest.enter("copy", move || black_box(&mut copy).copy_from_slice(black_box(symbols)));
    let mut encoded = vec![];
    contest.enter("encode", move || {
        encoded.clear();
        encoder.encode(black_box(symbols), &mut encoded).expect("as before");
    });
    for set in InstructionSet::available() {
        let mut out = vec![0; symbols.len()];
        assert_eq!(decoder.decode_on(set, bytes, &mut out), Ok(bytes.len()));
        assert!(out == symbols, "{set:?}");
        contest.enter(format!("decode, {set:?}"), move || {
            decoder.decode_on(set, black_box(bytes), black_box(&mut out)).expect("as before");
        });
    }
    let mut out = vec![0; symbols.len()];
    contest.enter("slow: decode, scalar twin", move || {
        scalar::decode(black_box(bytes), table, black_box(&mut out)).expect("as before");
    });
    contest.enter("histogram", || {
        black_box(histogram(black_box(symbols)));
    });
    contest.enter("slow: table fitted", move || {
        black_box(FrequencyTable::fit(black_box(&counts)));
    });
    contest.enter("decoder made ready", || {
        black_box(Decoder::new(black_box(table)));
    });

    // The same frequencies, where the levels lie without holes, as this model has them.
    let frequencies: Vec<u16> =
        table.frequencies().iter().copied().filter(|&frequency| frequency > 0).collect();
    let first = table.frequencies().iter().position(|&frequency| frequency > 0).unwrap_or(0);
    let last = table.frequencies().iter().rposition(|&frequency| frequency > 0).unwrap_or(0);
    let mut peer_out = vec![0u8; symbols.len()];
    if table.precision() == 12 && table.rare().is_none() && last - first + 1 == frequencies.len() {
        let model = SmallContiguousLookupDecoderModel::<Vec<u16>, Box<[u16]>>::from_nonzero_fixed_point_probabilities(&frequencies, false)
            .expect("they sum to 2^12");
        let mut coder = DefaultAnsCoder::new();
        let categorical = model.as_contiguous_categorical();
        let levels = symbols.iter().map(|&symbol| usize::from(symbol) - first);
        coder.encode_iid_symbols_reverse(levels, &categorical).expect("all have a frequency");
        let compressed = coder.into_compressed().expect("in memory");
        contest.enter("slow: decode, constriction", move || {
            let mut coder =
                DefaultAnsCoder::from_compressed(black_box(&compressed[..]).to_vec()).expect("as before");
            let levels = coder.decode_iid_symbols(peer_out.len(), &model);
            for (out, level) in peer_out.iter_mut().zip(levels) {
                *out = (level.expect("in memory") + first) as u8;
            }
            black_box(&peer_out);
        });
    }
    contest.hold(rounds, symbols.len(), &about);
}
