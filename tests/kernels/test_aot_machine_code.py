"""Reading machine code, counting work, and the model that follows: on small texts, by hand."""

import pytest

from fastgan import backends

if not backends.has_triton():
    pytest.skip("triton is not installed", allow_module_level=True)

from fastgan.kernels.aot import limits, machine_code, roofline
from fastgan.kernels.aot.compiling import Facts
from fastgan.kernels.aot.work import count_tile

# A loop of products that waits for a copy: the wait jumps away, and back into the loop.
SASS = """
        Function : kernel
        /*0000*/                   MOV R1, c[0x0][0x28] ;      /* 0x00000a0000017a02 */
                                                               /* 0x000fc40000000f00 */
        /*0010*/                   LDG.E R2, [R4] ;
        /*0020*/                   SYNCS.PHASECHK.TRANS64.TRYWAIT P6, [UR8], R60 ;
        /*0030*/              @!P6 BRA 0xb0 ;
        /*0040*/                   HMMA.1688.F32.TF32 R8, R4, R6, R8 ;
        /*0050*/                   HMMA.1688.F32.TF32 R8, R4, R6, R8 ;
        /*0060*/                   LDS R3, [R5] ;
        /*0070*/               @P0 BRA 0x20 ;
        /*0080*/                   MUFU.EX2 R8, R8 ;
        /*0090*/                   STG.E [R4], R8 ;
        /*00a0*/                   EXIT ;
        /*00b0*/                   SYNCS.PHASECHK.TRANS64.TRYWAIT P6, [UR8], R60 ;
        /*00c0*/              @!P6 BRA 0xb0 ;
        /*00d0*/                   BRA 0x40 ;
        /*00e0*/                   BRA 0xe0;
"""


def test_the_inner_loop_is_that_of_the_products() -> None:
    code = machine_code.read_sass(SASS)
    assert len(code) == 15
    assert code[3].targets == (11,)
    assert not code[10].falls_through
    found = {loop.instructions: loop.depth for loop in machine_code.loops(code)}
    # the wait, and around it the products; the last branch to itself is never reached
    assert found == {frozenset({11, 12}): 2, frozenset({2, 3, 4, 5, 6, 7, 11, 12, 13}): 1}
    loop = machine_code.inner_loop(code)
    counts = machine_code.count(code, loop.instructions)
    assert counts["tensor_core"] == 2
    assert counts["shared_memory"] == 1
    assert counts["global_memory"] == counts["special"] == 0
    assert counts["all"] == 9
    assert machine_code.tensor_core_opcodes(code) == ["HMMA.1688.F32.TF32"]
    whole = machine_code.count(code, range(len(code)))
    assert (whole["global_memory"], whole["special"]) == (2, 1)


@pytest.mark.parametrize(
    ("opcode", "name"),
    [
        ("HGMMA.64x64x8.F32.TF32", "tensor_core"),
        ("UTCHMMA", "tensor_core"),
        ("DMMA.16x8x16", "tensor_core"),
        ("v_mfma_f32_32x32x2_f32", "tensor_core"),
        ("FFMA", "fma"),
        ("FADD2", "fma"),
        ("v_pk_fma_f32", "fma"),
        ("MUFU.RCP", "special"),
        ("v_exp_f32_e32", "special"),
        ("LDGSTS.E.BYPASS.128", "global_memory"),
        ("buffer_load_dwordx4", "global_memory"),
        ("LDSM.16.M88.4", "shared_memory"),
        ("ds_read_b128", "shared_memory"),
        ("STL.64", "local_memory"),
        ("scratch_store_dword", "local_memory"),
        ("IMAD.WIDE", None),
        ("UTCBAR", None),
        ("LDGDEPBAR", None),
        ("LDC", None),
        ("s_waitcnt", None),
    ],
)
def test_classes_of_instructions(opcode, name) -> None:
    assert machine_code.class_of(opcode) == name


def test_amds_loops() -> None:
    text = """
kernel:
	s_load_dwordx2 s[0:1], s[4:5], 0x0
.LBB0_1:                                ; =>This Inner Loop Header: Depth=1
	ds_read_b128 v[0:3], v9
	v_mfma_f32_32x32x2_f32 v[0:15], v60, v44, v[0:15]
	s_cbranch_scc1 .LBB0_1
; %bb.2:
	s_endpgm
"""
    code = machine_code.read_amdgcn(text)
    loop = machine_code.inner_loop(code)
    assert loop.instructions == frozenset({1, 2, 3})
    assert machine_code.count(code, loop.instructions)["tensor_core"] == 1


