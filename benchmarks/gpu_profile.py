"""Where a step's time goes on the card: how long kernels run, how often they are waited for, what they are."""

from collections import Counter
from collections.abc import Callable

import torch
from gpu_figures import Figures, time_steps, wait
from step_profile import kind_of
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

_WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
_LONGEST = 12


def profile_steps(step: Callable[[int], object], device: torch.device, steps: int = 2) -> Figures:
    """Figures of one step: its seconds without the profiler, and of these, the share in which kernels run.

    `shares_of_kernel_time` is by kind of operation; `longest` are the operations with the most kernel time, each in
    milliseconds; `processor` those with the most of the processor's, under the profiler, which slows it down.
    """
    seconds = time_steps(step, device, most=5, budget=1.0)["seconds_a_step"]
    on_card = device.type == "cuda"
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_card
    with profile(activities=activities, acc_events=True) as profiled:
        for number in range(steps):
            step(number)
        wait(device)
    operations = [each for each in profiled.key_averages() if each.device_type == DeviceType.CPU]
    kernels = [each for each in profiled.events() if each.device_type == DeviceType.CUDA]
    time_of: Callable[..., float] = lambda each: each.self_device_time_total if on_card else each.self_cpu_time_total  # noqa: E731
    by_kind: Counter[str] = Counter()
    for each in operations:
        by_kind[kind_of(each.key)] += time_of(each)
    total = sum(by_kind.values()) or 1.0
    longest = sorted(operations, key=time_of, reverse=True)[:_LONGEST]
    busiest = sorted(operations, key=lambda each: each.self_cpu_time_total, reverse=True)[:_LONGEST]
    return {
        "seconds_a_step": seconds,
        "kernels_a_step": len(kernels) / steps,
        "waits_a_step": sum(each.count for each in operations if each.key in _WAITS) / steps,
        "share_of_time_in_kernels": sum(each.time_range.elapsed_us() for each in kernels) / 1e6 / steps / seconds,
        "shares_of_kernel_time": {kind: value / total for kind, value in by_kind.most_common()},
        "longest": {each.key: time_of(each) / 1e3 / steps for each in longest},
        "processor": {each.key: each.self_cpu_time_total / 1e3 / steps for each in busiest},
    }
