"""Recognition of the agent's words to the user: asked slots, a proposal, a refusal, a report.

Patterns are wide on purpose: small models word things in many ways, and the user should understand what
a person would. They know no tool and no template of the generator.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+")

_REQUEST = re.compile(
    r"\?|\b(?:please|provide|give|tell|share|send|enter|specify|state|type|supply|include|need|require|required|"
    r"what|which|who|where|why|how many|could you|can you|may i|might i|can i have|could i have|let me know|"
    r"confirm your|confirm the|asking for|looking for|ask for|without|missing)\b",
    re.I,
)
_OPEN_QUESTION = re.compile(r"\b(?:which|what|how many)\b[^.!]*\?", re.I)
_VERIFY = re.compile(
    r"\b(?:verify|verification|identify|identification|confirm|prove|authenticate)\b[^.?!]{0,30}"
    r"\b(?:identity|yourself|who you are|(?:your|the) (?:account|details|information|data))\b"
    r"|\byour (?:account|contact|personal|customer|login|user) (?:details|information|info|data)\b"
    r"|\bwho am i (?:speaking|talking|chatting)|\bwho are you\b|\byour identity\b"
    r"|\b(?:verify|identify|authenticate) you\b|\b(?:log ?in|credentials)\b",
    re.I,
)
_NOT_FOUND = re.compile(
    r"\b(?:can\s?not|can't|could\s?n[o']t|could not|unable to|did not|didn't|was not able to|no)\b[^.?!]{0,25}"
    r"\b(?:find|found|locate|verify|match|identify)\b[^.?!]{0,40}\b(?:e-?mail|post ?code|pin|account|customer|"
    r"identity|you|user)\b"
    r"|\b(?:e-?mail|post ?code|pin)\b[^.?!]{0,40}\b(?:not match|n't match|wrong|incorrect|invalid|not found|"
    r"not correct)",
    re.I,
)

_ACTING = (
    r"(?:cancel|change|return|exchange|swap|switch|update|refund|deactivate|process|set|give|grant|remove|add|make|"
    r"upgrade|downgrade|close|reduce|increase|raise|lower|move|replace|reset|start|submit|initiate|arrange|ship)"
)
_STRONG = re.compile(
    r"\bconfirm(?:ation|ed|s|ing)?\b|\bsay yes\b|\byes\s?/\s?no\b|\byes or no\b|\b(?:reply|"
    r"answer)\b[^.?!]{0,12}\byes\b|\bshall (?:i|we)\b|"
    rf"\bshould (?:i|we)\b|\b(?:may|can|could) (?:i|we) (?:now |then |please )?(?:go|proceed|{_ACTING})\b|"
    rf"\bwould you like (?:me|us)\b|"
    r"\b(?:do you|you) (?:still |really )?(?:want|wish|agree|approve)\b|\bis (?:that|this|it|everything) (?:all )?"
    r"(?:right|correct|ok|okay|fine|good|what you want|the one|alright|acceptable)\b|\bare you (?:sure|ok|okay|"
    r"happy|fine)\b|"
    r"\b(?:go ahead|proceed|continue)\b[^.!]*\?|\b(?:ok|okay|right|correct|agreed|alright|yes)\s?\?|"
    r"\bdoes (?:that|this) (?:work|sound|look)|"
    r"\b(?:ok|okay|alright|fine) to \w+|\bsounds? good\b|\bdo i have your\b|\byour (?:approval|consent|permission|"
    r"ok|go-ahead|yes)\b",
    re.I,
)
_WEAK = re.compile(
    rf"\b(?:go ahead|proceed|continue)\b|\bi(?:'ll| will|'m going to| am going to| can| could| would) (?:now |"
    rf"then |also )?{_ACTING}\b|"
    rf"\blet me (?:now |then )?{_ACTING}\b|\bready to {_ACTING}\b|\bwould you like to {_ACTING}\b|\b(?:will|"
    rf"can) be {_ACTING}\w*\b|^{_ACTING}\b[^.!]*\?",
    re.I | re.M,
)
_CANNOT = (
    r"(?:can\s?not|can't|could not|couldn't|won't|will not|unable to|not able to|not allowed to|"
    r"not permitted to|may not|"
    r"must not|mustn't|is not possible to|isn't possible to|not possible to)"
)
_REFUSAL = re.compile(
    rf"\b{_CANNOT}\b(?!\s+(?:find|see|locate|verify|identify|access your|look|open|reach|tell which|determine|"
    r"(?:proceed|continue|help(?: you)?|do (?:this|that|it)) (?:without|until|unless|before)))|"
    r"\b(?:not|no longer|isn't|aren't|never|non)[ -](?:be )?(?:possible|allowed|eligible|permitted|refundable|"
    r"returnable|cancell?able|"
    r"exchangeable|accepted|changed|cancell?ed|returned|exchanged|refunded|authori[sz]ed|supported|in stock|"
    r"available for)\b|"
    r"\b(?:ineligible|out of stock|final sale)\b|\b(?:have to|must|need to) (?:refuse|decline|deny|reject)\b|"
    r"\b(?:refused|denied|declined|rejected|prohibited|forbidden|disallowed)\b|"
    r"\b(?:against|violates?|not (?:in line with|covered by)) (?:our |the |company )?(?:policy|rules)\b|"
    r"\bpolicy (?:does not|doesn't|forbids|prohibits|prevents)\b|\b(?:does not|doesn't|do not|don't) (?:allow|"
    r"permit|qualify|have (?:the )?"
    r"(?:permission|rights?))\b|\bno exceptions?\b|\b(?:window|period|deadline) (?:has|have|is|"
    r"was) (?:already )?(?:passed|expired|over|closed|"
    r"ended)\b|\bunfortunately\b(?![^.?!]*\b(?:find|locate|see)\b)|\bonly (?:admins?|owners?)\b[^.?!]*\b(?:can|"
    r"may)\b",
    re.I,
)
_REPORT = re.compile(
    r"\b(?:has|have|was|were)\b (?:now |just |already |successfully |been )*(?:been|cancell?ed|changed|returned|"
    r"exchanged|updated|refunded|"
    r"deactivated|granted|processed|upgraded|downgraded|completed|set|done|made)\b|\b(?:is|are) now\b|\bi(?:'ve|"
    r" have) (?:now |just |successfully )?"
    r"\w+ed\b|"
    r"\b(?:is|are|was|were) (?:now )?(?:started|initiated|booked|arranged|confirmed|under way|underway|in progress)\b|"
    r"\byou(?:'ll| will)? (?:pay|owe|get)\b|"
    r"\b(?:cancell?ed|returned|exchanged|updated|refunded|deactivated|changed|granted|removed|upgraded|"
    r"downgraded)\b|\bsuccessful(?:ly)?\b|\bdone\b|\bcompleted?\b|\byou(?:'ll| will) (?:receive|get|be)\b|"
    r"\brefund (?:of|is|amount|will)\b|"
    r"\b(?:will|should|expected to|due to|scheduled to|to) (?:arrive|be delivered|be there|reach you)\b|"
    r"\barriv(?:es?|al|ing)\b|\bcurrently\b|"
    r"\bit(?:'s| is) (?:at|in|on)\b|\b(?:the|your) (?:\w+ )?(?:total|amount|refund|difference|status|price|"
    r"location|order|invoice)\b[^.?!]*\bis\b",
    re.I,
)
_MORE = re.compile(
    r"\banything else\b|\bany(?:thing)? (?:other|more|further)\b|\bwhat else\b|\bhow (?:can|may|could|"
    r"else can) (?:i|we) (?:help|assist|be of)|"
    r"\bwhat (?:can|may|could) (?:i|we) (?:do|help|assist)|\bwhat (?:would|do) you (?:like|want|need)\b|"
    r"\bwhat (?:is|seems to be|'s) (?:the|your) (?:problem|request|issue|question|concern)|\bmore (?:details|"
    r"information|about)\b|"
    r"\bfurther (?:help|assistance|questions)\b|\bother (?:questions|requests)\b|\bassist you\b|"
    r"\bhelp you (?:with|today|further)\b|\bdescribe\b",
    re.I,
)
_WAIT = re.compile(
    r"\b(?:one|a) (?:moment|second|minute)\b|\bhold on\b|\bplease wait\b|\blet me (?:check|look|see|verify|find)\b|"
    r"\bi(?:'ll| will) (?:check|look|find|verify)\b|\bchecking\b|\blooking\b|\bverified\b|"
    r"\b(?:i )?found\b|\bthank|\bgot it\b|\bnoted\b|\bwelcome\b",
    re.I,
)


_STRANGE = re.compile(
    r"\b(?:phone|mobile|telephone|credit card|card number|payment|bank|birth|birthday|username|user name|password|"
    r"tracking number|customer (?:id|number)|account number|receipt|photo|screenshot|code)\b",
    re.I,
)
_EITHER = re.compile(
    r"\b(?:would you like|do you want|do you prefer|should i|shall i)\b[^.!]*\bor\b(?! not\b)[^.!]*\?", re.I
)
_NUMBERED = re.compile(r"(?:(?<=\s)|^)(\d)\.\s")
_ENUMERATION = re.compile(r"(?:^|\n|:\s*)1\.\s")
_LIST = re.compile(r"\bfollowing\b|:\s*(?:\d\)|[-*•]|$)", re.I)


@dataclass(frozen=True)
class Heard:
    """The user's reading of the agent's words.

    ``strong`` is a proposal that leaves no doubt, ``refusing`` are the sentences that refuse, ``other`` the rest;
    ``stranger`` is a question for something that no user of this world has.
    """

    asked: tuple[str, ...]
    proposal: bool
    strong: bool
    refusing: tuple[str, ...]
    other: tuple[str, ...]
    report: bool
    more: bool
    wait: bool
    stranger: bool


def straight(text: str) -> str:
    """Return a text with the apostrophes that the patterns have: large models write typographic ones."""
    return text.replace("’", "'")


def refuses(text: str) -> bool:
    """Return whether a text tells the user that something cannot be done."""
    return _REFUSAL.search(straight(text)) is not None


def understand(text: str, asks: Mapping[str, str], identity: tuple[str, ...], stated: frozenset[str]) -> Heard:
    """Read the agent's words.

    ``asks`` holds a pattern a slot; ``stated`` are slots whose value the words contain, which are
    asked for only in an open question. A general wish to verify the user, or failing to find it, asks for
    all of ``identity``.
    """
    text = straight(text)
    asked: list[str] = []
    strong = False
    refusing: list[str] = []
    other: list[str] = []
    weak = False
    listing = len(text.split()) <= 6  # a short text needs no verb to ask, and neither do the points of a list
    if _ENUMERATION.search(text):  # the stops after its numbers end no sentence
        text = _NUMBERED.sub(r"\1) ", text)
    for sentence in filter(None, _SENTENCE.split(text)):
        open_question = _OPEN_QUESTION.search(sentence) is not None
        here: list[str] = []
        listing = listing or _LIST.search(sentence) is not None
        if listing or _REQUEST.search(sentence):
            here = [
                s
                for s, pattern in asks.items()
                if re.search(pattern, sentence, re.I) and (open_question or s not in stated)
            ]
        asked += here
        plain_yes = not (here or open_question or _EITHER.search(sentence) or _VERIFY.search(sentence))
        strong = strong or (plain_yes and _STRONG.search(sentence) is not None)
        weak = weak or (plain_yes and _WEAK.search(sentence) is not None)
        (refusing if refuses(sentence) else other).append(sentence)
    if not any(slot in asked for slot in identity) and (
        _NOT_FOUND.search(text)
        or (_VERIFY.search(text) and not any(slot in stated for slot in identity) and not strong)
    ):
        asked += identity
    return Heard(
        asked=tuple(dict.fromkeys(asked)),
        proposal=strong or (weak and not asked),
        strong=strong,
        refusing=() if asked else tuple(refusing),
        other=tuple(other),
        report=_REPORT.search(text) is not None,
        more=_MORE.search(text) is not None,
        wait=_WAIT.search(text) is not None,
        stranger=_STRANGE.search(text) is not None and _REQUEST.search(text) is not None,
    )
