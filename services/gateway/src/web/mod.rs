//! gRPC-Web: gRPC without trailers, for who has no HTTP/2; as bytes or as base64.

use std::{
    error::Error,
    fmt, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use http_body::Frame;
use tonic::{Status, body::Body};

use crate::{access::Ending, refused::Refused};

type BoxError = Box<dyn Error + Send + Sync>;

/// The first byte of the frame that has what trailers have elsewhere.
const TRAILERS: u8 = 0x80;
/// Headers that are trailers when an answer has no body.
const STATUS: [HeaderName; 3] = [
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
];

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Binary,
    Text,
}

impl Form {
    /// The form of a `content-type`, if it is gRPC-Web at all.
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        match kind.to_ascii_lowercase().as_str() {
            "application/grpc-web" | "application/grpc-web+proto" => Some(Self::Binary),
            "application/grpc-web-text" | "application/grpc-web-text+proto" => Some(Self::Text),
            _ => None,
        }
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Binary => "application/grpc-web+proto",
            Self::Text => "application/grpc-web-text+proto",
        })
    }

    /// The body of a request as gRPC has it.
    pub(crate) fn request<B>(self, body: B) -> Body
    where
        B: http_body::Body<Data = Bytes, Error: fmt::Display + Into<BoxError>>
            + Send
            + Unpin
            + 'static,
    {
        match self {
            Self::Binary => Body::new(body),
            Self::Text => Body::new(Decoded { inner: Some(body), rest: BytesMut::new() }),
        }
    }

    /// An answer of gRPC as gRPC-Web has it.
    pub(crate) fn answer(self, response: Response<Body>) -> Response<Body> {
        let (mut head, body) = response.into_parts();
        let mut ended = HeaderMap::new();
        for name in STATUS {
            if let Some(value) = head.headers.remove(&name) {
                ended.insert(name, value);
            }
        }
        head.headers.insert(header::CONTENT_TYPE, self.content_type());
        head.headers.remove(header::CONTENT_LENGTH);
        let ending = Ending::default();
        ending.read(&ended);
        head.extensions.insert(ending.clone());
        let last = (!ended.is_empty()).then_some(ended);
        Response::from_parts(head, Body::new(Encoded { inner: body, last, form: self, ending }))
    }

    fn write(self, data: Bytes) -> Bytes {
        match self {
            Self::Binary => data,
            // Each piece for itself, with its own padding: a stream cannot wait for three bytes.
            Self::Text => STANDARD.encode(data).into(),
        }
    }
}

/// A request's body in base64: pieces that are padded each for itself may follow one another.
struct Decoded<B> {
    /// None behind what cannot be read: what comes then belongs to nothing.
    inner: Option<B>,
    /// What is no group of four characters yet.
    rest: BytesMut,
}

impl<B> http_body::Body for Decoded<B>
where
    B: http_body::Body<Data = Bytes, Error: fmt::Display> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let next = ready!(self.poll_decoded(cx));
        if !matches!(next, Some(Ok(_))) {
            self.inner = None;
        }
        Poll::Ready(next.map(|read| read.map(Frame::data)))
    }
}

impl<B> Decoded<B>
where
    B: http_body::Body<Data = Bytes, Error: fmt::Display> + Unpin,
{
    fn poll_decoded(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        loop {
            let data = match ready!(Pin::new(&mut *inner).poll_frame(cx)) {
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Some(Err(malformed(&error.to_string())))),
                None if self.rest.is_empty() => return Poll::Ready(None),
                None => return Poll::Ready(Some(Err(malformed("base64 ends within a group")))),
            };
            self.rest.extend_from_slice(&data);
            let whole = self.rest.len() / 4 * 4;
            if whole > 0 {
                let text = self.rest.split_to(whole);
                return Poll::Ready(Some(decode(&text)));
            }
        }
    }
}

/// Decodes groups of four characters, of which any may be padded.
fn decode(text: &[u8]) -> Result<Bytes, Status> {
    let mut bytes = BytesMut::with_capacity(text.len() / 4 * 3);
    let mut rest = text;
    while !rest.is_empty() {
        let padding = rest.iter().position(|byte| *byte == b'=');
        let end = padding.map_or(rest.len(), |at| at / 4 * 4 + 4);
        let (piece, behind) = rest.split_at(end);
        let piece = STANDARD.decode(piece).map_err(|error| malformed(&error.to_string()))?;
        bytes.extend_from_slice(&piece);
        rest = behind;
    }
    Ok(bytes.freeze())
}

/// What is wrong is for the log: a client that writes base64 by itself has it from a library.
fn malformed(why: &str) -> Status {
    tracing::debug!(why, "the body of a gRPC-Web request cannot be read");
    Refused::BodyBroken.status()
}

/// An answer's body, whose trailers are its last frame.
struct Encoded {
    inner: Body,
    /// What was in the headers of an answer that has nothing else.
    last: Option<HeaderMap>,
    form: Form,
    ending: Ending,
}

impl Encoded {
    /// What a frame of gRPC is here.
    fn write(&self, frame: Frame<Bytes>) -> Bytes {
        let frame = match frame.into_data() {
            Ok(data) => return self.form.write(data),
            Err(frame) => frame,
        };
        let Ok(ended) = frame.into_trailers() else { return Bytes::new() };
        self.ending.read(&ended);
        self.form.write(trailers(&ended))
    }
}

impl http_body::Body for Encoded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let next = match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(next) => next,
            Poll::Pending => return Poll::Pending,
        };
        Poll::Ready(match next {
            Some(Ok(frame)) => Some(Ok(Frame::data(self.write(frame)))),
            Some(Err(status)) => Some(Err(status)),
            None => {
                let last = mem::take(&mut self.last);
                last.map(|headers| Ok(Frame::data(self.form.write(trailers(&headers)))))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.last.is_none() && self.inner.is_end_stream()
    }
}

/// The frame that has what trailers have elsewhere.
fn trailers(headers: &HeaderMap) -> Bytes {
    let mut text = BytesMut::new();
    for (name, value) in headers {
        text.put_slice(name.as_str().as_bytes());
        text.put_slice(b": ");
        text.put_slice(value.as_bytes());
        text.put_slice(b"\r\n");
    }
    let mut frame = BytesMut::with_capacity(5 + text.len());
    frame.put_u8(TRAILERS);
    frame.put_u32(u32::try_from(text.len()).unwrap_or_default());
    frame.put(text);
    frame.freeze()
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
