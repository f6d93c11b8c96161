"""Messages that cross our border: checked, stored once, handed over to whoever they concern."""