def test_a_kernel_without_loops() -> None:
    code = machine_code.read_sass("        /*0000*/   FADD R1, R2, R3 ;\n        /*0010*/  EXIT ;")
    assert machine_code.loops(code) == []
    assert machine_code.inner_loop(code) is None
    assert machine_code.loops([]) == []


# 3 pieces; of each, an inner loop over n_inner = 100 in blocks of 32: 4 turns.
TTIR = """
module {
  tt.func public @kernel(%left: !tt.ptr<f32>, %right: !tt.ptr<f32>, %n_inner: i32) {
    %c0 = arith.constant 0 : i32 loc(#loc1)
    %c1 = arith.constant 1 : i32
    %c2 = arith.constant 2 : i32
    %c3 = arith.addi %c1, %c2 : i32
    %c32 = arith.constant 32 : i32
    %cst = arith.constant dense<0.0> : tensor<16x8xf32>
    %p = tt.splat %left : !tt.ptr<f32> -> tensor<16x32x!tt.ptr<f32>>
    %sums = scf.for %piece = %c0 to %c3 step %c1 iter_args(%a = %cst) -> (tensor<16x8xf32>)  : i32 {
      %s:2 = scf.for %k = %c0 to %n_inner step %c32 iter_args(%b = %a, %q = %p) -> (tensor<16x8xf32>, tensor<16x32x!tt.ptr<f32>>)  : i32 {
        %x = tt.load %q : tensor<16x32x!tt.ptr<f32>> loc("a.py":1:2)
        %y = tt.load %r : tensor<32x8x!tt.ptr<f32>>
        %d = tt.dot %x, %y, %b, inputPrecision = tf32x3 : tensor<16x32xf32> * tensor<32x8xf32> -> tensor<16x8xf32>
        scf.yield %d, %q : tensor<16x8xf32>, tensor<16x32x!tt.ptr<f32>>
      }
      %e = math.exp2 %s#0 : tensor<16x8xf32>
      scf.yield %e : tensor<16x8xf32>
    }
    %is_first = arith.cmpi slt, %c0, %c1 : i32
    scf.if %is_first {
      %n = "tt.reduce"(%sums) <{axis = 1 : i32}> ({
      ^bb0(%u: f32, %v: f32):
        %w = arith.addf %u, %v : f32
        tt.reduce.return %w : f32
      }) : (tensor<16x8xf32>) -> tensor<16xf32>
      %t = tt.splat %left : !tt.ptr<f32> -> tensor<16x!tt.ptr<f32>>
      tt.store %t, %n : tensor<16x!tt.ptr<f32>>
    } else {
      %never = math.exp2 %sums : tensor<16x8xf32>
    }
    tt.return
  }
}
"""  # noqa: E501


def test_work_is_counted_as_the_program_runs() -> None:
    tile = count_tile(TTIR, {"left": None, "right": None, "n_inner": 100})
    assert tile.bounds_known
    assert tile.product_flops == 3 * 4 * 2 * 16 * 8 * 32
    assert tile.precision == "tf32x3"
    assert tile.loop_product_flops == 2 * 16 * 8 * 32
    assert tile.loop_bytes == 4 * (16 * 32 + 32 * 8)
    assert tile.special_functions == 3 * 16 * 8  # not those of the other branch
    assert tile.vector_flops == 16 * 8
    assert tile.double_flops == 0
    assert count_tile(TTIR.replace("f32", "f64"), {"n_inner": 100}).double_flops == 16 * 8
    assert tile.read == {"left": 12 * 4 * 16 * 32, "": 12 * 4 * 32 * 8}
    assert tile.written == {"left": 64}
    assert tile.n_bytes == sum(tile.read.values()) + 64


def test_work_under_bounds_that_are_not_known_says_so() -> None:
    tile = count_tile(TTIR, {"left": None, "right": None})
    assert not tile.bounds_known
    assert tile.product_flops == 3 * 2 * 16 * 8 * 32


def test_a_text_without_a_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="ttir: expected a public function, found none"):
        count_tile("module {\n}", {})


