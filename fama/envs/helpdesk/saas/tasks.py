"""The software company's tasks: five kinds of request and two at once, each at three levels."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from fama.envs.base import Action
from fama.envs.helpdesk.assemble import Piece, gold_actions, make_draft
from fama.envs.helpdesk.model import Call, Check, Draft, Fact, Goal, call
from fama.envs.helpdesk.plan import Plan
from fama.envs.helpdesk.saas.tools import LIMITS, PLANS, monthly_total
from fama.envs.helpdesk.saas.world import MONTHS, Account, Invoice, SaasWorld, User, label_of
from fama.randomness import generator

FAMILIES = ("seats", "deactivate", "plan", "invoice", "access", "two")
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
_ACCOUNTS = {"seats": (1, 2, 3), "plan": (1, 2, 3), "invoice": (1, 2, 2), "access": (1, 1, 2), "deactivate": (1, 1, 2)}
_GRANTED = ("viewer", "member", "admin")
_PLAN_PATTERN = rf"\b(?:{'|'.join(PLANS)})\b"
_ROLE_PATTERN = r"\b(?:viewer|member|admin|owner)\b"
_SEATS_PATTERN = r"\b\d+(?=(?: \w+)? seats?\b)|(?<=\bto )\d{1,2}\b(?![.,]\d)"


def build(plan: Plan) -> Draft:
    """Generate a task; a pure function of the plan."""
    return _SaasBuilder(plan).draft()


@dataclass
class _Request:
    """What a kind of request fills in; the rest of a goal and its piece is the same for all kinds."""

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


class _SaasBuilder:
    def __init__(self, plan: Plan) -> None:
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

    def draft(self) -> Draft:
        plan, world = self.plan, self.world
        pieces = [
            self._piece(kind, i == 0 and plan.refused, i == 0 and plan.corrected) for i, kind in enumerate(self.kinds)
        ]
        world.shuffle_users()
        caller = world.caller
        identity = [
            call("find_user", email=caller["email"]),
            call("verify_user", user_id=caller["user_id"], pin=caller["pin"]),
        ]
        gold = gold_actions("Sure. Please tell me your e-mail and your support PIN.", identity, [], pieces)
        slots = {key: caller[key] for key in ("email", "pin", "name")}
        return make_draft(plan, world.db, slots, pieces, gold)

    # -- what every kind shares --------------------------------------------------------------------------------------

    def _piece(self, kind: str, refused: bool, corrected: bool) -> Piece:
        request = _KINDS[kind](self, refused and not self.no_rights, corrected)
        refused = refused or self.no_rights
        rng, world = self.rng, self.world
        when: Literal["", "identity", "proposal"] = ""
        if request.fix:
            early = refused or request.change is None or rng.random() < 0.4
            when = "identity" if early else "proposal"
        if len(world.accounts) > 1:
            request.wish["account"] = str(world.target["name"])
            names = "|".join(re.escape(a["name"]) for a in sorted(world.accounts, key=lambda a: -len(a["name"])))
            request.checks += (Check("account", rf"\b(?:{names})\b"),)
        evidence = tuple(Call(str(look.tool), look.arguments) for look in request.looks)
        if self.no_rights:
            evidence = (Call("find_user", {"email": world.caller["email"]}),)
        goal = Goal(
            kind=kind,
            phrase=request.phrase,
            wish=request.wish,
            words=request.words,
            first=request.first,
            fix_slot=request.fix,
            fix_when=when,
            checks=request.checks,
            change=request.change,
            refused=refused,
            pushes=refused and self.level == 3 and self.plan.family != "two" and rng.random() < 0.6,
            facts=request.facts,
            evidence=evidence,
        )
        traps = ({"WRCO"} if self.level > 1 else set()) | ({"CM"} if request.early else set())
        piece = Piece(goal, request.looks, request.asks, traps=traps)
        if refused:
            if self.no_rights:
                piece.looks, piece.asks = [], []
                request.why = "only an admin or an owner may ask for this"
            piece.refusal = f"I am sorry, I cannot {request.name} because {request.why}."
            return piece
        piece.proposal, piece.changes, piece.report = request.proposal, request.changes, request.report
        if when == "proposal":
            piece.first_looks, piece.first_proposal = request.first_looks, request.first_proposal
        return piece

    def _asks_account(self, told: bool) -> list[str]:
        return ["Which account is it about?"] if len(self.world.accounts) > 1 and not told else []

    def _says_account(self, corrected: bool) -> bool:
        return len(self.world.accounts) > 1 and (corrected or self.rng.random() < 0.6)

    def _other_account(self) -> Account:
        return self.rng.choice([a for a in self.world.accounts if a is not self.world.target])

    def _look(self, account: Account) -> Action:
        return call("get_account", account_id=account["account_id"])

    # -- the kinds ---------------------------------------------------------------------------------------------------

    def seats(self, refused: bool, corrected: bool) -> _Request:
        """More or fewer seats; refused below the use and above the plan's limit."""
        rng, target = self.rng, self.world.target
        used = len(self.world.users_of(target))
        cause = rng.choice(("use", "limit")) if refused else ""
        if cause == "use":
            wish = rng.randint(1, used - 1)
            why = f"{used} seats are in use"
        elif cause == "limit":
            self.world.fit(target, "starter")
            wish = rng.randint(6, 14)
            why = "the starter plan has at most 5 seats"
        else:
            wish = rng.choice([n for n in range(used + 3, LIMITS[target["plan"]] + 1) if n != target["seats"]])
            why = ""
        by_account = corrected and len(self.world.accounts) > 1 and self.plan.family != "two" and rng.random() < 0.5
        wrong = rng.choice([n for n in range(used + 3, 20) if n not in (wish, target["seats"])])
        other = self._other_account() if by_account else target
        if other["seats"] == wish:
            other["seats"] += 1
        named = self._says_account(by_account)
        early = corrected and not by_account or rng.random() < 0.5
        said = wish if by_account else wrong
        first = {"account": other["name"]} if by_account else {"seats": str(wrong)}
        total = monthly_total(target["plan"], wish)
        neutral = frozenset({str(target["seats"]), str(used), str(other["seats"])})
        return _Request(
            wish={"seats": str(wish)},
            phrase=f"seats_{_phrase(named, early)}",
            words=r"seat|licen[sc]e",
            change="change_seats",
            asks=self._asks_account(named) + ([] if early else ["How many seats would you like in total?"]),
            facts=(Fact("money", f"{total:.2f}"),),
            name=f"change {target['name']} to {wish} seats",
            looks=[self._look(target)],
            checks=(Check("seats", _SEATS_PATTERN, neutral - {str(wish)}),),
            changes=[call("change_seats", account_id=target["account_id"], seats=wish)],
            proposal=f"I can change {target['name']} from {target['seats']} to {wish} seats.",
            report=f"{target['name']} has {wish} seats now. The new monthly total is {total:.2f}.",
            why=why,
            early=early,
            first=first if corrected else {},
            fix=("account" if by_account else "seats") if corrected else "",
            first_looks=[self._look(other)],
            first_proposal=f"I can change {other['name']} from {other['seats']} to {said} seats.",
        )

    def plan_change(self, refused: bool, corrected: bool) -> _Request:
        """Another plan; refused while an invoice is overdue, and when the seats do not fit."""
        rng, world = self.rng, self.world
        target = world.target
        cause = rng.choice(("overdue", "limit")) if refused else ""
        why = ""
        if cause == "limit":
            wish, why = "starter", f"the starter plan has at most 5 seats and the account has {target['seats']}"
        else:
            if rng.random() < 0.5 and len(world.users_of(target)) <= 5:
                world.fit(target, "starter")
            wish = rng.choice([p for p in PLANS[1:] if p != target["plan"]])
            if cause == "overdue":
                late = rng.choice(target["invoices"])
                late["status"] = "overdue"
                why = f"invoice {late['invoice_id']} is overdue"
        choices = [p for p in PLANS[1:] if p not in (wish, target["plan"])]
        by_account = corrected and len(world.accounts) > 1 and self.plan.family != "two"
        by_account = by_account and (not choices or rng.random() < 0.5)
        corrected = corrected and (by_account or bool(choices))
        wrong = choices[0] if choices else ""
        other = self._other_account() if by_account else target
        if by_account:
            other["plan"] = target["plan"]
            other["seats"] = min(other["seats"], LIMITS[target["plan"]])
        named = self._says_account(by_account)
        early = (corrected and not by_account) or rng.random() < 0.5
        first = {"account": other["name"]} if by_account else {"plan": wrong}
        total = monthly_total(wish, target["seats"])
        said = wish if by_account else wrong
        return _Request(
            wish={"plan": wish},
            phrase=f"plan_{_phrase(named, early)}",
            words=r"\bplan\b|upgrad|downgrad|subscription",
            change="change_plan",
            asks=self._asks_account(named) + ([] if early else ["Which plan would you like?"]),
            facts=(Fact("money", f"{total:.2f}"),),
            name=f"move {target['name']} to the {wish} plan",
            looks=[self._look(target)],
            checks=(Check("plan", _PLAN_PATTERN, frozenset({target["plan"]})),),
            changes=[call("change_plan", account_id=target["account_id"], plan=wish)],
            proposal=f"I can change {target['name']} from the {target['plan']} to the {wish} plan.",
            report=f"{target['name']} is on the {wish} plan now. The new monthly total is {total:.2f}.",
            why=why,
            early=early,
            first=first if corrected else {},
            fix=("account" if by_account else "plan") if corrected else "",
            first_looks=[self._look(other)],
            first_proposal=f"I can change {other['name']} from the {other['plan']} to the {said} plan.",
        )

    def refund(self, refused: bool, corrected: bool) -> _Request:
        """Money back for an invoice; refused for old ones, setup ones and ones that are not paid."""
        rng, target = self.rng, self.world.target
        invoice, wrong = rng.sample(target["invoices"], 2)
        why = ""
        cause = rng.choice(("old", "setup", "open")) if refused else ""
        if cause == "old":
            invoice["days_old"] = rng.randint(63, 120)
            why = f"it is {invoice['days_old']} days old, and the limit is 60 days"
        elif cause == "setup":
            invoice["for"] = "setup"
            why = "it is a setup invoice"
        elif cause == "open":
            invoice["status"] = "open"
            why = "it is not paid yet"
        for row in target["invoices"]:
            if row is not invoice:
                row["days_old"] = min(row["days_old"], rng.randint(20, 58))
        if not refused:
            invoice["days_old"] = min(invoice["days_old"], rng.randint(20, 58))
        amount = f"{invoice['amount'] - invoice['credited']:.2f}"
        request = self._about_invoice(invoice, wrong, corrected, "refund")
        request.words = r"refund|money back|invoice|pay back"
        request.change = "refund_invoice"
        request.facts = (Fact("money", amount),)
        request.name = f"refund invoice {invoice['invoice_id']}"
        request.changes = [call("refund_invoice", invoice_id=invoice["invoice_id"])]
        request.proposal = f"I can refund the {self._label(invoice)} invoice {invoice['invoice_id']}."
        request.first_proposal = f"I can refund the {self._label(wrong)} invoice {wrong['invoice_id']}."
        request.report = f"The invoice is refunded. You get {amount} back."
        request.why = why
        return request

    def invoice(self, refused: bool, corrected: bool) -> _Request:
        """A question about an invoice: what it comes to, or when it is due."""
        rng, target = self.rng, self.world.target
        invoice, wrong = rng.sample(target["invoices"], 2)
        due = rng.random() < 0.5
        if due:
            invoice["status"] = wrong["status"] = "open"
        request = self._about_invoice(invoice, wrong, corrected, "due" if due else "amount")
        request.facts = (Fact("date", invoice["due"]) if due else Fact("money", f"{invoice['amount']:.2f}"),)
        request.name = "tell you about invoices"
        said = f"is due on {invoice['due']}" if due else f"comes to {invoice['amount']:.2f}"
        request.report = f"The {self._label(invoice)} invoice {invoice['invoice_id']} {said}."
        return request

    def _label(self, invoice: Invoice) -> str:
        return label_of(invoice) if self.level == 3 else str(invoice["month"])

    def _about_invoice(self, invoice: Invoice, wrong: Invoice, corrected: bool, topic: str) -> _Request:
        rng, target = self.rng, self.world.target
        labels = [self._label(row) for account in self.world.accounts for row in account["invoices"]]
        known = self.level == 1
        told = corrected or (not known and rng.random() < 0.6) or rng.random() < 0.3

        def by_name(row: Invoice) -> dict[str, str]:
            return {"month": self._label(row), **({"invoice": row["invoice_id"]} if known else {})}

        asks = ["What is the invoice number?"] if known else [] if told else ["Which invoice is it about?"]
        pattern = "|".join(sorted({re.escape(label) for label in (*labels, *(() if self.level == 3 else MONTHS))}))
        return _Request(
            wish=by_name(invoice),
            phrase=f"invoice_{topic}_{'month' if told else 'plain'}",
            words=r"invoice|amount|due|bill",
            change=None,
            asks=self._asks_account(False) + asks,
            facts=(),
            name="",
            looks=[self._look(target)],
            checks=(Check("invoice", r"\bINV-\d{4}\b", known=known), Check("month", rf"\b(?:{pattern})\b")),
            first=by_name(wrong) if corrected else {},
            fix="month" if corrected else "",
            first_looks=[self._look(target)],
        )

    def access(self, refused: bool, corrected: bool) -> _Request:
        """Another role for a colleague; refused for owners, and when it makes somebody an owner."""
        rng, world = self.rng, self.world
        user, wrong = rng.sample(world.people, 2)
        cause = rng.choice(("owner", "make")) if refused else ""
        by_role = corrected and (self.level == 1 or rng.random() < 0.5)
        user["role"] = wrong["role"] = rng.choice(_GRANTED)
        if cause == "owner":
            user["role"] = "owner"
        wish = "owner" if cause == "make" else rng.choice([r for r in _GRANTED if r != user["role"]])
        if wish == wrong["role"]:
            wrong["role"] = user["role"]
        other_role = rng.choice([r for r in _GRANTED if r not in (user["role"], wish)])
        early = by_role or rng.random() < 0.5
        request = self._about_person(user, wrong, corrected and not by_role, corrected, "role", early)
        request.wish["role"] = wish
        if by_role:
            request.first, request.fix = {"role": other_role}, "role"
        said = other_role if by_role else wish
        whom = user if by_role else wrong
        request.words = r"\brole|\baccess|\brights|permission|admin|member|viewer|owner"
        request.change = "set_role"
        request.facts = (Fact("date", world.db["next_sync"]),)
        request.name = f"make {user['name']} {_article(wish)}"
        request.changes = [call("set_role", user_id=user["user_id"], role=wish)]
        request.checks += (Check("role", _ROLE_PATTERN, frozenset({user["role"], whom["role"]} - {wish})),)
        request.proposal = f"I can make {user['name']} ({user['user_id']}) {_article(wish)}."
        request.first_proposal = f"I can make {whom['name']} ({whom['user_id']}) {_article(said)}."
        request.report = f"{user['name']} is {_article(wish)} from {world.db['next_sync']} on."
        request.why = "the role of an owner cannot change" if cause == "owner" else "nobody can be made an owner"
        return request

    def deactivate(self, refused: bool, corrected: bool) -> _Request:
        """Take a colleague's access away; refused for owners."""
        world = self.world
        user, wrong = self.rng.sample(world.people, 2)
        if refused:
            user["role"] = "owner"
        corrected = corrected and self.level > 1
        request = self._about_person(user, wrong, corrected, corrected, "user", False)
        free = world.target["seats"] - len(world.users_of(world.target)) + 1
        request.words = r"deactivat|remov|disabl|delet|lock|block|take .*off|revok"
        request.change = "deactivate_user"
        request.facts = (Fact("number", str(free)),)
        request.name = f"deactivate {user['name']}"
        request.changes = [call("deactivate_user", user_id=user["user_id"])]
        request.proposal = f"I can deactivate {user['name']} ({user['user_id']})."
        request.first_proposal = f"I can deactivate {wrong['name']} ({wrong['user_id']})."
        request.report = f"{user['name']} is deactivated. Free seats now: {free}."
        request.why = "an owner cannot be deactivated"
        return request

    def _about_person(
        self, user: User, wrong: User, mixed_up: bool, corrected: bool, kind: str, early: bool
    ) -> _Request:
        rng, world = self.rng, self.world
        target = world.target
        known = self.level == 1
        if self.level == 3 and len([r for r in world.db["users"].values() if r["status"] == "former"]) == 0:
            world.add_user(target, "member", like=user, status="former")
        spoken = self._spoken(user), self._spoken(wrong)
        named = corrected or (not known and rng.random() < 0.6) or rng.random() < 0.3
        asks = []
        if known:
            asks = ["What is the user id of that person?"]
        elif not named:
            asks = ["Which user is it about?"]
        if kind == "role" and not early:
            asks.append("Which role should it be?")
        names = [row["name"] for row in world.db["users"].values() if row is not world.caller]
        ids = {"user_id": user["user_id"]} if known else {}
        first: dict[str, str] = {}
        if mixed_up:
            first = {"person": spoken[1], "full_name": wrong["name"]}
        checks: tuple[Check, ...] = (Check("full_name", rf"\b(?:{'|'.join(names)})\b"),)
        caller = frozenset({world.caller["user_id"].casefold()})
        checks += (Check("user_id", r"\bU\d{4}\b", caller, known=known),)
        look = call("list_users", account_id=target["account_id"])
        return _Request(
            wish={"person": spoken[0], "full_name": user["name"], **ids},
            phrase=f"{kind}_{_phrase(named, early)}",
            words="",
            change=None,
            asks=self._asks_account(False) + asks,
            facts=(),
            name="",
            looks=[look],
            checks=checks,
            early=early,
            first=first,
            fix="person" if mixed_up else "",
            first_looks=[look],
        )

    def _spoken(self, user: User) -> str:
        """The full name, or at the hardest level sometimes the first name and the team."""
        first = user["name"].split()[0]
        alike = [r for r in self.world.people if r["name"].split()[0] == first and r["team"] == user["team"]]
        if self.level == 3 and len(alike) == 1 and self.rng.random() < 0.5:
            return f"{first} from {user['team']}"
        return str(user["name"])


_KINDS: dict[str, Callable[[_SaasBuilder, bool, bool], _Request]] = {
    "seats": _SaasBuilder.seats,
    "plan": _SaasBuilder.plan_change,
    "refund": _SaasBuilder.refund,
    "invoice": _SaasBuilder.invoice,
    "access": _SaasBuilder.access,
    "deactivate": _SaasBuilder.deactivate,
}


def _phrase(named: bool, value: bool) -> str:
    return {(0, 0): "plain", (0, 1): "value", (1, 0): "named", (1, 1): "full"}[int(named), int(value)]


def _article(role: str) -> str:
    return f"{'an' if role[0] in 'ao' else 'a'} {role}"
