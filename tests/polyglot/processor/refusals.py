"""Refusals on the wire: google.rpc.Status, with a reason for programs and the fields to blame."""

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

import store
import wire
from charges import Refusal

DOMAIN = "processor.shop"
CODES = {
    "CHARGE_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "CURRENCY_DIFFERS": grpc.StatusCode.INVALID_ARGUMENT,
}


def of(error):
    """How a failure looks to callers; none if it is one of our own."""
    if isinstance(error, wire.Invalid):
        reason = error.violations[0][1]
        return status(
            grpc.StatusCode.INVALID_ARGUMENT, reason, str(error), fields=error.violations
        )
    if isinstance(error, Refusal):
        code = CODES.get(error.reason, grpc.StatusCode.FAILED_PRECONDITION)
        fields = [(error.field, error.reason, str(error))]
        return status(code, error.reason, str(error), fields=fields, values=error.values)
    if isinstance(error, AnswerLost):
        return status(grpc.StatusCode.UNAVAILABLE, "ANSWER_LOST", "no answer")
    if isinstance(error, (store.Crowded, *store.UNREACHABLE)):
        # Nobody knows whether it was committed: the same key tells.
        words = "the database does not answer"
        return status(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", words)
    return None


class AnswerLost(Exception):
    """The sandbox pretends that the answer was lost."""


def internal():
    return status(grpc.StatusCode.INTERNAL, "INTERNAL", "internal error")


def status(code, reason, words, fields=(), values=None, domain=DOMAIN):
    info = error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=values or {})
    details = [packed(info)]
    if fields:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=field, reason=why, description=words)
            for field, why, words in fields
        ]
        details.append(packed(error_details_pb2.BadRequest(field_violations=violations)))
    return rpc_status.to_status(
        status_pb2.Status(code=code.value[0], message=words, details=details)
    )


def handler(code, why):
    """What answers a call that is not let in."""
    refused = status(code, why.reason, str(why), domain="mesh")

    async def refuse(_request, context):
        await context.abort_with_status(refused)

    return grpc.unary_unary_rpc_method_handler(refuse)


def packed(message):
    detail = any_pb2.Any()
    detail.Pack(message)
    return detail
