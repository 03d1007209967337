//! The few HTTP requests that admin ports need.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(2);

/// Sends a request without a body; answers the status code and the body.
pub async fn request(address: SocketAddr, method: &str, path: &str) -> io::Result<(u16, String)> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = tokio::time::timeout(PATIENCE, exchange).await.map_err(io::Error::from)??;
    parse(&String::from_utf8_lossy(&answer))
        .ok_or_else(|| io::Error::other(format!("{address} does not speak HTTP")))
}

/// Whether a GET of `path` is answered with 200.
pub async fn is_ok(address: SocketAddr, path: &str) -> bool {
    matches!(request(address, "GET", path).await, Ok((200, _)))
}

fn parse(answer: &str) -> Option<(u16, String)> {
    let status = answer.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Some((status, if chunked { unchunk(body) } else { body.to_owned() }))
}

fn unchunk(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        match usize::from_str_radix(size.trim(), 16) {
            Ok(size) if size > 0 && after.is_char_boundary(size) => {
                body.push_str(&after[..size]);
                rest = after[size..].trim_start_matches("\r\n");
            }
            _ => break,
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn bodies_are_read_whole_and_in_chunks() {
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let chunks =
            "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n1\r\n!\r\n0\r\n\r\n";

        assert_eq!(parse(whole), Some((200, "ok".to_owned())));
        assert_eq!(parse(chunks), Some((503, "no!".to_owned())));
        assert_eq!(parse("SSH-2.0"), None);
    }
}
