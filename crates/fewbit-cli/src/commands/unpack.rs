//! `fewbit unpack`: back to safetensors, in stored order `[out, …]`.

use std::collections::HashMap;

use fewbit::ContainerReader;
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
        let values = reader.values(entry.name())?;
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        tensors.push((entry.name().to_owned(), entry.shape().to_vec(), bytes));
    }
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
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
