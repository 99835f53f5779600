"""The products of a dense layer: what is read, written and refused, and numbers below normal."""

import mmap
import platform
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from linear_cases import DTYPES, GUARD, MARK, Move, guarded, layer, untouched_around

from fastgan import _core


@pytest.mark.parametrize("dtype", DTYPES)
def test_only_the_output_is_written(dtype, simd_level) -> None:
    """Rows of larger arrays, at any offset; every operation's output is guarded in the cases."""
    for density in (1.0, 0.1):
        for shape, n_threads in [((5, 17, 43), 1), ((8, 48, 40), 2), ((100, 257, 120), 5)]:
            made = layer(shape, dtype, density)
            expected = [made.forward("relu"), made.input_gradient(), *made.update(Move())]
            for name, array in vars(made).items():
                rows = np.full((len(array) + 5, *array.shape[1:]), MARK, dtype)
                rows[2 : 2 + len(array)] = array
                setattr(made, name, rows[2 : 2 + len(array)])
            before = [array.base.copy() for array in vars(made).values()]
            got = [
                made.forward("relu", n_threads),
                made.input_gradient(n_threads),
                *made.update(Move(), n_threads),
            ]
            for one, other in zip(got, expected, strict=True):
                np.testing.assert_array_equal(one, other)
            for array, was in zip(vars(made).values(), before, strict=True):
                np.testing.assert_array_equal(array.base, was)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is protected through Linux's libc")
def test_nothing_beyond_an_array_is_read() -> None:
    """Each array ends where a page begins that may not be touched, or begins where one ends."""
    program = f"""
        import ctypes, mmap, sys
        import numpy as np
        from fastgan import _core

        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + 3 * [ctypes.c_int] + [
            ctypes.c_long]
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        page = {mmap.PAGESIZE}

        def placed(values, at_end):
            n_pages = -(-values.nbytes // page)
            start = libc.mmap(None, (n_pages + 2) * page, 3, 0x22, -1, 0)
            assert libc.mprotect(start, page, 0) == 0
            assert libc.mprotect(start + (n_pages + 1) * page, page, 0) == 0
            at = start + page + (n_pages * page - values.nbytes if at_end else 0)
            buffer = (ctypes.c_char * values.nbytes).from_address(at)
            array = np.frombuffer(buffer, values.dtype).reshape(values.shape)
            array[...] = values
            return array

        random = np.random.default_rng(0)
        for level in _core.simd_levels():
            _core.force_simd_level(level)
            for dtype in (np.float32, np.float64):
                for at_end in (True, False):
                    for n, n_features, n_units in [
                        (1, 1, 1), (3, 15, 5), (5, 17, 9), (8, 47, 41), (6, 1025, 3), (4, 33, 259)
                    ]:
                        for density in (1.0, 0.1):
                            def new(*shape):
                                return placed(random.standard_normal(shape).astype(dtype), at_end)
                            x, w, v = new(n, n_features), *(new(n_units, n_features) for _ in "wv")
                            b, c, scale = new(n_units), new(n_units), new(n)
                            delta, out, g = new(n, n_units), new(n, n_units), new(n, n_features)
                            delta *= random.random(delta.shape) < density
                            for name in ("linear", "sigmoid"):
                                _core.linear_forward(x, w, b, name, out, 1)
                            _core.linear_input_gradient(delta, w, g, 1)
                            _core.linear_update(delta, scale, x, w, v, b, c, .1, .5, 1.0, 1)
                            _core.activation_delta(out, scale, .5, 1, 2, 3, "relu", out, delta, 1)
                            m = 3 if n_units % 3 == 0 else 1
                            short = new(n, n_units // m)
                            won = placed(random.integers(0, m, short.shape, np.uint8), at_end)
                            _core.maxout_input_gradient(short, won, m, w, g, 1)
                            _core.maxout_update(short, won, m, scale, x, w, v, b, c, .1, .5, 1., 1)
        print("all were within", flush=True)
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, f"signal {-done.returncode}: {done.stderr}"
    assert done.stdout == "all were within\n"


def denormals_are_numbers():
    """Tell whether this thread's processor still calculates with numbers below the normal range."""
    tiny = np.full(64, 1e-40, np.float32) * np.ones(64, np.float32)
    tinier = np.full(64, 1e-310) * np.ones(64)
    return bool((tiny != 0).all() and (tinier != 0).all())


