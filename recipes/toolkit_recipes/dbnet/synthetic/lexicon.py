"""What a country's receipts are written in: its words, names and ways to write numbers."""

from __future__ import annotations

import string

from attrs import frozen


@frozen
class Words:
    """Labels printed on a receipt."""

    date: str
    time: str
    number: str
    cashier: str
    table: str
    item: str
    quantity: str
    price: str
    amount: str
    count: str
    subtotal: str
    total: str
    rounding: str
    discount: str
    cash: str
    card: str
    change: str
    net: str
    tax: str


@frozen
class Locale:
    """Texts of one language and country.

    In patterns ``#`` stands for a digit and ``^`` for a capital letter; in ``money`` and ``tax``
    ``{}`` stands for the number.
    """

    code: str
    money: str
    decimal: str
    thousands: str
    decimals: int
    scale: float
    """Price of a small thing."""
    date: str
    """Pattern for ``strftime``."""
    tax: str
    rates: tuple[int, ...]
    names: tuple[str, ...]
    trades: tuple[str, ...]
    companies: tuple[str, ...]
    streets: tuple[str, ...]
    cities: tuple[str, ...]
    phones: tuple[str, ...]
    numbers: tuple[str, ...]
    """Patterns of registration and tax numbers."""
    titles: tuple[str, ...]
    products: tuple[str, ...]
    thanks: tuple[str, ...]
    notes: tuple[str, ...]
    """Longer texts, broken into lines."""
    words: Words

    def number(self, value: float) -> str:
        """A number with the country's separators, as prices have it."""
        text = f"{value:,.{self.decimals}f}"
        swap = {",": self.thousands, ".": self.decimal}
        return "".join(swap.get(sign, sign) for sign in text)

    def price(self, value: float) -> str:
        """A number with the sign of the currency."""
        return self.money.format(self.number(value))

    @property
    def signs(self) -> frozenset[str]:
        """Every character that texts of this country may have."""
        groups = (self.names, self.trades, self.companies, self.streets, self.cities, self.phones)
        more = (self.numbers, self.titles, self.products, self.thanks, self.notes)
        parts = [text for group in (*groups, *more) for text in group]
        parts += [self.money, self.tax, self.decimal, self.thousands]
        parts += [getattr(self.words, name) for name in Words.__annotations__]
        text = "".join(parts)
        return frozenset(text + text.upper() + _EVERYWHERE) - {"{", "}", "^"}


_EVERYWHERE = string.ascii_letters + string.digits + " .,:;#*%@/()-+=&_"
