"""Valid files: what our readers read is what NumPy, scipy, tarfile and safetensors read."""

from __future__ import annotations

import io
import tarfile
import zipfile

import numpy as np
import pytest
import safetensors.torch
import scipy.io
import torch
import valid_files

from fastgan.data import arrays, cifar10, matlab, tar
from fastgan.safetensors_files import read_safetensors

KINDS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
SHAPES = ((), (1,), (7,), (3, 5), (2, 3, 4), (2, 1, 3, 2))


def numbers(dtype, shape):
    bits = np.random.default_rng(0).integers(0, 256, (*shape, dtype.itemsize), np.uint8)
    if dtype.kind == "b":
        bits &= 1
    return bits.reshape(-1).view(dtype).reshape(shape)  # NaN and infinities too


def same(ours, theirs):
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", [*KINDS, "g"])
def test_npy_and_npz(tmp_path, kind, order):
    for shape in SHAPES:
        array = numbers(np.dtype(order + kind), shape)
        for laid in (
            array,
            np.asfortranarray(array),
            array.T,
            array[..., ::-1] if shape else array,
        ):
            np.save(tmp_path / "a.npy", laid)
            same(arrays.map_npy(tmp_path / "a.npy"), np.load(tmp_path / "a.npy"))
    for version in ((1, 0), (2, 0)):
        with (tmp_path / "a.npy").open("wb") as file:
            np.lib.format.write_array(file, array, version)
        same(arrays.map_npy(tmp_path / "a.npy"), np.load(tmp_path / "a.npy"))
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", images=np.asfortranarray(array))
        with zipfile.ZipFile(tmp_path / "a.npz") as archive, np.load(tmp_path / "a.npz") as theirs:
            (info,) = archive.infolist()
            ours = arrays._read_member(archive, info, tmp_path / "a.npz", 2**20)
            same(ours, theirs["images"])


def test_a_name_that_is_not_ascii(tmp_path):
    path = tmp_path / "Gesichter-ä-顔-😀.npz"
    path.write_bytes(valid_files.npz(**{"bilder-ä-顔": valid_files.IMAGES}))
    assert arrays.load_npz(path).train.shape == (4, 6)
    path.write_bytes(valid_files.npz(顔=valid_files.IMAGES, 貌=valid_files.IMAGES))
    with pytest.raises(ValueError, match=r"😀\.npz: expected an array named images, got: 顔, 貌"):
        arrays.load_npz(path)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", KINDS[1:-3] + KINDS[-2:])
def test_mat(tmp_path, kind, compressed):
    path = tmp_path / "a.mat"
    for shape in SHAPES[1:]:
        array = numbers(np.dtype(kind), shape)
        for laid in (array, np.asfortranarray(array), array.astype(f">{kind}")):
            fields = {"before": np.array(["text"]), "x": laid, "after": {"a": 1}}
            scipy.io.savemat(path, fields, do_compression=compressed)
            ours, names = matlab.read_numbers(path, ("x",))
            same(ours["x"], scipy.io.loadmat(path)["x"])
            assert names == ["before", "x", "after"]


def test_mat_of_small_elements_and_packed_types(tmp_path):
    """MATLAB itself stores doubles that are whole in fewer bytes, and small ones in their tag."""
    flags = valid_files.mat_element(6, np.array([6, 0], "<u4").tobytes())  # of class double
    sizes = valid_files.mat_element(5, np.array([1, 3], "<i4").tobytes())
    small = np.array([1 | 1 << 16], "<u4").tobytes() + b"x\0\0\0"  # the name
    data = np.array([2 | 3 << 16], "<u4").tobytes() + bytes([7, 8, 255, 0])
    variable = valid_files.mat_element(14, flags + sizes + small + data)
    path = tmp_path / "a.mat"
    path.write_bytes(valid_files.mat({})[:128] + variable)
    same(matlab.read_numbers(path, ("x",))[0]["x"], np.array([[7.0, 8.0, 255.0]]))
    same(scipy.io.loadmat(path)["x"].astype("f8"), np.array([[7.0, 8.0, 255.0]]))