@pytest.mark.parametrize(("dtype", "tiny"), [(np.float32, 1e-40), (np.float64, 1e-310)])
@pytest.mark.parametrize("density", [1.0, 0.1])
def test_velocities_below_normal_are_taken_for_zero(
    density, dtype, tiny, simd_level, n_threads
) -> None:
    """On every thread, where the processor can be told so; and the caller's own mode stays."""
    made = layer((100, 257, 120), dtype, density)
    made.delta[:, ::3] = 0  # silent units, whose velocity only shrinks
    made.velocity[::3] = tiny
    made.bias_velocity[::3] = tiny
    made.weight[::3] = tiny
    normal = np.ones_like(made.velocity, dtype=bool)
    normal[::3] = False
    assert denormals_are_numbers()
    weight, velocity, bias, bias_velocity = made.update(Move(momentum=0.5), n_threads)
    assert denormals_are_numbers()
    if platform.machine().lower() in ("x86_64", "amd64"):
        assert (velocity[::3] == 0).all()
        assert (weight[::3] == 0).all()
        assert (bias_velocity[::3] == 0).all()
        np.testing.assert_array_equal(bias[::3], made.bias[::3])
    assert (velocity[normal] != 0).all()


def test_no_thread_is_left_in_another_mode(simd_level) -> None:
    made = layer((100, 257, 120))
    for call in (
        lambda: made.forward("relu", 5),
        lambda: made.input_gradient(5),
        lambda: made.update(Move(), 5),
    ):
        call()
        modes = []
        _core.run_tasks(20, 5, lambda index: modes.append(denormals_are_numbers()))  # noqa: B023
        assert modes == [True] * 20
    delta = guarded((300, 100), np.float32)
    values = np.ones((300, 100), np.float32)
    _core.activation_delta(values, None, 1.0, 0, 0, 0, "relu", values, delta, 5)
    assert denormals_are_numbers()
    untouched_around(delta)


def test_mode_stays_after_a_refusal() -> None:
    made = layer((3, 4, 5))
    with pytest.raises(ValueError, match="output"):
        _core.linear_forward(made.input, made.weight, None, "relu", made.input, 1)
    assert denormals_are_numbers()


def arguments(dtype=np.float32):
    """Return the right arguments of each operation, by name."""
    made = layer((3, 4, 5), dtype)
    return {
        "linear_forward": {
            "input": made.input,
            "weight": made.weight,
            "bias": made.bias,
            "activation": "relu",
            "output": made.delta.copy(),
            "n_threads": 1,
        },
        "linear_input_gradient": {
            "delta": made.delta,
            "weight": made.weight,
            "gradient": made.input.copy(),
            "n_threads": 1,
        },
        "linear_update": {
            "delta": made.delta,
            "row_scale": made.row_scale,
            "input": made.input,
            "weight": made.weight.copy(),
            "velocity": made.velocity.copy(),
            "bias": made.bias.copy(),
            "bias_velocity": made.bias_velocity.copy(),
            "lr": 0.1,
            "momentum": 0.5,
            "max_norm": np.inf,
            "n_threads": 1,
        },
        "activation_delta": {
            "gradient": made.delta,
            "row_scale": made.row_scale,
            "include_probability": 0.5,
            "seed": 1,
            "step": 2,
            "stream": 3,
            "activation": "relu",
            "values": made.delta.copy(),
            "delta": made.delta.copy(),
            "n_threads": 1,
        },
    }


