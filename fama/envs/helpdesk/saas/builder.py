"""The builder that every kind of request of the software company shares."""

from dataclasses import dataclass, field
from random import Random

from fama.envs.base import Action
from fama.envs.helpdesk.saas.world import Account, Invoice, SaasWorld, label_of
from fama.envs.helpdesk.task_mix import TaskPlan
from fama.envs.helpdesk.task_records import Check, Fact, call
from fama.randomness import generator

_PAIRS = (
    ("seats", "access"),
    ("refund", "seats"),
    ("plan", "access"),
    ("refund", "access"),
    ("deactivate", "invoice"),
    ("deactivate", "refund"),
    ("access", "invoice"),
    ("plan", "deactivate"),
)
#: Of the easy wishes that the opening states, those that it only describes ("3 more seats").
_DESCRIBED = 0.6
_ACCOUNTS = {"seats": (1, 2, 3), "plan": (1, 2, 3), "invoice": (1, 2, 2), "access": (1, 1, 2), "deactivate": (1, 1, 2)}


@dataclass
class Request:
    """The part of a goal that differs by kind of request; the rest is the same for all kinds."""

    wish: dict[str, str]
    phrase: str
    words: str
    change: str | None
    asks: list[str]
    facts: tuple[Fact, ...]
    name: str
    looks: list[Action]
    checks: tuple[Check, ...] = ()
    changes: list[Action] = field(default_factory=list)
    proposal: str = ""
    report: str = ""
    why: str = ""
    early: bool = False
    first: dict[str, str] = field(default_factory=dict)
    fix: str = ""
    first_looks: list[Action] = field(default_factory=list)
    first_proposal: str = ""


class SaasBuilder:
    """The world of one task and the draws that its pieces share."""

    def __init__(self, plan: TaskPlan) -> None:
        self.plan = plan
        self.level = plan.level
        self.rng: Random = generator(plan.seed, "helpdesk.saas", plan.task_id.split("-")[1])
        rng = self.rng
        single = plan.family != "two"
        self.kinds: tuple[str, ...] = (plan.family,) if single else rng.choice(_PAIRS)
        # a caller without the rights is refused everything, and may not even ask about an invoice
        self.question = plan.family == "invoice" and rng.random() < 0.4
        if plan.family == "invoice":
            self.kinds = ("invoice",) if self.question else ("refund",)
        no_rights = plan.refused and single and (self.question or rng.random() < 0.3)
        self.no_rights = no_rights
        accounts = _ACCOUNTS[plan.family][self.level - 1] if single else (1, 1, 2)[self.level - 1]
        role = rng.choice(("member", "viewer")) if no_rights else rng.choice(("admin", "admin", "owner"))
        self.world = SaasWorld(rng, accounts, (3, 4, 4)[self.level - 1], self.level == 3, role)
        if self.level > 1:
            self.world.people.append(self.world.add_user(self.world.target, "member", like=self.world.people[0]))

    def asks_account(self, told: bool) -> list[str]:
        """Return what has to be asked to find the account."""
        return ["Which account is it about?"] if len(self.world.accounts) > 1 and not told else []

    def says_account(self, corrected: bool) -> bool:
        """Return whether the opening names the account; it does when that is corrected later."""
        return len(self.world.accounts) > 1 and (corrected or self.rng.random() < 0.6)

    def other_account(self) -> Account:
        """Return another account of the caller."""
        return self.rng.choice([a for a in self.world.accounts if a is not self.world.target])

    def draws_description(self, kind: str) -> bool:
        """Draw whether the opening describes the wish instead of naming its value, apart from all other draws."""
        return generator(self.plan.seed, "helpdesk.saas.described", kind).random() < _DESCRIBED

    def look_up(self, account: Account) -> Action:
        """Return the look-up of an account."""
        return call("get_account", account_id=account["account_id"])

    def label_invoice(self, invoice: Invoice) -> str:
        """Return the user's name for an invoice."""
        return label_of(invoice) if self.level == 3 else str(invoice["month"])


def phrase_suffix(named: bool, value: bool) -> str:
    """Return the suffix of the verb phrases: with the object's name or not, with the new value or not."""
    return {(0, 0): "plain", (0, 1): "value", (1, 0): "named", (1, 1): "full"}[int(named), int(value)]
