//! `fewbit unpack`: back to safetensors, in stored order `[out, …]`; raw tensors as they were.

use std::collections::HashMap;

use fewbit::batch_norm::{
    BATCH_COUNT, BETA, EPSILON_KEY, GAMMA, RUNNING_MEAN, RUNNING_VAR, SCALE, SHIFT, folded_layers, layer_of,
    parse_epsilon, unit_variance,
};
use fewbit::{ContainerReader, ElementType, Encoding, TensorEntry, names};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::Verdict;
use crate::args::{Names, UnpackArgs};
use crate::failure::{Failure, say};

/// A tensor of the checkpoint.
struct Tensor {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Tensor {
    fn floats(name: String, values: &[f32], shape: &[usize]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name, dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }
}

pub(crate) fn run(args: UnpackArgs) -> Result<Verdict, Failure> {
    let reader = fewbit::read_file(&args.file)?;
    if std::fs::canonicalize(&args.out).ok() == std::fs::canonicalize(&args.file).ok() {
        let path = args.file.display();
        return Err(Failure::new(format!("`{path}` is the file to unpack, another output needed")));
    }
    let of_recipe = reader.metadata("model").is_some();
    let names = args.names.unwrap_or(if of_recipe { Names::Pytorch } else { Names::File });
    let mut tensors = Vec::new();
    for entry in reader.tensors() {
        tensors.push(tensor(&reader, entry)?);
    }
    if names != Names::File {
        tensors = unfolded(&reader, tensors)?;
    }
    if names == Names::Pytorch {
        tensors = as_in_pytorch(tensors);
    }
    let views = tensors
        .iter()
        .map(|t| Ok((&t.name, TensorView::new(t.dtype, t.shape.clone(), &t.bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    // Once batch norms are unfolded their ε is nothing to go by.
    let is_left = |key: &str| names == Names::File || key != EPSILON_KEY;
    let metadata: HashMap<String, String> = reader
        .metadata_entries()
        .filter(|(key, _)| is_left(key))
        .map(|(key, value)| (format!("fewbit.{key}"), value.to_owned()))
        .collect();
    // Of neither tensors nor metadata the library makes no JSON, unless it is told that there are none.
    let file = safetensors::serialize(views, Some(metadata).filter(|metadata| !metadata.is_empty()))?;
    fewbit::atomic::write_atomically(&args.out, &file)?;
    say(format_args!("wrote {} tensors, {} bytes, to {}", tensors.len(), file.len(), args.out.display()));
    Ok(Verdict::Done)
}

fn tensor(reader: &ContainerReader<Vec<u8>>, entry: &TensorEntry) -> Result<Tensor, Failure> {
    let (name, shape) = (entry.name().to_owned(), entry.shape());
    let Encoding::Raw(elements) = entry.encoding() else {
        return Ok(Tensor::floats(name, &reader.values(entry.name())?, shape));
    };
    let dtype = dtype(elements).ok_or_else(|| {
        Failure::new(format!("tensor `{name}` has elements of {elements}, which safetensors does not have"))
    })?;
    let bytes = reader.raw(&name)?.to_vec();
    Ok(Tensor { name, dtype, shape: shape.to_vec(), bytes })
}

/// The tensors with scale and shift of each folded batch norm as its `gamma` and `beta`, and statistics that change
/// nothing.
fn unfolded(reader: &ContainerReader<Vec<u8>>, tensors: Vec<Tensor>) -> Result<Vec<Tensor>, Failure> {
    let Some(text) = reader.metadata(EPSILON_KEY) else { return Ok(tensors) };
    let epsilon = parse_epsilon(text).ok_or_else(|| {
        Failure::new(format!("metadata `{EPSILON_KEY}` is {text:?}; a number from 0 to 1 is needed"))
    })?;
    let layers = folded_layers(reader.tensors().iter().map(TensorEntry::name));
    let layers: std::collections::HashSet<&str> = layers.into_iter().collect();
    let is_folded = |layer: &&str| layers.contains(layer);
    let mut unfolded = Vec::with_capacity(2 * tensors.len());
    for mut tensor in tensors {
        let scale = layer_of(&tensor.name, SCALE).filter(is_folded).map(str::to_owned);
        if let Some(layer) = layer_of(&tensor.name, SHIFT).filter(is_folded) {
            tensor.name = format!("{layer}{BETA}");
        } else if let Some(layer) = scale {
            let channels = tensor.shape.iter().product();
            let statistics = [(RUNNING_MEAN, 0.0), (RUNNING_VAR, unit_variance(epsilon))];
            unfolded.extend(statistics.map(|(field, value)| {
                Tensor::floats(format!("{layer}{field}"), &vec![value; channels], &[channels])
            }));
            tensor.name = format!("{layer}{GAMMA}");
        }
        unfolded.push(tensor);
    }
    Ok(unfolded)
}

/// The tensors with the names that PyTorch has for them, and beside each running mean a count of 0 batches.
fn as_in_pytorch(tensors: Vec<Tensor>) -> Vec<Tensor> {
    let counted = |tensor: &Tensor| layer_of(&tensor.name, BATCH_COUNT).map(str::to_owned);
    let counted: std::collections::HashSet<String> = tensors.iter().filter_map(counted).collect();
    let missing = tensors.iter().filter_map(|tensor| layer_of(&tensor.name, RUNNING_MEAN));
    let counts: Vec<Tensor> = missing
        .filter(|layer| !counted.contains(*layer))
        .map(|layer| {
            let name = format!("{layer}{BATCH_COUNT}");
            Tensor { name, dtype: Dtype::I64, shape: Vec::new(), bytes: 0i64.to_le_bytes().to_vec() }
        })
        .collect();
    let named = |tensor: Tensor| Tensor { name: names::to_pytorch(&tensor.name), ..tensor };
    tensors.into_iter().chain(counts).map(named).collect()
}

/// The same type as safetensors calls it.
fn dtype(elements: ElementType) -> Option<Dtype> {
    Some(match elements {
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
        _ => return None,
    })
}
