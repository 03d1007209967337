//! Of what measures.

pub const BENCH: &str = "\
Examples:
  cargo mesh up --release --untraced --detach && cargo mesh bench orders
  cargo mesh bench orders --seconds 60 --in-flight 128 --json
  cargo mesh bench growth --orders 100000 --release
  cargo run --release --package meshctl -- bench rpc
  cargo run --release --package meshctl -- bench gateway

`orders` measures the running shop; `gateway`, `growth` and `rpc` start what they measure.

Exit codes: 0 measured; 1 an order or a call failed, or a history costs more than a tenth.";

pub const BENCH_RPC: &str = "\
Examples:
  cargo run --release --package meshctl -- bench rpc
  cargo run --release --package meshctl -- bench rpc --callers 64 --seconds 60
  cargo run --release --package meshctl -- bench rpc --json | jq '.rows[] | [.callers, .throughput]'

The same echo goes through tonic alone and through the stack, in short rounds in turn. Figures are
medians of rounds, ratios those of rounds that followed each other. It says whether the stack has
0.9 of tonic's throughput and at most 1.25 of its p99 with 64 callers. At the end it compares two
processes of which one sends nothing, the other a tenth of its traces, its metrics and its log lines.

Exit codes: 0 measured, also if a target was missed; 1 a call failed.";

pub const BENCH_GATEWAY: &str = "\
Examples:
  cargo run --release --package meshctl -- bench gateway
  cargo run --release --package meshctl -- bench gateway --callers 64 --seconds 60
  cargo run --release --package meshctl -- bench gateway --json | jq .streams

The same product is asked for at the service itself, through the gateway by gRPC, through it by JSON, and
by JSON through Envoy's transcoder if there is an Envoy (ENVOY, PATH, or the one of `cluster up`), in short
rounds in turn: at the catalog of the shop that is up, if one is (`up --detach --release --untraced`), and
then at a service that answers at once, in the callers' process. Figures are medians of rounds, ratios those
of rounds that followed each other. It says whether, with 64 callers, gRPC through the gateway has 0.6 of
the service's own throughput, and JSON that of Envoy: of the catalog, if it was asked.

Exit codes: 0 measured, also if a target was missed; 1 a call failed.";