OUTPUTS = {
    "linear_forward": ["output"],
    "linear_input_gradient": ["gradient"],
    "linear_update": ["weight", "velocity", "bias", "bias_velocity"],
    "activation_delta": ["delta"],
}
ARRAYS = [
    (operation, name)
    for operation, of_operation in arguments().items()
    for name, value in of_operation.items()
    if isinstance(value, np.ndarray)
]


def refused(operation, name, value):
    """Call the operation with one wrong argument; nothing of the others may have been written."""
    for dtype in DTYPES:
        wrong = {**arguments(dtype)[operation], name: value(arguments(dtype)[operation][name])}
        before = {key: np.copy(array) for key, array in wrong.items()}
        with pytest.raises(ValueError, match=r"expected|writeable") as refusal:
            getattr(_core, operation)(**wrong)
        for key, array in before.items():
            np.testing.assert_array_equal(wrong[key], array)
        yield str(refusal.value)


def other_dtype(array):
    return array.astype(np.float64 if array.dtype == np.float32 else np.float32)


def every_second(array):
    return np.repeat(array, 2, axis=-1)[..., ::2]


@pytest.mark.parametrize("change", [other_dtype, np.float16, every_second])
@pytest.mark.parametrize(("operation", "name"), ARRAYS)
def test_wrong_arrays_are_refused_by_name(operation, name, change) -> None:
    """The first array gives the operation its dtype, so that the next ones may be named instead."""
    first = next(iter(arguments()[operation]))
    for message in refused(operation, name, change):
        if name == first and change is other_dtype:
            assert re.match(r"\w+: expected a C-contiguous array of [12] dimensions", message)
        else:
            assert message.startswith(f"{name}: expected a C-contiguous array of"), message


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("operation", "name"), ARRAYS)
def test_wrong_shapes_are_refused_by_name(operation, name, axis) -> None:
    """But where the array gives a size that another is held to: then that one is named."""
    if axis >= arguments()[operation][name].ndim:
        return
    first = next(iter(arguments()[operation]))
    gives_size = name == "weight" or (name == first and axis == 0)
    if operation == "activation_delta":
        gives_size = name in ("gradient", "delta")
    for message in refused(operation, name, lambda array: np.repeat(array, 2, axis=axis)):
        named = r"\w+" if gives_size else name
        assert re.match(rf"{named}: expected size \d+, got \d+", message), message


@pytest.mark.parametrize(("operation", "name"), ARRAYS)
def test_wrong_numbers_of_dimensions_are_refused(operation, name) -> None:
    for change in (lambda array: array[None], np.ravel):
        if change is np.ravel and arguments()[operation][name].ndim == 1:
            continue
        for message in refused(operation, name, change):
            assert re.match(r"\w+: expected .*dimensions", message)


@pytest.mark.parametrize("operation", OUTPUTS)
def test_read_only_outputs_are_refused(operation) -> None:
    def locked(array):
        array.flags.writeable = False
        return array

    for name in OUTPUTS[operation]:
        for message in refused(operation, name, locked):
            assert "writeable" in message


def test_wrong_words_are_refused() -> None:
    for operation in ("linear_forward", "activation_delta"):
        wrong = {**arguments()[operation], "activation": "tanh"}
        sentence = "activation: expected linear, relu or sigmoid, got tanh"
        with pytest.raises(ValueError, match=sentence):
            getattr(_core, operation)(**wrong)
    for missing in ("bias", "bias_velocity"):
        wrong = {**arguments()["linear_update"], missing: None}
        with pytest.raises(ValueError, match="bias_velocity: expected one where there is a bias"):
            _core.linear_update(**wrong)


def test_guards_notice() -> None:
    for index in (GUARD - 1, -GUARD):
        array = guarded((3, 4), np.float32)
        untouched_around(array)
        whole = array.base if array.base.base is None else array.base.base
        whole[index] = 0
        with pytest.raises(AssertionError, match="written"):
            untouched_around(array)
