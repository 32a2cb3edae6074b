"""The software company's tools. They check what is possible; the policy is the agent's business."""

from collections.abc import Mapping
from typing import Any

from fama.envs.helpdesk.task_records import Db, ToolError
from fama.envs.helpdesk.tooling import close_case, lookup, make_tool, one_of

PLANS = ("starter", "standard", "premium")
PRICES = {"starter": 8.5, "standard": 14.5, "premium": 22.5}
LIMITS = {"starter": 5, "standard": 20, "premium": 999}
ROLES = ("viewer", "member", "admin", "owner")


def seats_used(db: Db, account_id: str) -> int:
    """Return the active users of an account."""
    return sum(row["account_id"] == account_id and row["status"] == "active" for row in db["users"].values())


def monthly_total(plan: str, seats: int) -> float:
    """Return what an account pays per month."""
    return round(PRICES[plan] * seats, 2)


def find_user(db: Db, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Look a user up by e-mail, with the accounts they belong to."""
    for row in db["users"].values():
        if row["email"] == args["email"].casefold():
            accounts = [db["accounts"][key] for key in row.get("accounts", [row["account_id"]])]
            return {
                "user_id": row["user_id"],
                "name": row["name"],
                "role": row["role"],
                "accounts": [{"account_id": a["account_id"], "name": a["name"]} for a in accounts],
            }
    raise ToolError(f"no user with e-mail {args['email']}")


def verify_user(db: Db, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check the support PIN and remember that the user is who they say."""
    row = lookup(db["users"], args["user_id"], "user")
    if row["pin"] != args["pin"]:
        raise ToolError("the PIN does not match")
    row["verified"] = True
    return {"verified": True}


def get_account(db: Db, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return one account: plan, seats and invoices."""
    account = lookup(db["accounts"], args["account_id"], "account")
    used = seats_used(db, account["account_id"])
    if not db["nested"]:
        return {
            **{key: account[key] for key in ("account_id", "name", "plan", "seats")},
            "seats_used": used,
            "invoices": [_invoice(row) for row in account["invoices"]],
        }
    return {
        "account": {"account_id": account["account_id"], "name": account["name"]},
        "subscription": {"plan": account["plan"], "seats": account["seats"], "seats_used": used},
        "former_trial": account["trial"],
        "billing": {"invoices": [_invoice(row) for row in account["invoices"]], "credit_notes": account["credits"]},
    }


def _invoice(row: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("invoice_id", "month", "for", "amount", "status", "days_old", "due")
    return {key: row[key] for key in keys if key in row and not (key == "due" and row["status"] != "open")}


def list_users(db: Db, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the users of an account; nested worlds sort them by team and add former ones."""
    account = lookup(db["accounts"], args["account_id"], "account")
    rows = [row for row in db["users"].values() if row["account_id"] == account["account_id"]]
    active = [row for row in rows if row["status"] != "former"]
    if not db["nested"]:
        return {"users": [_user(row, "team") for row in active]}
    teams = dict.fromkeys(row["team"] for row in active)
    return {
        "account": account["name"],
        "teams": [{"team": team, "members": [_user(r) for r in active if r["team"] == team]} for team in teams],
        "former_users": [_user(row, "team") for row in rows if row["status"] == "former"],
    }


def _user(row: Mapping[str, Any], *more: str) -> dict[str, Any]:
    view = {key: row[key] for key in ("user_id", "name", *more, "role")}
    return view if row["status"] != "inactive" else {**view, "status": "inactive"}


def change_seats(db: Db, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Set the number of seats of an account."""
    account = lookup(db["accounts"], args["account_id"], "account")
    if not 0 < args["seats"] < 1000:
        raise ToolError("seats must be from 1 to 999")
    account["seats"] = args["seats"]
    return {"seats": args["seats"], "monthly_total": monthly_total(account["plan"], args["seats"])}


def change_plan(db: Db, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Set the plan of an account."""
    account = lookup(db["accounts"], args["account_id"], "account")
    account["plan"] = one_of(args["plan"], PLANS, "plan")
    return {"plan": account["plan"], "monthly_total": monthly_total(account["plan"], account["seats"])}


def refund_invoice(db: Db, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Pay an invoice back, less what was credited already."""
    for account in db["accounts"].values():
        for row in account["invoices"]:
            if row["invoice_id"] == args["invoice_id"].upper().lstrip("#"):
                if row["status"] == "refunded":
                    raise ToolError("the invoice is already refunded")
                row["status"] = "refunded"
                return {"status": "refunded", "refund": round(row["amount"] - row["credited"], 2)}
    raise ToolError(f"no invoice {args['invoice_id']}")


def change_role(db: Db, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Change the role of a user."""
    row = lookup(db["users"], args["user_id"], "user")
    row["role"] = one_of(args["role"], ROLES, "role")
    return {"role": row["role"], "starts": db["next_sync"]}


def deactivate_user(db: Db, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take a user's access away."""
    row = lookup(db["users"], args["user_id"], "user")
    if row["status"] == "inactive":
        raise ToolError("the user is already inactive")
    row["status"] = "inactive"
    account = db["accounts"][row["account_id"]]
    return {"status": "inactive", "free_seats": account["seats"] - seats_used(db, account["account_id"])}


_STRING = "string"
TOOLS = {
    tool.spec.name: tool
    for tool in (
        make_tool("find_user", "Find a user by e-mail.", find_user, email=_STRING),
        make_tool("verify_user", "Verify a user by support PIN.", verify_user, user_id=_STRING, pin=_STRING),
        make_tool("get_account", "Show plan, seats and invoices of an account.", get_account, account_id=_STRING),
        make_tool("list_users", "List the users of an account.", list_users, account_id=_STRING),
        make_tool(
            "change_seats", "Change the number of seats.", change_seats, True, account_id=_STRING, seats="integer"
        ),
        make_tool("change_plan", "Change the plan.", change_plan, True, account_id=_STRING, plan=PLANS),
        make_tool("refund_invoice", "Refund an invoice.", refund_invoice, True, invoice_id=_STRING),
        make_tool("change_role", "Change the role of a user.", change_role, True, user_id=_STRING, role=ROLES),
        make_tool("deactivate_user", "Deactivate a user.", deactivate_user, True, user_id=_STRING),
        make_tool("close_case", "Close the case; the last step.", close_case, outcome=("resolved", "refused")),
    )
}
