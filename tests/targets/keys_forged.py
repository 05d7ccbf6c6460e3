# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Classes with ten instances each, whose dicts' keys say what cannot be.

    keys_forged.py

Prints READY when all is done, and waits to be ended: it could not go on with such classes.
"""
import ctypes
import os
import signal
import sys

INSTANCES = 10
TP_DICT, MA_KEYS = 264, 32
NEW = sys.version_info >= (3, 11)
NENTRIES = 24 if NEW else 32

# Offset in the keys, width in bits, what to write there.
ENTRIES = [(NENTRIES, 64, count) for count in (2 ** 62, 2 ** 64 - 1, 2 ** 32, 65536, 64)]
if NEW:
    # dk_log2_size, dk_log2_index_bytes, dk_kind
    SIZES = [(8, 8, 255), (8, 8, 40), (9, 8, 25), (9, 8, 30), (9, 8, 63), (9, 8, 64), (10, 8, 3),
             (10, 8, 255)]
else:
    # dk_size
    SIZES = [(8, 64, size) for size in (0, 7, 2 ** 24, 2 ** 62, 2 ** 64 - 8)]


def forge(address, *changes):
    keys = ctypes.c_uint64.from_address(
        ctypes.c_uint64.from_address(address + TP_DICT).value + MA_KEYS).value
    for offset, bits, value in changes:
        {8: ctypes.c_uint8, 64: ctypes.c_uint64}[bits].from_address(keys + offset).value = value


changes = [(one,) for one in ENTRIES + SIZES] + [(one, other) for one in ENTRIES for other in SIZES]
classes = [type("Forged%d" % i, (), {}) for i in range(len(changes))]
kept = [[one() for _ in range(INSTANCES)] for one in classes]
whole = type("Whole", (), {})
kept.append([whole() for _ in range(INSTANCES)])
for one, change in zip(classes, changes):
    forge(id(one), *change)
os.write(1, b"READY\n")
while True:
    signal.pause()
