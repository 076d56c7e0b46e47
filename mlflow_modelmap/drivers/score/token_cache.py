"""Driver: tokens of a text set, made once for each tokenizer, whatever folders it lies in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cachetools import LRUCache

from mlflow_modelmap.drivers.score import spool
from mlflow_modelmap.drivers.score.prepare import Prepared
from mlflow_modelmap.drivers.score.vector import Ready
from mlflow_modelmap.scoring.model.config import known_config, most_tokens
from mlflow_modelmap.scoring.model.folder import tokenizer_digest
from mlflow_modelmap.scoring.tokenizer.templates import template_digest

if TYPE_CHECKING:
    from mlflow_modelmap.scoring.tokenizer.tokenize import TokenizedTexts


class TokenCache:
    """Tokens for prepared models; those of the last few tokenizers are kept.

    Parameters
    ----------
    shared
        Whether other processes of this machine need the same ones.
    """

    def __init__(self, keep: int = 4, shared: bool = False) -> None:
        self._made: LRUCache[tuple[Any, ...], TokenizedTexts] = LRUCache(keep)
        self._shared = shared

    def ready(self, prepared: Prepared, *, again: bool = False) -> Ready:
        """A prepared model with its tokens, or with its vector if that waits in the spool.

        Parameters
        ----------
        again
            Whether a vector that waits counts only if it was itself scored again.

        Raises
        ------
        InputError
            If a text is too long for the model, or gives nothing to score.
        """
        both = prepared.request.settings.unconditional
        kept = spool.waiting(prepared.identities, len(prepared.texts), again=again, both=both)
        return Ready(prepared, None if kept else self.tokens_for(prepared), kept, again)

    def tokens_for(self, prepared: Prepared) -> TokenizedTexts:
        """The tokens for a model, fitted to its positions.

        Raises
        ------
        InputError
            If a text is too long for the model, or gives nothing to score.
        """
        from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize

        folder, texts = prepared.files.tokenizer_path, prepared.texts
        settings, config = prepared.request.settings, known_config(prepared.files)
        key = (
            tokenizer_digest(folder, config),
            texts.digest,
            settings.bos,
            settings.eos,
            settings.tokens_from,
            settings.unspelled,
            template_digest(settings.template, None if texts.prompts is None else folder),
            settings.system_prompt,
            settings.end_of_turn,
            settings.unconditional,
            settings.split_special_tokens,
            settings.trust_remote_code,
        )
        if key not in self._made:
            if self._shared:
                from mlflow_modelmap.drivers.score.token_files import made_once

                made = made_once(key, lambda: tokenize(folder, texts, settings))
            else:
                made = tokenize(folder, texts, settings)
            self._made[key] = made
        return self._made[key].fitted(
            most_tokens(prepared.files, config, settings.engine), settings
        )
