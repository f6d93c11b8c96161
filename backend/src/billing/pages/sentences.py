"""What a refusal's code means to a customer; the templates translate these sentences."""

from __future__ import annotations

_UNKNOWN = "Something went wrong on our side. Please try again."

_SENTENCES = {
    # topping up
    "amount_not_chosen": "Choose an amount to top up.",
    "amount_unreadable": "Enter an amount such as 1000.50.",
    "amount_ambiguous": "This can mean two amounts. Enter it without a thousands separator, such as 1000 or 1.50.",
    "amount_too_precise": "This has more decimals than the currency. Enter an amount such as 1000.50.",
    "currency_not_offered": "Top-ups are not sold in this currency.",
    "payments_not_configured": "Top-ups are not available here at the moment.",
    "payment_not_found": "There is no such payment, or it is not yours to see.",
    "payment_under_review": "We are looking at this payment. Please do not pay again.",
    "idempotency_key_reused": "This form was sent before. Please try again.",
    "billing_contact_required": "Your receipt needs an e-mail address or a phone number. Please add one.",
    "payment_method_not_found": "There is no such payment method, or it is not yours to see.",
    "auto_topup_not_found": "You have agreed to no automatic top-up.",
    "invalid_return_url": "The link that brought you here is damaged. Please start from your balance.",
    "provider_failed": "The payment provider did not answer as it should. Please try again in a minute.",
    "provider_rejected": "The payment provider did not accept this payment. Try another amount, or ask us.",
    "provider_refused_us": "We cannot reach our payment provider at the moment. Please try again later.",
    "provider_rate_limited": "The payment provider is busy. Please try again in a minute.",
    "provider_unavailable": "The payment provider cannot be reached right now. Please try again in a minute.",
    "provider_malformed": "The payment provider did not answer as it should. Please try again in a minute.",
    "provider_object_unknown": "The payment provider does not know this payment. Please ask us.",
    # the playground
    "prompt_missing": "Write a prompt first.",
    "prompt_too_long": "This prompt is too long for the playground. Use the API for long prompts.",
    "model_not_found": "This model is not served here. Choose another one.",
    "price_unknown": "This model has no price in your currency, so it cannot be called. Choose another one.",
    "max_reply_cost_exceeded": "This call could cost more than your limit for one reply. Nothing was charged.",
    "quota_exceeded": "Your free quota is used up, and your account pays for nothing else. Nothing was charged.",
    "free_quota_unavailable": "This call is not free, and your account pays for nothing else. Nothing was charged.",
    "daily_cap_exceeded": "This call could go beyond your daily limit. Nothing was charged.",
    "monthly_cap_exceeded": "This call could go beyond your monthly limit. Nothing was charged.",
    "member_cap_exceeded": "This call could go beyond your own limit in this account. Nothing was charged.",
    "key_cap_exceeded": "This call could go beyond the limit of its API key. Nothing was charged.",
    "model_not_allowed": "This API key may not call this model. Choose another one.",
    "gateway_stopping": "We are restarting, so the answer was cut short. Your latest activity says what was charged.",
    "billing_interrupted": "Billing was interrupted while the answer came. Your latest activity says what was charged.",
    "request_too_large": "This prompt is too long. Nothing was charged.",
    "provider_refused_call": "The model provider refused this call. Nothing was charged.",
    "upstream_failure": "The model provider did not answer as it should. Nothing was charged.",
    "upstream_timeout": "The model did not answer in time. Nothing was charged. Please try again.",
    "upstream_unreachable": "The model provider cannot be reached right now. Nothing was charged.",
    "upstream_broken": "The model's answer could not be read. Nothing was charged.",
    "billing_unavailable": "Billing is not available at the moment, so that no call is let through. Try again shortly.",
    # signing in
    "credentials_wrong": "This e-mail and password do not match. Check both and try again.",
    "too_many_attempts": "Too many attempts. Please wait a few minutes and try again.",
    "form_outdated": "This form had expired. Please try again.",
    "csrf_failed": "This form had expired. Reload the page and try again.",
    # whole pages
    "not_found": "There is no page at this address.",
    "method_not_allowed": "There is no page at this address.",
    "account_not_found": "There is no such account, or it is not yours to see.",
    "api_key_invalid": "This API key is not valid.",
    "forbidden": "Your role does not allow this. Ask the owner of the account.",
    "invalid_request": "Something in this form is not as it should be. Please check it and try again.",
}


def sentence_for(code: str) -> str:
    """The sentence for this code; a code without one says that it was our side, and never shows provider text (G11)."""
    return _SENTENCES.get(code, _UNKNOWN)


_UNITS = {
    "input_tokens": "Input",
    "cached_input_tokens": "Input from the cache",
    "output_tokens": "Output",
    "reasoning_tokens": "Reasoning",
    "embedding_tokens": "Input",
    "image_pixels": "Image",
    "images_small": "Small image",
    "images_medium": "Medium image",
    "images_large": "Large image",
    "speech_characters": "Text read out",
    "transcription_milliseconds": "Recording",
    "requests": "Each request",
}


def unit_name(unit: str) -> str:
    """What a customer calls what is counted."""
    return _UNITS.get(unit, unit.replace("_", " ").capitalize())


_METRICS = {
    "input_tokens": "Input tokens",
    "output_tokens": "Output tokens",
    "images": "Images",
    "speech_seconds": "Seconds of speech",
    "transcription_seconds": "Seconds of transcription",
}


def metric_name(metric: str) -> str:
    """What a customer calls this metric."""
    return _METRICS.get(metric, metric.replace("_", " ").capitalize())
