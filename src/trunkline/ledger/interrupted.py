"""The record of a request that was under way when the gateway was killed."""

from trunkline.ledger.config import InterruptedPolicy
from trunkline.ledger.cost import cost, worst_case
from trunkline.model.intent import Intent
from trunkline.model.record import GenerationRecord
from trunkline.model.usage import Cost, Usage


def interrupted(intent: Intent, policy: InterruptedPolicy) -> GenerationRecord:
    """The record of *intent*. What the provider bills is not known: *policy* says what is charged."""
    usage = Usage(prompt=intent.tokens, estimated=True)
    charge = _charge(intent, usage, policy)
    return GenerationRecord(
        id=intent.id,
        created=intent.created,
        key_id=intent.key_id,
        status="interrupted",
        api_type=intent.api_type,
        model=intent.model,
        requested=intent.model,
        provider=intent.provider,
        endpoint=intent.endpoint,
        streamed=intent.streamed,
        usage=usage,
        cost=charge.total,
        cost_known=charge.known,
        http_status=500,
        error_type="interrupted",
        error="the gateway was killed while this request was under way",
        parent_id=intent.parent_id,
        purpose=intent.purpose,
    )


def _charge(intent: Intent, usage: Usage, policy: InterruptedPolicy) -> Cost:
    if policy == "free":
        return Cost()
    if policy == "reserve" and intent.price.is_known:
        return Cost(total=worst_case(intent.bound, intent.output, intent.price))
    return cost(usage, intent.price)
