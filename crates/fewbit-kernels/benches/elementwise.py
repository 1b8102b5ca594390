"""PyTorch's turn in `elementwise.rs`: reads `name shape… repeats` per line, prints seconds per call of each."""
import sys
import time

import torch
from torch.nn import functional as F

torch.set_num_threads(int(sys.argv[1]))


def leaf(*shape):
    return torch.randn(*shape).requires_grad_()


def backward_of(out, *inputs):
    gradient = torch.randn_like(out)
    return lambda: torch.autograd.grad(out, inputs, gradient, retain_graph=True)


def batch_norm(residual, relu, with_gradient):
    def make(batch, channels, side):
        x, other = leaf(batch, channels, side, side), leaf(batch, channels, side, side)
        gamma, beta = leaf(channels), leaf(channels)
        mean, variance = torch.zeros(channels), torch.ones(channels)

        def forward():
            y = F.batch_norm(x, mean, variance, gamma, beta, True)
            y = y + other if residual else y
            return F.relu(y) if relu else y

        inputs = (x, gamma, beta) + ((other,) if residual else ())
        return backward_of(forward(), *inputs) if with_gradient else forward

    return make


def layer_norm(with_gradient):
    def make(rows, width):
        x, gamma, beta = leaf(rows, width), leaf(width), leaf(width)
        forward = lambda: F.layer_norm(x, (width,), gamma, beta)
        return backward_of(forward(), x, gamma, beta) if with_gradient else forward

    return make


def unary(function, with_gradient):
    def make(count):
        x = leaf(count)
        return backward_of(function(x), x) if with_gradient else lambda: function(x)

    return make


def bias_gelu(rows, width):
    x, bias = torch.randn(rows, width), torch.randn(width)
    return lambda: F.gelu(x.add_(bias))


def cross_entropy(rows, classes):
    x, targets = leaf(rows, classes), torch.arange(rows) * 7919 % classes
    return lambda: torch.autograd.grad(F.cross_entropy(x, targets), x)


def embedding(with_gradient):
    def make(rows, width, count):
        table, indices = leaf(rows, width), torch.arange(count) * 7919 % rows
        forward = lambda: F.embedding(indices, table)
        return backward_of(forward(), table) if with_gradient else forward

    return make


def pool(function, with_gradient):
    def make(planes, side):
        x = leaf(1, planes, side, side)
        return backward_of(function(x), x) if with_gradient else lambda: function(x)

    return make


def sum_of(count):
    a, b, out = torch.randn(count), torch.randn(count), torch.empty(count)
    return lambda: torch.add(a, b, out=out)


def add_to(count):
    a, b = torch.zeros(count), torch.randn(count)
    return lambda: a.add_(b)


MAKERS = {
    "sum_of": sum_of,
    "add_to": add_to,
    "relu": unary(F.relu, False),
    "relu_gradient": unary(F.relu, True),
    "gelu": unary(F.gelu, False),
    "gelu_gradient": unary(F.gelu, True),
    "bias_gelu": bias_gelu,
    "batch_norm": batch_norm(False, False, False),
    "batch_norm_gradient": batch_norm(False, False, True),
    "batch_norm_relu": batch_norm(False, True, False),
    "batch_norm_relu_gradient": batch_norm(False, True, True),
    "batch_norm_add_relu": batch_norm(True, True, False),
    "batch_norm_add_relu_gradient": batch_norm(True, True, True),
    "layer_norm": layer_norm(False),
    "layer_norm_gradient": layer_norm(True),
    "cross_entropy": cross_entropy,
    "embedding": embedding(False),
    "embedding_gradient": embedding(True),
    "global_average_pool": pool(lambda x: x.mean((2, 3)), False),
    "global_average_pool_gradient": pool(lambda x: x.mean((2, 3)), True),
    "max_pool": pool(lambda x: F.max_pool2d(x, 3, 2, 1), False),
    "max_pool_gradient": pool(lambda x: F.max_pool2d(x, 3, 2, 1), True),
    "average_pool": pool(lambda x: F.avg_pool2d(x, 3, 2, 1), False),
    "average_pool_gradient": pool(lambda x: F.avg_pool2d(x, 3, 2, 1), True),
}
made = {}
for line in sys.stdin:
    name, *numbers = line.split()
    *shape, repeats = map(int, numbers)
    if (name, *shape) not in made:
        made.clear()
        made[name, *shape] = MAKERS[name](*shape)
    work = made[name, *shape]
    for _ in range(repeats):
        start = time.perf_counter()
        kept = work()
        print(time.perf_counter() - start, end=" ")
        del kept
    print(flush=True)
