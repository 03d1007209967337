//! Answers whose bytes are all there before the first is sent: these can be compressed. A stream never
//! is: what a client waits for must not wait in a compressor.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use tonic::body::Body;

/// Fewer bytes are not worth it: they fit into a packet as they are.
const LEAST: usize = 1024;
const GZIP: &str = "gzip";

/// The bytes of an answer, noted in its extensions.
#[derive(Clone)]
struct Whole(Bytes);

/// An answer with these bytes.
pub(crate) fn answer(status: StatusCode, kind: &'static str, bytes: Bytes) -> Response<Body> {
    let mut response = plain(status, bytes);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The same, of no kind yet.
pub(crate) fn plain(status: StatusCode, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::from(bytes.clone())));
    *response.status_mut() = status;
    response.extensions_mut().insert(Whole(bytes));
    response
}

/// The bytes of an answer that is whole.
pub(crate) fn bytes(response: &Response<Body>) -> Option<&Bytes> {
    response.extensions().get().map(|Whole(bytes)| bytes)
}

/// The same, of JSON.
pub(crate) fn json(status: StatusCode, bytes: impl Into<Bytes>) -> Response<Body> {
    answer(status, "application/json", bytes.into())
}

/// Whether a client reads gzip (RFC 9110 §12.5.3).
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let codings = values.filter_map(|value| value.to_str().ok()).flat_map(|it| it.split(','));
    let (mut named, mut any) = (None, None);
    for coding in codings {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").and_then(|it| it.trim().parse::<f32>().ok());
        let takes = weight.unwrap_or(1.0) > 0.0;
        match name.trim() {
            name if name.eq_ignore_ascii_case(GZIP) => named = Some(takes),
            "*" => any = Some(takes),
            _ => {}
        }
    }
    named.or(any).unwrap_or_default()
}

/// Compresses an answer that is whole and large enough for a client that takes it so.
pub(crate) fn compress(response: &mut Response<Body>, takes_gzip: bool) {
    let Some(Whole(bytes)) = response.extensions_mut().remove() else { return };
    if bytes.len() < LEAST {
        return;
    }
    let vary = HeaderValue::from_static("accept-encoding");
    response.headers_mut().append(header::VARY, vary);
    if !takes_gzip {
        return;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    // Into memory: there is nothing that could fail.
    let Ok(packed) = encoder.write_all(&bytes).and_then(|()| encoder.finish()) else { return };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(GZIP));
    headers.remove(header::CONTENT_LENGTH);
    *response.body_mut() = Body::new(Full::from(packed));
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use http_body_util::BodyExt as _;

    use super::*;

    #[test]
    fn a_client_says_whether_it_reads_gzip() {
        for (accepts, takes) in [
            (&["gzip"][..], true),
            (&["br, GZIP;q=0.5"], true),
            (&["br", "deflate, gzip"], true),
            (&["*"], true),
            (&["*;q=0, gzip"], true),
            (&["gzip;q=0, *"], false),
            (&["gzip; q=0.0"], false),
            (&["br"], false),
            (&["identity"], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for accepts in accepts {
                headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(accepts));
            }
            assert_eq!(takes_gzip(&headers), takes, "{accepts:?}");
        }
    }

    #[tokio::test]
    async fn what_is_large_and_whole_is_compressed() {
        let large = Bytes::from("word ".repeat(1000));
        let mut response = json(StatusCode::OK, large.clone());
        compress(&mut response, true);
        assert_eq!(response.headers()["content-encoding"], "gzip");
        assert_eq!(response.headers()["vary"], "accept-encoding");
        let packed = response.into_body().collect().await.unwrap().to_bytes();
        assert!(packed.len() < 200, "{}", packed.len());
        let mut read = Vec::new();
        GzDecoder::new(&packed[..]).read_to_end(&mut read).unwrap();
        assert_eq!(read, large);

        for mut small in [json(StatusCode::OK, "{}"), Response::new(Body::new(Full::from(large)))] {
            compress(&mut small, true);
            assert!(small.headers().get("content-encoding").is_none());
        }
        let mut plain = json(StatusCode::OK, "word ".repeat(1000));
        compress(&mut plain, false);
        assert!(plain.headers().get("content-encoding").is_none());
        assert_eq!(plain.headers()["vary"], "accept-encoding", "others may get it otherwise");
    }
}
