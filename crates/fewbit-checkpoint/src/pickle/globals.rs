//! The names of Python's that a pickle may use, and what they mean here.

use crate::DType;

/// What a name stands for. None of them is Python's: each is a case of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Global {
    /// Makes a dict.
    Dict,
    /// Makes a set, list or tuple from one.
    Sequence,
    /// Makes a tensor, of storage, offset, shape and strides.
    Tensor,
    /// The same, of elements that are told apart from the storage's.
    TensorOfDType,
    /// Makes its first argument.
    Parameter,
    /// Makes what its first argument makes of its third.
    TensorOfType,
    /// A class of storages; without elements, one that is counted in bytes.
    Storage(Option<DType>),
    /// A kind of elements.
    DType(DType),
    /// Makes something that no tensor is in, or that is not asked.
    Inert,
}

/// What a name means, or `None` for all that are not on the list.
pub(super) fn global(module: &str, name: &str) -> Option<Global> {
    Some(match (module, name) {
        ("collections", "OrderedDict" | "defaultdict") => Global::Dict,
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Global::Tensor,
        ("torch._utils", "_rebuild_tensor_v3") => Global::TensorOfDType,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Global::Parameter,
        ("torch._tensor", "_rebuild_from_type_v2") => Global::TensorOfType,
        ("torch" | "torch.storage", "UntypedStorage") => Global::Storage(None),
        ("torch", "Size") => Global::Sequence,
        ("torch", "device" | "Tensor") | ("torch.nn.parameter", "Parameter" | "Buffer") => Global::Inert,
        ("torch" | "torch.cuda", class) if class.ends_with("Storage") => {
            Global::Storage(Some(DType::of_torch_storage(class)?))
        }
        ("torch", name) => Global::DType(DType::of_torch_dtype(name)?),
        ("builtins" | "__builtin__", "set" | "frozenset" | "list" | "tuple") => Global::Sequence,
        ("builtins" | "__builtin__", "dict") => Global::Dict,
        (
            "builtins" | "__builtin__",
            "int" | "float" | "complex" | "bool" | "str" | "bytes" | "bytearray",
        ) => Global::Inert,
        // What training programs keep beside the weights: their arguments, and numpy's numbers.
        ("argparse", "Namespace") | ("_codecs", "encode") => Global::Inert,
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar" | "_reconstruct") => Global::Inert,
        ("numpy", "dtype" | "ndarray") => Global::Inert,
        _ => return None,
    })
}
