"""Prompt-response sets: every shape they come in, their digest, and what is none."""

from __future__ import annotations

import hashlib
import json

import pandas as pd
import pytest

from mlflow_modelmap import InputError, TextSet
from mlflow_modelmap.texts.build import build_texts
from mlflow_modelmap.texts.describe import describe
from mlflow_modelmap.texts.read import read_texts
from mlflow_modelmap.texts.sample import sample
from mlflow_modelmap.texts.write import write_texts

USER, REPLY = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}
SYSTEM = {"role": "system", "content": "Be brief."}


def lines(path, *rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def test_pairs_from_every_kind_of_file(tmp_path):
    rows = [
        {"prompt": "Why?", "response": "Because.", "domain": "a"},
        {"prompt": "京都?", "response": "Kyoto.", "domain": "b"},
    ]
    frame = pd.DataFrame(rows)
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "t.json").write_text(json.dumps(rows))
    lines(tmp_path / "t.jsonl", *rows)
    digests = set()
    for ending in ("jsonl", "json", "parquet", "csv"):
        found = read_texts(tmp_path / f"t.{ending}")
        assert found.texts == ("Because.", "Kyoto.")
        assert found.prompts == ("Why?", "京都?")
        assert found.domains == ("a", "b")
        assert found.bytes.tolist() == [8, 6]
        digests.add(found.digest)
    parts = ["Why?", "Because.", "京都?", "Kyoto."]
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part.encode()).to_bytes(8, "big") + part.encode())
    assert digests == {sha.hexdigest()}


def test_chats_and_their_canonical_form(tmp_path):
    file = lines(tmp_path / "t.jsonl", {"messages": [SYSTEM, USER, REPLY]})
    found = read_texts(file)
    assert found.prompts == ((("system", "Be brief."), ("user", "Why?")),)
    prompt = '[{"content":"Be brief.","role":"system"},{"content":"Why?","role":"user"}]'
    sha = hashlib.sha256()
    for part in (prompt, "Because."):
        sha.update(len(part.encode()).to_bytes(8, "big") + part.encode())
    assert found.digest == sha.hexdigest()
    other = lines(
        tmp_path / "o.jsonl",
        {
            "conversations": [
                {"from": "system", "value": "Be brief."},
                {"from": "human", "value": "Why?"},
                {"from": "gpt", "value": "Because."},
            ]
        },
    )
    assert read_texts(other).digest == found.digest
    pair = lines(
        tmp_path / "p.jsonl", {"system": "Be brief.", "prompt": "Why?", "response": "Because."}
    )
    assert read_texts(pair).digest == found.digest
    completion = lines(tmp_path / "c.jsonl", {"prompt": [SYSTEM, USER], "completion": "Because."})
    assert read_texts(completion).digest == found.digest
    parts = [{**USER, "content": [{"type": "text", "text": "Wh"}, {"type": "text", "text": "y?"}]}]
    named = lines(tmp_path / "n.jsonl", {"text": "no", "chat": [SYSTEM, *parts, REPLY]})
    assert read_texts(named, column="chat").digest == found.digest


def test_the_last_turn_or_every_turn(tmp_path):
    chat = [
        USER,
        REPLY,
        {"role": "user", "content": "More."},
        {"role": "assistant", "content": "No."},
    ]
    file = lines(tmp_path / "t.jsonl", {"messages": chat, "document": "d"})
    assert read_texts(file).texts == ("No.",)
    every = read_texts(file, turns="every")
    assert every.texts == ("Because.", "No.")
    assert every.prompts[1] == (("user", "Why?"), ("assistant", "Because."), ("user", "More."))
    assert every.documents == ("d", "d")
    with pytest.raises(InputError, match="Unknown turns 'first'; choose one of last, every"):
        read_texts(file, turns="first")


def test_responses_to_one_prompt_are_of_one_document(tmp_path):
    rows = [{"prompt": p, "response": r} for p, r in (("a", "1"), ("b", "2"), ("a", "3"))]
    found = read_texts(lines(tmp_path / "t.jsonl", *rows))
    first, second, third = found.documents
    assert first == third != second
    assert found.independent == 2
    about = describe(found)
    assert (about.texts, about.prompts, about.documents) == (3, 2, 2)


