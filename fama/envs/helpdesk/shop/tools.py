"""The shop's tools. They check what is possible; the policy is the agent's business."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from fama.envs.helpdesk.stated_facts import plain
from fama.envs.helpdesk.task_records import Db, ToolError
from fama.envs.helpdesk.tooling import close_case, lookup, make_tool, one_of

REASONS = ("changed_mind", "found_cheaper", "ordered_by_mistake", "arrives_too_late")
RETURN_FEE = 3.5


def moved_date(arrives: str) -> str:
    """Return the arrival date after a change of address."""
    return (date.fromisoformat(arrives) + timedelta(days=2)).isoformat()


def find_customer(db: Db, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Look a customer up by e-mail."""
    for row in db["customers"].values():
        if row["email"] == args["email"].casefold():
            return {"customer_id": row["customer_id"], "name": row["name"]}
    raise ToolError(f"no customer with e-mail {args['email']}")


def verify_customer(db: Db, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check the postcode and remember that the customer is who they say."""
    row = lookup(db["customers"], args["customer_id"], "customer")
    if row["postcode"].replace(" ", "") != args["postcode"].upper().replace(" ", ""):
        raise ToolError("the postcode does not match")
    row["verified"] = True
    return {"verified": True}


def list_orders(db: Db, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a customer's orders, one line each; nested worlds leave the colours out."""
    lookup(db["customers"], args["customer_id"], "customer")
    rows = []
    for order in db["orders"].values():
        if order["customer_id"] == args["customer_id"].upper():
            names = [item["name"] if db["nested"] else f"{item['color']} {item['name']}" for item in order["items"]]
            rows.append({"order_id": order["order_id"], "status": order["status"], "items": ", ".join(names)})
    return {"orders": rows}


def get_order(db: Db, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return one order in full."""
    order = lookup(db["orders"], args["order_id"], "order")
    return _nested_order(db, order) if db["nested"] else _flat_order(order)


def _flat_order(order: dict[str, Any]) -> Mapping[str, Any]:
    first = order["items"][0]
    view: dict[str, Any] = {key: order[key] for key in ("order_id", "customer_id", "status")}
    if order["status"] == "delivered":
        view["delivered_days_ago"] = order["delivered_days_ago"]
    else:
        view["arrives"] = first["arrives"]
        view["location"] = first["location"]
    view["items"] = []
    for item in order["items"]:
        row = {"item_id": item["item_id"], "name": f"{item['color']} {item['name']}", "price": item["price"]}
        if item["final_sale"]:
            row["final_sale"] = True
        if item["state"] != "ok":
            row["state"] = item["state"]
        view["items"].append(row)
    view["total"] = order["total"]
    return view


def _nested_order(db: Db, order: dict[str, Any]) -> Mapping[str, Any]:
    delivered = order["status"] == "delivered"
    shipments = []
    lines = []
    for number, item in enumerate(order["items"], 1):
        lines.append(
            {
                "item": {"item_id": item["item_id"], "name": item["name"], "color": item["color"]},
                "price": item["price"],
                "final_sale": item["final_sale"],
                "state": item["state"],
                "shipment": f"S{number}",
            }
        )
        dates = {} if delivered else {"arrives": item["arrives"], "location": item["location"]}
        shipments.append({"id": f"S{number}", **dates})
    when = {"delivered_days_ago": order["delivered_days_ago"]} if delivered else {}
    return {
        "order": {
            "order_id": order["order_id"],
            "customer_id": order["customer_id"],
            "status": order["status"],
            **when,
        },
        "lines": lines,
        "shipments": shipments,
        "payment": {"items": order["goods"], "shipping": order["shipping"], "total": order["total"]},
        "saved_for_later": order["saved"],
    }


def list_variants(db: Db, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the colours of a product with price and stock."""
    wanted = args["product"].casefold()
    for name, rows in db["products"].items():
        if name == wanted or name in wanted or any(row["item_id"] == args["product"].upper() for row in rows):
            return {"product": name, "variants": rows}
    raise ToolError(f"no product {args['product']}")


def _item(order: dict[str, Any], item_id: str) -> dict[str, Any]:
    for item in order["items"]:
        if item["item_id"] == item_id.upper():
            if item["state"] != "ok":
                raise ToolError(f"item {item_id} is already {item['state']}")
            found: dict[str, Any] = item
            return found
    raise ToolError(f"order {order['order_id']} has no item {item_id}")


def cancel_order(db: Db, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Cancel an order and refund it."""
    order = lookup(db["orders"], args["order_id"], "order")
    reason = one_of(args["reason"], REASONS, "reason")
    if order["status"] == "cancelled":
        raise ToolError("the order is already cancelled")
    order["status"] = "cancelled"
    order["reason"] = reason
    return {"status": "cancelled", "refund": order["total"]}


def return_item(db: Db, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take an item back and refund it less the return fee."""
    item = _item(lookup(db["orders"], args["order_id"], "order"), args["item_id"])
    item["state"] = "returned"
    return {"status": "return started", "refund": round(item["price"] - RETURN_FEE, 2)}


def exchange_item(db: Db, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Swap an item for another variant."""
    item = _item(lookup(db["orders"], args["order_id"], "order"), args["item_id"])
    new = args["new_item_id"].upper()
    for rows in db["products"].values():
        for row in rows:
            if row["item_id"] == new:
                item["state"] = f"exchanged for {new}"
                difference = round(row["price"] - item["price"], 2)
                side = "customer_pays" if difference > 0 else "customer_gets"
                return {"status": "exchange started", side: abs(difference)}
    raise ToolError(f"no item {new}; the id of the new item comes from list_variants")


def change_address(db: Db, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """Send an order somewhere else; it arrives two days later."""
    order = lookup(db["orders"], args["order_id"], "order")
    if order["status"] in ("delivered", "cancelled"):
        raise ToolError(f"the order is already {order['status']}")
    order["address"] = plain(args["address"])
    for item in order["items"]:
        if item["arrives"]:
            item["arrives"] = moved_date(item["arrives"])
    return {"status": "address changed", "arrives": max(i["arrives"] for i in order["items"])}


_STRING = "string"
TOOLS = {
    tool.spec.name: tool
    for tool in (
        make_tool("find_customer", "Find a customer by e-mail.", find_customer, email=_STRING),
        make_tool(
            "verify_customer", "Verify a customer by postcode.", verify_customer, customer_id=_STRING, postcode=_STRING
        ),
        make_tool("list_orders", "List all orders of a customer.", list_orders, customer_id=_STRING),
        make_tool("get_order", "Show one order.", get_order, order_id=_STRING),
        make_tool("list_variants", "List colors, prices and stock of a product.", list_variants, product=_STRING),
        make_tool("cancel_order", "Cancel an order.", cancel_order, True, order_id=_STRING, reason=REASONS),
        make_tool("return_item", "Return one item for a refund.", return_item, True, order_id=_STRING, item_id=_STRING),
        make_tool(
            "exchange_item",
            "Exchange one item for another variant.",
            exchange_item,
            True,
            order_id=_STRING,
            item_id=_STRING,
            new_item_id=_STRING,
        ),
        make_tool(
            "change_address",
            "Change the delivery address of an order.",
            change_address,
            True,
            order_id=_STRING,
            address=_STRING,
        ),
        make_tool("close_case", "Close the case; the last step.", close_case, outcome=("resolved", "refused")),
    )
}
