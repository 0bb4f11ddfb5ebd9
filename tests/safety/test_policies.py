"""Policies: the shipped ones, house rules, terms."""

from __future__ import annotations

import pytest

from posterkit.safety.detectors.terms import RulesDetector
from posterkit.safety.policies import SafetyPolicy, open_policies, read_policy
from posterkit.safety.text_variants import plain, variants


def found(term: str, text: str) -> bool:
    return SafetyPolicy("x", "x", {"en": [term]}).find(plain(text)) is not None


@pytest.mark.parametrize(
    ("term", "text", "there"),
    [
        ("risk free", "Risk-free returns!", True),
        ("gun", "Begun at last", False),
        ("cop*", "good copies", True),
        ("lose <n> kilos", "Lose 20.5 kilos", True),
        ("cures _ guaranteed", "cures nearly everything here, guaranteed", True),
        ("cures _ guaranteed", "cures one two three four guaranteed", False),
        ("克隆 _ 声音", "克隆市长的声音", True),
        ("*est in town", "the cheapest in town", True),
    ],
)
def test_a_term_stands_for_whole_words_their_endings_numbers_and_gaps(term, text, there):
    assert found(term, text) is there


def test_words_that_are_forbidden_together_may_stand_alone():
    policy = SafetyPolicy("x", "x", together=[[["vodka"], ["for kids"]]])
    assert policy.find("vodka night") is None and policy.find("games for kids") is None
    assert policy.find("for kids: vodka") == "vodka … for kids"


def test_a_text_and_its_context_are_forbidden_together():
    rules = RulesDetector(open_policies())
    line = "Bring your kids, under 12 free"
    assert not rules(line).harmful and not rules(line, "village fair").harmful
    verdict = rules(line, "casino opening")
    assert verdict.harmful and verdict.category == "minors"


@pytest.mark.parametrize(
    "text",
    ["Killer deals", "Bomb flavours", "Shoot your shot photo day", "Steal the show", "No dogs on the beach",
     "战胜饥饿", "识别假货：如何鉴别手表", "乐趣最大，麻烦最小"],
)  # fmt: skip
def test_hard_harmless_lines_pass_the_rules(text):
    assert not RulesDetector(open_policies())(text).harmful


def test_each_policy_finds_a_term_of_its_own_in_each_language():
    policies = open_policies()
    assert [policy.name for policy in policies] == sorted(policy.name for policy in policies)
    assert len(policies) == 12
    for policy in policies:
        for terms in policy.terms.values():
            plain_ones = [term for term in terms if not set(term) & set("*_<")]
            assert plain_ones and all(policy.find(plain(term)) for term in plain_ones)
        for lines in policy.lines.values():
            assert not any(other.find(plain(line)) for line in lines for other in policies)


def test_a_house_rule_is_a_file_or_one_that_is_shipped(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("name: rival\ntitle: no rivals\nterms: {en: [other shop]}\n")
    policies = open_policies(["superlatives", str(own)], without=["hate"])
    assert {"superlatives", "rival"} <= {policy.name for policy in policies}
    assert "hate" not in {policy.name for policy in policies}
    rules = RulesDetector(policies)
    assert rules("The best pizza").category == "superlatives" and rules("Not the other shop").category == "rival"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\ntitle: y\nterm: {en: [a]}", 'did you mean "terms"'),
        ("name: x\nterms: {en: [a]}", '"title" is missing'),
        ("name: x\ntitle: y", "forbids nothing"),
        ("name: x\ntitle: y\nterms: [a]", "by language"),
        ("name: x\ntitle: y\ntogether: [[a]]", "pairs of lists"),
        ("- a", "a policy is a mapping"),
    ],
)
def test_a_file_that_is_no_policy_is_refused_by_what_is_wrong(tmp_path, text, said):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        read_policy(path)


def test_policies_that_are_not_there_are_named():
    with pytest.raises(ValueError, match="superlatives"):
        open_policies(["nothing"])
    with pytest.raises(ValueError, match="no policy 'hat'"):
        open_policies(without=["hat"])


@pytest.mark.parametrize(
    "disguise",
    ["G\u200buaranteed profit", "Gu\u0430ranteed profit", "ＧＵＡＲＡＮＴＥＥＤ ＰＲＯＦＩＴ", "Gu4r4nt33d pr0f1t",
     "G u a r a n t e e d profit", "g.u.a.r.a.n.t.e.e.d profit", "Guar-anteed pro-fit", "Gua\u0301ranteed profit"],
)  # fmt: skip
def test_a_disguised_text_reads_as_what_it_is(disguise):
    assert any("guaranteed profit" in reading for reading in variants(disguise))


def test_words_that_run_into_each_other_letter_by_letter_are_found():
    rules = RulesDetector(open_policies())
    assert rules("g u a r a n t e e d p r o f i t").category == "finance"
    assert not rules("guaranteedprofitability").harmful and not rules("A B C of guaranteed joy").harmful


def test_a_plain_text_has_one_reading():
    assert list(variants("Summer  Sale: 20% off, 5 pm")) == ["summer sale: 20% off, 5 pm"]
