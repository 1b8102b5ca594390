//! Keys and noise are what they were: a seed means the same for ever.

use fewbit_kernels::{NoiseKey, NoiseLaw, scalar};

/// Lines of `tests/golden/noise.txt`, computed by `noise.py` beside it.
#[test]
fn keys_and_noise_are_those_of_the_description() {
    let mut current = None;
    let mut compared = 0;
    for line in include_str!("golden/noise.txt").lines() {
        let fields: Vec<&str> = line.splitn(7, ' ').collect();
        match fields[0] {
            "key" => {
                let path = fields.get(6).copied().unwrap_or("");
                let key = NoiseKey::new(
                    fields[1].parse().unwrap(),
                    fields[2].parse().unwrap(),
                    fields[3].parse().unwrap(),
                    fields[4].parse().unwrap(),
                    path,
                );
                assert_eq!(format!("{:016x}", key.value()), fields[5], "key of {line}");
                current = Some(key);
            }
            "noise" => {
                let law = match fields[2] {
                    "gaussian" => NoiseLaw::Gaussian,
                    _ => NoiseLaw::Uniform,
                };
                let noise = scalar::noise(current.unwrap(), law, fields[3].parse().unwrap());
                assert_eq!(format!("{:08x}", noise.to_bits()), fields[4], "noise {noise} of {line}");
                compared += 1;
            }
            _ => panic!("a line of neither kind: {line}"),
        }
    }
    assert_eq!(compared, 4 * 2 * 11);
}
