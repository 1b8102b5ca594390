//! Where the data sets are, and what is there.
//!
//! The checksums and lengths are those that TensorFlow Datasets publishes: its `url_checksums` of cifar10, cifar100
//! and mnist.

use super::checksum::CheckSum;
use crate::data::DataSetKind;

/// A file that can be downloaded.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its name in the folder that it goes to.
    pub name: &'a str,
    /// Where it is.
    pub address: &'a str,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its checksum.
    pub sha256: CheckSum,
}

impl DataSetKind {
    /// The files that make the set, in one folder; none where the set has no address of its own.
    pub const fn sources(self) -> &'static [Source<'static>] {
        match self {
            Self::Mnist => &MNIST,
            Self::Cifar10 => &CIFAR10,
            Self::Cifar100 => &CIFAR100,
            _ => &[],
        }
    }
}

const CIFAR10: [Source<'static>; 1] = [Source {
    name: "cifar-10-binary.tar.gz",
    address: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    bytes: 170_052_171,
    sha256: CheckSum::from_hex("c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),
}];

const CIFAR100: [Source<'static>; 1] = [Source {
    name: "cifar-100-binary.tar.gz",
    address: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    bytes: 168_513_733,
    sha256: CheckSum::from_hex("58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"),
}];

/// A mirror that PyTorch keeps: yann.lecun.com has not given out the files for some time.
const MNIST: [Source<'static>; 4] = [
    Source {
        name: "train-images-idx3-ubyte.gz",
        address: "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz",
        bytes: 9_912_422,
        sha256: CheckSum::from_hex("440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
    },
    Source {
        name: "train-labels-idx1-ubyte.gz",
        address: "https://ossci-datasets.s3.amazonaws.com/mnist/train-labels-idx1-ubyte.gz",
        bytes: 28_881,
        sha256: CheckSum::from_hex("3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    },
    Source {
        name: "t10k-images-idx3-ubyte.gz",
        address: "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-images-idx3-ubyte.gz",
        bytes: 1_648_877,
        sha256: CheckSum::from_hex("8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
    },
    Source {
        name: "t10k-labels-idx1-ubyte.gz",
        address: "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-labels-idx1-ubyte.gz",
        bytes: 4_542,
        sha256: CheckSum::from_hex("f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_secure_and_ends_in_the_name_of_the_file() {
        for kind in DataSetKind::ALL {
            for source in kind.sources() {
                assert!(source.address.starts_with("https://"), "{}", source.address);
                assert!(source.address.ends_with(&format!("/{}", source.name)), "{}", source.address);
            }
        }
    }
}
