"""Names, mail addresses and streets that the worlds of both domains are made of."""

from random import Random

FIRST = (
    "Anna Ben Clara David Elif Frank Grace Hugo Ines Jonas Kira Liam Maya Noah Olga Paul Rosa Sami Tara Umar Vera Will "
    "Yara Zane Aisha Boris Carmen Dmitri Emma Felix Greta Hassan Iris Jack Kenji Lena Marco Nadia Omar Petra"
).split()
LAST = (
    "Adler Brown Chen Diaz Evans Fischer Garcia Hughes Ivanov Jensen Khan Lopez Meyer Novak Okafor Patel Quinn Rossi "
    "Silva Tanaka Usman Vogel Walsh Young Zhang Becker Costa Dubois Eriksen Farrell Grant Holm Keller Lund Moreau"
).split()
STREETS = "Mill Oak Station Church Park High River School Garden Hill Castle Bridge Market Queen Forest".split()
KINDS = ("Street", "Lane", "Road", "Avenue")
CITIES = "Leeds York Derby Bath Exeter Lincoln Oxford Durham Chester Norwich Bristol Salford".split()
MAIL = ("mail.example", "post.example", "inbox.example", "home.example")


def full_name(rng: Random) -> str:
    """Return a first and a last name."""
    return f"{rng.choice(FIRST)} {rng.choice(LAST)}"


def mail_of(name: str, rng: Random, host: str | None = None) -> str:
    """Return a mail address that suits a name."""
    first, last = name.lower().split()
    form = rng.choice((f"{first}.{last}", f"{first}{last}", f"{first[0]}.{last}", f"{first}_{last}"))
    return f"{form}{'' if host else rng.choice(('', rng.randint(2, 99)))}@{host or rng.choice(MAIL)}"


def street(rng: Random) -> str:
    """Return a street with its number and city."""
    return f"{rng.randint(2, 98)} {rng.choice(STREETS)} {rng.choice(KINDS)}, {rng.choice(CITIES)}"


def draw_id(rng: Random, prefix: str, digits: int, used: set[str]) -> str:
    """Return an id that is not in use yet."""
    while True:
        value = f"{prefix}{rng.randrange(10 ** (digits - 1), 10**digits)}"
        if value not in used:
            used.add(value)
            return value
