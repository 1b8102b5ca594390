//! Pooling of images `[N, C, H, W]`.

use std::sync::Arc;

use burn::backend::flex::FlexTensor;
use burn::tensor::{Shape, Tensor};
use fewbit_kernels::{PoolShape, Window};

use super::buffers::{self, recycle, values};
use super::{Operation, apply};

/// The mean of each channel: `[N, C]`.
pub(crate) fn mean_of_pixels(images: Tensor<4>) -> Tensor<2> {
    apply(MeanOfPixels { shape: images.dims() }, [images.into()])
}

/// The largest number of each window; what is around the image is less than any number.
pub(crate) fn max_pool2d(
    images: Tensor<4>,
    size: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
) -> Tensor<4> {
    let [batch, channels, height, width] = images.dims();
    let [vertical, horizontal] =
        [0, 1].map(|axis| Window { size: size[axis], stride: stride[axis], padding: padding[axis] });
    let shape = PoolShape { planes: batch * channels, height, width, vertical, horizontal };
    apply(MaxPool { shape, images: [batch, channels] }, [images.into()])
}

#[derive(Clone, Debug)]
struct MeanOfPixels {
    shape: [usize; 4],
}

impl Operation<1> for MeanOfPixels {
    type Kept = ();

    fn forward(&self, [images]: [FlexTensor; 1], _: bool) -> (FlexTensor, Option<()>) {
        let [batch, channels, height, width] = self.shape;
        let mut out = buffers::take(batch * channels);
        fewbit_kernels::global_average_pool(height * width, values(&images), &mut out);
        recycle(images);
        (buffers::tensor(out, Shape::from([batch, channels])), Some(()))
    }

    fn backward(&self, (): (), gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let [_, _, height, width] = self.shape;
        let mut out = buffers::take(self.shape.iter().product());
        fewbit_kernels::global_average_pool_gradient(height * width, values(&gradient), &mut out);
        recycle(gradient);
        [Some(buffers::tensor(out, Shape::from(self.shape)))]
    }
}

#[derive(Clone, Debug)]
struct MaxPool {
    shape: PoolShape,
    /// Images and channels.
    images: [usize; 2],
}

impl Operation<1> for MaxPool {
    /// Where in its plane each maximum was.
    type Kept = Arc<[u32]>;

    fn forward(&self, [images]: [FlexTensor; 1], _: bool) -> (FlexTensor, Option<Arc<[u32]>>) {
        let (height, width) = self.shape.pooled();
        let len = self.shape.planes * height * width;
        let (mut out, mut places) = (buffers::take(len), vec![0; len]);
        fewbit_kernels::max_pool(self.shape, values(&images), &mut out, &mut places);
        let [batch, channels] = self.images;
        recycle(images);
        (buffers::tensor(out, Shape::from([batch, channels, height, width])), Some(places.into()))
    }

    fn backward(&self, places: Arc<[u32]>, gradient: FlexTensor, _: [bool; 1]) -> [Option<FlexTensor>; 1] {
        let PoolShape { planes, height, width, .. } = self.shape;
        let mut out = buffers::take(planes * height * width);
        fewbit_kernels::max_pool_gradient(self.shape, &places, values(&gradient), &mut out);
        recycle(gradient);
        let [batch, channels] = self.images;
        [Some(buffers::tensor(out, Shape::from([batch, channels, height, width])))]
    }
}
