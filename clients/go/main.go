// Orders two mugs through the gateway, and shows what every client should know how to do.
//
// The environment says where the gateway is (GATEWAY, host:port), who orders (CUSTOMER) and what shows it
// (TOKEN).
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	rpccode "google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	commonv1 "shopmesh.example/clients/go/gen/shop/common/v1"
	ordersv1 "shopmesh.example/clients/go/gen/shop/orders/v1"
	processorv1 "shopmesh.example/clients/go/gen/shop/processor/v1"
)

// A shop, as one customer sees it.
type shop struct {
	customer string
	carts    ordersv1.CartsServiceClient
	orders   ordersv1.OrdersServiceClient
	cards    processorv1.CardsServiceClient
}

// A connection that repeats what is safe to repeat, and gives up, as the contracts of a service say.
func connect(service string) *grpc.ClientConn {
	config := must(os.ReadFile("../service_config/" + service + ".json"))
	return must(grpc.NewClient(
		os.Getenv("GATEWAY"),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(string(config)),
		grpc.WithDisableHealthCheck(), // which endpoints want calls is the gateway's business
	))
}

// The id of one wish. Whoever sends the wish again sends the same id, and it is fulfilled once.
func requestID() string { return uuid.NewString() }

// An order of two mugs.
func (s *shop) wish(ctx context.Context) *ordersv1.PlaceOrderRequest {
	cart := must(s.carts.AddCartLine(ctx, &ordersv1.AddCartLineRequest{
		RequestId: requestID(), CustomerId: s.customer, Sku: "MUG-BLUE-350", Quantity: 2,
	}))
	card := must(s.cards.TokenizeCard(ctx, &processorv1.TokenizeCardRequest{
		RequestId: requestID(), CardNumber: "4242424242424242", ExpiryMonth: 12, ExpiryYear: 2040,
	}))
	return &ordersv1.PlaceOrderRequest{
		RequestId:  requestID(),
		CustomerId: s.customer,
		CartEtag:   cart.Cart.Etag,
		CardToken:  card.CardToken,
		Address: &commonv1.Address{
			Recipient: "Ada", Lines: []string{"Main Street 1"}, City: "Berlin", CountryCode: "DE",
		},
	}
}

// Tells each state until the order is confirmed, and then wants to hear no more.
func (s *shop) follow(ctx context.Context, orderID string) int32 {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch := must(s.orders.WatchOrder(ctx, &ordersv1.WatchOrderRequest{OrderId: orderID}))
	for {
		change := must(watch.Recv()).Change
		fmt.Println("it is", strings.TrimPrefix(change.State.String(), "ORDER_STATE_"))
		if change.State != ordersv1.OrderState_ORDER_STATE_CONFIRMED {
			continue
		}
		cancel()
		_, err := watch.Recv()
		fmt.Println("a watch that nobody wants any more:", code(err))
		return change.Version
	}
}

// Half a second, for what will take longer.
func (s *shop) wait(ctx context.Context, orderID string, version int32) {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	request := &ordersv1.WatchOrderRequest{OrderId: orderID, AfterVersion: version}
	_, err := must(s.orders.WatchOrder(ctx, request)).Recv()
	fmt.Println("a watch of half a second:", code(err))
}

// Why nobody can order no pieces: for programs, and not by words.
func (s *shop) refusal(ctx context.Context) {
	_, err := s.carts.AddCartLine(ctx, &ordersv1.AddCartLineRequest{
		RequestId: requestID(), CustomerId: s.customer, Sku: "MUG-BLUE-350", Quantity: 0,
	})
	var reason, field string
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			reason = detail.Reason
		case *errdetails.BadRequest:
			field = detail.FieldViolations[0].Field
		}
	}
	fmt.Printf("no pieces: %s, %s, field %s\n", code(err), reason, field)
}

func main() {
	orders, processor := connect("orders"), connect("processor")
	defer orders.Close()
	defer processor.Close()
	s := &shop{
		customer: os.Getenv("CUSTOMER"),
		carts:    ordersv1.NewCartsServiceClient(orders),
		orders:   ordersv1.NewOrdersServiceClient(orders),
		cards:    processorv1.NewCardsServiceClient(processor),
	}
	token := "Bearer " + os.Getenv("TOKEN")
	ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", token)

	request := s.wish(ctx)
	placed := must(s.orders.PlaceOrder(ctx, request))
	orderID := placed.Order.OrderId
	fmt.Println("order", orderID)
	version := s.follow(ctx, orderID)
	again := must(s.orders.PlaceOrder(ctx, request))
	if proto.Equal(again, placed) {
		fmt.Println("the same request again: the same answer")
	} else {
		fmt.Println("the same request again:", again)
	}
	s.wait(ctx, orderID, version)
	s.refusal(ctx)
}

func code(err error) rpccode.Code { return rpccode.Code(status.Code(err)) }

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
