package client;

import com.google.gson.Gson;
import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import io.grpc.ClientInterceptor;
import io.grpc.ConnectivityState;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import shop.common.v1.AddressOuterClass.Address;
import shop.orders.v1.CartsServiceGrpc;
import shop.orders.v1.CartsServiceOuterClass.AddCartLineRequest;
import shop.orders.v1.OrderOuterClass.OrderState;
import shop.orders.v1.OrdersServiceGrpc;
import shop.orders.v1.OrdersServiceOuterClass.PlaceOrderRequest;
import shop.orders.v1.OrdersServiceOuterClass.WatchOrderRequest;
import shop.processor.v1.CardsServiceGrpc;
import shop.processor.v1.CardsServiceOuterClass.TokenizeCardRequest;

/**
 * Orders two mugs through the gateway, and shows what every client should know how to do.
 *
 * <p>The environment says where the gateway is (GATEWAY, host:port), who orders (CUSTOMER) and what shows
 * it (TOKEN).
 */
public final class OrderMugs {
  private final String customer;
  private final CartsServiceGrpc.CartsServiceBlockingStub carts;
  private final OrdersServiceGrpc.OrdersServiceBlockingStub orders;
  private final CardsServiceGrpc.CardsServiceBlockingStub cards;

  private OrderMugs(ManagedChannel shop, ManagedChannel processor, String customer, String token) {
    Metadata headers = new Metadata();
    headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + token);
    ClientInterceptor me = MetadataUtils.newAttachHeadersInterceptor(headers);
    this.customer = customer;
    carts = CartsServiceGrpc.newBlockingStub(shop).withInterceptors(me);
    orders = OrdersServiceGrpc.newBlockingStub(shop).withInterceptors(me);
    cards = CardsServiceGrpc.newBlockingStub(processor);
  }

  public static void main(String[] arguments) throws IOException {
    Map<String, String> said = System.getenv();
    ManagedChannel shop = channel(said.get("GATEWAY"), "orders");
    ManagedChannel processor = channel(said.get("GATEWAY"), "processor");
    try {
      new OrderMugs(shop, processor, said.get("CUSTOMER"), said.get("TOKEN")).run();
    } finally {
      shop.shutdownNow();
      processor.shutdownNow();
    }
  }

  /** Repeats what is safe to repeat, and gives up, as the contracts of this service say. */
  private static ManagedChannel channel(String gateway, String service) throws IOException {
    Path file = Path.of("..", "service_config", service + ".json");
    Map<String, ?> config = new Gson().fromJson(Files.readString(file), Map.class);
    ManagedChannel channel = NettyChannelBuilder.forTarget(gateway)
        .usePlaintext()
        .defaultServiceConfig(config)
        .build();
    // So that a call's deadline is not spent on this program's own start.
    for (var state = channel.getState(true); state != ConnectivityState.READY; ) {
      var changed = new CompletableFuture<Void>();
      channel.notifyWhenStateChanged(state, () -> changed.complete(null));
      changed.orTimeout(30, TimeUnit.SECONDS).join();
      state = channel.getState(true);
    }
    return channel;
  }

  private void run() {
    PlaceOrderRequest request = wish();
    var placed = orders.placeOrder(request);
    String orderId = placed.getOrder().getOrderId();
    System.out.println("order " + orderId);
    int version = follow(orderId);
    var again = orders.placeOrder(request);
    System.out.println("the same request again: " + (again.equals(placed) ? "the same answer" : again));
    await(orderId, version);
    refusal();
  }

  /** Of one wish. Whoever sends the wish again sends the same id, and it is fulfilled once. */
  private static String requestId() {
    return UUID.randomUUID().toString();
  }

  /** An order of two mugs. */
  private PlaceOrderRequest wish() {
    var line = line().setQuantity(2).build();
    var number = TokenizeCardRequest.newBuilder()
        .setRequestId(requestId())
        .setCardNumber("4242424242424242")
        .setExpiryMonth(12)
        .setExpiryYear(2040)
        .build();
    var address = Address.newBuilder()
        .setRecipient("Ada")
        .addLines("Main Street 1")
        .setCity("Berlin")
        .setCountryCode("DE");
    return PlaceOrderRequest.newBuilder()
        .setRequestId(requestId())
        .setCustomerId(customer)
        .setCartEtag(carts.addCartLine(line).getCart().getEtag())
        .setCardToken(cards.tokenizeCard(number).getCardToken())
        .setAddress(address)
        .build();
  }

  private AddCartLineRequest.Builder line() {
    return AddCartLineRequest.newBuilder()
        .setRequestId(requestId())
        .setCustomerId(customer)
        .setSku("MUG-BLUE-350");
  }

  /** Tells each state until the order is confirmed, and then wants to hear no more. */
  private int follow(String orderId) {
    var request = WatchOrderRequest.newBuilder().setOrderId(orderId).build();
    int version = 0;
    try (var watching = Context.current().withCancellation()) {
      var watch = watching.wrap(() -> orders.watchOrder(request)).call();
      while (watch.hasNext()) {
        var change = watch.next().getChange();
        version = change.getVersion();
        System.out.println("it is " + change.getState().name().replace("ORDER_STATE_", ""));
        if (change.getState() == OrderState.ORDER_STATE_CONFIRMED) {
          watching.cancel(null);
        }
      }
    } catch (StatusRuntimeException error) {
      System.out.println("a watch that nobody wants any more: " + error.getStatus().getCode());
    } catch (Exception error) {
      throw new IllegalStateException(error);
    }
    return version;
  }

  /** Half a second, for what will take longer. */
  private void await(String orderId, int version) {
    var request =
        WatchOrderRequest.newBuilder().setOrderId(orderId).setAfterVersion(version).build();
    try {
      orders.withDeadlineAfter(500, TimeUnit.MILLISECONDS).watchOrder(request).next();
    } catch (StatusRuntimeException error) {
      System.out.println("a watch of half a second: " + error.getStatus().getCode());
    }
  }

  /** Why nobody can order no pieces: for programs, and not by words. */
  private void refusal() {
    try {
      carts.addCartLine(line().setQuantity(0).build());
    } catch (StatusRuntimeException error) {
      var code = error.getStatus().getCode();
      String reason = detail(error, ErrorInfo.class).getReason();
      String field = detail(error, BadRequest.class).getFieldViolations(0).getField();
      System.out.println("no pieces: " + code + ", " + reason + ", field " + field);
    }
  }

  /** What the error says of this kind. */
  private static <T extends Message> T detail(StatusRuntimeException error, Class<T> kind) {
    for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
      if (detail.is(kind)) {
        try {
          return detail.unpack(kind);
        } catch (InvalidProtocolBufferException malformed) {
          throw new IllegalStateException(malformed);
        }
      }
    }
    throw error;
  }
}
