//! `fewbit unpack`: back to safetensors, in stored order `[out, …]`; what was kept byte for byte, as it was.

use std::collections::HashMap;

use fewbit::{ContainerReader, ElementType, Encoding};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::Verdict;
use crate::args::UnpackArgs;
use crate::failure::{Failure, say};

pub(crate) fn run(args: UnpackArgs) -> Result<Verdict, Failure> {
    let bytes = fewbit::read_file(&args.file)?;
    if std::fs::canonicalize(&args.out).ok() == std::fs::canonicalize(&args.file).ok() {
        let path = args.file.display();
        return Err(Failure::new(format!("`{path}` is the file to unpack, another output needed")));
    }
    let reader = ContainerReader::new(&bytes)?;
    let mut tensors = Vec::new();
    for entry in reader.tensors() {
        let (dtype, bytes) = match entry.encoding() {
            Encoding::Raw(elements) => (dtype(elements), reader.raw(entry.name())?.to_vec()),
            _ => {
                let values = reader.values(entry.name())?;
                (Dtype::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
        };
        tensors.push((entry.name().to_owned(), dtype, entry.shape().to_vec(), bytes));
    }
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    let metadata: HashMap<String, String> = reader
        .metadata_entries()
        .iter()
        .map(|(key, value)| (format!("fewbit.{key}"), (*value).to_owned()))
        .collect();
    // Of neither tensors nor metadata the library makes no JSON, unless it is told that there are none.
    let file = safetensors::serialize(views, Some(metadata).filter(|metadata| !metadata.is_empty()))?;
    fewbit::atomic::write_atomically(&args.out, &file)?;
    say(format_args!("wrote {} tensors, {} bytes, to {}", tensors.len(), file.len(), args.out.display()));
    Ok(Verdict::Done)
}

/// The same type as safetensors calls it.
fn dtype(elements: ElementType) -> Dtype {
    match elements {
        ElementType::Int8 => Dtype::I8,
        ElementType::UInt8 => Dtype::U8,
        ElementType::Int16 => Dtype::I16,
        ElementType::UInt16 => Dtype::U16,
        ElementType::Int32 => Dtype::I32,
        ElementType::UInt32 => Dtype::U32,
        ElementType::Int64 => Dtype::I64,
        ElementType::UInt64 => Dtype::U64,
        ElementType::Bool => Dtype::BOOL,
        ElementType::Float64 => Dtype::F64,
        ElementType::Float8E4M3 => Dtype::F8_E4M3,
        ElementType::Float8E5M2 => Dtype::F8_E5M2,
        ElementType::Complex64 => Dtype::C64,
    }
}
