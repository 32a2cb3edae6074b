"""The software company: accounts, seats, plans, invoices and users."""

from functools import lru_cache
from pathlib import Path

from fama.envs.helpdesk.saas.tools import TOOLS
from fama.envs.helpdesk.task_records import Domain

_ASKS = {
    "email": r"e-?\s?mail",
    "pin": r"\bpin\b|\bsupport code\b|\bsecurity code\b|\bpasscode\b",
    "name": r"\byour (?:full |last |first )?name\b",
    "account": r"\bwhich (?:of (?:your|the) )?(?:accounts?|workspace|company|organi[sz]ation)|"
    r"\baccount(?:'s)? (?:name|id|number)|"
    r"\baccount_id|\bwhat(?: is the)? account|\bname of (?:the|your) (?:account|company)|\bwhich one\b",
    "seats": r"\bhow many\b|\bnumber of (?:seats|users|licen[sc]es)|\bseats? (?:count|number)|\bwhat number\b|"
    r"\bnew number\b",
    "plan": r"\bwhich (?:new )?plan|\bwhat plan|\bplan (?:do|would|should|name)|\bnew plan\b|\bname of the plan|"
    r"\bdesired plan",
    "invoice": r"\binvoice(?:'s)? (?:number|id|no|reference|#)|\binvoice_id|\bwhich (?:of (?:your|"
    r"the) )?invoices?|\bwhat invoice|"
    r"\b(?:number|id) of (?:the|your) invoice",
    "month": r"\bwhich (?:of (?:your|the) )?(?:month|invoices?)|\bwhat (?:month|invoice)|\bmonth of\b|"
    r"\bdescribe\b|\binvoice details",
    "user_id": r"\buser(?:'s)?[ _]?(?:id|number)|\bid of (?:the|that|this) (?:user|person|colleague)",
    "person": r"\bwhich (?:user|person|colleague|employee|team member)|\bwho\b|\bwhose\b|\bname of (?:the|that|this) "
    r"(?:user|person|colleague|employee)|\b(?:user|person|colleague)(?:'s)? name|\bwhat user",
    "role": r"\bwhich (?:new )?(?:role|access|rights|permissions?)|\bwhat (?:new )?(?:kind of |"
    r"level of )?(?:role|access|rights|permissions?)|"
    r"\b(?:new|desired) role\b|\brole (?:do|should|would)|\baccess level",
    "reason": r"\breason|\bwhy\b",
}


@lru_cache(maxsize=1)
def domain() -> Domain:
    """Return the domain, its policy read from the file beside this module."""
    policy = (Path(__file__).parent / "policy.md").read_text(encoding="utf-8").strip()
    return Domain("saas", policy, TOOLS, ("email", "pin"), "verify_user", _ASKS)
