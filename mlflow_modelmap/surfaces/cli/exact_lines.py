"""Surface: an exact comparison in lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow_modelmap.words.interval import interval_words
from mlflow_modelmap.words.value_and_error import with_error

if TYPE_CHECKING:
    from mlflow_modelmap.drivers.exact.exact import ExactStudy

_MOST_TEXTS = 10


def told_in_lines(study: ExactStudy, row: int = 0) -> list[str]:
    """A pair as a reader wants it: sizes with errors, then the tokens that carry most."""
    one = study.pairs.iloc[row]
    tokens = study.tokens[study.tokens["pair"] == one["pair"]].head(5)
    texts = study.by_text[study.by_text["pair"] == one["pair"]].nlargest(_MOST_TEXTS, "forward")
    total = study.by_text.loc[study.by_text["pair"] == one["pair"], "forward"].sum()
    lines = [
        f"Exact, over {int(one['tokens']):,} tokens of {int(one['texts']):,} texts "
        f"(A = {one['first']}, B = {one['second']}):",
        f"  KL(A || B) {with_error(one['forward'], one['forward_se'])} bits/byte, "
        f"{interval_words(one['forward_low'], one['forward_high'])}",
        f"  KL(B || A) {with_error(one['reverse'], one['reverse_se'])}, "
        f"Jensen-Shannon {with_error(one['js'], one['js_se'])}",
        f"  same likeliest token at {with_error(100 * one['top1'], 100 * one['top1_se'])} % of "
        "tokens, "
        f"perplexity of B over A "
        f"{with_error(one['perplexity_ratio'], one['perplexity_ratio_se'])}",
        f"  nats a token: mean {one['token_mean']:.4g}, median {one['kl_50']:.4g}, 95 % "
        f"{one['kl_95']:.4g}, 99 % {one['kl_99']:.4g}, 99.9 % {one['kl_99.9']:.4g}, largest "
        f"{one['kl_100']:.4g}",
    ]
    if total > 0:
        share = texts["forward"].sum() / total
        which = ", ".join(str(text) for text in texts["text"].head(5))
        lines.append(
            f"  {len(texts)} texts carry {100 * share:.0f} % of KL(A || B); the first are {which}"
        )
    for token in tokens.itertuples():
        lines.append(
            f"  text {token.text}, {token.kl:.3g} nats: {token.context[-40:]!r} then "
            f"{token.token!r}; A {token.first}; B {token.second}"
        )
    return lines
