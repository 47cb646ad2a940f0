"""What this machine is and the choices made for it; importing this file does not import torch."""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def prepare() -> None:
    """What must stand before torch is loaded: the allocator, waiting threads, and no broken AMX.

    A thread that waits spinning goes on at once: small models train twice as fast that way. But it
    takes time slices from whoever else wants its core, and then training is 4 times slower; so on
    a machine that is busy already threads wait asleep.
    """
    tune_allocator()
    if "GOMP_SPINCOUNT" not in os.environ and is_busy():
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if amx_is_broken():
        os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16")


def is_busy(looks: int = 5) -> bool:
    """Whether other programs compute here now: the least number seen running in a few looks."""
    running = []
    try:
        for _ in range(looks):
            running.append(int(Path("/proc/loadavg").read_text().split()[3].split("/")[0]))
            time.sleep(0.001)
    except OSError:  # not Linux: nobody knows
        return False
    return min(running) > 1  # this program itself runs


@cache
def amx_is_broken() -> bool:
    """Whether AMX matrix tiles are announced but cannot be used.

    Some virtual machines hide AMX's tile table (CPUID leaf 0x1D is zero); oneDNN then configures
    no tile and the first bf16 or int8 product kills the process with SIGILL.
    """
    try:
        announced = " amx_tile" in Path("/proc/cpuinfo").read_text()
        return announced and not any(_cpuid(0x1D, 1))
    except OSError:  # not Linux, or no executable memory to ask from: not known to be
        return False


def _cpuid(leaf: int, subleaf: int) -> list[int]:
    """The four registers of the x86-64 instruction CPUID, which Python has no other way to ask."""
    if platform.machine() != "x86_64":
        raise OSError("CPUID is an x86 instruction")
    # push rbx; mov eax, edi; mov ecx, esi; mov r8, rdx; cpuid; mov [r8 + 4 i], e?x; pop rbx; ret
    code = bytes.fromhex("53 89f8 89f1 4989d0 0fa2 418900 41895804 41894808 4189500c 5b c3")
    memory = mmap.mmap(-1, len(code), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    registers = (ctypes.c_uint32 * 4)()
    ask = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p)(address)
    ask(leaf, subleaf, ctypes.addressof(registers))
    return list(registers)


def tune_allocator() -> str:
    """Keep large buffers in the process instead of returning them to the system at every step.

    On Linux with glibc this spares tens of thousands of page faults a batch (1.2-1.4 times faster
    training). `POLYHEAD_ALLOCATOR=system` switches it off. Returns what was chosen:
    "tuned" or "system". Call before torch allocates anything.
    """
    if sys.platform != "linux" or os.environ.get("POLYHEAD_ALLOCATOR") == "system":
        return "system"
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return "system"
    for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 2**26)):
        mallopt(option, value)
    return "tuned"


@dataclass(frozen=True)
class Choices:
    """What a run computes with; written into the run and used again on resume."""

    device: str  # cpu | cuda | mps
    precision: str  # fp32 | bf16 | fp16
    threads: int
    explicit_attention_below: int  # keys; shorter trains by explicit products, longer by SDPA

    def as_dict(self) -> dict[str, object]:
        return asdict(self)

    def describe(self) -> str:
        return f"{self.device}, {self.precision}, {self.threads} threads"


def choose(precision: str = "auto", threads: int | None = None) -> Choices:
    """Look at the machine and choose device, precision ("auto": what is fast here) and threads."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if precision == "auto":
        if device == "cuda":
            precision = "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        else:
            precision = "bf16" if has_fast_bf16() else "fp32"
    explicit = explicit_attention_below() if (device, precision) == ("cpu", "bf16") else 0
    return Choices(device, precision, threads or torch.get_num_threads(), explicit)


@cache
def has_fast_bf16() -> bool:
    """Whether bf16 matrix products are far ahead of fp32 ones here: timed, not guessed.

    Every CPU can multiply bf16, some of them slowly. Below 2.5 times as fast it is not worth it:
    what else a training step does is slower in bf16 (docs/decisions/0003).
    """
    import torch

    def product(dtype: torch.dtype) -> Callable[[], object]:
        a, b = torch.ones(512, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)
        return lambda: torch.mm(a, b)

    if amx_is_broken():
        return False
    return _seconds(product(torch.bfloat16)) * 2.5 < _seconds(product(torch.float32))


@cache
def explicit_attention_below() -> int:
    """Keys below which training in bf16 does attention by explicit products: timed, too.

    They keep a weight for every query and key, so beyond 1,024 keys SDPA has to do in any case.
    """
    import torch
    import torch.nn.functional as F

    def faster(keys: int) -> bool:
        q, k, v = (torch.ones(1, 2, keys, 64, dtype=torch.bfloat16) for _ in range(3))
        mask = torch.zeros(keys, keys, dtype=torch.bfloat16)
        q.requires_grad_()

        def explicit() -> None:
            logits = torch.matmul(q, k.transpose(-2, -1)).add_(mask)
            torch.matmul(torch.softmax(logits, dim=-1), v).sum().backward()

        def fused() -> None:
            F.scaled_dot_product_attention(q, k, v, is_causal=True).sum().backward()

        return _seconds(explicit) < 0.8 * _seconds(fused)

    return next((keys + 1 for keys in (1024, 512) if faster(keys)), 384)


def _seconds(work: Callable[[], object]) -> float:
    """The least of some tries."""
    times = []
    for _ in range(6):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def apply(choices: Choices) -> None:
    """Make torch use the choices: threads, and denormals flushed to zero (they cost 100 times)."""
    import torch

    torch.set_num_threads(choices.threads)
    torch.set_flush_denormal(True)
