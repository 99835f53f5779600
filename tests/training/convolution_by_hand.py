"""The convolutional layers written out as loops over NumPy float64 arrays; no torch in it.

Rows hold images as (height, width, channels). Weights have the modules' shapes.
"""

import itertools

import numpy as np


def transposed_convolution(layer, rows, weight, bias, gradient):
    """Return values and the gradients of sum(values * gradient): of rows, weight and bias."""
    n, size, kernel = len(rows), layer.input_size, layer.kernel_size
    images = rows.reshape(n, size, size, layer.input_channels)
    shape = (n, layer.output_size, layer.output_size, layer.n_channels)
    output, upstream = np.zeros(shape), gradient.reshape(shape)
    of_images, of_weight = np.zeros_like(images), np.zeros_like(weight)
    for i, y, x in itertools.product(range(n), range(size), range(size)):
        top, left = y * layer.stride, x * layer.stride
        for dy, dx in itertools.product(range(kernel), range(kernel)):
            flow = upstream[i, top + dy, left + dx]
            output[i, top + dy, left + dx] += images[i, y, x] @ weight[:, :, dy, dx]
            of_images[i, y, x] += weight[:, :, dy, dx] @ flow
            of_weight[:, :, dy, dx] += np.outer(images[i, y, x], flow)
    values = output.reshape(n, -1) + bias
    return values, of_images.reshape(n, -1), of_weight, gradient.sum(axis=0)


def convolutional_maxout(layer, rows, weight, bias, gradient):
    """Return values and the gradients of sum(values * gradient): of rows, weight and bias."""
    n, size, pad = len(rows), layer.input_size, layer.padding
    kernel, k, between = layer.kernel_size, layer.n_pieces, layer.convolved_size
    padded = np.zeros((n, size + 2 * pad, size + 2 * pad, layer.input_channels))
    padded[:, pad : pad + size, pad : pad + size] = rows.reshape(n, size, size, -1)
    convolved = np.empty((n, between, between, len(weight)))
    for i, y, x in itertools.product(range(n), range(between), range(between)):
        window = padded[i, y : y + kernel, x : x + kernel].transpose(2, 0, 1)
        convolved[i, y, x] = (weight * window).sum(axis=(1, 2, 3)) + bias
    shape = (n, layer.output_size, layer.output_size, layer.n_channels)
    values, upstream = np.empty(shape), gradient.reshape(shape)
    of_padded, of_weight, of_bias = map(np.zeros_like, (padded, weight, bias))
    for i, top, left, channel in itertools.product(*map(range, shape)):
        pieces = range(channel * k, channel * k + k)
        places = [
            range(first * layer.pool_stride, first * layer.pool_stride + layer.pool_size)
            for first in (top, left)
        ]
        inside = [[place for place in axis if place < between] for axis in places]
        # in the order in which the first of equal ones wins: the lowest piece, then the first place
        found = list(itertools.product(pieces, *inside))
        piece, y, x = max(found, key=lambda at, i=i: convolved[i, at[1], at[2], at[0]])
        values[i, top, left, channel] = convolved[i, y, x, piece]
        flow = upstream[i, top, left, channel]
        window = padded[i, y : y + kernel, x : x + kernel]
        of_padded[i, y : y + kernel, x : x + kernel] += flow * weight[piece].transpose(1, 2, 0)
        of_weight[piece] += flow * window.transpose(2, 0, 1)
        of_bias[piece] += flow
    of_rows = of_padded[:, pad : pad + size, pad : pad + size].reshape(n, -1)
    return values.reshape(n, -1), of_rows, of_weight, of_bias
