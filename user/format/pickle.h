/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Opcodes of Python's pickles, of CPython's Lib/pickletools.py: those of protocols 4 and 5 that a
 * tracemalloc.Snapshot is made of. From 3.6 to 3.15 both picklers, Modules/_pickle.c and
 * Lib/pickle.py, write no other for one.
 */
#ifndef TMBPF_FORMAT_PICKLE_H
#define TMBPF_FORMAT_PICKLE_H

enum opcode {
	OP_PROTO = 0x80,
	OP_FRAME = 0x95,
	OP_STOP = '.',
	OP_MARK = '(',
	OP_EMPTY_TUPLE = ')',
	OP_TUPLE = 't',
	OP_TUPLE1 = 0x85,
	OP_TUPLE2 = 0x86,
	OP_TUPLE3 = 0x87,
	OP_EMPTY_LIST = ']',
	OP_APPEND = 'a',
	OP_APPENDS = 'e',
	OP_EMPTY_DICT = '}',
	OP_SETITEM = 's',
	OP_SETITEMS = 'u',
	OP_BININT1 = 'K',
	OP_BININT2 = 'M',
	OP_BININT = 'J',
	OP_LONG1 = 0x8a,
	OP_SHORT_BINUNICODE = 0x8c,
	OP_BINUNICODE = 'X',
	OP_BINUNICODE8 = 0x8d,
	OP_STACK_GLOBAL = 0x93,
	OP_NEWOBJ = 0x81,
	OP_BUILD = 'b',
	OP_MEMOIZE = 0x94,
	OP_BINGET = 'h',
	OP_LONG_BINGET = 'j',
};

#endif
