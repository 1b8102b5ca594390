"""Median milliseconds of a forward and a backward pass in PyTorch, for the shapes of `layers.rs`.

Run it in turn with `cargo bench -p fewbit-burn --bench layers`, both with as many threads
(`OMP_NUM_THREADS`, `RAYON_NUM_THREADS`).
"""
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

RUNS = 9


def row(name, forward, *leaves):
    times = []
    for run in range(RUNS + 2):
        for leaf in leaves:
            leaf.grad = None
        start = time.perf_counter()
        forward().sum().backward()
        times.append(time.perf_counter() - start)
    print(f"{name:<34} {1e3 * statistics.median(times[2:]):9.2f}")


def leaf(*shape):
    return torch.rand(*shape, requires_grad=True)


def convolution(name, channels_in, channels_out, side, kernel, stride, groups):
    layer = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    x = leaf(128, channels_in, side, side)
    row(name, lambda: layer(x), x, *layer.parameters())


def batch_norm(channels, side):
    layer, x = nn.BatchNorm2d(channels), leaf(128, channels, side, side)
    row(f"batch norm and ReLU 128x{channels}x{side}x{side}", lambda: F.relu(layer(x)), x, *layer.parameters())


def linear(inputs, outputs):
    layer, x = nn.Linear(inputs, outputs), leaf(2048, inputs)
    row(f"linear 2048, {inputs} to {outputs}", lambda: layer(x), x, *layer.parameters())


convolution("conv 3x3 3 to 16, side 32", 3, 16, 32, 3, 1, 1)
convolution("conv 3x3 16 to 16, side 32", 16, 16, 32, 3, 1, 1)
convolution("conv 3x3 16 to 32, stride 2", 16, 32, 32, 3, 2, 1)
convolution("conv 3x3 32 to 32, side 16", 32, 32, 16, 3, 1, 1)
convolution("conv 3x3 64 to 64, side 8", 64, 64, 8, 3, 1, 1)
convolution("conv 1x1 32 to 64, stride 2", 32, 64, 16, 1, 2, 1)
convolution("conv 3x3 depthwise 64, side 32", 64, 64, 32, 3, 1, 64)
batch_norm(16, 32)
batch_norm(64, 8)
linear(256, 768)
linear(256, 1024)
linear(1024, 256)
layer, x = nn.LayerNorm(256), leaf(2048, 256)
row("layer norm 2048x256", lambda: layer(x), x, *layer.parameters())
wide = leaf(2048, 1024)
row("GELU 2048x1024", lambda: F.gelu(wide), wide)
logits, targets = leaf(2048, 256), torch.arange(2048) % 256
row("cross entropy 2048x256", lambda: F.cross_entropy(logits, targets), logits)
wide, teacher = leaf(2048, 5000), torch.randn(2048, 5000)


def distilled():
    soft = (F.softmax(teacher, 1) * F.log_softmax(wide, 1)).sum(1).mean()
    return 0.5 * F.cross_entropy(wide, targets) - 0.5 * soft


row("distilled cross entropy 2048x5000", distilled, wide)
table, tokens = nn.Embedding(256, 256), targets.view(16, 128)
row("embedding 16x128, 256 wide", lambda: table(tokens), *table.parameters())
packed = leaf(16, 128, 768)


def attention():
    q, k, v = packed.view(16, 128, 3, 8, 32).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(16, 128, 256)


row("causal attention 16x128, 8 heads", attention, packed)
images = leaf(128, 16, 32, 32)
row("max pool 2x2 128x16x32x32", lambda: F.max_pool2d(images, 2), images)
small = leaf(128, 64, 8, 8)
row("mean of pixels 128x64x8x8", lambda: small.mean((2, 3)), small)
