"""Offsets beyond 2^31: one program, far away in a layer whose memory is touched nowhere else.

An offset of 32 bits would lie before the layer, and end the process.
"""

import pytest
import torch

from fastgan import backends

if not backends.has_triton():
    pytest.skip("triton is not installed", allow_module_level=True)

from dense_layers import assert_same
from fastgan.kernels.launch import Launch, recording
from fastgan.kernels.maxout_linear import maxout_forward
from fastgan.kernels.update import maxout_weight_gradient
from triton.runtime.interpreter import interpreter_builder

from fastgan.reference.maxout_linear import maxout_linear

N_UNITS, N_PIECES, N_FEATURES = 2**25 + 64, 4, 16  # 2^31 numbers and more


def run_far_away(launch: Launch, place: int, monkeypatch) -> None:
    """Run the one program whose index along an axis is its last."""
    tile = launch.kernel.configurations["interpreter"][0]
    last = [n - 1 for n in launch.grid_of(tile)]
    last += [0] * (3 - len(last))
    last[2] = place
    set_grid_idx = interpreter_builder.set_grid_idx
    with monkeypatch.context() as patch:
        patch.setattr(interpreter_builder, "set_grid_idx", lambda *_: set_grid_idx(*last))
        patch.setattr(interpreter_builder, "set_grid_dim", lambda *_: None)
        interpreter_builder.grid_dim = [n + 1 for n in last]
        Launch(launch.kernel, (1, 1, 1), launch.arguments).run()


@pytest.mark.skipif(torch.cuda.is_available(), reason="places one program of the interpreter")
def test_offsets_beyond_two_to_the_31(monkeypatch) -> None:
    weight = torch.empty(N_UNITS * N_PIECES, N_FEATURES)  # 8.6 GB that nothing touches
    bias = torch.empty(N_UNITS * N_PIECES)
    values, winner = torch.empty(1, N_UNITS), torch.empty(1, N_UNITS, dtype=torch.uint8)
    input = torch.randint(-3, 4, (1, N_FEATURES)).float()
    last = slice(-32, None)
    pieces = slice(-32 * N_PIECES, None)
    weight[pieces] = torch.randint(-3, 4, (32 * N_PIECES, N_FEATURES)).float()
    bias[pieces] = torch.randint(-3, 4, (32 * N_PIECES,)).float()
    with recording() as launches:
        maxout_forward(input, weight, bias, N_PIECES, None, values, winner)
    run_far_away(launches[0], 0, monkeypatch)
    expected = maxout_linear(input, weight[pieces], bias[pieces], N_PIECES)
    assert_same(values[:, last], expected[0])
    assert torch.equal(winner[:, last], expected[1])

    delta = values
    with recording() as launches:
        maxout_weight_gradient(delta, winner, N_PIECES, input, weight, None)
    run_far_away(launches[0], 2, monkeypatch)
    of_piece = torch.where(winner[0, last] == 2, delta[0, last], 0.0)
    assert_same(weight[pieces][2::N_PIECES], of_piece[:, None] * input)
