//! A way to the database on which peers can fall silent.

use std::{
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
    /// Connections made before are silent: open, and nothing comes through.
    silence: watch::Sender<u64>,
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
        let silence = watch::Sender::new(0_u64);
        let delay_ms = Arc::new(AtomicU64::new(0));
        let (silenced, delayed) = (silence.clone(), Arc::clone(&delay_ms));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let delay = Duration::from_millis(delayed.load(Ordering::Relaxed));
                tokio::spawn(forward(client, server.clone(), delay, silenced.subscribe()));
            }
        });
        Self { url, silence, delay_ms }
    }

    /// Lets the connections that there are fall silent.
    pub fn silence(&self) {
        self.silence.send_modify(|times| *times += 1);
    }

    /// Holds back the beginning of connections that come from now on.
    pub fn delay(&self, delay: Duration) {
        self.delay_ms.store(delay.as_millis() as u64, Ordering::Relaxed);
    }
}

async fn forward(
    mut client: TcpStream,
    server: String,
    delay: Duration,
    mut silence: watch::Receiver<u64>,
) {
    tokio::time::sleep(delay).await;
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => (),
        changed = silence.changed() => if changed.is_ok() {
            // Neither end hears that the other is out of reach.
            std::future::pending::<()>().await;
        },
    }
}
