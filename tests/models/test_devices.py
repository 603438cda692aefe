"""Devices and dtypes by name."""

import pytest
import torch

from simset_bench.errors import RequestError
from simset_bench.models.devices import DTYPES, cpu_has_bfloat16, find_device, find_dtype

CPU = torch.device("cpu")


def test_auto_is_a_device_that_is_there() -> None:
    expected = "cuda:0" if torch.cuda.is_available() else "cpu"
    assert find_device("auto") == torch.device(expected)
    torch.zeros(1, device=find_device("auto"))


def test_a_cuda_device_that_is_not_there_is_told_how_many_are() -> None:
    count = torch.cuda.device_count()
    with pytest.raises(RequestError, match=f"--device cuda:{count}: not there, this machine has {count} CUDA devices"):
        find_device(f"cuda:{count}")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "meta", "cuda:-2"])
def test_what_is_no_device_is_told_what_is(name: str) -> None:
    with pytest.raises(RequestError, match="use auto, cpu, cuda, cuda:N or mps"):
        find_device(name)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="needs a machine without MPS")
def test_mps_that_is_not_there_is_told_so() -> None:
    with pytest.raises(RequestError, match="--device mps: not there"):
        find_device("mps")


def test_the_base_is_bfloat16_just_where_the_processor_has_it() -> None:
    assert find_dtype("auto", CPU) == (torch.bfloat16 if cpu_has_bfloat16() else torch.float32)


@pytest.mark.numerical
def test_attention_runs_in_the_dtype_that_auto_takes() -> None:
    # Without vector instructions PyTorch's attention in bfloat16 fails on a processor that has it.
    queries = torch.randn(1, 2, 600, 64).to(find_dtype("auto", CPU)).requires_grad_()
    attended = torch.nn.functional.scaled_dot_product_attention(queries, queries, queries, is_causal=True)
    attended.sum().backward()
    assert attended.isfinite().all()


@pytest.mark.parametrize("name", DTYPES)
def test_a_named_dtype_is_taken_at_its_word(name: str) -> None:
    assert find_dtype(name, CPU) == getattr(torch, name)


def test_an_unknown_dtype_is_told_with_a_near_miss() -> None:
    with pytest.raises(RequestError, match=r"unknown dtype 'bfloat' \(did you mean 'bfloat16'\?\): choose from auto, "):
        find_dtype("bfloat", CPU)
