"""The child process of ``python -m tests.fuzz``: libFuzzer's loop around one reader."""

from __future__ import annotations

import io
import json
import resource
import struct
import sys
import tempfile
import types
import zlib
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["gzip", "zipfile"]):
    import gzip
    import zipfile

sys.path.insert(0, str(Path(__file__).parents[1] / "hostile"))
import hostile_readers
import valid_files

# what reads and checks
READING = (
    *(f"fastgan.data.{name}" for name in ("arrays", "cifar10", "dataset", "faces", "fer2013")),
    *(f"fastgan.data.{name}" for name in ("idx", "load", "matlab", "npy", "scaling", "tar", "tfd")),
    *(f"fastgan.{name}" for name in ("best_weights", "checkpoints", "checks", "flat_json")),
    *(f"fastgan.{name}" for name in ("kept_evaluation", "parzen_stream_files", "reading")),
    *(f"fastgan.{name}" for name in ("recipe_files", "runs", "safetensors_files", "scores")),
    *(f"fastgan.recipes.{name}" for name in ("layers", "recipe")),
)
# address space beyond what the imports took: far above any honest need of files of 16 kB
MOST_BYTES = 1 << 30


def main() -> None:
    """Fuzz the reader named first; the other arguments are libFuzzer's."""
    name = sys.argv.pop(1)
    _instrument()
    folder = Path(tempfile.mkdtemp(prefix="fastgan-fuzz-"))
    path = folder / hostile_readers.READERS[name].file_name

    def one(content: bytes) -> None:
        path.write_bytes(content)
        hostile_readers.check_contract(name, path)

    for content in valid_files.seeds()[name]:
        path.write_bytes(content)
        hostile_readers.check_contract(name, path)  # and what is imported on the way
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MOST_BYTES, resource.RLIM_INFINITY))
    atheris.Setup(sys.argv, one, custom_mutator=MUTATORS.get(name, _plain))
    atheris.Fuzz()


def _instrument() -> None:
    """Count the branches of the library's own readers.

    Function by function, as an editable install has a loader that atheris's import hook does not
    know. What atheris 2.3.0 makes of some loops ends CPython 3.11, so tomllib is left as it is.
    """
    for name in READING:
        module = sys.modules[name]
        for owner in (module, *(each for each in vars(module).values() if isinstance(each, type))):
            for value in list(vars(owner).values()):
                function = getattr(value, "__func__", getattr(value, "fget", value))
                if isinstance(function, types.FunctionType) and function.__module__ == name:
                    atheris.instrument_func(function)


def _plain(content: bytes, most: int, seed: int) -> bytes:
    return atheris.Mutate(content, most)


def _inside(
    unpack: Callable[[bytes], bytes], pack: Callable[[bytes, bytes], bytes]
) -> Callable[[bytes, int, int], bytes]:
    """Return a mutator that half the time mutates what a container holds, and packs it again."""

    def mutate(content: bytes, most: int, seed: int) -> bytes:
        if seed % 2:
            try:
                inner = unpack(content)
                return pack(content, atheris.Mutate(inner, max(len(inner), 4 * most)))[:most]
            except Exception:  # this one is no container any more
                return atheris.Mutate(content, most)
        return atheris.Mutate(content, most)

    return mutate


def _gunzip(content: bytes) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(content, 1 << 18)


def _header_of(content: bytes) -> bytes:
    (n_bytes,) = struct.unpack_from("<Q", content)
    return content[8 : 8 + min(n_bytes, 1 << 16)]


def _with_header(content: bytes, header: bytes) -> bytes:
    (n_bytes,) = struct.unpack_from("<Q", content)
    return struct.pack("<Q", len(header)) + header + content[8 + min(n_bytes, 1 << 16) :]


def _member_of(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(archive.namelist()[0])[: 1 << 18]


def _with_member(content: bytes, changed: bytes) -> bytes:
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as archive,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as other,
    ):
        for number, name in enumerate(archive.namelist()[:4]):
            other.writestr(zipfile.ZipInfo(name), archive.read(name) if number else changed)
    return stream.getvalue()


def _variable_of(content: bytes) -> bytes:
    kind, n_bytes = struct.unpack_from("<II", content, 128)
    element = content[136 : 136 + n_bytes]
    return zlib.decompressobj().decompress(element, 1 << 18) if kind == 15 else content[128:]


def _with_variable(content: bytes, changed: bytes) -> bytes:
    kind, n_bytes = struct.unpack_from("<II", content, 128)
    rest = content[136 + n_bytes :] if kind == 15 else b""
    return content[:128] + valid_files.mat_element(15, zlib.compress(changed, 1)) + rest


def _text_of(content: bytes) -> bytes:
    return json.dumps(json.loads(content), ensure_ascii=True).encode()


_TENSORS = _inside(_header_of, _with_header)
_GZIP = _inside(_gunzip, lambda content, inner: gzip.compress(inner, 1, mtime=0))
_ZIP = _inside(_member_of, _with_member)
MUTATORS = {
    "idx": _GZIP,
    "cifar_archive": _GZIP,
    "npz": _ZIP,
    "faces": _ZIP,
    "mat": _inside(_variable_of, _with_variable),
    "checkpoint": _TENSORS,
    "best_weights": _TENSORS,
    "parzen_stream": _TENSORS,
}

if __name__ == "__main__":
    main()
