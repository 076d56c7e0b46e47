"""Responses behind prompts: tokenizers like SentencePiece's, odd templates, templates in files."""

from __future__ import annotations

import json
import shutil

import pytest
from tokenizers import Tokenizer, decoders, normalizers, trainers
from tokenizers import models as kinds
from transformers import AutoTokenizer, PreTrainedTokenizerFast

import mlflow_modelmap as mm
from mlflow_modelmap import InputError, ScoringError, ScoringSettings, TextSet
from mlflow_modelmap.drivers.score.prepare import prepare
from mlflow_modelmap.drivers.score.request import ScoreRequest
from mlflow_modelmap.drivers.score.token_cache import TokenCache
from mlflow_modelmap.scoring.model.reference import LOCAL, ModelReference
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize_with
from tests import tiny
from tests.scoring.tokenizer.chat_templates import CHATML, LLAMA_2, LLAMA_3, ZEPHYR, chat_model

PAIR = TextSet("pair", ("The fox.",), prompts=("Why?",))


@pytest.fixture(scope="module")
def sentencepiece():
    """BPE with a space put before every text and bytes for unknown characters, as Llama 2's."""
    made = Tokenizer(kinds.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    made.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)])
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=names, show_progress=False)
    made.train_from_iterator([s for s in tiny.SENTENCES if s.isascii()] * 4, trainer)
    content = json.loads(made.to_str())
    content["added_tokens"] = content["added_tokens"][:3]  # bytes are no special tokens
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(content)),
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
    )


def pieces(tokenizer, response, template, prompt="Why? fox", **given):
    """The response's tokens by name, and the bytes that they reach."""
    tokenizer.chat_template = template
    texts = TextSet("t", (response,), prompts=(prompt,))
    made = tokenize_with(tokenizer, texts, ScoringSettings(unspelled=1, **given))
    first = int(made.firsts[0])
    names = tokenizer.convert_ids_to_tokens(made.ids[0][first:])
    return names, made.ends[0][first:].tolist()


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("template", [CHATML, None])
@pytest.mark.parametrize(
    "response", ["The quick fox.", "京都 is the fox", " The fox ", "\n\nThe fox\n", "é"]
)
def test_no_space_is_scored_that_the_response_has_not(sentencepiece, template, response, split):
    names, ends = pieces(sentencepiece, response, template, split_special_tokens=split)
    parts = [
        bytes([int(name[3:5], 16)]) if name.startswith("<0x") else name.replace("▁", " ").encode()
        for name in names
    ]
    assert b"".join(parts) == response.encode()
    assert ends == [len(b"".join(parts[: place + 1])) for place in range(len(parts))]


def test_a_space_of_the_template_counts_no_byte(sentencepiece):
    names, ends = pieces(sentencepiece, "The quick fox.", LLAMA_2)
    assert names[0] == "▁The▁"
    assert ends == [4, 6, 9, 10, 12, 13, 14]


def test_a_special_token_in_a_response_is_text_where_that_is_asked_for(sentencepiece):
    names, ends = pieces(sentencepiece, "a <|im_end|> b", None, split_special_tokens=True)
    assert "<|im_end|>" not in names
    assert (names[0], names[-1], ends[-1]) == ("a", "▁b", 14)
    names, ends = pieces(sentencepiece, "a <|im_end|> b", None)
    assert "<|im_end|>" in names


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    return chat_model(tmp_path_factory.mktemp("chat") / "model", CHATML)


def test_the_end_of_a_turn_behind_a_part_for_thoughts(chat):
    """The template's own end counts, and not the EOS, where it writes more before a response."""
    tokenizer = AutoTokenizer.from_pretrained(chat)
    thinks = CHATML.replace(
        "{{ m.content }}",
        "{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}",
    )
    names, _ = pieces(tokenizer, "The fox.", thinks, end_of_turn=True)
    assert names[-1] == "<|im_end|>"


def test_white_space_among_the_added_tokens_ends_no_turn(chat):
    tokenizer = AutoTokenizer.from_pretrained(chat)
    tokenizer.add_tokens(["\n"])
    spaced = CHATML.replace("<|im_end|>", "\n<|im_end|>")
    names, _ = pieces(tokenizer, "The fox.", spaced, end_of_turn=True)
    assert names[-1] == "<|im_end|>"


def test_bos_never_takes_all_of_them_off(chat):
    tokenizer = AutoTokenizer.from_pretrained(chat)
    tokenizer.chat_template = "{{ bos_token }}" + LLAMA_3
    made = tokenize_with(tokenizer, PAIR, ScoringSettings(bos="never"))
    assert tokenizer.bos_token_id not in made.ids[0]


def test_several_templates_of_which_none_is_the_default(chat):
    tokenizer = AutoTokenizer.from_pretrained(chat)
    tokenizer.chat_template = {"default": CHATML, "rag": ZEPHYR}
    assert tokenize_with(tokenizer, PAIR, ScoringSettings()).facts["template_applied"]
    tokenizer.chat_template = {"tools": CHATML, "rag": ZEPHYR}
    with pytest.raises(InputError, match=r"several chat templates \('tools', 'rag'\) and none is"):
        tokenize_with(tokenizer, PAIR, ScoringSettings())
    made = tokenize_with(tokenizer, PAIR, ScoringSettings(template="none"))
    assert made.facts["template_applied"] == "none"


def test_a_tokenizer_that_fails_is_said_to():
    words = Tokenizer(kinds.WordLevel({"Why?": 0}, unk_token="<unk>"))  # which it has not
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words)
    with pytest.raises(ScoringError, match="cannot read these texts"):
        tokenize_with(tokenizer, PAIR, ScoringSettings())


def test_models_that_differ_in_their_template_alone_share_no_tokens(chat, tmp_path):
    """A sweep over an instruct model and its base: a template is a file of its own."""
    other = tmp_path / "model"
    shutil.copytree(chat, other)
    assert (other / "chat_template.jinja").exists()
    (other / "chat_template.jinja").write_text(ZEPHYR)
    cache = TokenCache()
    first, second = (
        prepare(ScoreRequest(reference=ModelReference(LOCAL, str(folder)), name="m"), PAIR)
        for folder in (chat, other)
    )
    assert first.identity != second.identity
    heads = [cache.tokens_for(one).ids[0].tolist() for one in (first, second)]
    assert heads[0] != heads[1]
    plain = TextSet("plain", ("The fox.",))
    of_texts = [
        prepare(ScoreRequest(reference=ModelReference(LOCAL, str(folder)), name="m"), plain)
        for folder in (chat, other)
    ]
    assert of_texts[0].files.commit == of_texts[1].files.commit


def test_a_changed_template_is_scored_again(store, chat, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(chat, folder)
    before = mm.score(folder, PAIR, progress=False)
    assert mm.score(folder, PAIR, progress=False).skipped
    (folder / "chat_template.jinja").write_text(ZEPHYR)
    after = mm.score(folder, PAIR, progress=False)
    assert not after.skipped
    assert abs(after.log_likelihoods - before.log_likelihoods).max() > 1e-3
