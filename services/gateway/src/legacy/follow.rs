//! `LEGACY_FILE`, read again when it changes.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use futures::FutureExt as _;
use mesh_runtime::{ConfigError, Service};
use tokio::time::sleep;

use super::{Legacy, file, file::Ground, table::Table};

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(1);

pub(super) fn begin(
    service: &Service,
    path: &Path,
    ground: Ground,
) -> Result<Arc<Legacy>, ConfigError> {
    let name = path.display();
    let wrong = |why: String| ConfigError(format!("LEGACY_FILE {name}{why}"));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(format!(": {error}")))?;
    let table = file::read(&text, &ground, &Table::default());
    let legacy = Legacy::new(table.map_err(|error| wrong(format!(", {error}")))?);
    let look = look_again(path.to_owned(), text, ground, Arc::downgrade(&legacy));
    let look = service.stopped().run_until_cancelled_owned(look);
    service.spawn("legacy file", look.map(|_: Option<()>| ()));
    Ok(legacy)
}

async fn look_again(path: PathBuf, mut seen: String, ground: Ground, legacy: Weak<Legacy>) {
    let mut complaint = String::new();
    loop {
        sleep(EVERY).await;
        let Some(legacy) = legacy.upgrade() else { return };
        let looked = match tokio::fs::read_to_string(&path).await {
            Ok(text) if text == seen => continue,
            Ok(text) => {
                let read = file::read(&text, &ground, &legacy.table());
                seen = text;
                read.map_err(|wrong| wrong.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        match looked {
            Ok(table) => {
                complaint.clear();
                let routes = table.bindings.len() + table.beginnings.len();
                legacy.replace(table);
                tracing::info!(service = "gateway", routes, "legacy file read again");
            }
            // Said once, not at every look.
            Err(error) if error == complaint => {}
            Err(error) => {
                tracing::warn!(service = "gateway", error, "legacy file not read again");
                complaint = error;
            }
        }
    }
}
