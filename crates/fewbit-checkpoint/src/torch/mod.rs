//! Files of `torch.save`: a pickle that tells the tensors, and storages that hold their elements.
//!
//! [`archive`] is the zip archive of PyTorch 1.6 and later, [`legacy`] the format before; both find the
//! storages, [`names`] gives every tensor the path that leads to it, and [`tensors`] joins the two.

mod archive;
mod legacy;
pub(crate) mod names;
mod tensors;
mod zip;

pub(crate) use archive::read_archive;
pub(crate) use legacy::{MAGIC, read_legacy};
