"""A till that gives change."""


def change(paid: int, price: int) -> int:
    """What the customer gets back.

    Raises:
        ValueError: too little was paid.
    """
    if paid < price:
        raise ValueError("too little was paid")
    return paid - price
