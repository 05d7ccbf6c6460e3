# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Both runs of a comparison start alike.

The run that yields the truth imports json and tracemalloc before it starts, the traced one does not.
Their names alone fill the interpreter's table of interned strings so far (3.13 on, where they stay for
ever) that it doubles before tracing in the one run and during it in the other: one block of 207,552
bytes, more than the comparison allows a line to be off.  With this folder on PYTHONPATH both import
them at start-up.
"""
import json  # noqa: F401
import tracemalloc  # noqa: F401
