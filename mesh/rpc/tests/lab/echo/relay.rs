//! A way to a service that can be cut or fall silent.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::{JoinHandle, JoinSet},
};

/// Passes the bytes of TCP connections on to an address.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    to: SocketAddr,
    silent: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Begins to pass on to `to`.
    pub async fn start(to: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let silent = Arc::<AtomicBool>::default();
        let task = tokio::spawn(listen(listener, to, Arc::clone(&silent)));
        Ok(Self { address, to, silent, task })
    }

    /// Passes nothing on any more and closes nothing, as when a machine loses its power.
    pub fn falls_silent(&self) {
        self.silent.store(true, SeqCst);
    }

    /// Closes every connection and takes no new one, as when a process is killed.
    pub async fn cut(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    /// Listens again after it was cut.
    pub async fn mend(&mut self) -> io::Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        self.task = tokio::spawn(listen(listener, self.to, Arc::clone(&self.silent)));
        Ok(())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(listener: TcpListener, to: SocketAddr, silent: Arc<AtomicBool>) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        connections.spawn(join(near, to, Arc::clone(&silent)));
    }
}

async fn join(near: TcpStream, to: SocketAddr, silent: Arc<AtomicBool>) {
    let Ok(far) = TcpStream::connect(to).await else { return };
    let (Ok(()), Ok(())) = (near.set_nodelay(true), far.set_nodelay(true)) else { return };
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::select! {
        () = pass(near_in, far_out, &silent) => {}
        () = pass(far_in, near_out, &silent) => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, silent: &AtomicBool) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if silent.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
