/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The page that build made, as read-only data of tmbpf: user/format/html.c. */
	.section .rodata
	.globl html_head, html_head_size, html_tail, html_tail_size
	.balign 8
html_head_size:
	.quad 1f - html_head
html_tail_size:
	.quad 2f - html_tail
html_head:
	.incbin "html/head.html"
1:
html_tail:
	.incbin "html/tail.html"
2:
	.section .note.GNU-stack, "", @progbits
