"""Responses behind their prompts: the right tokens and sums, and what is said of templates."""

from __future__ import annotations

import math
import unittest.mock

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import mlflow_modelmap as mm
from mlflow_modelmap import InputError, ScoringSettings, TextSet
from mlflow_modelmap.scoring.tokenizer.tokenize import tokenize
from mlflow_modelmap.texts.write import write_texts
from tests import tiny
from tests.completion_server import LLAMA_CPP, CompletionServer
from tests.scoring.tokenizer import chat_templates
from tests.scoring.tokenizer.chat_templates import CHATML, FAMILIES, GEMMA, chat_model

PROMPTS = ("What does a fox do?", "Name 京都 in letters.", "What does a fox do?")
RESPONSES = ("The quick brown fox jumps.", "Kyoto, 2,718 times: 京都.", "x = np.zeros((3, 4))")
PAIRS = TextSet("pairs", RESPONSES, prompts=PROMPTS)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    made = {}

    def model(family):
        if family not in made:
            folder = tmp_path_factory.mktemp("chat") / family
            made[family] = chat_model(folder, FAMILIES[family][0])
        return made[family]

    return model


def by_hand(folder, heads, responses, ends=None):
    """Sums of float64 log-softmax over the response's tokens, heads written out by hand."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).double()
    found = []
    for head, response in zip(heads, responses, strict=True):
        ids = tokenizer(head, add_special_tokens=False)["input_ids"]
        first = len(ids)
        ids += tokenizer(response, add_special_tokens=False)["input_ids"]
        if ends is not None:
            ids += [tokenizer.convert_tokens_to_ids(ends)]
        with torch.no_grad():
            table = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        found.append(math.fsum(float(table[at - 1, ids[at]]) for at in range(first, len(ids))))
    return np.array(found)


@pytest.mark.parametrize("end_of_turn", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_response_alone_is_scored_behind_its_prompt(store, models, family, end_of_turn):
    _, head, end = FAMILIES[family]
    folder = models(family)
    scored = mm.score(folder, PAIRS, end_of_turn=end_of_turn, progress=False)
    # Llama 2 writes a space before the response, which belongs to its first token.
    written = [f" {r}" if family == "llama-2" else r for r in RESPONSES]
    expected = by_hand(folder, map(head, PROMPTS), written, end if end_of_turn else None)
    np.testing.assert_allclose(scored.log_likelihoods, expected, rtol=0, atol=1e-3)
    run = mlflow.get_run(scored.run_id)
    applied = "none" if family == "none" else "tokenizer"
    assert run.data.params["modelmap.template_applied"] == applied
    total = sum(len(response.encode()) for response in RESPONSES)
    bits = -scored.log_likelihoods.sum() / (total * math.log(2))
    assert scored.bits_per_byte == pytest.approx(bits)


def test_bos_is_never_there_twice_and_is_taken_off_or_put_there(models):
    def first_tokens(family, **given):
        folder = models(family)
        tokens = tokenize(folder, PAIRS, ScoringSettings(**given))
        tokenizer = AutoTokenizer.from_pretrained(folder)
        return [list(ids[:2]).count(tokenizer.bos_token_id) for ids in tokens.ids]

    assert first_tokens("llama-3") == [1, 1, 1]
    assert first_tokens("llama-3", bos="always") == [1, 1, 1]
    assert first_tokens("llama-3", bos="never") == [0, 0, 0]
    assert first_tokens("chatml") == [0, 0, 0]
    assert first_tokens("chatml", bos="always") == [1, 1, 1]


def test_a_chat_with_a_system_prompt(store, models, tmp_path):
    prompt = (("system", "Be brief."), ("user", "Add."), ("assistant", "1"), ("user", "Again."))
    texts = TextSet("chat", ("def add(a, b)",), prompts=(prompt,))
    head = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nAdd.<|im_end|>\n"
        "<|im_start|>assistant\n1<|im_end|>\n<|im_start|>user\nAgain.<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    scored = mm.score(models("chatml"), texts, progress=False)
    expected = by_hand(models("chatml"), [head], texts.texts)
    np.testing.assert_allclose(scored.log_likelihoods, expected, rtol=0, atol=1e-3)
    with pytest.raises(InputError, match=r"prompt of text 0 of 'chat' \(System role not supp.*"):
        mm.score(models("gemma"), texts, progress=False)
    plain = mm.score(models("gemma"), texts, template="none", progress=False)
    head = "Be brief.\n\nAdd.\n\n1\n\nAgain.\n\n"
    expected = by_hand(models("gemma"), [head], texts.texts)
    np.testing.assert_allclose(plain.log_likelihoods, expected, rtol=0, atol=1e-3)


def test_a_system_prompt_makes_another_point_of_the_same_map(store, models):
    folder = models("chatml")
    plain = mm.score(folder, PAIRS, name="plain", progress=False)
    brief = mm.score(folder, PAIRS, name="brief", system_prompt="Be brief.", progress=False)
    _, head, _ = FAMILIES["chatml"]
    heads = [f"<|im_start|>system\nBe brief.<|im_end|>\n{head(p)}" for p in PROMPTS]
    expected = by_hand(folder, heads, RESPONSES)
    np.testing.assert_allclose(brief.log_likelihoods, expected, rtol=0, atol=1e-3)
    assert mlflow.get_run(brief.run_id).data.tags["modelmap.prompt"] == "system: Be brief."
    assert "modelmap.prompt" not in mlflow.get_run(plain.run_id).data.tags
    assert mm.compare(plain.run_id, brief.run_id).kl > 0
    chat = TextSet("chat", RESPONSES[:1], prompts=((("system", "No."), ("user", "Go.")),))
    with pytest.raises(InputError, match="has a system's message already"):
        mm.score(folder, chat, system_prompt="Be brief.", progress=False)


def test_a_template_of_a_file_is_part_of_the_identity(store, models, tmp_path):
    file = tmp_path / "template.jinja"
    file.write_text(CHATML)
    own = mm.score(models("phi"), PAIRS, progress=False)
    other = mm.score(models("phi"), PAIRS, template=str(file), progress=False)
    _, head, _ = FAMILIES["chatml"]
    expected = by_hand(models("phi"), map(head, PROMPTS), RESPONSES)
    np.testing.assert_allclose(other.log_likelihoods, expected, rtol=0, atol=1e-3)
    assert np.abs(own.log_likelihoods - other.log_likelihoods).min() > 1e-3
    file.write_text(CHATML, encoding="utf-8-sig")  # a byte order mark is no part of it
    assert mm.score(models("phi"), PAIRS, template=str(file), progress=False).skipped
    file.write_text(CHATML.replace("<|im_end|>", "<|end|>"))
    assert mm.score(models("phi"), PAIRS, template=str(file), progress=False).skipped is False
    with pytest.raises(InputError, match=r"There is no template file 'nowhere\.jinja'"):
        mm.score(models("phi"), PAIRS, template="nowhere.jinja", progress=False)


def test_what_a_template_does_to_a_prompt_is_said(models, tmp_path):
    def notices(source, texts):
        file = tmp_path / "template.jinja"
        file.write_text(source)
        return tokenize(models("none"), texts, ScoringSettings(template=str(file))).notices

    chat = (("system", "Be brief."), ("user", "Add."))
    texts = TextSet("chat", RESPONSES[:1], prompts=(chat,))
    assert not notices(CHATML, texts)
    without = CHATML.replace("{% for m in messages %}", "{% for m in messages[1:] %}")
    (sentence,) = notices(without, texts)
    assert "does not show the system's message as it is in 1 of 1 prompts" in sentence
    (sentence,) = notices("{{ strftime_now('%d %b %Y') }}" + CHATML, texts)
    assert "today's date" in sentence
    spaced = TextSet("spaced", (" The fox. ",), prompts=("Go.",))
    assert not notices(CHATML, spaced)
    (sentence,) = notices(GEMMA, spaced)
    assert "1 of 1 responses otherwise" in sentence
    thinking = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
    (sentence,) = notices(thinking, spaced)
    assert "a part for thoughts" in sentence


def test_a_template_runs_in_a_sandbox(models, tmp_path):
    file = tmp_path / "template.jinja"
    escape = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    file.write_text(escape + CHATML)
    with pytest.raises(InputError, match=r"does not take the prompt of text 0 .*unsafe"):
        tokenize(models("none"), PAIRS, ScoringSettings(template=str(file)))


def test_layers_quantisation_and_exact_take_them_too(store, models, tmp_path):
    folder = models("chatml")
    pairs = write_texts(PAIRS, tmp_path / "pairs.jsonl")
    layers = mm.score(folder, pairs, layers=True, progress=False)
    plain = mm.score(folder, pairs, name="plain", progress=False)
    np.testing.assert_allclose(layers.log_likelihoods, plain.log_likelihoods, atol=1e-3)
    int8 = mm.score(folder, pairs, precision="int8", progress=False)
    found = mm.compare(plain.run_id, int8.run_id, exact=True, options=None)
    assert found.exact.tokens == sum(
        len(AutoTokenizer.from_pretrained(folder)(r, add_special_tokens=False)["input_ids"])
        for r in RESPONSES
    )
    assert 0 < found.exact.forward < 1


def test_exact_says_that_prompts_differ(store, models, tmp_path):
    pairs = write_texts(PAIRS, tmp_path / "pairs.jsonl")
    folder = models("chatml")
    own = mm.score(folder, pairs, name="own", progress=False)
    brief = mm.score(folder, pairs, name="brief", system_prompt="Be brief.", progress=False)
    with pytest.raises(InputError, match=r"prompt|template") as error:
        mm.compare(own.run_id, brief.run_id, exact=True)
    assert "BOS" not in str(error.value)


def test_a_server_gets_the_prompt_as_tokens(store, models):
    folder = models("llama-3")
    here = mm.score(folder, PAIRS, progress=False)
    given = {"engine": "endpoint", "tokenizer": str(folder), "progress": False, "agreement": 0}
    with CompletionServer(folder) as server:
        # This random model is worse than chance, which says nothing of its server.
        chance = "mlflow_modelmap.scoring.engines.score_by_engine.check_not_chance"
        with unittest.mock.patch(chance):
            there = mm.score("tiny", PAIRS, url=server.url, **given)
        np.testing.assert_allclose(there.log_likelihoods, here.log_likelihoods, atol=1e-3)
    refused = pytest.raises(InputError, match="takes text and no tokens")
    with CompletionServer(folder, LLAMA_CPP) as server, refused:
        mm.score("tiny", PAIRS, url=server.url, **given)


def test_the_prompt_counts_towards_the_length(models):
    long = TextSet("long", ("The fox.",), prompts=(" ".join(tiny.SENTENCES * 8),))
    with pytest.raises(InputError, match=r"Text 0 \(\d+ tokens\) has more than the 300"):
        tokenize(models("chatml"), long, ScoringSettings(), 300)
    with pytest.raises(InputError, match="filled by the prompt alone of text 0"):
        tokenize(models("chatml"), long, ScoringSettings(overlong="truncate"), 300)
    with pytest.raises(InputError, match="whole prompts and not in windows"):
        tokenize(models("chatml"), long, ScoringSettings(overlong="window"), 300)


def test_a_response_that_is_cut_counts_the_bytes_that_are_left(models):
    texts = TextSet("cut", ("The quick brown fox jumps over the lazy dog.",), prompts=("Go.",))
    whole = tokenize(models("chatml"), texts, ScoringSettings())
    limit = int(whole.firsts[0]) + 4
    cut = tokenize(models("chatml"), texts, ScoringSettings(overlong="truncate"), limit)
    tokenizer = AutoTokenizer.from_pretrained(models("chatml"))
    shown = tokenizer.decode(cut.ids[0][int(whole.firsts[0]) :])
    assert cut.bytes.tolist() == [len(shown.encode())]
    assert cut.scored.tolist() == [4]


def test_settings_that_say_nothing_of_plain_texts(models):
    plain = TextSet("plain", RESPONSES)
    for given in ({"template": "none"}, {"end_of_turn": True}, {"system_prompt": "a"}):
        with pytest.raises(InputError, match="no responses to prompts"):
            tokenize(models("chatml"), plain, ScoringSettings(**given))
    with pytest.raises(InputError, match="a response ends with its turn"):
        tokenize(models("chatml"), PAIRS, ScoringSettings(eos="always"))


def test_two_sets_that_differ_in_a_prompt_do_not_meet(store, models):
    other = TextSet("pairs", RESPONSES, prompts=("Why?", *PROMPTS[1:]))
    assert other.digest != PAIRS.digest
    a = mm.score(models("chatml"), PAIRS, progress=False)
    b = mm.score(models("chatml"), other, progress=False)
    with pytest.raises(InputError, match="different text sets"):
        mm.compare(a.run_id, b.run_id)
    plain = mm.score(models("chatml"), TextSet("plain", RESPONSES), progress=False)
    with pytest.raises(InputError, match="different text sets"):
        mm.compare(a.run_id, plain.run_id)


def test_a_map_of_templates_is_a_map(store, models):
    """One set meets on one map whatever the templates make of it."""
    for family in ("chatml", "phi", "zephyr"):
        mm.score(models(family), PAIRS, name=family, progress=False)
    made = mm.build_map()
    assert sorted(made.points["point"]) == ["chatml", "phi", "zephyr"]
    assert not any("BOS" in notice for notice in made.notices)


def test_every_template_here_is_one_of_the_families():
    assert {source for source, _, _ in FAMILIES.values() if source} == {
        getattr(chat_templates, name)
        for name in ("CHATML", "LLAMA_2", "LLAMA_3", "GEMMA", "MISTRAL", "PHI", "ZEPHYR")
    }


def test_a_training_is_watched_on_prompts(store, models, tmp_path):
    folder = models("chatml")
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    before = mm.score(folder, PAIRS, name="before", progress=False)
    pairs = write_texts(PAIRS, tmp_path / "pairs.jsonl")
    with mm.Monitor(str(pairs), tokenizer=tokenizer, reference=before.run_id) as monitor:
        first = monitor.record(model, 0)
        with torch.no_grad():
            model.lm_head.weight.mul_(0.5)
        second = monitor.record(model, 10)
    assert first.kl_reference == pytest.approx(0, abs=1e-9)
    assert second.kl_reference > 1e-3
    assert first.bits_per_byte == pytest.approx(before.bits_per_byte, abs=1e-5)


@pytest.mark.parametrize("column", ["modelmap_prompt", "asked"])
def test_an_evaluation_takes_prompts(store, models, column):
    folder = models("chatml")
    expected = mm.score(folder, PAIRS, name="expected", progress=False)
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    frame = pd.DataFrame({"text": RESPONSES, column: PROMPTS})
    given = {"prompt_column": column} if column == "asked" else {}
    found = mlflow.models.evaluate(
        mm.evaluable(model, tokenizer),
        frame,
        model_type="causal-lm",
        evaluators="modelmap",
        evaluator_config=given or None,
    )
    run = mlflow.get_run(found.run_id)
    assert run.data.tags["modelmap.text_set"] == PAIRS.digest
    assert found.metrics["modelmap/bits_per_byte"] == pytest.approx(expected.bits_per_byte)
    frame = pd.DataFrame({"text": RESPONSES})
    with pytest.raises(Exception, match="no column 'nothing' with the prompts"):
        mlflow.models.evaluate(
            mm.evaluable(model, tokenizer),
            frame,
            model_type="causal-lm",
            evaluators="modelmap",
            evaluator_config={"prompt_column": "nothing"},
        )
