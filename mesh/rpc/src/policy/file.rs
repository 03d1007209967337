//! A policy file, and what was last seen in it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use mesh_policy::{Effective, Overlay, Table};

/// A file of this size was not written by anybody.
const LARGEST: u64 = 1 << 20;

/// A file of operational values.
///
/// It is read whole each time and compared: a few kilobytes from the page cache once a second. Its
/// times would not do, because two changes can fall into one tick of the clock that they are read
/// from, and a mounted directory is replaced behind a link.
#[derive(Debug)]
pub(super) struct PolicyFile {
    path: PathBuf,
    contracts: Arc<Table>,
    seen: Result<String, String>,
}

impl PolicyFile {
    /// Reads a file that must be there and be accepted.
    pub fn open(path: &Path, contracts: Arc<Table>) -> Result<(Self, Effective), String> {
        let text = read(path)?;
        let effective = judge(&contracts, &text)?;
        Ok((Self { path: path.to_owned(), contracts, seen: Ok(text) }, effective))
    }

    /// What it says now; nothing if that was seen before and nobody asked.
    pub async fn look(&mut self, is_asked: bool) -> Option<Result<Effective, String>> {
        let path = self.path.clone();
        // A file system may take its time, and the service has few threads.
        let read = tokio::task::spawn_blocking(move || read(&path)).await;
        let found = read.unwrap_or_else(|error| Err(error.to_string()));
        if found == self.seen && !is_asked {
            return None;
        }
        self.seen = found;
        let text = self.seen.as_ref().map_err(Clone::clone);
        Some(text.and_then(|text| judge(&self.contracts, text)))
    }
}

fn read(path: &Path) -> Result<String, String> {
    let size = fs::metadata(path).and_then(|file| match file.is_file() {
        true => Ok(file.len()),
        false => Err(io::Error::other("it is no file")),
    });
    match size {
        Ok(size) if size > LARGEST => Err(format!("{size} bytes are more than {LARGEST}")),
        Ok(_) => fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}")),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}

fn judge(contracts: &Arc<Table>, text: &str) -> Result<Effective, String> {
    Overlay::parse(text)
        .and_then(|overlay| Effective::new(Arc::clone(contracts), &overlay))
        .map_err(|refused| refused.to_string())
}
