# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Allocates one block from a known place and prints its address.

Prints READY, waits for a line, makes a bytes object of 300 bytes in inner(), prints its address in
hexadecimal, and waits for another line.
"""
import os
import sys


def inner():
    return bytes(bytearray(300))


def outer():
    return inner()


def main():
    outer()
    os.write(1, b"READY\n")
    sys.stdin.readline()
    held = outer()
    # A bytes object has no header of the collector's before it: its id is its block's address.
    os.write(1, ("0x%x\n" % id(held)).encode())
    sys.stdin.readline()


if __name__ == "__main__":
    main()
