"""Orders two mugs through the gateway, and shows what every client should know how to do.

The environment says where the gateway is (GATEWAY, host:port), who orders (CUSTOMER) and what shows it
(TOKEN).
"""

import os
import pathlib
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from shop.common.v1 import address_pb2
from shop.orders.v1 import carts_service_pb2, carts_service_pb2_grpc
from shop.orders.v1 import order_pb2, orders_service_pb2, orders_service_pb2_grpc
from shop.processor.v1 import cards_service_pb2, cards_service_pb2_grpc

CONFIGS = pathlib.Path(__file__).parent.parent / "service_config" / "core"
# How long an answer is waited for; gRPC for Python has no deadline of its own.
SOON = 5
LONG = 60
CONFIRMED = order_pb2.ORDER_STATE_CONFIRMED


def channel(service):
    """Repeats what is safe to repeat, as the contracts of this service say."""
    config = (CONFIGS / f"{service}.json").read_text(encoding="utf-8")
    # Which endpoints want calls is the gateway's business.
    options = [("grpc.service_config", config), ("grpc.inhibit_health_checking", 1)]
    return grpc.insecure_channel(os.environ["GATEWAY"], options)


def request_id():
    """Of one wish. Whoever sends the wish again sends the same id, and it is fulfilled once."""
    return str(uuid.uuid4())


def wish(carts, cards, customer, me):
    """An order of two mugs."""
    line = carts_service_pb2.AddCartLineRequest(
        request_id=request_id(), customer_id=customer, sku="MUG-BLUE-350", quantity=2
    )
    cart = carts.AddCartLine(line, timeout=SOON, metadata=me).cart
    number = cards_service_pb2.TokenizeCardRequest(
        request_id=request_id(), card_number="4242424242424242", expiry_month=12, expiry_year=2040
    )
    card = cards.TokenizeCard(number, timeout=SOON)
    return orders_service_pb2.PlaceOrderRequest(
        request_id=request_id(),
        customer_id=customer,
        cart_etag=cart.etag,
        card_token=card.card_token,
        address=address_pb2.Address(
            recipient="Ada", lines=["Main Street 1"], city="Berlin", country_code="DE"
        ),
    )


def follow(orders, order_id, me):
    """Tells each state until the order is confirmed, and then wants to hear no more."""
    request = orders_service_pb2.WatchOrderRequest(order_id=order_id)
    watch = orders.WatchOrder(request, timeout=LONG, metadata=me)
    for answer in watch:
        print("it is", order_pb2.OrderState.Name(answer.change.state).removeprefix("ORDER_STATE_"))
        if answer.change.state == CONFIRMED:
            break
    watch.cancel()
    print("a watch that nobody wants any more:", watch.code().name)
    return answer.change.version


def wait(orders, order_id, version, me):
    """Half a second, for what will take longer."""
    request = orders_service_pb2.WatchOrderRequest(order_id=order_id, after_version=version)
    try:
        next(orders.WatchOrder(request, timeout=0.5, metadata=me))
    except grpc.RpcError as error:
        print("a watch of half a second:", error.code().name)


def detail(error, kind):
    """What the error says of this kind."""
    for known in rpc_status.from_call(error).details:
        found = kind()
        if known.Unpack(found):
            return found
    raise error


def refusal(carts, customer, me):
    """Why nobody can order no pieces: for programs, and not by words."""
    line = carts_service_pb2.AddCartLineRequest(
        request_id=request_id(), customer_id=customer, sku="MUG-BLUE-350", quantity=0
    )
    try:
        carts.AddCartLine(line, timeout=SOON, metadata=me)
    except grpc.RpcError as error:
        reason = detail(error, error_details_pb2.ErrorInfo).reason
        fields = detail(error, error_details_pb2.BadRequest).field_violations
        print(f"no pieces: {error.code().name}, {reason}, field {fields[0].field}")


def main():
    customer = os.environ["CUSTOMER"]
    me = (("authorization", f"Bearer {os.environ['TOKEN']}"),)
    with channel("orders") as shop, channel("processor") as processor:
        carts = carts_service_pb2_grpc.CartsServiceStub(shop)
        orders = orders_service_pb2_grpc.OrdersServiceStub(shop)
        cards = cards_service_pb2_grpc.CardsServiceStub(processor)
        request = wish(carts, cards, customer, me)
        placed = orders.PlaceOrder(request, timeout=SOON, metadata=me)
        print("order", placed.order.order_id)
        version = follow(orders, placed.order.order_id, me)
        again = orders.PlaceOrder(request, timeout=SOON, metadata=me)
        print("the same request again:", "the same answer" if again == placed else again)
        wait(orders, placed.order.order_id, version, me)
        refusal(carts, customer, me)


main()
