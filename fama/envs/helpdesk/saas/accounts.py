"""Requests about an account: its seats, its plan, its invoices."""

import re

from fama.envs.helpdesk.saas.builder import Request, SaasBuilder, phrase_suffix
from fama.envs.helpdesk.saas.tools import LIMITS, PLANS, monthly_total
from fama.envs.helpdesk.saas.world import MONTHS, Invoice
from fama.envs.helpdesk.task_records import Check, Fact, call

_PLAN_PATTERN = rf"\b(?:{'|'.join(PLANS)})\b"
_SEATS_PATTERN = r"\b\d+(?=(?: \w+)? seats?\b)|(?<=\bto )\d{1,2}\b(?![.,]\d)"
#: How many more or fewer is no number of seats.
_DIFFERENCE = r"(?<!\badd )(?<!\bby )(?<!\bremove )(?!\d+ (?:more|additional|extra|new|fewer|less)\b)"


def seats(b: SaasBuilder, refused: bool, corrected: bool) -> Request:
    """Build a request for more or fewer seats; refused below the use and above the plan's limit."""
    rng, target = b.rng, b.world.target
    used = len(b.world.users_of(target))
    cause = rng.choice(("use", "limit")) if refused else ""
    if cause == "use":
        wish = rng.randint(1, used - 1)
        why = f"{used} seats are in use"
    elif cause == "limit":
        b.world.fit(target, "starter")
        wish = rng.randint(6, 14)
        why = "the starter plan has at most 5 seats"
    else:
        wish = rng.choice([n for n in range(used + 3, LIMITS[target["plan"]] + 1) if n != target["seats"]])
        why = ""
    by_account = corrected and len(b.world.accounts) > 1 and b.plan.family != "two" and rng.random() < 0.5
    wrong = rng.choice([n for n in range(used + 3, 20) if n not in (wish, target["seats"])])
    other = b.other_account() if by_account else target
    if other["seats"] == wish:
        other["seats"] += 1
    named = b.says_account(by_account)
    early = corrected and not by_account or rng.random() < 0.5
    said = wish if by_account else wrong
    first = {"account": other["name"]} if by_account else {"seats": str(wrong)}
    total = monthly_total(target["plan"], wish)
    phrase, more = f"seats_{phrase_suffix(named, early)}", wish - target["seats"]
    described = early and not refused and not corrected and b.draws_description("seats")
    if described:
        phrase += "_more" if more > 0 else "_fewer"
    neutral = frozenset({str(target["seats"]), str(used), str(other["seats"])})
    return Request(
        wish={"seats": str(wish), **({"difference": str(abs(more))} if described else {})},
        phrase=phrase,
        words=r"seat|licen[sc]e",
        change="change_seats",
        asks=b.asks_account(named) + ([] if early else ["How many seats would you like in total?"]),
        facts=(Fact("money", f"{total:.2f}"),),
        name=f"change {target['name']} to {wish} seats",
        looks=[b.look_up(target)],
        checks=(Check("seats", (_DIFFERENCE if described else "") + f"(?:{_SEATS_PATTERN})", neutral - {str(wish)}),),
        changes=[call("change_seats", account_id=target["account_id"], seats=wish)],
        proposal=f"I can change {target['name']} from {target['seats']} to {wish} seats.",
        report=f"{target['name']} has {wish} seats now. The new monthly total is {total:.2f}.",
        why=why,
        early=early,
        first=first if corrected else {},
        fix=("account" if by_account else "seats") if corrected else "",
        first_looks=[b.look_up(other)],
        first_proposal=f"I can change {other['name']} from {other['seats']} to {said} seats.",
    )