def test_written_and_read_back_sampled_and_built(tmp_path):
    rows = [{"prompt": f"p{n % 7}", "response": f"r{n % 3}"} for n in range(21)]
    rows += [{"messages": [SYSTEM, USER, REPLY]}]
    file = lines(tmp_path / "t.jsonl", *rows)
    found = read_texts(file)
    back = read_texts(write_texts(found, tmp_path / "back.jsonl"), name="t")
    assert back == found
    assert back.digest == found.digest
    few = sample(found, 5, seed=3)
    assert len(few.prompts) == 5
    assert set(few.keys) <= set(found.keys)
    built = build_texts([file], size=5, seed=3).text_set
    assert built.digest == few.digest
    with pytest.raises(InputError, match="no room for the prompts"):
        write_texts(found, tmp_path / "list.json")
    with pytest.raises(InputError, match="not cut in chunks"):
        build_texts([file], chunk_bytes=16)


def test_the_same_response_to_two_prompts_is_no_duplicate(tmp_path):
    rows = [{"prompt": "a", "response": "yes"}, {"prompt": "b", "response": "yes"}]
    assert len(read_texts(lines(tmp_path / "t.jsonl", *rows))) == 2
    with pytest.raises(InputError, match=r"line 3: the text is the same as that of .*line 1"):
        read_texts(lines(tmp_path / "t.jsonl", *rows, rows[0]))
    assert (
        build_texts([lines(tmp_path / "t.jsonl", *rows, rows[0])], duplicates="drop").duplicates
        == 1
    )
    with pytest.raises(InputError, match="Texts 0 and 1 of the text set 'x' are the same"):
        TextSet("x", ("yes", "yes"), prompts=("a", "a"))


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"messages": [USER]}, "no turn of the assistant"),
        ({"messages": []}, "hold no messages"),
        ({"messages": "hi"}, "is of type str, not a list of messages"),
        ({"messages": [REPLY]}, "begin with the assistant"),
        ({"messages": [USER, REPLY, USER]}, "end with a turn of the user"),
        ({"messages": [USER, {**REPLY, "content": ""}]}, "the response is empty"),
        ({"messages": [USER, {**REPLY, "content": None}]}, "message 1 is missing, not a text"),
        ({"messages": [USER, {**REPLY, "tool_calls": [{}]}]}, "calls a tool"),
        ({"messages": [USER, {"role": "tool", "content": "3"}, REPLY]}, "is of a tool"),
        (
            {"messages": [{**USER, "content": [{"type": "image_url"}]}, REPLY]},
            "part that is no text .*image_url",
        ),
        ({"messages": [{"content": "x"}, REPLY]}, "has the role None; it must be text"),
        ({"messages": ["x", REPLY]}, "message 0 is of type str, not an object"),
        ({"prompt": "", "response": "x"}, "'prompt' is empty"),
        ({"prompt": "x", "response": " "}, "the response is empty"),
        ({"prompt": 3, "response": "x"}, "'prompt' is of type int, not a text"),
        ({"prompt": "x", "response": None}, "'response' is missing"),
        ({"prompt": "x\ud800", "response": "y"}, "lone surrogate"),
        ({"prompt": "x"}, "there is no 'text', only 'prompt'"),
    ],
)
def test_what_is_no_prompt_and_response(tmp_path, row, sentence):
    file = tmp_path / "t.jsonl"
    file.write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=sentence) as error:
        read_texts(file)
    assert "t.jsonl, line 1" in str(error.value)


def test_shapes_are_not_mixed(tmp_path):
    rows = [{"prompt": "a", "response": "1"}, {"text": "plain"}]
    with pytest.raises(InputError, match=r"line 2 holds a text and .*line 1 a prompt"):
        read_texts(lines(tmp_path / "t.jsonl", *rows))


def test_the_pairs_that_need_no_download():
    found = read_texts("python-qa")
    assert len(found) > 200
    assert set(found.domains) == {"class", "function"}
    assert all(prompt.endswith(" in Python?") for prompt in found.prompts)
    assert found.bytes.min() >= 60
    assert found.bytes.max() <= 600
    few = read_texts("python-qa:20")
    assert len(few) == 20
    assert set(few.keys) <= set(found.keys)
    with pytest.raises(InputError, match="names no number of pairs"):
        read_texts("python-qa:many")


def test_what_a_table_has_no_value_for(tmp_path):
    """A table gives every row all fields of all, null where a row has none."""
    chat = [
        {"from": "human", "value": "Why?", "role": None, "content": None},
        {"from": None, "value": None, "role": "assistant", "content": "Because."},
    ]
    rows = [
        {"conversations": chat, "prompt": None, "response": None, "completion": None},
        {"conversations": None, "prompt": "Who?", "response": None, "completion": "Me."},
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "t.parquet")
    for file in (tmp_path / "t.parquet", lines(tmp_path / "t.jsonl", *rows)):
        found = read_texts(file)
        assert found.prompts == ((("user", "Why?"),), "Who?")
        assert found.texts == ("Because.", "Me.")


