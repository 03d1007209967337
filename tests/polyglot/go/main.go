// Calls a server as its service config says, and nothing else.
//
// client SERVICE_CONFIG ADDRESS: each line of the input is a call, `CASE KIND /package.Service/Method`,
// and some are made at once, with an empty message, the metadata `case` and no deadline. Prints
// `CASE CODE` for each, with the number of the code that it ended with.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // who asks whether an endpoint wants calls
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

const (
	atOnce   = 4
	patience = 30 * time.Second
)

var shapes = map[string]grpc.StreamDesc{
	"unary":    {},
	"answers":  {ServerStreams: true},
	"requests": {ClientStreams: true},
	"both":     {ServerStreams: true, ClientStreams: true},
}

func call(conn *grpc.ClientConn, name, kind, path string) error {
	ctx := metadata.AppendToOutgoingContext(context.Background(), "case", name)
	shape, known := shapes[kind]
	if !known {
		log.Fatalf("%s: there is no kind `%s`", name, kind)
	}
	if kind == "unary" {
		return conn.Invoke(ctx, path, new(emptypb.Empty), new(emptypb.Empty))
	}
	stream, err := conn.NewStream(ctx, &shape, path)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(new(emptypb.Empty)); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		switch err := stream.RecvMsg(new(emptypb.Empty)); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case !shape.ServerStreams:
			return nil
		}
	}
}

// So that a call's deadline is not spent on this program's own start.
func ready(conn *grpc.ClientConn) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn.Connect()
	for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
		if !conn.WaitForStateChange(ctx, state) {
			log.Fatalf("not ready after %s: %s", patience, state)
		}
	}
}

func main() {
	config, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	conn, err := grpc.NewClient(
		os.Args[2],
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(string(config)),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	ready(conn)

	var calls sync.WaitGroup
	places := make(chan struct{}, atOnce)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		places <- struct{}{}
		calls.Go(func() {
			err := call(conn, words[0], words[1], words[2])
			fmt.Printf("%s %d\n", words[0], status.Code(err))
			<-places
		})
	}
	calls.Wait()
}
