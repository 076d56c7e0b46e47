"""Scoring: kernels in Triton that read logits once. Importing this imports triton."""

# mypy: ignore-errors
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _value(x, bias, columns, inside, scale, cap, BIAS: tl.constexpr, CAP: tl.constexpr):
    """What a model makes of products: bias, then a factor, then a soft cap."""
    if BIAS:
        x += tl.load(bias + columns, mask=inside, other=0.0).to(tl.float32)
    x = x * scale
    if CAP:
        z = x / cap
        e = tl.exp(-2 * tl.abs(z))
        x = cap * tl.where(z < 0, -1.0, 1.0) * (1 - e) / (1 + e)
    return x


@triton.jit
def read_tile(
    logits,
    width,
    first,
    bias,
    targets,
    largest_at,
    total_at,
    wanted_at,
    scale,
    cap,
    BIAS: tl.constexpr,
    CAP: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One row of a tile (R, width) of products: its largest logit, sum of exponentials, target."""
    row = tl.program_id(0)
    largest, total = tl.load(largest_at + row), tl.load(total_at + row)
    base = logits + row.to(tl.int64) * width
    for start in range(0, width, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        inside = columns < width
        x = tl.load(base + columns, mask=inside, other=0.0)
        x = _value(x, bias + first, columns, inside, scale, cap, BIAS, CAP)
        x = tl.where(inside, x, -float("inf"))
        higher = tl.maximum(largest, tl.max(x, 0))
        part = tl.sum(tl.exp(x - higher), 0).to(tl.float64)
        total = total * tl.exp(largest - higher).to(tl.float64) + part
        largest = higher
    tl.store(largest_at + row, largest)
    tl.store(total_at + row, total)
    place = tl.load(targets + row) - first
    here = (place >= 0) & (place < width)
    x = tl.load(base + place, mask=here, other=0.0)
    x = _value(x, bias + first, place, here, scale, cap, BIAS, CAP)
    tl.store(wanted_at + row, x, mask=here)


@triton.jit
def _normaliser(logits, width, BLOCK: tl.constexpr):
    """Largest of a row, where it is first, and the log of its sum of exponentials."""
    largest = tl.full((), -1e30, tl.float32)
    total = tl.full((), 0.0, tl.float64)
    top = tl.full((), 0, tl.int64)
    for start in range(0, width, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        x = tl.load(logits + columns, mask=columns < width, other=-float("inf"))
        peak = tl.max(x, 0)
        if peak > largest:
            top = (start + tl.argmax(x, 0)).to(tl.int64)
        higher = tl.maximum(largest, peak)
        part = tl.sum(tl.exp(x - higher), 0).to(tl.float64)
        total = total * tl.exp(largest - higher).to(tl.float64) + part
        largest = higher
    return tl.log(total) + largest.to(tl.float64), top


@triton.jit
def _log_cosh(x):
    """ln cosh x, near 0 by its series so that nothing cancels."""
    size = tl.abs(x)
    y = x * x
    near = 31.0 / 14175 - y * (691.0 / 935550)
    near = y * (0.5 - y * (1.0 / 12 - y * (1.0 / 45 - y * (17.0 / 2520 - y * near))))
    far = size + tl.log(1 + tl.exp(-2 * size)) - 0.6931471805599453
    return tl.where(size < 0.5, near, far)


@triton.jit
def _above_tangent(x):
    """exp(x) - 1 - x for x near 0, by its series."""
    near = 1.0 / 362880 + x * (1.0 / 3628800)
    near = 1.0 / 720 + x * (1.0 / 5040 + x * (1.0 / 40320 + x * near))
    return x * x * (0.5 + x * (1.0 / 6 + x * (1.0 / 24 + x * (1.0 / 120 + x * near))))


@triton.jit
def divergences(
    p,
    q,
    width,
    forward_at,
    reverse_at,
    js_at,
    log_p_at,
    log_q_at,
    agree_at,
    ratio_most,
    BLOCK: tl.constexpr,
):
    """One row of logits (R, width) of two models: both read twice, once for their normalisers."""
    row = tl.program_id(0)
    p += row.to(tl.int64) * width
    q += row.to(tl.int64) * width
    log_p, top_p = _normaliser(p, width, BLOCK)
    log_q, top_q = _normaliser(q, width, BLOCK)
    shift_p, shift_q = log_p.to(tl.float32), log_q.to(tl.float32)
    apart = (log_p - log_q).to(tl.float32)
    forward = tl.full((), 0.0, tl.float64)
    reverse = tl.full((), 0.0, tl.float64)
    js = tl.full((), 0.0, tl.float64)
    for start in range(0, width, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        inside = columns < width
        x = tl.load(p + columns, mask=inside, other=0.0)
        y = tl.load(q + columns, mask=inside, other=0.0)
        # Outside the vocabulary: no probability, and a ratio of 1.
        prob_p = tl.where(inside, tl.exp(x - shift_p), 0.0)
        prob_q = tl.where(inside, tl.exp(y - shift_q), 0.0)
        ratio = tl.where(inside, (x - y) - apart, 0.0)  # ln(P / Q)
        gap = prob_p - prob_q
        # P ln(P/Q) - P + Q = P (exp(-d) - 1 + d) with d = ln(P/Q): nothing cancels for small d.
        alike = tl.abs(ratio) < 0.5
        term = tl.where(alike, prob_p * _above_tangent(-ratio), prob_p * ratio - gap)
        forward += tl.sum(term, 0).to(tl.float64)
        term = tl.where(alike, prob_q * _above_tangent(ratio), gap - prob_q * ratio)
        reverse += tl.sum(term, 0).to(tl.float64)
        ratio = tl.minimum(tl.maximum(ratio, -ratio_most), ratio_most)
        term = gap * ratio * 0.25 - (prob_p + prob_q) * _log_cosh(ratio * 0.5) * 0.5
        js += tl.sum(term, 0).to(tl.float64)
    tl.store(forward_at + row, forward)
    tl.store(reverse_at + row, reverse)
    tl.store(js_at + row, js)
    tl.store(log_p_at + row, log_p)
    tl.store(log_q_at + row, log_q)
    tl.store(agree_at + row, (top_p == top_q).to(tl.int8))
