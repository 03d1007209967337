//! A configuration file that is read again when it changes, while requests and connections go on.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use futures::FutureExt as _;
use mesh_runtime::{ConfigError, Service};
use tokio::time::sleep;

/// How often a file is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// A file, as it was read last.
#[derive(Debug)]
pub(crate) struct File {
    /// The setting that names it.
    name: &'static str,
    path: PathBuf,
    pub(crate) text: String,
}

impl File {
    /// Reads the file that the setting `name` names.
    pub(crate) fn read(name: &'static str, path: &Path) -> Result<Self, ConfigError> {
        let path = path.to_owned();
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Self { name, path, text }),
            Err(error) => Err(ConfigError(format!("{name} {}: {error}", path.display()))),
        }
    }

    /// Why it cannot be.
    pub(crate) fn wrong(&self, why: impl std::fmt::Display) -> ConfigError {
        ConfigError(format!("{} {}, {why}", self.name, self.path.display()))
    }

    /// Hands its text to `take` whenever it has changed, for as long as the service runs and `take`
    /// wants it. A text that `take` refuses, and a file that cannot be read, change nothing: that is
    /// said, once, and what was read before holds.
    pub(crate) fn follow(
        self,
        service: &Service,
        take: impl FnMut(&str) -> Option<Result<(), String>> + Send + 'static,
    ) {
        let name = self.name;
        let look = service.stopped().run_until_cancelled_owned(self.look_again(take));
        service.spawn(name, look.map(|_: Option<()>| ()));
    }

    async fn look_again(mut self, mut take: impl FnMut(&str) -> Option<Result<(), String>> + Send) {
        let mut complaint = String::new();
        loop {
            sleep(EVERY).await;
            let taken = match tokio::fs::read_to_string(&self.path).await {
                Ok(text) if text == self.text => continue,
                Ok(text) => {
                    self.text = text;
                    match take(&self.text) {
                        Some(taken) => taken,
                        None => return,
                    }
                }
                Err(error) => Err(error.to_string()),
            };
            match taken {
                Ok(()) => {
                    complaint.clear();
                    tracing::info!(service = "gateway", file = self.name, "file read again");
                }
                // Said once, not at every look.
                Err(error) if error == complaint => {}
                Err(error) => {
                    let (file, path) = (self.name, self.path.display());
                    tracing::warn!(
                        service = "gateway",
                        file,
                        %path,
                        error,
                        "file not read again: what it said before holds"
                    );
                    complaint = error;
                }
            }
        }
    }
}
