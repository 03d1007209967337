//! A wire to the broker that can be cut, and on which answers can be kept back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
};

#[derive(Clone)]
pub struct Proxy {
    url: String,
    mute: Arc<AtomicBool>,
    closed: Arc<AtomicBool>,
    withheld: Arc<AtomicUsize>,
    cuts: watch::Sender<u64>,
}

impl Proxy {
    /// A wire to the server at `url`.
    pub async fn to(url: &str) -> Self {
        let target = url.rsplit_once('@').map_or(url, |(_, host)| host);
        let target = target.trim_start_matches("nats://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = Self {
            url: url.replace(&target, &address.to_string()),
            mute: Arc::default(),
            closed: Arc::default(),
            withheld: Arc::default(),
            cuts: watch::Sender::new(0),
        };
        let accepting = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if accepting.closed.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(&target).await else { continue };
                tokio::spawn(accepting.clone().carry(client, server));
            }
        });
        proxy
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on the broker's answers get lost.
    pub fn mute(&self) {
        self.mute.store(true, Ordering::SeqCst);
    }

    /// How many answers got lost.
    pub fn withheld(&self) -> usize {
        self.withheld.load(Ordering::SeqCst)
    }

    /// Cuts every connection; new ones are carried as before `mute`.
    pub fn cut(&self) {
        self.mute.store(false, Ordering::SeqCst);
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts every connection and refuses new ones.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Carries connections again.
    pub fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
    }

    async fn carry(self, client: TcpStream, server: TcpStream) {
        let mut cuts = self.cuts.subscribe();
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            _ = cuts.changed() => {}
            () = copy(from_client, to_server, |_| true) => {}
            () = copy(from_server, to_client, |_| {
                let mute = self.mute.load(Ordering::SeqCst);
                if mute {
                    self.withheld.fetch_add(1, Ordering::SeqCst);
                }
                !mute
            }) => {}
        }
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, passes: impl Fn(usize) -> bool) {
    let mut buffer = [0; 64 * 1024];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) if passes(length) => {
                if to.write_all(&buffer[..length]).await.is_err() {
                    return;
                }
            }
            Ok(_) => {}
        }
    }
}
