"""The shop's database of one task: a customer, orders, decoys, and what can be bought."""

from datetime import date, timedelta
from random import Random
from typing import Any

from fama.envs.helpdesk.people import CITIES, draw_id, full_name, mail_of, street
from fama.envs.helpdesk.stated_facts import plain
from fama.envs.helpdesk.task_records import Db

PRODUCTS = (
    "desk lamp,kettle,backpack,blanket,umbrella,rain jacket,water bottle,wall clock,pillow,toaster,yoga mat,scarf,"
    "teapot,phone case,beach towel,lunch box,picture frame,office chair,cushion,bike helmet,suitcase,headphones,"
    "notebook,hoodie"
).split(",")
COLORS = ("blue", "green", "red", "black", "white", "grey", "yellow", "brown", "purple", "orange")
COLOR_PATTERN = rf"\b(?:{'|'.join(COLORS)})\b"
_TODAY = date(2025, 6, 15)
_PLACES = ("{} depot", "{} sorting centre", "{} hub", "{} post office")

Order = dict[str, Any]
Item = dict[str, Any]


def item_name(item: Item) -> str:
    """Return a person's name for an item."""
    return f"{item['color']} {item['name']}"


class ShopWorld:
    """Builds one database step by step. ``nested`` worlds answer with big nested output."""

    def __init__(self, rng: Random, nested: bool) -> None:
        self.rng = rng
        self._used: set[str] = set()
        self._names = list(PRODUCTS)
        rng.shuffle(self._names)
        self.db: Db = {"nested": nested, "customers": {}, "orders": {}, "products": {}}
        self.customer = self.add_customer()

    def add_customer(self) -> dict[str, Any]:
        """Add a customer who is not verified yet."""
        rng = self.rng
        name = full_name(rng)
        email = mail_of(name, rng)
        while any(row["email"] == email for row in self.db["customers"].values()):
            name = full_name(rng)
            email = mail_of(name, rng)
        row = {
            "customer_id": draw_id(rng, "C", 4, self._used),
            "name": name,
            "email": email,
            "postcode": self._postcode(),
            "verified": False,
        }
        self.db["customers"][row["customer_id"]] = row
        return row

    def _postcode(self) -> str:
        rng = self.rng
        area = f"{rng.choice('BDLNSY')}{rng.choice('ADENS')}{rng.randint(1, 19)}"
        return f"{area} {rng.randint(1, 9)}{rng.choice('ABDEHJ')}{rng.choice('LNPRTW')}"

    def new_product(self) -> str:
        """Draw a product that no order of this world has yet."""
        return self._names.pop()

    def item(self, name: str | None = None, color: str | None = None, final_sale: bool = False) -> Item:
        """Return an item of an order."""
        rng = self.rng
        return {
            "item_id": draw_id(rng, "I", 4, self._used),
            "name": name or self.new_product(),
            "color": color or rng.choice(COLORS),
            "price": self.price(),
            "final_sale": final_sale,
            "state": "ok",
            "arrives": None,
            "location": None,
        }

    def price(self) -> float:
        """Draw a price between 12 and 95."""
        return self.rng.randint(12, 94) + self.rng.choice((0.0, 0.25, 0.5, 0.75, 0.9, 0.95))

    def order(self, status: str, items: list[Item], days: int | None = None, customer_id: str | None = None) -> Order:
        """Add an order to the database. ``days`` since delivery; within the return window when None."""
        rng = self.rng
        goods = round(sum(item["price"] for item in items), 2)
        shipping = rng.choice((2.95, 3.95, 4.5, 5.9))
        delivered = status == "delivered"
        if not delivered:
            for item in items:
                self._ship(item, items, status)
        row: Order = {
            "order_id": draw_id(rng, "W", 5, self._used),
            "customer_id": customer_id or self.customer["customer_id"],
            "status": status,
            "delivered_days_ago": (days or rng.randint(3, 27)) if delivered else None,
            "address": plain(street(rng)),
            "items": items,
            "goods": goods,
            "shipping": shipping,
            "total": round(goods + shipping, 2),
            "reason": None,
            "saved": [],
        }
        if self.db["nested"]:
            like = rng.choice(items)
            color = rng.choice([c for c in COLORS if c != like["color"]])
            row["saved"] = [
                {
                    "item_id": draw_id(rng, "I", 4, self._used),
                    "name": like["name"],
                    "color": color,
                    "price": self.price(),
                }
            ]
        self.db["orders"][row["order_id"]] = row
        return row

    def _ship(self, item: Item, items: list[Item], status: str) -> None:
        first = items[0]
        if item is not first and not self.db["nested"]:
            item["arrives"], item["location"] = first["arrives"], first["location"]
            return
        taken = {other["location"] for other in items}
        day = _TODAY + timedelta(days=self.rng.randint(2, 16))
        while day.isoformat() in {other["arrives"] for other in items}:
            day += timedelta(days=1)
        item["arrives"] = day.isoformat()
        cities = [city for city in CITIES if not any(place and place.startswith(city) for place in taken)]
        item["location"] = (
            "warehouse" if status == "processing" else self.rng.choice(_PLACES).format(self.rng.choice(cities))
        )

    def variants(self, item: Item, count: int, sold_out: str | None = None) -> list[dict[str, Any]]:
        """Return other colours of an item's product, all in stock but ``sold_out``; prices differ from the item's."""
        rng = self.rng
        colors = rng.sample([c for c in COLORS if c not in (item["color"], sold_out)], count - (sold_out is not None))
        rows = []
        steps = rng.sample((-6.5, -4.25, -3.0, -1.75, 1.5, 2.25, 3.75, 5.0, 7.5), count)
        for color, step in zip(colors + ([sold_out] if sold_out else []), steps, strict=True):
            stock = 0 if color == sold_out else rng.randint(1, 9)
            rows.append(
                {
                    "item_id": draw_id(rng, "I", 4, self._used),
                    "color": color,
                    "price": round(item["price"] + step, 2),
                    "stock": stock,
                }
            )
        rng.shuffle(rows)
        self.db["products"][item["name"]] = rows
        return rows

    def shuffle_orders(self) -> None:
        """Put the orders into a random order, so that the position tells nothing."""
        ids = list(self.db["orders"])
        self.rng.shuffle(ids)
        self.db["orders"] = {order_id: self.db["orders"][order_id] for order_id in ids}
