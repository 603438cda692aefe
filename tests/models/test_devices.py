"""Devices and dtypes by name."""

import pytest
import torch

from simset_bench.errors import RequestError
from simset_bench.models.devices import DTYPES, bfloat16_is_faster_on_cpu, find_device, find_dtype

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


def test_the_base_is_bfloat16_just_where_the_processor_is_faster_in_it() -> None:
    assert find_dtype("auto", CPU) == (torch.bfloat16 if bfloat16_is_faster_on_cpu() else torch.float32)


@pytest.mark.skipif(not hasattr(torch.cpu, "get_capabilities"), reason="needs PyTorch 2.10 or newer")
@pytest.mark.parametrize(
    ("features", "faster"),
    [
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, True),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"cpu_name": "AMD EPYC 9R14", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"cpu_name": "AMD EPYC 7R13", "avx512_bf16": False, "amx_bf16": False}, False),
        ({"cpu_name": "Neoverse-V2"}, False),
    ],
)
def test_which_processors_are_faster_in_bfloat16(
    features: dict[str, object], faster: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    assert bfloat16_is_faster_on_cpu() is faster


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
