//! The public keys of whoever signs users in, in a file that is followed.

use std::{path::Path, sync::Arc, time::Duration};

use futures::FutureExt as _;
use mesh_auth::{Jwks, Verifier};
use mesh_runtime::{ConfigError, Service};
use tokio::time::sleep;

use crate::followed::Followed;

/// How often the file is looked at. A key that is taken out of it is believed for so long.
const EVERY: Duration = Duration::from_secs(1);

/// Gives `verifier` the keys in `path`, and again whenever they change, for as long as the service
/// runs. A set that cannot be read changes nothing, and is told of once.
pub(super) fn follow(
    service: &Service,
    path: &Path,
    verifier: Arc<Verifier>,
) -> Result<Arc<Verifier>, ConfigError> {
    let name = path.display().to_string();
    let unusable = |why: String| ConfigError(format!("USER_KEYS: {name} {why}"));
    let (mut file, text) = Followed::open(path).map_err(unusable)?;
    verifier.replace_keys(&parse(&text).map_err(unusable)?);
    let (stopped, followed) = (service.stopped(), Arc::clone(&verifier));
    let follow = async move {
        loop {
            sleep(EVERY).await;
            let Some(text) = file.look(false).await else { continue };
            match text.and_then(parse) {
                Ok(keys) => {
                    followed.replace_keys(&keys);
                    tracing::info!(keys = keys.keys.len(), "users' keys read again");
                }
                Err(why) => {
                    tracing::warn!(error = %format!("{name} {why}"), "users' keys not read again")
                }
            }
        }
    };
    service.spawn("user keys", stopped.run_until_cancelled_owned(follow).map(|_: Option<()>| ()));
    Ok(verifier)
}

fn parse(text: &str) -> Result<Jwks, String> {
    Jwks::from_json(text.as_bytes()).map_err(|error| format!("is no JWKS: {error}"))
}