def test_the_roofline_is_the_slowest_part() -> None:
    a100 = roofline.DEVICES["A100"]
    products = roofline.roofline(roofline.Work(product_flops=156e12, precision="tf32x3"), a100)
    assert products.bound == "products"
    assert products.seconds == pytest.approx(3.0)
    six = roofline.Work(product_flops=312e12, precision="bf16x6", n_bytes=2.039e12)
    assert roofline.roofline(six, a100).parts["products"] == pytest.approx(6.0)
    assert roofline.roofline(six, a100).parts["memory"] == pytest.approx(1.0)
    moved = roofline.roofline(roofline.Work(vector_flops=19.5e12, n_bytes=4.078e12), a100)
    assert (moved.bound, moved.seconds) == ("memory", pytest.approx(2.0))
    double = roofline.roofline(roofline.Work(double_flops=9.7e12), a100)
    assert (double.bound, double.seconds) == ("float64", pytest.approx(1.0))
    assert {d.architecture for d in roofline.DEVICES.values()} == set(limits.LIMITS)


def test_what_the_roofline_refuses() -> None:
    with pytest.raises(ValueError, match=r"precision: expected one of tf32, .*, got 'fp8'"):
        roofline.DEVICES["H100"].product_flops("fp8")
    assert roofline.device_named("NVIDIA H100 80GB HBM3") is roofline.DEVICES["H100"]
    assert roofline.device_named("NVIDIA GeForce RTX 3090") is None


def facts(**changed) -> Facts:
    known = {
        "registers": 128,
        "spills": 0,
        "shared_bytes": 32 * 1024,
        "tensor_memory_columns": None,
        "n_threads": 128,
        "tensor_core_opcodes": ("HMMA",),
        "whole": {},
        "inner_loop": None,
        "loop_depth": 0,
    }
    return Facts(**{**known, **changed})


@pytest.mark.parametrize(
    ("architecture", "changed", "problem"),
    [
        ("sm_80", {}, None),
        ("sm_80", {"registers": 255}, None),
        ("sm_80", {"registers": 256}, "registers: expected at most 255, got 256"),
        ("sm_80", {"spills": 8}, "spills: expected none, got 8"),
        ("sm_80", {"shared_bytes": 99 * 1024}, None),
        ("sm_80", {"shared_bytes": 99 * 1024 + 1}, "shared memory: expected at most 101376"),
        ("sm_90", {"shared_bytes": 227 * 1024 + 1}, "shared memory: expected at most 232448"),
        ("sm_90", {"tensor_memory_columns": 32}, "tensor memory columns: expected at most 0"),
        ("sm_100", {"tensor_memory_columns": 512}, None),
        ("sm_100", {"tensor_memory_columns": 544}, "tensor memory columns: expected at most 512"),
        ("gfx942", {"registers": 513}, "registers: expected at most 512, got 513"),
        ("gfx942", {"shared_bytes": 65537}, "shared memory: expected at most 65536, got 65537"),
        ("gfx942", {"tensor_core_opcodes": ()}, "tensor-core instructions: expected some"),
    ],
)
def test_limits(architecture, changed, problem) -> None:
    found = limits.problems(facts(**changed), architecture, needs_tensor_cores=True)
    if problem is None:
        assert found == []
    else:
        assert len(found) == 1
        assert found[0].startswith(problem)


@pytest.mark.parametrize(
    ("architecture", "changed", "n_programs"),
    [
        ("sm_80", {}, 4),  # 65,536 registers / (128 a thread x 128 threads)
        ("sm_80", {"registers": 32}, 4),  # 164 KB / 33 KB
        ("sm_80", {"registers": 32, "shared_bytes": 0}, 16),  # 64 warps / 4
        ("sm_90", {"registers": 32, "n_threads": 32, "shared_bytes": 0}, 32),
        ("sm_100", {"tensor_memory_columns": 256}, 2),
        ("gfx942", {"n_threads": 256}, 2),  # 64 KB / 32 KB
        ("gfx942", {"n_threads": 256, "shared_bytes": 0}, 4),  # 512 / 128 waves on each of 4
        ("gfx942", {"n_threads": 512, "registers": 200, "shared_bytes": 0}, 1),
    ],
)
def test_occupancy(architecture, changed, n_programs) -> None:
    assert limits.occupancy(facts(**changed), architecture) == n_programs
