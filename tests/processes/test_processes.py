"""What processes exchange, and what they refuse."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from launching import run, start

from fastgan.processes import Processes

EXCHANGED = """
import json
n = 7
rows = torch.arange(3 * n, dtype=torch.float64).reshape(n, 3)
whole = processes.gather_rows(rows[processes.share(n)].clone(), n)
few = processes.gather_rows(torch.arange(1)[processes.share(1)], 1)
total = processes.sum_(torch.tensor([1.5, float(processes.rank)]))
first = processes.broadcast_(torch.tensor([processes.rank + 4], dtype=torch.uint8))
refused = ""
try:
    processes.check_same("k", f"k = {int(processes.rank == processes.size - 1)}")
except ValueError as error:
    refused = str(error)
processes.check_same("sigma", "0.2")
said = [processes.any(False), processes.any(processes.rank == processes.size - 1)]
processes.barrier()
print(json.dumps([processes.rank, torch.equal(whole, rows), few.tolist(), total.tolist(),
                  first.tolist(), refused, said]))
"""


@pytest.mark.parametrize("n_processes", [2, 3])
def test_every_process_gets_the_whole(n_processes: int, tmp_path: Path) -> None:
    found = [json.loads(text) for text in run(EXCHANGED, n_processes, tmp_path)]
    for rank, (own, is_whole, few, total, first, refused, said) in enumerate(found):
        assert own == rank
        assert is_whole
        assert few == [0]
        assert total == [1.5 * n_processes, sum(range(n_processes))]
        assert first == [4]
        assert "k: expected the same on every process" in refused
        assert f"process {rank} of {n_processes}, got k = " in refused
        assert said == [False, True]


JOINED = """
import datetime, sys, time
from fastgan import processes
processes._JOINING = datetime.timedelta(seconds=float(sys.argv[1]))
with processes.launched() as (joined, _):
    if joined.rank == 1:
        time.sleep(float(sys.argv[1]) + 2.0)
    joined.barrier()
"""


def test_for_the_others_to_come_it_waits_less_than_for_their_work(tmp_path: Path) -> None:
    # so long may one of them take longer than the other to start, on a busy machine
    first, second = start([sys.executable, "-c", JOINED, "10"], 2, tmp_path)
    for child in (first, second):
        assert child.communicate(timeout=60) == ("", "")
        assert child.returncode == 0
    first, second = start([sys.executable, "-c", JOINED, "2"], 2, tmp_path)
    second.kill()
    _, told = first.communicate(timeout=60)
    assert first.returncode == 1
    assert "ProcessFailedError: process_group: another process is gone or cannot be reached" in told
    second.communicate()


def test_one_process_alone_needs_no_group() -> None:
    alone = Processes()
    rows = torch.ones(3, 2)
    assert (alone.rank, alone.size, alone.is_first) == (0, 1, True)
    assert alone.share(5) == slice(0, 5)
    assert alone.gather_rows(rows, 3) is rows
    assert alone.sum_(rows) is rows
    assert not alone.any(False)
    alone.check_same("k", "1")
    alone.barrier()


@pytest.mark.parametrize(("n", "size"), [(0, 2), (1, 4), (10, 3), (100, 7), (5, 5)])
def test_shares_are_consecutive_and_even(n: int, size: int) -> None:
    of_many = Processes()
    of_many.size = size
    shares = [of_many.share(n, rank) for rank in range(size)]
    assert [i for share in shares for i in range(n)[share]] == list(range(n))
    lengths = [share.stop - share.start for share in shares]
    assert max(lengths) - min(lengths) <= 1


def test_a_group_without_torch_distributed_is_refused() -> None:
    with pytest.raises(RuntimeError, match="not initialised"):
        Processes(object())  # type: ignore[arg-type]
