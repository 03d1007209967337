//! The public keys of whoever signs users in, in a file that is followed.

use std::{fs, path::Path, sync::Arc, time::Duration};

use futures::FutureExt as _;
use mesh_auth::{Jwks, Verifier};
use mesh_runtime::{ConfigError, Service};
use tokio::time::sleep;

/// How often the file is looked at: a few hundred bytes from the page cache. A key that is taken out
/// of it is believed for so long.
const EVERY: Duration = Duration::from_secs(1);

/// Gives `verifier` the keys in `file`, and again whenever they change, for as long as the service
/// runs. A set that cannot be read changes nothing, and is told of once.
pub(super) fn follow(
    service: &Service,
    file: &Path,
    verifier: Arc<Verifier>,
) -> Result<Arc<Verifier>, ConfigError> {
    let text = read(file).map_err(|why| ConfigError(format!("USER_KEYS: {why}")))?;
    verifier.replace_keys(&text.keys);
    let (stopped, file, followed) = (service.stopped(), file.to_owned(), Arc::clone(&verifier));
    let follow = async move {
        let mut seen = Ok(text.bytes);
        loop {
            sleep(EVERY).await;
            let path = file.clone();
            // A file system may take its time, and the service has few threads.
            let looked = tokio::task::spawn_blocking(move || read(&path)).await;
            let looked = looked.unwrap_or_else(|error| Err(error.to_string()));
            let now = looked.as_ref().map(|it| it.bytes.clone()).map_err(Clone::clone);
            if now == seen {
                continue;
            }
            match looked {
                Ok(read) => {
                    followed.replace_keys(&read.keys);
                    tracing::info!(keys = read.keys.keys.len(), "users' keys read again");
                }
                Err(error) => tracing::warn!(%error, "users' keys not read again"),
            }
            seen = now;
        }
    };
    service.spawn("user keys", stopped.run_until_cancelled_owned(follow).map(|_: Option<()>| ()));
    Ok(verifier)
}

struct Read {
    bytes: Vec<u8>,
    keys: Jwks,
}

fn read(file: &Path) -> Result<Read, String> {
    let name = file.display();
    let bytes = fs::read(file).map_err(|error| format!("{name} cannot be read: {error}"))?;
    let keys = Jwks::from_json(&bytes).map_err(|error| format!("{name} is no JWKS: {error}"))?;
    Ok(Read { bytes, keys })
}
