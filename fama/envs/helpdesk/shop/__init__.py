"""The shop: orders, returns, exchanges, addresses and parcels."""

from functools import lru_cache
from pathlib import Path

from fama.envs.helpdesk.shop.tools import TOOLS
from fama.envs.helpdesk.task_records import Domain

_ASKS = {
    "email": r"e-?\s?mail",
    "postcode": r"post\s?-?code|\bzip|postal",
    "name": r"\b(?:your|full|last|first|customer)(?: \w+)? name\b",
    "order": r"\border(?:'s)? (?:number|id|no|reference|#)|\border_id|\bwhich (?:of (?:your|the) )?orders?\b|"
    r"\bwhat order|\b(?:number|id) of (?:the|your) order|\border (?:details|information)\b",
    "item": r"\bwhich (?:item|product|article|one(?! (?:would|do) you (?:like|want|prefer)(?! to)))|"
    r"\b(?:what|name of the) (?:item|product|article)|\bitem(?:_| |'s )?(?:id|name|number)|"
    r"\bproduct (?:name|id|number)|"
    r"\bdescribe the|\bwhich of (?:the|these|them|your)|\bwhat did you (?:order|buy)|\bitems? (?:you|do you|would you)",
    "reason": r"\breason|\bwhy\b",
    "address": r"(?<!mail )(?<!mail-)(?<!mail\n)\baddress|\bwhere (?:should|do you want|would you like)",
    "variant": r"\bcolou?rs?\b|\bvariants?\b|\breplacement\b|\bnew (?:item|product|one)\b|\binstead\b|"
    r"\b(?:exchange|swap|replace)\w* (?:\w+ ){0,4}(?:for|to|with|into)\b(?! me)|"
    r"\bwhich (?:version|model|option)|\bwhich (?:one )?(?:would|do) you (?:like|want|prefer)(?! to)",
}


@lru_cache(maxsize=1)
def domain() -> Domain:
    """Return the domain, its policy read from the file beside this module."""
    policy = (Path(__file__).parent / "policy.md").read_text(encoding="utf-8").strip()
    return Domain("shop", policy, TOOLS, ("email", "postcode"), "verify_customer", _ASKS)
