//! TLS of the gateway's own: HTTP/2 and HTTP/1.1, with a certificate that is reread when its file
//! changes. Connections that are open keep what they began with.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, Weak},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustls::{
    InconsistentKeys, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::TLS13,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// A client that needs longer to say hello is none.
const LIMIT: Duration = Duration::from_secs(10);
/// What a connection begins with that wants TLS.
const HANDSHAKE: u8 = 22;
/// For who speaks plaintext here: every client of HTTP/1.1 understands it.
const PLAINTEXT: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\
                           content-length: 41\r\n\r\nthis port speaks TLS: ask with https://\r\n";

/// Takes connections that begin with TLS 1.3. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
}

impl Tls {
    /// Reads the files, and rereads them when they change for as long as a clone lives. Files that
    /// cannot be used then are logged, and the last good ones stay.
    pub(super) fn follow(certificate: PathBuf, key: PathBuf) -> Result<Self> {
        let files = Files { certificate, key };
        let contents = files.read()?;
        let current = RwLock::new(files.parse(&contents)?);
        let resolver = Arc::new(Current(current));
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(&[&TLS13])?
                .with_no_client_auth()
                .with_cert_resolver(Arc::clone(&resolver) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        tokio::spawn(look_again(files, contents, Arc::downgrade(&resolver)));
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Makes the handshake.
    pub(crate) async fn accept(&self, mut stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let accept = async {
            let mut first = [0];
            if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
                stream.write_all(PLAINTEXT).await?;
                stream.shutdown().await?;
                return Err(io::Error::new(io::ErrorKind::InvalidData, "plaintext"));
            }
            self.acceptor.accept(stream).await
        };
        timeout(LIMIT, accept).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the key.
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// The certificate that handshakes show now.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Two PEM files.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What they held.
type Contents = [Vec<u8>; 2];

impl Files {
    fn read(&self) -> Result<Contents> {
        let read = |path: &Path| fs::read(path).with_context(|| format!("{}", path.display()));
        Ok([read(&self.certificate)?, read(&self.key)?])
    }

    fn parse(&self, [certificate, key]: &Contents) -> Result<Arc<CertifiedKey>> {
        let (at, key_at) = (self.certificate.display(), self.key.display());
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .with_context(|| format!("{at}: must be certificates in PEM"))?;
        ensure!(!chain.is_empty(), "{at}: it holds no certificate");
        let key = PrivateKeyDer::from_pem_slice(key)
            .with_context(|| format!("{key_at}: must be a private key in PEM"))?;
        let key = aws_lc_rs::default_provider().key_provider.load_private_key(key);
        let key = key.with_context(|| format!("{key_at}: it cannot be used"))?;
        let both = CertifiedKey::new(chain, key);
        let matches = both.keys_match();
        let differs = Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch));
        ensure!(matches != differs, "{key_at}: it is not the key of the certificate in {at}");
        Ok(Arc::new(both))
    }
}

async fn look_again(files: Files, mut seen: Contents, current: Weak<Current>) {
    let mut complaint = String::new();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let Some(current) = current.upgrade() else { return };
        let read = files.read();
        let looked = match read {
            Ok(contents) if contents == seen => continue,
            Ok(contents) => files.parse(&contents).map(|key| (contents, key)),
            Err(error) => Err(error),
        };
        match looked {
            Ok((contents, key)) => {
                (seen, complaint) = (contents, String::new());
                *current.0.write().unwrap_or_else(PoisonError::into_inner) = key;
                tracing::info!(service = "gateway", "certificate replaced");
            }
            Err(error) => {
                // Said once, not at every look: a file that is being written is whole the next time.
                let said = format!("{error:#}");
                if complaint != said {
                    tracing::warn!(service = "gateway", error = said, "certificate not replaced");
                    complaint = said;
                }
            }
        }
    }
}
