"""The table of rates: append-only, effective-dated."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, CheckConstraint, DateTime, Integer, Text, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from billing.kit.database import Table


class RateRow(Table):
    """What so many of a unit cost from a moment on; a change is a new row with the next version."""

    __tablename__ = "rates"
    __table_args__ = (
        UniqueConstraint("model", "currency", "modality", "unit", "version"),
        CheckConstraint(
            "unit = 'requests' AND modality IN ('text', 'embeddings', 'image', 'speech', 'transcription')"
            " OR modality = 'text'"
            " AND unit IN ('input_tokens', 'cached_input_tokens', 'output_tokens', 'reasoning_tokens')"
            " OR modality = 'embeddings' AND unit = 'embedding_tokens'"
            " OR modality = 'image' AND unit IN ('image_pixels', 'images_small', 'images_medium', 'images_large')"
            " OR modality = 'speech' AND unit = 'speech_characters'"
            " OR modality = 'transcription' AND unit = 'transcription_milliseconds'",
            name="unit_of_modality",
        ),
        CheckConstraint("price_micros >= 0 AND is_free = (price_micros = 0)", name="free_is_said"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
        CheckConstraint("version >= 1", name="version"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    model: Mapped[str] = mapped_column(Text)
    currency: Mapped[str] = mapped_column(Text)
    modality: Mapped[str] = mapped_column(Text)
    unit: Mapped[str] = mapped_column(Text)
    price_micros: Mapped[int] = mapped_column(BigInteger)
    is_free: Mapped[bool] = mapped_column(Boolean)
    is_active: Mapped[bool] = mapped_column(Boolean)
    provider: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(Integer)
    effective_from: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    recorded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())
