"""The software company's database of one task: accounts, their users and invoices, and decoys."""

from datetime import date, timedelta
from random import Random
from typing import Any

from fama.envs.helpdesk.people import FIRST, LAST, draw_id, full_name, mail_of
from fama.envs.helpdesk.saas.tools import LIMITS
from fama.envs.helpdesk.task_records import Db

_COMPANIES = "Northwind Bluebird Redwood Clearwater Sunfield Ironbridge Lakeside Greenleaf Stonegate Silverline".split()
_SUFFIXES = "Labs Studio Retail Media Works Foods Travel Clinic Books Energy".split()
TEAMS = ("Sales", "Finance", "Design", "Research", "Marketing", "Logistics")
MONTHS = ("July", "August", "September", "October", "November", "December")
_TODAY = date(2025, 12, 10)

Account = dict[str, Any]
User = dict[str, Any]
Invoice = dict[str, Any]


def label_of(invoice: Invoice) -> str:
    """Return a person's name for an invoice: its month, and its purpose where months repeat."""
    return f"{invoice['month']} {invoice['for']}" if "for" in invoice else str(invoice["month"])


class SaasWorld:
    """Builds one database. The caller belongs to every account; ``nested`` worlds answer with big output."""

    def __init__(self, rng: Random, accounts: int, users: int, nested: bool, role: str) -> None:
        self.rng = rng
        self._used: set[str] = set()
        self.nested = nested
        self.company = rng.choice(_COMPANIES)
        self.db: Db = {
            "nested": nested,
            "accounts": {},
            "users": {},
            "next_sync": (_TODAY + timedelta(days=rng.randint(1, 20))).isoformat(),
        }
        names = [f"{self.company} {suffix}" for suffix in rng.sample(_SUFFIXES, accounts)]
        if nested and accounts > 1:
            names[1] = f"{names[0]} EU"
        self.accounts = [self._account(name) for name in names]
        self.target = rng.choice(self.accounts)
        self.people = [self.add_user(self.target, "member") for _ in range(users - 1)]
        for account in self.accounts:
            if account is not self.target:
                self.add_user(account, "member")
        name = self._fresh_name()
        self.caller = self._user(self.target, name, role, rng.choice(TEAMS))
        self.caller["accounts"] = [account["account_id"] for account in self.accounts]

    def _account(self, name: str) -> Account:
        rng = self.rng
        row: Account = {
            "account_id": draw_id(rng, "A", 3, self._used),
            "name": name,
            "plan": "standard",
            "seats": rng.randint(8, 15),
            "invoices": [],
            "trial": None,
            "credits": [],
        }
        if self.nested:
            row["trial"] = {"plan": rng.choice(("starter", "premium")), "seats": rng.randint(3, 18)}
        self.db["accounts"][row["account_id"]] = row
        self.fill_invoices(row)
        return row

    def fill_invoices(self, account: Account) -> None:
        """Add paid recent invoices, in nested worlds more of them with look-alike months and a credit note."""
        rng = self.rng
        if not self.nested:
            for month in rng.sample(MONTHS[3:], 2):
                account["invoices"].append(self._invoice(month))
            return
        first, second = rng.sample(MONTHS[3:], 2)
        for month, charge in ((first, "seats"), (first, "storage"), (second, "seats"), (second, "training")):
            account["invoices"].append(self._invoice(month, charge))
        rng.shuffle(account["invoices"])
        like = rng.choice(account["invoices"])
        account["credits"].append(
            {"note_id": draw_id(rng, "CN-", 4, self._used), "month": like["month"], "amount": self._amount()}
        )

    def _amount(self) -> float:
        return self.rng.randint(40, 390) + self.rng.choice((0.0, 0.25, 0.5, 0.8, 0.95))

    def _invoice(self, month: str, charge: str | None = None) -> Invoice:
        rng = self.rng
        days = 10 + 15 * (len(MONTHS) - 1 - MONTHS.index(month)) + rng.randint(0, 9)
        row: Invoice = {
            "invoice_id": draw_id(rng, "INV-", 4, self._used),
            "month": month,
            "amount": self._amount(),
            "credited": rng.choice((0.0, 0.0, 5.0, 12.5)),
            "status": "paid",
            "days_old": days,
            "due": (_TODAY + timedelta(days=rng.randint(3, 25))).isoformat(),
        }
        if charge:
            row["for"] = charge
        return row

    def _fresh_name(self) -> str:
        taken = {row["name"] for row in self.db["users"].values()}
        while True:
            name = full_name(self.rng)
            if name not in taken:
                return name

    def add_user(self, account: Account, role: str, like: User | None = None, status: str = "active") -> User:
        """Add a user; ``like`` gives the first or the last name of another user, in another team."""
        rng = self.rng
        name = self._fresh_name()
        team = rng.choice(TEAMS)
        if like is not None:
            first, last = like["name"].split()
            taken = {row["name"] for row in self.db["users"].values()}
            while name in taken or first not in name:
                name = f"{first} {rng.choice([n for n in LAST if n != last])}"
            team = rng.choice([t for t in TEAMS if t != like["team"]])
        return self._user(account, name, role, team, status)

    def _user(self, account: Account, name: str, role: str, team: str, status: str = "active") -> User:
        rng = self.rng
        host = f"{self.company.lower()}.example"
        email = mail_of(name, rng, host)
        while any(row["email"] == email for row in self.db["users"].values()):
            email = f"{rng.choice(FIRST).lower()[0]}{rng.randint(2, 99)}.{email}"
        row: User = {
            "user_id": draw_id(rng, "U", 4, self._used),
            "name": name,
            "email": email,
            "role": role,
            "team": team,
            "account_id": account["account_id"],
            "status": status,
            "pin": f"{rng.randint(1000, 9999)}",
            "verified": False,
        }
        self.db["users"][row["user_id"]] = row
        return row

    def users_of(self, account: Account) -> list[User]:
        """Return the active users of an account."""
        rows = self.db["users"].values()
        return [r for r in rows if r["account_id"] == account["account_id"] and r["status"] == "active"]

    def fit(self, account: Account, plan: str) -> None:
        """Give an account a plan that its seats fit into."""
        account["plan"] = plan
        account["seats"] = min(account["seats"], LIMITS[plan])

    def shuffle_users(self) -> None:
        """Put users into a random order, so that the position tells nothing."""
        keys = list(self.db["users"])
        self.rng.shuffle(keys)
        self.db["users"] = {key: self.db["users"][key] for key in keys}
