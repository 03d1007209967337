//! The two sides: tonic's server and channel with nothing of ours, and the stack as services use it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, ensure};
use mesh_echo::v1::ReadRequest;
use mesh_echo::{DESCRIPTORS, Echo, EchoServiceClient, EchoServiceServer};
use mesh_rpc::discovery::Endpoints;
use mesh_rpc::policy::LivePolicy;
use mesh_rpc::{Channel, Server, timeout_request};
use mesh_runtime::{Service, ServiceConfig, Signal};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::Request;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{self, Endpoint};

/// What is sent there and back.
const TEXT: &str = "An order of one mug, green, to be sent to Ada Lovelace, Market Street 1, 10115 \
                    Berlin, and paid by the card that ends in 4242.";
/// Of calls through the stack, which has a deadline for each.
const LIMIT: Duration = Duration::from_secs(5);
/// The stack's, for both.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
const MAX_STREAMS: u32 = 1024;
/// Never asked for anything: with no trace sampled none is sent.
const COLLECTOR: &str = "http://127.0.0.1:4317";

/// Both sides, with their servers running.
pub(super) struct Sides {
    pub bare: Side,
    pub stack: Side,
    stack_address: SocketAddr,
    service: Service,
}

/// One side: a client, and the handler that answers it.
pub(super) struct Side {
    pub name: &'static str,
    pub client: Client,
    echo: Echo,
}

impl Sides {
    pub fn start(server: &Runtime, callers: &Runtime) -> Result<Sides> {
        let (bare_echo, stack_echo) = (Echo::default(), Echo::default());
        let bare = server.block_on(serve_bare(bare_echo.clone()))?;
        let signals = &[Signal::Traces];
        let sampled_out = Exports { collector: Some(COLLECTOR), signals, ratio: 0.0 };
        let (service, policy, stack_address) =
            server.block_on(serve_stack(stack_echo.clone(), &sampled_out))?;
        let _inside = callers.enter();
        let bare = EchoServiceClient::new(bare_channel(bare)?);
        let stack = stack_client(&policy, stack_address);
        Ok(Sides {
            bare: Side { name: "tonic alone", client: Client::Bare(bare), echo: bare_echo },
            stack: Side { name: "the stack", client: Client::Stack(stack), echo: stack_echo },
            stack_address,
            service,
        })
    }

    pub fn stack_address(&self) -> SocketAddr {
        self.stack_address
    }

    pub async fn stop(self) {
        let Sides { bare, stack, service, .. } = self;
        // Their connections end, so that the drain has nothing to wait for.
        drop((bare, stack));
        service.stop();
        service.finish().await;
    }
}

impl Side {
    /// How many calls the handler has answered.
    pub fn answered(&self) -> u64 {
        self.echo.answered() as u64
    }
}

/// A client of either side. Clones share the connection.
#[derive(Clone)]
pub(super) enum Client {
    Bare(EchoServiceClient<transport::Channel>),
    Stack(EchoServiceClient<Channel>),
}

impl Client {
    /// Makes a call, and reads the answer.
    pub async fn echo(&mut self) -> Result<()> {
        let message = ReadRequest { text: TEXT.to_owned() };
        let answer = match self {
            Self::Bare(client) => client.read(Request::new(message)).await,
            Self::Stack(client) => client.read(timeout_request(message, LIMIT)).await,
        };
        ensure!(answer?.into_inner().text.len() == TEXT.len(), "the answer is no echo");
        Ok(())
    }
}

/// What a side sends, and where to.
pub(super) struct Exports<'a> {
    /// None: nothing is sent.
    pub collector: Option<&'a str>,
    pub signals: &'a [Signal],
    /// The share of traces that is sampled.
    pub ratio: f64,
}

/// The stack alone, with its server running.
pub(super) fn stack(
    server: &Runtime,
    callers: &Runtime,
    exports: &Exports<'_>,
) -> Result<(Client, Service)> {
    let (service, policy, address) = server.block_on(serve_stack(Echo::default(), exports))?;
    let _inside = callers.enter();
    Ok((Client::Stack(stack_client(&policy, address)), service))
}

fn stack_client(policy: &LivePolicy, server: SocketAddr) -> EchoServiceClient<Channel> {
    let channel = Channel::builder("bench", "echo").policy(policy);
    EchoServiceClient::new(channel.follow(&Endpoints::fixed(&[server])))
}

async fn serve_bare(echo: Echo) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let server = transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .add_service(EchoServiceServer::new(echo))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
    // It ends with its runtime.
    tokio::spawn(server);
    Ok(address)
}

fn bare_channel(server: SocketAddr) -> Result<transport::Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{server}"))?
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    Ok(endpoint.connect_lazy())
}

async fn serve_stack(
    echo: Echo,
    exports: &Exports<'_>,
) -> Result<(Service, LivePolicy, SocketAddr)> {
    let config = ServiceConfig {
        otlp_endpoint: exports.collector.map(str::to_owned),
        otlp_signals: exports.signals.to_vec(),
        trace_ratio: exports.ratio,
        // Log lines go to stdout, where nothing but the report belongs.
        log_level: "error".to_owned(),
        ..ServiceConfig::default()
    };
    let service = Service::begin("echo", &config).await?;
    let policy = LivePolicy::of_service(&service, &config, &[DESCRIPTORS])?;
    let address = Server::new(&service, &[DESCRIPTORS])
        .policy(&policy)
        .add(EchoServiceServer::new(echo))
        .serve(config.listen_addr)
        .await?;
    Ok((service, policy, address))
}