def test_mat_of_big_endian_machines(tmp_path):
    def element(kind, content):
        return np.array([kind, len(content)], ">u4").tobytes() + content

    flags = element(6, np.array([6, 0], ">u4").tobytes())
    sizes = element(5, np.array([2, 1], ">i4").tobytes())
    data = element(9, np.array([0.5, -3.25], ">f8").tobytes())
    header = b"MATLAB 5.0".ljust(124) + b"\1\0MI"
    variable = flags + sizes + element(1, b"big_name") + data
    path = tmp_path / "a.mat"
    path.write_bytes(header + element(14, variable))
    ours = matlab.read_numbers(path, ("big_name",))[0]["big_name"]
    assert ours.tolist() == [[0.5], [-3.25]]
    assert scipy.io.loadmat(path)["big_name"].tolist() == ours.tolist()


def test_mat_of_level_4_is_refused(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"x": np.eye(3)}, format="4")
    with pytest.raises(ValueError, match=r"a\.mat: expected a MATLAB 5 file"):
        matlab.read_numbers(tmp_path / "a.mat", ("x",))


@pytest.mark.parametrize("notation", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar(notation):
    contents = {"a": b"", "folder/b": b"1" * 512, "folder/ä": b"2" * 513, "c": bytes(20_000)}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=notation) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "a"
        archive.addfile(link)
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    stream.seek(0)
    ours = list(tar.members(stream, "here", 32, 2**20))
    files = {member.name: content for member, content in ours if member.is_file}
    stream.seek(0)
    with tarfile.open(fileobj=stream) as archive:
        theirs = {
            member.name: archive.extractfile(member).read()
            for member in archive.getmembers()
            if member.isfile()
        }
    assert theirs == contents
    if notation == tarfile.PAX_FORMAT:  # its true name stands in a header that is stepped over
        theirs[next(name for name in files if name not in theirs)] = theirs.pop("folder/ä")
    assert files == theirs


def test_a_long_name_of_ustar_is_put_together():
    name = f"{'f' * 120}/{'n' * 90}"
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo(name))
    stream.seek(0)
    assert [member.name for member, _ in tar.members(stream, "here", 9, 9)] == [name]


def test_the_archive_of_cifar10(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10, "RECORDS_A_FILE", valid_files.RECORDS)
    path = tmp_path / cifar10.ARCHIVE
    path.write_bytes(valid_files.gz(valid_files.cifar_tar()))
    with tarfile.open(path) as archive:
        for name, ours in cifar10.read_archive(path).items():
            theirs = archive.extractfile(f"cifar-10-batches-bin/{name}")
            assert ours.tobytes() == theirs.read()


def test_safetensors(tmp_path):
    tensors = {"ä-顔": torch.ones(2)}
    for dtype in (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64):
        tensors[str(dtype)] = torch.arange(-6, 6).reshape(3, 4).to(dtype)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        tensors[str(dtype)] = torch.tensor([[1.5, -0.0], [torch.inf, torch.nan]], dtype=dtype)
    for number, shape in enumerate(((), (0,), (0, 3), (1, 2, 1, 3))):
        tensors[f"shape {number}"] = torch.zeros(shape)
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file(tensors, path, {"a": "b", "ä": "😀"})
    metadata, ours = read_safetensors(path)
    theirs = safetensors.torch.load_file(path)
    assert ours.keys() == theirs.keys() == tensors.keys()
    for name, expected in theirs.items():
        assert (ours[name].dtype, ours[name].shape) == (expected.dtype, expected.shape)
        kept = (each.contiguous().flatten().view(torch.uint8) for each in (ours[name], expected))
        assert torch.equal(*kept)
    with safetensors.safe_open(path, "pt") as file:
        assert metadata == file.metadata() == {"a": "b", "ä": "😀"}
    assert read_safetensors(path, with_tensors=False) == (metadata, {})
