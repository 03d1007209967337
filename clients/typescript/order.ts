// Orders two mugs through the gateway, and shows what every client should know how to do. Which transport
// carries it, gRPC or gRPC-Web, makes no difference here.

import { equals } from "@bufbuild/protobuf";
import { type Client, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { Code } from "./gen/google/rpc/code_pb";
import { BadRequestSchema, ErrorInfoSchema } from "./gen/google/rpc/error_details_pb";
import { CartsService } from "./gen/shop/orders/v1/carts_service_pb";
import { OrderState } from "./gen/shop/orders/v1/order_pb";
import { OrdersService, PlaceOrderResponseSchema } from "./gen/shop/orders/v1/orders_service_pb";
import { CardsService } from "./gen/shop/processor/v1/cards_service_pb";

// How long an answer is waited for, in milliseconds; Connect has no deadline of its own.
const SOON = 5_000;
const LONG = 60_000;

type Orders = Client<typeof OrdersService>;
type Carts = Client<typeof CartsService>;
type Print = (line: string) => void;

/** Who orders. */
export interface Customer {
  id: string;
  token: string;
}

/** Of one wish. Whoever sends the wish again sends the same id, and it is fulfilled once. */
function requestId(): string {
  return crypto.randomUUID();
}

/** The standard's name of how a call failed. */
function code(error: unknown): string {
  return Code[ConnectError.from(error).code];
}

/** Tells each state until the order is confirmed, and then wants to hear no more. */
async function follow(orders: Orders, orderId: string, headers: HeadersInit, print: Print) {
  const unwanted = new AbortController();
  const options = { headers, signal: unwanted.signal, timeoutMs: LONG };
  let version = 0;
  try {
    for await (const { change } of orders.watchOrder({ orderId }, options)) {
      print(`it is ${OrderState[change!.state]}`);
      version = change!.version;
      if (change!.state === OrderState.CONFIRMED) {
        unwanted.abort();
      }
    }
  } catch (error) {
    print(`a watch that nobody wants any more: ${code(error)}`);
  }
  return version;
}

/** Half a second, for what will take longer. */
async function wait(
  orders: Orders,
  orderId: string,
  afterVersion: number,
  headers: HeadersInit,
  print: Print,
) {
  try {
    const options = { headers, timeoutMs: 500 };
    for await (const { change } of orders.watchOrder({ orderId, afterVersion }, options)) {
      print(`it is ${OrderState[change!.state]} already`);
    }
  } catch (error) {
    print(`a watch of half a second: ${code(error)}`);
  }
}

/** Why nobody can order no pieces: for programs, and not by words. */
async function refusal(carts: Carts, customerId: string, headers: HeadersInit, print: Print) {
  const nothing = { requestId: requestId(), customerId, sku: "MUG-BLUE-350", quantity: 0n };
  try {
    await carts.addCartLine(nothing, { headers, timeoutMs: SOON });
  } catch (error) {
    const refused = ConnectError.from(error);
    const [info] = refused.findDetails(ErrorInfoSchema);
    const [request] = refused.findDetails(BadRequestSchema);
    const field = request.fieldViolations[0].field;
    print(`no pieces: ${code(error)}, ${info.reason}, field ${field}`);
  }
}

/** Orders, and prints what happens. */
export async function order(transport: Transport, customer: Customer, print: Print) {
  const carts = createClient(CartsService, transport);
  const cards = createClient(CardsService, transport);
  const orders = createClient(OrdersService, transport);
  const headers = { authorization: `Bearer ${customer.token}` };
  const options = { headers, timeoutMs: SOON };

  const customerId = customer.id;
  const line = { requestId: requestId(), customerId, sku: "MUG-BLUE-350", quantity: 2n };
  const { cart } = await carts.addCartLine(line, options);
  const number = { cardNumber: "4242424242424242", expiryMonth: 12, expiryYear: 2040 };
  const { cardToken } = await cards.tokenizeCard({ requestId: requestId(), ...number }, options);
  const address = { recipient: "Ada", lines: ["Main Street 1"], city: "Berlin", countryCode: "DE" };
  const wish = { requestId: requestId(), customerId, cartEtag: cart!.etag, cardToken, address };

  const placed = await orders.placeOrder(wish, options);
  const { orderId } = placed.order!;
  print(`order ${orderId}`);
  const version = await follow(orders, orderId, headers, print);
  const again = await orders.placeOrder(wish, options);
  const isSame = equals(PlaceOrderResponseSchema, again, placed);
  print(`the same request again: ${isSame ? "the same answer" : again.order?.orderId}`);
  await wait(orders, orderId, version, headers, print);
  await refusal(carts, customerId, headers, print);
}
