//! This process's identity, reread whenever its files change.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock, Weak},
    time::{Duration, SystemTime},
};

use tokio::time::{MissedTickBehavior, interval};

use super::{
    ClientTls, FilesError, ServerTls, TlsFiles,
    material::{Contents, Material},
};
use crate::peer::SpiffeId;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Who this process is, and whom it trusts. Cheap to clone; clones change together.
///
/// New handshakes use what the files held last; connections that are open keep what they began
/// with. Files that cannot be used are logged, and the last good ones stay.
#[derive(Clone, Debug)]
pub struct Credentials {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    files: TlsFiles,
    current: RwLock<Arc<Material>>,
    seen: Mutex<Seen>,
}

/// What the files held when they were last looked at.
struct Seen {
    contents: Contents,
    /// Said once, not at every look.
    complaint: Option<FilesError>,
}

impl Credentials {
    /// Reads the files, and rereads them when they change for as long as a clone lives.
    ///
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// If the files cannot be used now.
    pub fn follow(files: TlsFiles) -> Result<Self, FilesError> {
        let credentials = Self::read(files)?;
        tokio::spawn(look_again(Arc::downgrade(&credentials.shared)));
        Ok(credentials)
    }

    /// Reads the files once; after that, only [`reload`](Self::reload) does.
    ///
    /// # Errors
    /// If the files cannot be used.
    pub fn read(files: TlsFiles) -> Result<Self, FilesError> {
        let contents = files.read()?;
        let material = Arc::new(Material::parse(&files, &contents)?);
        let seen = Mutex::new(Seen { contents, complaint: None });
        let shared = Shared { files, current: RwLock::new(material), seen };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Rereads the files now. Returns whether they had changed.
    ///
    /// # Errors
    /// If they cannot be used; what was read before stays in use.
    pub fn reload(&self) -> Result<bool, FilesError> {
        self.shared.reload()
    }

    /// The server's side of connections; `service` names it in metrics and logs.
    pub fn server(&self, service: &'static str) -> ServerTls {
        ServerTls::new(self.clone(), service)
    }

    /// The caller's side of connections.
    pub fn client(&self) -> ClientTls {
        ClientTls::new(self.clone())
    }

    /// The id that the certificate names.
    pub fn id(&self) -> SpiffeId {
        self.current().id.clone()
    }

    /// When the certificate ends.
    pub fn ends(&self) -> SystemTime {
        self.current().ends
    }

    pub(super) fn current(&self) -> Arc<Material> {
        let current = self.shared.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shared {
    fn reload(&self) -> Result<bool, FilesError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = self.files.read()?;
        if contents == seen.contents {
            return Ok(false);
        }
        let material = Material::parse(&self.files, &contents)?;
        (seen.contents, seen.complaint) = (contents, None);
        tracing::info!(id = %material.id, "certificate replaced");
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(material);
        Ok(true)
    }

    /// Reloads, and complains when something is wrong that was not wrong before.
    fn look(&self) {
        let Err(error) = self.reload() else { return };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.complaint.as_ref() != Some(&error) {
            tracing::warn!(%error, "certificate not replaced");
            seen.complaint = Some(error);
        }
    }
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the key.
        f.debug_struct("Seen").field("complaint", &self.complaint).finish_non_exhaustive()
    }
}

async fn look_again(shared: Weak<Shared>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        if tokio::task::spawn_blocking(move || shared.look()).await.is_err() {
            return;
        }
    }
}
