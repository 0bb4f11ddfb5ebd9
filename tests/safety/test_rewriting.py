"""The template rewriter: what it writes in place of each term of each policy, by a stricter judge than the policy."""

from __future__ import annotations

import re

import pytest

from posterkit.safety.detectors import Verdict, open_detector
from posterkit.safety.detectors.terms import RulesDetector
from posterkit.safety.gate import SafetyGate, parse_modes
from posterkit.safety.policies import SafetyPolicy, open_policies
from posterkit.safety.rewriting import CannotRewrite, ModelRewriter, TemplateRewriter
from posterkit.safety.text_variants import simplified, traditional

POLICIES = open_policies(["superlatives"])
SHIPPED = POLICIES[:-1]
GATE = SafetyGate(parse_modes("rewrite"), RulesDetector(POLICIES), POLICIES)
# what no line in a harmful one's place may say, by a person's reading of each subject: no name of a disease beside any
# effect, no promise of gain however mild, no fake that is called genuine
STRICTER = {
    "adult": r"evening|night|nud|naked|sex|strip|massage|夜|裸|色|脱",
    "alcohol": r"good|happ|heart|health|unlimited|bottomless|company|glass|好酒|怡|健康|心脏|畅饮|拼酒",
    "elections": r"\bnot\b|closed?\b|moved|cash|\bpay|photo|twice|sms|改到|别|付|拍|收购|没用",
    "finance": r"profit|return|gain|earn|win|rich|double|triple|guarant|possibl|sure|safe|saving|good order"
    r"|收益|赚|富|翻|保证|保本|稳|理财|涨|赢",
    "hate": r"\bno\b|\bnot\b|\bout\b|against|home|lazy|dirty|滚|禁|只配|别让|嘲笑",
    "illegal": r"licen[cs]e|receipt|paper|above board|terms|fake|stolen|持证|合法经营|假|偷|走私",
    "injection": r"ignore|instruction|score|model|assistant|system|忽略|指令|模型|评|系统",
    "medicine": r"cur[ei]|heal|\beas[ei]|sooth|reliev|relief|treat|prevent|help|remed|effect|guarant|miracle"
    r"|well-being|better|feel|cancer|diabet|arthrit|depress|asthma|治|愈|舒缓|缓解|减轻|改善|预防|有效|健康|呵护|癌|糖尿|关节炎|抑郁|哮喘",
    "minors": r"vape|cigar|bet|casino|alone|address|cash|school|tell|secret|烟|赌|博彩|现金|地址|一个人",
    "real_persons": r"mayor|actress|president|private|leak|endorse|steal|bribe|fake|市长|演员|总统|私|偷|贿",
    "superlatives": r"\bbest|\w+est\b|\bmost\b|first|number one|\bno\. ?1|unbeat|second to none|(?<!\ba )favourite"
    r"|最|第一|顶级|beste|billigste|unschlagbar|nummer",
    "trademarks": r"genuine|original|\breal\b|licen[cs]|authentic|our own|logo|fake|replica"
    r"|正品|正版|原创|授权|保证|仿|山寨|假",
    "violence": r"kill|hurt|burn|blood|kniv|weapon|bomb|lynch|beat|杀|血|烧|刀|炸|私刑|砸",
}


def worded(term: str, lists) -> str:
    """A text that a term stands for."""
    for name, words in lists.items():
        term = term.replace(f"<{name}>", words[0].rstrip("*"))
    if any(letter >= "\u2e80" for letter in term):
        return re.sub(r"[_ ]", "", term)
    term = term.replace("<n>", "20").replace("_", "really")
    return re.sub(r"(?<!\S)\*(?!\S)", "them", term).replace("*", "")


def pairs(policy: SafetyPolicy):
    """Each word of a pair beside the first of the other list in its language."""
    for one, other in policy.together:
        one = [word for named in one for word in ([named] if named[0] != "<" else listed(policy, named[1:-1]))]
        for language in (False, True):
            left, right = ([word for word in side if (word[0] >= "\u2e80") is language] for side in (one, other))
            for word, beside in [*((word, right[0]) for word in left), *((left[0], word) for word in right)]:
                yield f"{worded(word, {})}, {worded(beside, {})}"


def listed(policy: SafetyPolicy, name: str) -> list[str]:
    return [word for lists in policy.words.values() for word in lists[name]]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_no_rewritten_term_says_by_a_stricter_judge_what_it_may_not(policy):
    texts = [
        worded(term, policy.words.get(language, {})) for language, terms in policy.terms.items() for term in terms
    ]
    texts += pairs(policy)
    assert len(texts) > 10
    for text in texts:
        for line in (text, text.capitalize(), f"From $99, {text}", traditional(text)):
            decision = GATE.check(line, "copy")
            assert decision.action == "rewrite" or policy.name == "superlatives", (line, decision)
            said = simplified(decision.text) if decision.rewritten else ""
            assert not (found := re.search(STRICTER[decision.category], said, re.IGNORECASE)), (line, said, found)
            assert "$99" in decision.text or "$99" not in line


def test_no_detector_finds_harm_in_a_line_that_takes_the_place_of_one():
    detector = open_detector("rules+tiny", SHIPPED)
    lines = [line for policy in SHIPPED for of_language in policy.lines.values() for line in of_language]
    for line in lines:
        for said in (line, f"{line} · $99", f"{line} · Friday", line.upper()):
            assert not (verdict := detector(said, "a poster for a fair")).harmful, (said, verdict)


def test_only_house_rules_have_milder_words():
    """What the rest of a line says decides whether a milder word still offends."""
    assert not any(policy.replace for policy in SHIPPED) and POLICIES[-1].replace


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("Der beste Kaffee der Stadt", "Ein guter Kaffee der Stadt"),
        ("The best coffee in town", "Good coffee in town"),
        ("最好的咖啡", "好的咖啡"),
        ("頂級咖啡豆", "精選咖啡豆"),
    ],
)
def test_milder_words_are_those_of_the_lines_language(line, written):
    assert GATE.check(line, "copy").text == written


def test_traditional_chinese_stays_traditional():
    decision = GATE.check("我們的茶治好癌症", "copy")
    assert decision.action == "rewrite" and decision.text == "請諮詢醫生或藥師"


@pytest.mark.parametrize(
    ("line", "language"),
    [
        ("Unser Tee kann Krebs heilen und die Haut straffen", "de"),
        ("Une tisane qui soigne le cancer", "fr"),
        ("El té que cura el cáncer", "es"),
    ],
)
def test_a_line_in_another_language_gets_no_english_one(line, language):
    verdict = Verdict(0.9, True, "medicine", "a classifier")
    with pytest.raises(CannotRewrite, match=rf"in its language \({language}\)"):
        TemplateRewriter()(line, verdict, next(one for one in POLICIES if one.name == "medicine"), 1)


@pytest.mark.parametrize("brought", ["$12", "500元", "5月8日", "Friday", "{NAME}"])
def test_a_model_may_bring_no_price_date_or_placeholder_of_its_own(brought):
    class Said:
        name = "said"

        def ask(self, system, user, images=(), schema=None):
            return f"Capital at risk · {brought}"

    verdict = Verdict(1.0, True, "finance", "rules")
    with pytest.raises(CannotRewrite, match="brings"):
        ModelRewriter(Said())("投资，保证收益，从现在起 guaranteed profit", verdict, None, 1)
