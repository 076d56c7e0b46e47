"""Which prompts are others put together."""

from __future__ import annotations

from mlflow_modelmap.drivers.study.composites import composites, parts_of


def named(*texts):
    return {text: text for text in texts}


def test_a_prompt_of_two_others_in_either_order_and_spacing():
    others = named("Be brief.", "Talk like a pirate.", "Rhyme.")
    assert parts_of("Be brief. Talk like a pirate.", others) == ("Be brief.", "Talk like a pirate.")
    assert parts_of(" Rhyme.\n\nBe brief.", others) == ("Rhyme.", "Be brief.")


def test_the_fewest_parts_are_taken_and_none_twice():
    others = named("a", "b", "c", "a b", "b c")
    assert parts_of("a b c", others) == ("a b", "c")
    assert parts_of("a a", named("a")) is None
    assert parts_of("a b d", others) is None
    assert parts_of("a", others) is None
    assert parts_of("", others) is None


def test_a_template_with_a_message_is_both():
    prompts = [("", ""), ("s", ""), ("", "t"), ("s", "t"), ("s u", ""), ("u", "t")]
    assert composites(prompts) == {("s", "t"): (("s", ""), ("", "t"))}
    prompts.append(("u", ""))
    found = composites(prompts)
    assert found["s u", ""] == (("s", ""), ("u", ""))
    assert found["u", "t"] == (("u", ""), ("", "t"))


def test_sums_stay_under_the_template_of_the_reference():
    under = [("", "f"), ("A", "f"), ("B", "f"), ("A B", "f")]
    plain = [("", ""), ("A", ""), ("B", ""), ("A B", "")]
    parts = (("A", "f"), ("B", "f"))
    assert composites([*under, *plain], ("", "f")) == {("A B", "f"): parts}
    assert composites(under) == {}
    assert composites([*plain, ("A  B", "")], ("A", "")) == {}, "the reference is no part"
    assert composites([("A", ""), (" A ", ""), ("B", ""), ("A B", "")], ("A", "")) == {}
