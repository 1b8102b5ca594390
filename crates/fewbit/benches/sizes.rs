//! What files would take as others pack them: `cargo bench -p fewbit --bench sizes -- FILE...`.
//!
//! For each file: its bytes; those of the same model with every quantized tensor packed, and of that file
//! compressed by zstd -19, xz -9 and brotli -11; what is neither codes nor widths. Then its tensors of floats,
//! rounded to 3 and to 5 bits on one range each, with their codes packed and coded. One JSON object per line.

use std::path::Path;

use brotli::enc::BrotliEncoderParams;
use fewbit::{
    BitWidth, CodeEncoding, ContainerReader, ContainerWriter, Encoding, FileSize, FloatEncoding, GroupSize,
    QuantizedTensor, TensorKind,
};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let files: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if files.is_empty() {
        eprintln!("no file given: cargo bench -p fewbit --bench sizes -- runs/quick-start/model.fewbit");
    }
    for file in files {
        let reader = fewbit::read_file(Path::new(&file))?;
        if reader.tensors().iter().any(|entry| entry.kind() == TensorKind::Quantized) {
            compressors(&file, &reader)?;
        } else {
            for bits in [3, 5] {
                rounded(&file, &reader, bits)?;
            }
        }
    }
    Ok(())
}

/// The file beside its packed form, as it is and compressed.
fn compressors(file: &str, reader: &ContainerReader<Vec<u8>>) -> Result<(), Failure> {
    let packed = rewritten(reader, CodeEncoding::Packed)?;
    let zstd = zstd::bulk::compress(&packed, 19)?.len();
    let xz = {
        let mut out = Vec::new();
        let mut encoder = liblzma::read::XzEncoder::new(packed.as_slice(), 9);
        std::io::copy(&mut encoder, &mut out)?;
        out.len()
    };
    let brotli = {
        let mut out = Vec::new();
        let parameters = BrotliEncoderParams { quality: 11, lgwin: 24, ..Default::default() };
        brotli::BrotliCompress(&mut packed.as_slice(), &mut out, &parameters)?;
        out.len()
    };
    let size = reader.size();
    let other = size.bytes() - size.codes() - size.widths() - size.frequency_tables();
    println!(
        "{{\"file\":{file:?},\"bytes\":{},\"packed\":{},\"packed_zstd_19\":{zstd},\"packed_xz_9\":{xz},\
         \"packed_brotli_11\":{brotli},\"neither_codes_nor_widths\":{other}}}",
        reader.as_bytes().len(),
        packed.len()
    );
    Ok(())
}

/// The tensors of a float file that have 1,000 values or more, as codes of so many bits.
fn rounded(file: &str, reader: &ContainerReader<Vec<u8>>, bits: u8) -> Result<(), Failure> {
    let width = BitWidth::new(bits).ok_or("a width")?;
    let mut sizes = [FileSize::default(); 2];
    for (size, encoding) in sizes.iter_mut().zip([CodeEncoding::Packed, CodeEncoding::Coded]) {
        let mut writer = ContainerWriter::new();
        for entry in reader.tensors().iter().filter(|entry| entry.len() >= 1000) {
            let values = reader.values(entry.name())?;
            let tensor =
                QuantizedTensor::quantize(&values, entry.shape(), GroupSize::WholeTensor, vec![width])?;
            writer.quantized_as(entry.name(), &tensor, encoding)?;
        }
        *size = ContainerReader::new(&writer.to_bytes())?.size();
    }
    let [packed, coded] = sizes.map(|size| size.codes() + size.frequency_tables());
    let saved = 100.0 * (1.0 - coded as f64 / packed as f64);
    println!(
        "{{\"file\":{file:?},\"bits\":{bits},\"packed_codes\":{packed},\"coded_codes\":{coded},\
         \"saved_percent\":{saved:.1}}}"
    );
    Ok(())
}

/// The same model with its codes in one encoding.
fn rewritten(reader: &ContainerReader<Vec<u8>>, encoding: CodeEncoding) -> Result<Vec<u8>, Failure> {
    let mut writer = ContainerWriter::new();
    for (key, value) in reader.metadata_entries() {
        writer.metadata(key, value)?;
    }
    for entry in reader.tensors() {
        let name = entry.name();
        match entry.kind() {
            TensorKind::Quantized => writer.quantized_as(name, &reader.quantized(name)?, encoding)?,
            TensorKind::Raw => {
                let Encoding::Raw(elements) = entry.encoding() else { continue };
                writer.raw(name, entry.shape(), elements, reader.raw(name)?)?
            }
            TensorKind::Alias { target } => writer.alias(name, reader.tensors()[target].name())?,
            _ => {
                let floats = match entry.encoding() {
                    Encoding::Float16 => FloatEncoding::Float16,
                    Encoding::BFloat16 => FloatEncoding::BFloat16,
                    _ => FloatEncoding::Float32,
                };
                writer.float_as(name, entry.shape(), &reader.values(name)?, floats)?
            }
        };
    }
    Ok(writer.to_bytes())
}
