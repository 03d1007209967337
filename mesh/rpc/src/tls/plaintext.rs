//! What a caller hears who speaks plaintext to a port that takes TLS only.

use std::time::Duration;

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

/// The first byte of a TLS connection: the content type of a handshake record (RFC 8446 §5.1).
pub(super) const HANDSHAKE: u8 = 0x16;

/// Time that the peer has to close its side.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes that are read of what it still says.
const LEFT: u64 = 64 << 10;
const WHY: &[u8] = b"this port takes TLS only";
/// An empty SETTINGS frame, which every HTTP/2 connection begins with (RFC 9113 §3.4).
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Says good-bye as HTTP/2 does to a connection whose security is inadequate.
pub(super) async fn refuse<IO: AsyncRead + AsyncWrite + Unpin>(mut io: IO) {
    let words = async {
        // At once, so that the peer never takes the first half for a greeting.
        io.write_all(&[&SETTINGS[..], &goodbye()].concat()).await?;
        io.flush().await
    };
    if words.await.is_ok() {
        linger(io).await;
    }
}

/// Closes our side and reads on for a moment: a socket that is closed with bytes unread is reset,
/// and a reset throws away the last words that the peer has not read yet.
pub(super) async fn linger<IO: AsyncRead + AsyncWrite + Unpin>(mut io: IO) {
    let rest = async {
        io.shutdown().await?;
        tokio::io::copy(&mut io.take(LEFT), &mut tokio::io::sink()).await
    };
    let _ = timeout(LINGER, rest).await;
}

/// A GOAWAY frame (RFC 9113 §6.8): no stream was looked at, INADEQUATE_SECURITY.
fn goodbye() -> Vec<u8> {
    let length = u8::try_from(8 + WHY.len()).expect("a short reason");
    let mut frame = vec![0, 0, length, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xc];
    frame.extend_from_slice(WHY);
    frame
}
