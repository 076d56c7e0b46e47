"""Integers packed one by one, as GPTQ, AWQ and compressed-tensors lay them out."""

from __future__ import annotations

import numpy as np
import torch

IN_A_WORD = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which of eight columns AWQ puts first, second, ... into a word."""


def packed(codes, bits, axis):
    """A matrix of codes as words, along one axis, code after code and bit after bit."""
    turned = np.asarray(codes) if axis == 0 else np.asarray(codes).T
    words = []
    for column in turned.T.tolist():
        number = sum(code << place * bits for place, code in enumerate(column))
        count = -(-len(column) * bits // 32)
        words.append([number >> 32 * word & 0xFFFFFFFF for word in range(count)])
    made = np.array(words, dtype=np.uint32).T
    made = made if axis == 0 else made.T
    return torch.from_numpy(np.ascontiguousarray(made).view(np.int32).copy())


def packed_by_awq(codes):
    """A matrix of codes of four bits as words, along the columns in AWQ's order."""
    columns = np.shape(codes)[1]
    order = [8 * word + place for word in range(columns // 8) for place in IN_A_WORD]
    return packed(np.asarray(codes)[:, order], 4, 1)
