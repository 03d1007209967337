//! What is asked for, and asking for it.

use std::net::SocketAddr;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use mesh_local::http;
use uuid::Uuid;

use super::{Answer, Talk};

/// An id that means traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A trace's own: 32 hexadecimal digits.
    Trace(u128),
    /// An order's, a request's, or another that spans carry: a UUID, with dashes.
    Id(Uuid),
}

/// The text is no such id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no id: an order's or a request's is a UUID with dashes, a trace's 32 hexadecimal digits"
)]
pub struct NoId(String);

impl FromStr for Asked {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Asked, NoId> {
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let asked = match text.len() {
            32 if is_hex(text) => u128::from_str_radix(text, 16).ok().map(Asked::Trace),
            36 => Uuid::try_parse(text).ok().map(Asked::Id),
            _ => None,
        };
        asked.ok_or_else(|| NoId(text.to_owned()))
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Asked::Trace(id) => write!(f, "{id:032x}"),
            Asked::Id(id) => write!(f, "{id}"),
        }
    }
}

/// Asks the buffer behind a door.
pub async fn ask(door: SocketAddr, asked: Asked) -> Result<Answer> {
    let answer = http::request(door, "GET", &format!("/traces/{asked}")).await;
    match answer.with_context(|| format!("nobody keeps traces at {door}"))? {
        (200, text) => serde_json::from_str(&text).context("the kept traces cannot be read"),
        (status, text) => bail!("the kept traces are not told: {status} {}", text.trim()),
    }
}

/// Asks it what services have asked each other, as far as its newest traces show.
pub async fn ask_talks(door: SocketAddr) -> Result<Vec<Talk>> {
    let answer = http::request(door, "GET", "/talks").await;
    match answer.with_context(|| format!("nobody keeps traces at {door}"))? {
        (200, text) => serde_json::from_str(&text).context("what was asked cannot be read"),
        (status, text) => bail!("what was asked is not told: {status} {}", text.trim()),
    }
}
