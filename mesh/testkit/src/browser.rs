//! A client of HTTP/1.1, as a browser or curl is one: each request on a connection of its own.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// An answer, as far as it was read.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
}

impl Answer {
    /// The rest of the body.
    ///
    /// # Panics
    /// If it breaks off.
    pub async fn bytes(self) -> Bytes {
        self.body.collect().await.expect("the answer breaks off").to_bytes()
    }

    /// The body, as text.
    ///
    /// # Panics
    /// If it is none.
    pub async fn text(self) -> String {
        String::from_utf8(self.bytes().await.into()).expect("the answer is no text")
    }

    /// The body, as JSON.
    ///
    /// # Panics
    /// If it is none.
    pub async fn json(self) -> Value {
        let bytes = self.bytes().await;
        let read = serde_json::from_slice(&bytes);
        read.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&bytes)))
    }

    /// The next piece of the body; none at its end, or where it breaks off.
    pub async fn piece(&mut self) -> Option<Bytes> {
        loop {
            match self.body.frame().await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(data);
                    }
                }
                Err(_) => return None,
            }
        }
    }

    /// A header, as text.
    ///
    /// # Panics
    /// If it is not there.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("there is no {name}"));
        value.to_str().expect("a header is text")
    }
}

/// Sends a request and waits for the answer's headers.
///
/// # Errors
/// Nobody answers.
pub async fn browse(address: SocketAddr, mut request: Request<Bytes>) -> Result<Answer> {
    let stream = TcpStream::connect(address).await.context("not connected")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    request.headers_mut().entry(header::HOST).or_insert("gateway.test".parse()?);
    let response = sender.send_request(request.map(Full::new)).await?;
    let (head, body) = response.into_parts();
    Ok(Answer { status: head.status, headers: head.headers, body })
}
