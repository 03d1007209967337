//! Where the supervisor takes wishes in while the shop runs: a socket in the home that only its owner can
//! use, a line of JSON for a wish and one for the answer.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use mesh_local::Home;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use super::guests::Guests;
use crate::output;

const SOCKET: &str = "desk.sock";

/// What somebody wants of a running shop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// One process more of a service, of another version, which is well after so long at the latest.
    Join { service: String, version: String, program: PathBuf, patience: Duration },
    /// The process of that version drains and ends.
    Leave { service: String, version: String },
}

/// An open desk. Closed with the value.
#[derive(Debug)]
pub(super) struct Desk {
    path: PathBuf,
    serving: JoinHandle<()>,
    guests: Arc<Guests>,
}

impl Desk {
    /// Opens it: whoever has the right to look after the home does.
    ///
    /// # Errors
    /// The socket cannot be made; the path of a home can be too long for one.
    pub(super) fn open(home: &Home, guests: Arc<Guests>) -> Result<Desk> {
        let path = home.run()?.join(SOCKET);
        // Of a supervisor that was killed.
        let _ = fs::remove_file(&path);
        let cannot = || format!("cannot listen at {}", path.display());
        let listener = UnixListener::bind(&path).with_context(cannot)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600)).with_context(cannot)?;
        let known = Arc::clone(&guests);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let guests = Arc::clone(&known);
                tokio::spawn(async move {
                    // Who went away hears no answer; what was wished is done all the same.
                    let _ = serve(stream, &guests).await;
                });
            }
        });
        Ok(Desk { path, serving, guests })
    }

    /// Takes no more wishes; those whose processes are to be ended.
    pub(super) fn close(self) -> Arc<Guests> {
        Arc::clone(&self.guests)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.serving.abort();
        let _ = fs::remove_file(&self.path);
    }
}

async fn serve(mut stream: UnixStream, guests: &Guests) -> Result<()> {
    let mut line = String::new();
    BufReader::new(&mut stream).read_line(&mut line).await?;
    let done = match serde_json::from_str(&line)? {
        Wish::Join { service, version, program, patience } => {
            guests.join(&service, &version, &program, patience).await
        }
        Wish::Leave { service, version } => guests.leave(&service, &version).await,
    };
    let answer: Result<(), String> = done.map_err(|error| format!("{error:#}"));
    let answer = format!("{}\n", serde_json::to_string(&answer)?);
    Ok(stream.write_all(answer.as_bytes()).await?)
}

/// Asks the supervisor of a home, and waits until it is done.
///
/// # Errors
/// Nobody looks after the home, or what is wished cannot be: with the reason.
pub async fn ask(home: &Home, wish: &Wish) -> Result<()> {
    let path = home.path("run").join(SOCKET);
    let asked = async {
        let mut stream = UnixStream::connect(&path).await?;
        stream.write_all(format!("{}\n", serde_json::to_string(wish)?).as_bytes()).await?;
        let mut line = String::new();
        BufReader::new(&mut stream).read_line(&mut line).await?;
        match line.is_empty() {
            true => Err(std::io::Error::from(ErrorKind::UnexpectedEof)),
            false => Ok(line),
        }
    };
    let line = asked.await.with_context(|| {
        let program = output::program();
        format!("the supervisor does not answer at {}: see `{program} status`", path.display())
    })?;
    let answer: Result<(), String> = serde_json::from_str(&line)?;
    answer.map_err(|said| anyhow!(said))
}
