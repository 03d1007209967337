"""The two services of the contract. Handlers translate; they decide nothing."""

import asyncio
from datetime import datetime, timezone

import grpc

import refusals
import store
import wire
from charges import Refusal
from shop.processor.v1 import cards_service_pb2 as cards_proto
from shop.processor.v1 import cards_service_pb2_grpc as cards_grpc
from shop.processor.v1 import processor_service_pb2 as proto
from shop.processor.v1 import processor_service_pb2_grpc as proto_grpc

# How long a caller whose answer is lost is kept waiting before it learns that nothing comes.
LOST_AFTER = 0.5
# How long the slow card takes.
SLOW = 2

# What was begun, and goes on when its caller is gone.
BEGUN = set()


async def to_the_end(work):
    """Waits for work that a caller who gives up does not interrupt: a transaction ends as it was meant to."""
    task = asyncio.ensure_future(work)
    BEGUN.add(task)
    task.add_done_callback(BEGUN.discard)
    return await asyncio.shield(task)


async def finished():
    """Waits for everything that was begun."""
    await asyncio.gather(*BEGUN, return_exceptions=True)


class Answering:
    """Answers calls, and refuses what fails in words that callers understand."""

    def __init__(self, kept, health, log):
        self.kept = kept
        self.health = health
        self.log = log

    async def answer(self, name, context, work):
        try:
            answer = await work
        except Exception as error:  # pylint: disable=broad-except
            refused = refusals.of(error)
            if refused is None:
                trace = dict(context.invocation_metadata() or ()).get("traceparent", "")
                fields = {"method": name, "error": repr(error), "trace_id": trace[3:35]}
                self.log("ERROR", "request failed", **fields)
                refused = refusals.internal()
            self.health.calls[(name, refused.code.name)] += 1
            await context.abort_with_status(refused)
        self.health.calls[(name, grpc.StatusCode.OK.name)] += 1
        return answer


class Cards(Answering, cards_grpc.CardsServiceServicer):
    """`shop.processor.v1.CardsService`."""

    async def TokenizeCard(self, request, context):
        return await self.answer("TokenizeCard", context, self.tokenize(request))

    async def tokenize(self, request):
        card = wire.tokenize(request)
        today = datetime.now(timezone.utc)
        kept = self.kept.tokenize(card, (today.year, today.month))
        token, last_digits = await to_the_end(kept)
        return cards_proto.TokenizeCardResponse(card_token=token, last_digits=last_digits)


class Processor(Answering, proto_grpc.ProcessorServiceServicer):
    """`shop.processor.v1.ProcessorService`."""

    async def AuthorizeCharge(self, request, context):
        work = self.run(wire.authorize, request, context, proto.AuthorizeChargeResponse)
        return await self.answer("AuthorizeCharge", context, work)

    async def CaptureCharge(self, request, context):
        work = self.run(wire.capture, request, context, proto.CaptureChargeResponse)
        return await self.answer("CaptureCharge", context, work)

    async def VoidCharge(self, request, context):
        work = self.run(wire.void, request, context, proto.VoidChargeResponse)
        return await self.answer("VoidCharge", context, work)

    async def RefundCharge(self, request, context):
        work = self.run(wire.refund, request, context, proto.RefundChargeResponse)
        return await self.answer("RefundCharge", context, work)

    async def GetCharge(self, request, context):
        return await self.answer("GetCharge", context, self.get(request))

    async def get(self, request):
        charge = await self.kept.get(wire.get(request))
        return proto.GetChargeResponse(charge=wire.charge(charge))

    async def run(self, parse, request, context, response):
        """Carries out a command, and answers in the manner of the card."""
        outcome, manner = await to_the_end(self.kept.run(parse(request)))
        if manner == store.LOST:
            left = context.time_remaining()
            await asyncio.sleep(LOST_AFTER if left is None else min(left, LOST_AFTER))
            raise refusals.AnswerLost
        if manner == store.SLOW:
            await asyncio.sleep(SLOW)
        if isinstance(outcome, Refusal):
            raise outcome
        return response(charge=wire.charge(outcome))
