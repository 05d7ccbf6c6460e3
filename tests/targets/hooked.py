# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Objects are allocated by functions that this program puts before the interpreter's own, as memory
profilers do.

They pass everything on. Prints READY, and waits for its standard input to end.
"""
import ctypes
import mmap
import os
import struct

OBJ = 2  # PYMEM_DOMAIN_OBJ


class Allocator(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p)
                for name in ("context", "malloc", "calloc", "realloc", "free")]


def main():
    table = Allocator()
    ctypes.pythonapi.PyMem_GetAllocator(OBJ, ctypes.byref(table))
    code = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
                     prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    start = ctypes.addressof(ctypes.c_char.from_buffer(code))
    for i, (name, _) in enumerate(Allocator._fields_[1:]):
        # mov $function, %rax; jmp *%rax
        code[16 * i:16 * i + 12] = b"\x48\xb8" + struct.pack("<Q",
                                                             getattr(table, name)) + b"\xff\xe0"
        setattr(table, name, start + 16 * i)
    ctypes.pythonapi.PyMem_SetAllocator(OBJ, ctypes.byref(table))
    kept = [{"number": i} for i in range(3000)]
    os.write(1, b"READY\n")
    while os.read(0, 1):
        pass
    # As long as the interpreter lives the functions have to be there.
    os._exit(len(kept) - 3000)


if __name__ == "__main__":
    main()
