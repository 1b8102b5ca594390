//! Checkpoints made by hand: pickles operation by operation, zip archives of stored entries.

use std::path::PathBuf;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tempfile::TempDir;

/// A pickle of protocol 2 in the making.
#[derive(Clone, Default)]
pub(crate) struct Pickle(pub(crate) Vec<u8>);

impl Pickle {
    pub(crate) fn new() -> Self {
        Self(vec![0x80, 2])
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn int(self, number: i32) -> Self {
        self.raw(b"J").raw(&number.to_le_bytes())
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.raw(b"X").raw(&(text.len() as u32).to_le_bytes()).raw(text.as_bytes())
    }

    pub(crate) fn global(self, module: &str, name: &str) -> Self {
        self.raw(b"c").raw(module.as_bytes()).raw(b"\n").raw(name.as_bytes()).raw(b"\n")
    }

    pub(crate) fn ints(self, numbers: &[i32]) -> Self {
        numbers.iter().fold(self.raw(b"("), |pickle, &number| pickle.int(number)).raw(b"t")
    }

    pub(crate) fn storage(self, class: &str, key: &str, elements: i32) -> Self {
        let named = self.raw(b"(").text("storage").global("torch", class).text(key).text("cpu");
        named.int(elements).raw(b"tQ")
    }

    /// A tensor as `_rebuild_tensor_v2` makes it.
    pub(crate) fn tensor(
        self,
        class: &str,
        storage: (&str, i32),
        offset: i32,
        shape: &[i32],
        strides: &[i32],
    ) -> Self {
        let call = self.global("torch._utils", "_rebuild_tensor_v2").raw(b"(");
        let placed = call.storage(class, storage.0, storage.1).int(offset).ints(shape).ints(strides);
        placed.raw(b"\x89").global("collections", "OrderedDict").raw(b")RtR")
    }

    pub(crate) fn dict(self) -> Self {
        self.global("collections", "OrderedDict").raw(b")R(")
    }

    pub(crate) fn end(self) -> Vec<u8> {
        self.raw(b".").0
    }
}

/// A state dict of every kind of layout, beside a number, as training programs save it.
pub(crate) fn state_dict() -> Vec<u8> {
    Pickle::new()
        .raw(b"}(")
        .text("best")
        .raw(b"G\x40\x56\xf0\0\0\0\0\0")
        .text("state_dict")
        .dict()
        .text("module.fc.weight")
        .tensor("FloatStorage", ("0", 6), 0, &[2, 3], &[3, 1])
        .text("module.fc.weight_t")
        .tensor("FloatStorage", ("0", 6), 0, &[3, 2], &[1, 3])
        .text("module.fc.column")
        .tensor("FloatStorage", ("0", 6), 1, &[2], &[3])
        .text("module.tied")
        .tensor("FloatStorage", ("0", 6), 0, &[2, 3], &[3, 1])
        .text("module.steps")
        .tensor("LongStorage", ("1", 1), 0, &[], &[])
        .text("module.half")
        .tensor("HalfStorage", ("2", 2), 0, &[2], &[1])
        .raw(b"uu")
        .end()
}

/// The storages of [`state_dict`]: key, bytes of an element, bytes.
pub(crate) fn storages() -> Vec<(&'static str, usize, Vec<u8>)> {
    let weights = [0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0].map(f32::to_le_bytes).concat();
    let halves = [0x3c00u16, 0xc000].map(u16::to_le_bytes).concat();
    vec![("0", 4, weights), ("1", 8, 77i64.to_le_bytes().to_vec()), ("2", 2, halves)]
}

/// An entry of a zip archive: name, bytes, checksum, method.
pub(crate) type ZipEntry<'a> = (&'a str, &'a [u8], u32, u16);

/// A zip archive of stored entries; `wide` is with the longer fields of zip64.
pub(crate) fn zip(entries: &[ZipEntry<'_>], wide: bool) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for &(name, bytes, sum, method) in entries {
        let header = file.len() as u32;
        let extra: &[u64] = if wide { &[bytes.len() as u64, bytes.len() as u64, header.into()] } else { &[] };
        let (length, place) = if wide { (u32::MAX, u32::MAX) } else { (bytes.len() as u32, header) };
        let shared = |out: &mut Vec<u8>, extra: usize| {
            out.extend([20, 0, 0, 0]);
            out.extend(method.to_le_bytes());
            out.extend([0; 4]);
            [sum, length, length].iter().for_each(|field| out.extend(field.to_le_bytes()));
            out.extend((name.len() as u16).to_le_bytes());
            out.extend((extra as u16).to_le_bytes());
        };
        file.extend(b"PK\x03\x04");
        shared(&mut file, 0);
        file.extend(name.as_bytes());
        file.extend(bytes);
        directory.extend(b"PK\x01\x02\x14\0");
        shared(&mut directory, if wide { 28 } else { 0 });
        directory.extend([0; 10]);
        directory.extend(place.to_le_bytes());
        directory.extend(name.as_bytes());
        if wide {
            directory.extend([1, 0, 24, 0]);
        }
        extra.iter().for_each(|field| directory.extend(field.to_le_bytes()));
    }
    let start = file.len();
    file.extend(&directory);
    let end = file.len() as u64;
    let (length, place) = if wide { (u32::MAX, u32::MAX) } else { (directory.len() as u32, start as u32) };
    if wide {
        // The end record of zip64, then the record that says where it is.
        file.extend(b"PK\x06\x06");
        file.extend([44, 0, 0, 0, 0, 0, 0, 0, 45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let counts = [entries.len(), entries.len(), directory.len(), start];
        counts.iter().for_each(|&field| file.extend((field as u64).to_le_bytes()));
        file.extend(b"PK\x06\x07\0\0\0\0");
        file.extend(end.to_le_bytes());
        file.extend([1, 0, 0, 0]);
    }
    file.extend(b"PK\x05\x06\0\0\0\0");
    [entries.len() as u16; 2].iter().for_each(|count| file.extend(count.to_le_bytes()));
    file.extend(length.to_le_bytes());
    file.extend(place.to_le_bytes());
    file.extend([0, 0]);
    file
}

/// The zip archive of a pickle and the storages of [`state_dict`].
pub(crate) fn archive_of(pickle: &[u8]) -> Vec<u8> {
    archive(pickle, false)
}

/// The same, with or without the longer fields of zip64.
pub(crate) fn archive(pickle: &[u8], wide: bool) -> Vec<u8> {
    let storages = storages();
    let names: Vec<String> = storages.iter().map(|(key, ..)| format!("net/data/{key}")).collect();
    let mut entries: Vec<ZipEntry<'_>> =
        vec![("net/data.pkl", pickle, 0, 0), ("net/byteorder", b"little", 0, 0)];
    entries.extend(
        storages.iter().zip(&names).map(|((_, _, bytes), name)| (name.as_str(), bytes.as_slice(), 0, 0)),
    );
    zip(&entries, wide)
}

/// The older format of a pickle and the storages of [`state_dict`].
pub(crate) fn legacy_of(pickle: &[u8], little_endian: bool) -> Vec<u8> {
    let magic = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
    let mut file = Pickle::new().raw(b"\x8a\x0a").raw(&magic).end();
    file.extend(Pickle::new().raw(b"M\xe9\x03").end());
    let order: &[u8] = if little_endian { b"\x88" } else { b"\x89" };
    file.extend(Pickle::new().raw(b"}").text("little_endian").raw(order).raw(b"s").end());
    file.extend(pickle);
    let storages = storages();
    let keys = storages.iter().fold(Pickle::new().raw(b"]("), |pickle, (key, ..)| pickle.text(key));
    file.extend(keys.raw(b"e").end());
    for (_, size, bytes) in storages {
        file.extend((bytes.len() as u64 / size as u64).to_le_bytes());
        file.extend(bytes);
    }
    file
}

/// A safetensors file of every kind of float, an integer and an empty tensor.
pub(crate) fn safetensors() -> Vec<u8> {
    let wide = [1.5f32, -2.0, 0.25, 1e30].map(f32::to_le_bytes).concat();
    let double = [1.0f64 / 3.0, -1e-3].map(f64::to_le_bytes).concat();
    let half = [0x3c00u16, 0xc000, 0x0001].map(u16::to_le_bytes).concat();
    let brain = [0x3f80u16, 0xc040].map(u16::to_le_bytes).concat();
    let whole = 9i64.to_le_bytes();
    let view = |dtype, shape: &[usize], bytes| TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
    let tensors = [
        ("wide", view(Dtype::F32, &[2, 2], wide.as_slice())),
        ("double", view(Dtype::F64, &[2], &double)),
        ("half", view(Dtype::F16, &[3], &half)),
        ("brain", view(Dtype::BF16, &[1, 2], &brain)),
        ("whole", view(Dtype::I64, &[], &whole)),
        ("nothing", view(Dtype::F32, &[0, 4], &[])),
    ];
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    safetensors::serialize(tensors, Some(metadata)).unwrap()
}

/// A folder of files that goes away with it.
pub(crate) struct Files(pub(crate) TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}