@pytest.mark.parametrize("column", ["text", "conversations"])
def test_a_system_message_beside_a_chat(tmp_path, column):
    row = {"system": "Be brief.", "conversations": [USER, REPLY]}
    expected = ((("system", "Be brief."), ("user", "Why?")),)
    pd.DataFrame([row]).to_parquet(tmp_path / "t.parquet")
    for file in (tmp_path / "t.parquet", lines(tmp_path / "t.jsonl", row)):
        assert read_texts(file, column=column).prompts == expected
    pair = {"system": "Be brief.", "prompt": [USER], "response": "Because."}
    assert read_texts(lines(tmp_path / "t.jsonl", pair)).prompts == expected
    twice = {**row, "conversations": [SYSTEM, USER, REPLY]}
    assert read_texts(lines(tmp_path / "t.jsonl", twice)).prompts == expected
    other = {**twice, "system": "Be long."}
    with pytest.raises(InputError, match="says another thing than the system's message"):
        read_texts(lines(tmp_path / "t.jsonl", other))


def test_turns_of_one_chat_are_of_one_document(tmp_path):
    chats = [
        [USER, REPLY, {"role": "user", "content": more}, {"role": "assistant", "content": "No."}]
        for more in ("More.", "Again.")
    ]
    chats[1] = [SYSTEM, *chats[1]]
    file = lines(tmp_path / "t.jsonl", *({"messages": chat} for chat in chats))
    a, b, c, d = read_texts(file, turns="every").documents
    assert a == b != c == d
    assert read_texts(file).independent == 2


def test_messages_in_a_csv_file_are_json(tmp_path):
    chat, prompt = json.dumps([USER, REPLY]), json.dumps([USER])
    pd.DataFrame({"messages": [chat]}).to_csv(tmp_path / "a.csv", index=False)
    pd.DataFrame({"prompt": [prompt], "response": ["Because."]}).to_csv(tmp_path / "b.csv")
    pd.DataFrame({"chat": [chat]}).to_csv(tmp_path / "c.csv", index=False)
    for name, column in (("a", "text"), ("b", "text"), ("c", "chat")):
        found = read_texts(tmp_path / f"{name}.csv", column=column)
        assert (found.prompts, found.texts) == (((("user", "Why?"),),), ("Because.",))
    pd.DataFrame({"body": ['[{"a": 1}]']}).to_csv(tmp_path / "d.csv", index=False)
    assert read_texts(tmp_path / "d.csv", column="body").texts == ('[{"a": 1}]',)


def test_empty_responses_are_dropped_where_that_is_asked_for(tmp_path):
    rows = [
        {"prompt": "a", "response": " "},
        {"prompt": "b", "response": "1"},
        {"messages": [USER, {**REPLY, "content": ""}]},
    ]
    built = build_texts([lines(tmp_path / "t.jsonl", *rows)], drop_empty=True)
    assert (built.text_set.texts, built.left_out) == (("1",), 2)


def test_prompts_of_a_program():
    """Messages as objects are what they say, and responses to one prompt are one document."""
    made = TextSet("t", ("1", "2", "3"), prompts=([SYSTEM, USER], (("human", "Why?"),), "Why?"))
    assert made.prompts[0] == (("system", "Be brief."), ("user", "Why?"))
    assert made.prompts[1] == (("user", "Why?"),)
    assert TextSet("t", ("1", "2"), prompts=("a", "a")).independent == 1
    for wrong in (3, None, ("user", "Why?")):
        with pytest.raises(InputError, match="The text set 't', prompt 0"):
            TextSet("t", ("1",), prompts=(wrong,))


def test_a_long_role_is_cut_in_an_error(tmp_path):
    file = lines(tmp_path / "t.jsonl", {"messages": [USER, REPLY, {**USER, "role": "x" * 9999}]})
    with pytest.raises(InputError, match="end with a turn of the xxx") as error:
        read_texts(file)
    assert len(str(error.value)) < 500


def test_what_is_counted_is_said_by_its_name():
    assert TextSet("t", ("a", "b")).counted == "2 texts"
    asked = TextSet("p", ("a", "b", "c"), prompts=("x", "x", "y"))
    assert asked.counted == "3 responses to 2 prompts"
