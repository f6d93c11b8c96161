"""One table: which refusal answers with which HTTP status."""

from __future__ import annotations

from collections.abc import Mapping

from billing.kit.errors import BillingError

STATUS_OF: Mapping[str, int] = {
    # what the client sent
    "amount_ambiguous": 400,
    "amount_not_chosen": 400,
    "amount_not_offered": 400,
    "amount_too_precise": 400,
    "amount_unreadable": 400,
    "billing_contact_required": 400,
    "currency_not_offered": 400,
    "form_outdated": 400,
    "invalid_amount": 400,
    "invalid_request": 400,
    "invalid_return_url": 400,
    "prompt_missing": 400,
    "prompt_too_long": 400,
    "unsupported_stream": 400,
    "webhook_malformed": 400,
    "webhook_url_refused": 400,
    "request_too_large": 413,
    "sheet_too_large": 413,
    "webhook_too_large": 413,
    "webhook_content_type_wrong": 415,
    # who the client is
    "api_key_invalid": 401,
    "credentials_wrong": 401,
    "not_signed_in": 401,
    "webhook_signature_invalid": 401,
    "webhook_signature_outdated": 401,
    "webhook_source_refused": 401,
    "webhook_token_invalid": 401,
    "webhook_untrusted": 401,
    "csrf_failed": 403,
    "forbidden": 403,
    "model_not_allowed": 403,
    # money
    "free_quota_unavailable": 402,
    "insufficient_funds": 402,
    "max_reply_cost_exceeded": 402,
    # what there is
    "account_not_found": 404,
    "api_key_not_found": 404,
    "auto_topup_not_found": 404,
    "billing_disabled": 404,
    "difference_not_found": 404,
    "model_not_found": 404,
    "not_found": 404,
    "hold_not_found": 404,
    "inbox_message_not_found": 404,
    "ledger_account_unknown": 404,
    "payment_method_not_found": 404,
    "payment_not_found": 404,
    "plan_not_found": 404,
    "rate_not_found": 404,
    "subscription_not_found": 404,
    "transfer_unknown": 404,
    "webhook_endpoint_not_found": 404,
    "webhook_message_not_found": 404,
    "method_not_allowed": 405,
    # what was there before
    "api_key_limit_reached": 409,
    "difference_not_adoptable": 409,
    "difference_resolved": 409,
    "email_taken": 409,
    "free_terms_outdated": 409,
    "idempotency_key_reused": 409,
    "import_outdated": 409,
    "inbox_message_status_wrong": 409,
    "operation_ended": 409,
    "operation_reused": 409,
    "payment_not_refundable": 409,
    "payment_under_review": 409,
    "plan_exists": 409,
    "plan_paid_far_ahead": 409,
    "rate_exists": 409,
    "rate_outdated": 409,
    "renewal_not_possible": 409,
    "reservation_ended": 409,
    "transfer_id_reused": 409,
    "usage_event_reused": 409,
    "webhook_endpoint_disabled": 409,
    "webhook_endpoint_limit_reached": 409,
    # what cannot be done with it
    "discount_refused": 422,
    "free_terms_refused": 422,
    "import_refused": 422,
    "plan_refused": 422,
    "price_unknown": 422,
    "rate_refused": 422,
    "refund_exceeds_payment": 422,
    "refund_exceeds_unspent": 422,
    "sheet_refused": 422,
    "write_off_exceeds_debt": 422,
    "quota_exceeded": 429,
    "cap_exceeded": 429,
    "daily_cap_exceeded": 429,
    "key_cap_exceeded": 429,
    "member_cap_exceeded": 429,
    "monthly_cap_exceeded": 429,
    "too_many_attempts": 429,
    "webhook_line_full": 429,
    # those behind us
    "provider_ambiguous": 202,
    "provider_failed": 502,
    "provider_list_holes": 502,
    "provider_malformed": 502,
    "provider_object_unknown": 502,
    "provider_refused_us": 502,
    "provider_refused_call": 502,
    "provider_rejected": 502,
    "upstream_broken": 502,
    "upstream_failure": 502,
    "upstream_unreachable": 502,
    "upstream_timeout": 504,
    # ourselves
    "billing_error": 500,
    "internal_error": 500,
    "invalid_settings": 500,
    "billing_interrupted": 503,
    "billing_unavailable": 503,
    "gateway_stopping": 503,
    "database_not_ready": 503,
    "outbound_not_configured": 503,
    "payments_not_configured": 503,
    "provider_rate_limited": 503,
    "provider_unavailable": 503,
    "webhook_not_configured": 503,
}

_RETRY_AFTER_SECONDS = 30


class BillingDisabled(BillingError):
    """A feature flag has closed this part of the address space."""

    code = "billing_disabled"

    def __init__(self) -> None:
        super().__init__("This part of billing is switched off here.")


class NotFound(BillingError):
    """No route leads there."""

    code = "not_found"

    def __init__(self) -> None:
        super().__init__("There is nothing at this address.")


class MethodNotAllowed(BillingError):
    """The route does not take this method."""

    code = "method_not_allowed"

    def __init__(self) -> None:
        super().__init__("This address does not take this method.")


class InternalError(BillingError):
    """A bug of ours; the request id leads to its log line."""

    code = "internal_error"

    def __init__(self, request_id: str) -> None:
        super().__init__("Something broke on our side; nothing that is not shown was charged.")
        self.facts = {"request_id": request_id}


def status_of(error: BillingError) -> int:
    """The status of this refusal; one that the table lacks is a bug, and a test finds it."""
    return STATUS_OF[error.code]


def headers_of(error: BillingError) -> dict[str, str]:
    """`Retry-After` where waiting helps."""
    wait = error.facts.get("retry_after_seconds", _RETRY_AFTER_SECONDS if status_of(error) == 503 else None)  # noqa: PLR2004 - HTTP's own number
    return {} if wait is None else {"Retry-After": str(wait)}


def body_of(error: BillingError) -> dict[str, object]:
    """The refusal as JSON: code, sentence and facts."""
    return {"error": {"code": error.code, "message": error.sentence, **error.facts}}