def plan_change(b: SaasBuilder, refused: bool, corrected: bool) -> Request:
    """Build a request for another plan; refused while an invoice is overdue, and when the seats do not fit."""
    rng, world = b.rng, b.world
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
    by_account = corrected and len(world.accounts) > 1 and b.plan.family != "two"
    by_account = by_account and (not choices or rng.random() < 0.5)
    corrected = corrected and (by_account or bool(choices))
    wrong = choices[0] if choices else ""
    other = b.other_account() if by_account else target
    if by_account:
        other["plan"] = target["plan"]
        other["seats"] = min(other["seats"], LIMITS[target["plan"]])
    named = b.says_account(by_account)
    early = (corrected and not by_account) or rng.random() < 0.5
    first = {"account": other["name"]} if by_account else {"plan": wrong}
    total = monthly_total(wish, target["seats"])
    said = wish if by_account else wrong
    phrase = f"plan_{phrase_suffix(named, early)}"
    if early and not refused and not corrected and b.draws_description("plan"):
        phrase += f"_{wish}"
    return Request(
        wish={"plan": wish},
        phrase=phrase,
        words=r"\bplan\b|upgrad|downgrad|subscription",
        change="change_plan",
        asks=b.asks_account(named) + ([] if early else ["Which plan would you like?"]),
        facts=(Fact("money", f"{total:.2f}"),),
        name=f"move {target['name']} to the {wish} plan",
        looks=[b.look_up(target)],
        checks=(Check("plan", _PLAN_PATTERN, frozenset({target["plan"]})),),
        changes=[call("change_plan", account_id=target["account_id"], plan=wish)],
        proposal=f"I can change {target['name']} from the {target['plan']} to the {wish} plan.",
        report=f"{target['name']} is on the {wish} plan now. The new monthly total is {total:.2f}.",
        why=why,
        early=early,
        first=first if corrected else {},
        fix=("account" if by_account else "plan") if corrected else "",
        first_looks=[b.look_up(other)],
        first_proposal=f"I can change {other['name']} from the {other['plan']} to the {said} plan.",
    )


def refund(b: SaasBuilder, refused: bool, corrected: bool) -> Request:
    """Build a request for a refund of an invoice; refused for old ones, setup ones and ones that are not paid."""
    rng, target = b.rng, b.world.target
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
    request = _about_invoice(b, invoice, wrong, corrected, "refund")
    request.words = r"refund|money back|invoice|pay back"
    request.change = "refund_invoice"
    request.facts = (Fact("money", amount),)
    request.name = f"refund invoice {invoice['invoice_id']}"
    request.changes = [call("refund_invoice", invoice_id=invoice["invoice_id"])]
    request.proposal = f"I can refund the {b.label_invoice(invoice)} invoice {invoice['invoice_id']}."
    request.first_proposal = f"I can refund the {b.label_invoice(wrong)} invoice {wrong['invoice_id']}."
    request.report = f"The invoice is refunded. You get {amount} back."
    request.why = why
    return request


def invoice(b: SaasBuilder, refused: bool, corrected: bool) -> Request:
    """Build a question about an invoice: what it comes to, or when it is due."""
    rng, target = b.rng, b.world.target
    invoice, wrong = rng.sample(target["invoices"], 2)
    due = rng.random() < 0.5
    if due:
        invoice["status"] = wrong["status"] = "open"
    request = _about_invoice(b, invoice, wrong, corrected, "due" if due else "amount")
    request.facts = (Fact("date", invoice["due"]) if due else Fact("money", f"{invoice['amount']:.2f}"),)
    request.name = "tell you about invoices"
    said = f"is due on {invoice['due']}" if due else f"comes to {invoice['amount']:.2f}"
    request.report = f"The {b.label_invoice(invoice)} invoice {invoice['invoice_id']} {said}."
    return request


def _about_invoice(b: SaasBuilder, invoice: Invoice, wrong: Invoice, corrected: bool, topic: str) -> Request:
    rng, target = b.rng, b.world.target
    labels = [b.label_invoice(row) for account in b.world.accounts for row in account["invoices"]]
    known = b.level == 1
    told = corrected or rng.random() < (0.3 if known else 0.72)

    def by_name(row: Invoice) -> dict[str, str]:
        return {"month": b.label_invoice(row), **({"invoice": row["invoice_id"]} if known else {})}

    asks = ["What is the invoice number?"] if known else [] if told else ["Which invoice is it about?"]
    pattern = "|".join(sorted({re.escape(label) for label in (*labels, *(() if b.level == 3 else MONTHS))}))
    return Request(
        wish=by_name(invoice),
        phrase=f"invoice_{topic}_{'month' if told else 'plain'}",
        words=r"invoice|amount|due|bill",
        change=None,
        asks=b.asks_account(False) + asks,
        facts=(),
        name="",
        looks=[b.look_up(target)],
        checks=(Check("invoice", r"\bINV-\d{4}\b", known=known), Check("month", rf"\b(?:{pattern})\b")),
        first=by_name(wrong) if corrected else {},
        fix="month" if corrected else "",
        first_looks=[b.look_up(target)],
    )
