"""Tells the C library to keep freed memory, which training needs again in the next step."""

import ctypes

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_DEFAULT_TRIM, _DEFAULT_MMAPS = 128 * 1024, 65536


def keep_freed_memory(keep: bool = True) -> bool:
    """Keep freed memory in the process instead of giving it back to the system; False restores the default.

    By default glibc maps every large tensor anew, and the system zeroes its pages each time, which takes a tenth of a
    training step's processor time or more. Returns whether the C library has this switch, as glibc does.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    trim, maps = (2**31 - 1, 0) if keep else (_DEFAULT_TRIM, _DEFAULT_MMAPS)
    # Threads with room of their own could hold no large tensor there without maps.
    arenas = mallopt(_M_ARENA_MAX, 1) if keep else 1
    return bool(arenas and mallopt(_M_TRIM_THRESHOLD, trim) and mallopt(_M_MMAP_MAX, maps))
