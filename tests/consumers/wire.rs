//! Stands between a consumer and the broker, and lets the consumer's [`Ear`] write down and change the
//! events that come.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

use super::ear::Ear;

/// What a consumer takes for the broker. Ends with the value.
pub struct Wire {
    pub address: SocketAddr,
    broker: watch::Sender<Option<String>>,
    _connections: JoinSet<()>,
}

impl Wire {
    pub async fn start(ear: &Ear) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (broker, ear) = (watch::Sender::new(None), ear.clone());
        let (leads_to, mut tasks) = (broker.subscribe(), JoinSet::new());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(connect(ear.clone(), client, leads_to.clone()));
            }
        });
        Self { address, broker, _connections: tasks }
    }

    /// It leads to the broker at this URL. Before that nothing is carried.
    pub fn leads_to(&self, url: &str) {
        let address = url.rsplit_once('@').map_or(url, |(_, address)| address);
        self.broker.send_replace(Some(address.to_owned()));
    }
}

async fn connect(ear: Ear, client: TcpStream, mut leads_to: watch::Receiver<Option<String>>) {
    let Ok(broker) = leads_to.wait_for(Option::is_some).await.map(|it| it.clone()) else { return };
    let Ok(server) = TcpStream::connect(broker.unwrap_or_default()).await else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    tokio::select! {
        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
        _ = deliver(&ear, from_server, to_client) => {}
    }
}

/// The broker's protocol: lines, of which those that begin with MSG or HMSG are followed by as many
/// bytes as their last number says, and of HMSG the last but one says how many of them are headers.
async fn deliver(
    ear: &Ear,
    from_server: OwnedReadHalf,
    mut to_client: OwnedWriteHalf,
) -> std::io::Result<()> {
    let mut from_server = BufReader::new(from_server);
    let mut line = String::new();
    loop {
        line.clear();
        if from_server.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let has_headers = words[0] == "HMSG";
        if !has_headers && words[0] != "MSG" {
            to_client.write_all(line.as_bytes()).await?;
            continue;
        }
        let number = |from_end: usize| words[words.len() - from_end].parse::<usize>().unwrap();
        let total = number(1);
        let headers = if has_headers { number(2) } else { 0 };
        let mut bytes = vec![0; total + "\r\n".len()];
        from_server.read_exact(&mut bytes).await?;
        let body = ear.event(words[1], &bytes[headers..total]);
        let mut head: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        *head.last_mut().unwrap() = (headers + body.len()).to_string();
        let message =
            [head.join(" ").as_bytes(), b"\r\n", &bytes[..headers], &body, b"\r\n"].concat();
        to_client.write_all(&message).await?;
    }
}
