//! A network that fails on demand: a TCP proxy before one address.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
    time::sleep,
};

/// The most that is read at once, and so held back.
const CHUNK: usize = 64 * 1024;

/// What a [`TcpProxy`] does with what passes through it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: every byte goes on at once.
    #[default]
    None,
    /// Bytes go on after this pause, in both directions.
    Delay(Duration),
    /// No byte goes on, and nobody is told: the peer seems to be there and says nothing. Bytes that
    /// were sent meanwhile go on when the fault ends, as TCP would send them again.
    Blackhole,
    /// Every connection ends, and each new one at once.
    Cut,
}

/// How often a [`TcpProxy`]'s faults were met: proof that a test's fault was hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Connections that were accepted.
    pub connections: u64,
    /// Pieces of a stream that were held back by [`Fault::Delay`].
    pub delayed: u64,
    /// Pieces of a stream, and new connections, that met a [`Fault::Blackhole`].
    pub swallowed: u64,
    /// Connections that a [`Fault::Cut`] ended.
    pub cut: u64,
}

/// A TCP proxy on loopback, whose faults can be switched while connections run. Ends, with its
/// connections, with the value.
///
/// ```
/// use mesh_testkit::{Fault, TcpProxy};
/// use tokio::{io::{AsyncReadExt as _, AsyncWriteExt as _}, net::{TcpListener, TcpStream}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let server = TcpListener::bind("127.0.0.1:0").await?;
/// let proxy = TcpProxy::before(server.local_addr()?).await;
/// let mut client = TcpStream::connect(proxy.address()).await?;
/// let (mut peer, _) = server.accept().await?;
///
/// client.write_all(b"hello").await?;
/// let mut heard = [0; 5];
/// peer.read_exact(&mut heard).await?;
/// assert_eq!(&heard, b"hello");
///
/// proxy.set(Fault::Cut);
/// assert_eq!(peer.read(&mut heard).await.unwrap_or(0), 0, "the connection has ended");
/// assert_eq!(proxy.hits().cut, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TcpProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    fault: watch::Sender<Fault>,
    target: watch::Sender<Option<SocketAddr>>,
    connections: AtomicU64,
    delayed: AtomicU64,
    swallowed: AtomicU64,
    cut: AtomicU64,
}

impl TcpProxy {
    /// Starts a proxy before `target`.
    pub async fn before(target: SocketAddr) -> TcpProxy {
        let proxy = TcpProxy::start().await;
        proxy.lead_to(target);
        proxy
    }

    /// Starts a proxy that does not know yet what it stands before: connections wait until
    /// [`TcpProxy::lead_to`] says so.
    ///
    /// # Panics
    /// If loopback has no free port.
    pub async fn start() -> TcpProxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            fault: watch::Sender::default(),
            target: watch::Sender::default(),
            connections: AtomicU64::default(),
            delayed: AtomicU64::default(),
            swallowed: AtomicU64::default(),
            cut: AtomicU64::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&shared)));
        TcpProxy { address, shared, _tasks: tasks }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads connections here from now on, and ends those that lead elsewhere.
    pub fn lead_to(&self, target: SocketAddr) {
        self.shared.target.send_replace(Some(target));
    }

    /// Switches the fault, for connections that run and for new ones.
    pub fn set(&self, fault: Fault) {
        self.shared.fault.send_replace(fault);
    }

    /// How often faults were met so far.
    pub fn hits(&self) -> Hits {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Hits {
            connections: count(&self.shared.connections),
            delayed: count(&self.shared.delayed),
            swallowed: count(&self.shared.swallowed),
            cut: count(&self.shared.cut),
        }
    }
}

impl Shared {
    /// Returns when connections are to end.
    async fn cut(&self) {
        let _ = self.fault.subscribe().wait_for(|fault| *fault == Fault::Cut).await;
        self.cut.fetch_add(1, Ordering::Relaxed);
    }

    /// Holds back what has come, as the fault in force says.
    async fn hold(&self) {
        let mut faults = self.fault.subscribe();
        let fault = *faults.borrow_and_update();
        match fault {
            Fault::None | Fault::Cut => {}
            Fault::Delay(pause) => {
                self.delayed.fetch_add(1, Ordering::Relaxed);
                sleep(pause).await;
            }
            Fault::Blackhole => {
                self.swallowed.fetch_add(1, Ordering::Relaxed);
                let _ = faults.wait_for(|fault| *fault != Fault::Blackhole).await;
            }
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            tokio::select! {
                biased;
                () = shared.cut() => {}
                // Whichever side ends it, or in whatever way, the other one sees it end.
                _ = serve(client, &shared) => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(client: TcpStream, shared: &Shared) -> io::Result<()> {
    shared.hold().await;
    let mut targets = shared.target.subscribe();
    let Some(target) = targets.wait_for(Option::is_some).await.ok().and_then(|it| *it) else {
        return Ok(());
    };
    let server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        // The half that is closed first is told to the other side; the connection ends with both.
        both = async {
            tokio::try_join!(
                pass(from_client, to_server, shared),
                pass(from_server, to_client, shared),
            )
        } => both.map(drop),
        _ = targets.wait_for(|now| *now != Some(target)) => Ok(()),
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = from.read(&mut chunk).await?;
        shared.hold().await;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&chunk[..read]).await?;
    }
}
