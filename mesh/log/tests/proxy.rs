//! A way to the database on which peers can fall silent.

use std::{
    ops::Range,
    str::FromStr as _,
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use mesh_runtime::Secret;
use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

pub struct Proxy {
    pub url: Secret,
    /// Which connections are silent, by their numbers: open, and nothing comes through.
    silence: watch::Sender<Range<u64>>,
    /// How many connections have come.
    count: Arc<AtomicU64>,
    delay_ms: Arc<AtomicU64>,
}

impl Proxy {
    /// Listens for connections to the database at `url`.
    pub async fn start(url: &str) -> Self {
        let options = PgConnectOptions::from_str(url).unwrap();
        let server = format!("{}:{}", options.get_host(), options.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap().to_string();
        assert!(url.contains(&server), "{server} is where {url} leads");
        let url = Secret::new(url.replace(&server, &here));
        let silence = watch::Sender::new(0..0);
        let (count, delay_ms) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (silenced, delayed) = (silence.clone(), Arc::clone(&delay_ms));
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = counted.fetch_add(1, Ordering::SeqCst);
                let delay = Duration::from_millis(delayed.load(Ordering::Relaxed));
                let silenced = silenced.subscribe();
                tokio::spawn(forward(client, number, server.clone(), delay, silenced));
            }
        });
        Self { url, silence, count, delay_ms }
    }

    /// Lets the connections that there are fall silent.
    pub fn silence(&self) {
        self.silence.send_replace(0..self.count.load(Ordering::SeqCst));
    }

    /// Lets the connection that was made last fall silent, and no other.
    pub fn silence_the_last(&self) {
        let count = self.count.load(Ordering::SeqCst);
        self.silence.send_replace(count - 1..count);
    }

    /// Holds back the beginning of connections that come from now on.
    pub fn delay(&self, delay: Duration) {
        self.delay_ms.store(delay.as_millis() as u64, Ordering::Relaxed);
    }
}

async fn forward(
    mut client: TcpStream,
    number: u64,
    server: String,
    delay: Duration,
    mut silence: watch::Receiver<Range<u64>>,
) {
    tokio::time::sleep(delay).await;
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => (),
        silenced = async { silence.wait_for(|it| it.contains(&number)).await.is_ok() } => if silenced {
            // Neither end hears that the other is out of reach.
            std::future::pending::<()>().await;
        },
    }
}
