//! A look at a unary answer before it is given to the caller: it may yet turn out a failure.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body as _, Frame, SizeHint};
use tonic::{Status, body::Body};

use crate::{method::code_of, transport};

/// A response's body of which the first frames may have been read ahead: the message if it is
/// short, and the trailers if they were there already.
///
/// The rest is read when the caller reads: nothing beyond the one frame is taken from the
/// connection's flow control.
pub struct Peeked {
    /// The second is empty for every callee that keeps to the protocol.
    data: [Option<Frame<Bytes>>; 2],
    trailers: Option<HeaderMap>,
    rest: Body,
    ended: bool,
}

impl Peeked {
    /// A body that was not looked at.
    pub(crate) fn unread(body: Body) -> Self {
        Self { data: [None, None], trailers: None, rest: body, ended: false }
    }

    /// Waits for the first frame, takes what follows if it is there, and returns the same answer.
    ///
    /// An error instead of a frame means that there was no answer.
    pub(crate) async fn look(response: Response<Body>) -> Result<Response<Self>, Status> {
        let (head, body) = response.into_parts();
        let mut peeked = Self::unread(body);
        // Trailers alone came as headers.
        if code_of(&head.headers).is_none() {
            poll_fn(|cx| peeked.fill(cx)).await?;
        }
        Ok(Response::from_parts(head, peeked))
    }

    /// What the answer says about how it ended, if it has: the headers of one that is trailers
    /// alone, or the trailers read ahead.
    pub(crate) fn end(response: &mut Response<Self>) -> Option<&mut HeaderMap> {
        if response.headers().contains_key(Status::GRPC_STATUS) {
            return Some(response.headers_mut());
        }
        response.body_mut().trailers.as_mut()
    }

    /// Ready when there is a first frame, or none will come; a second is not waited for.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        match Pin::new(&mut self.rest).poll_frame(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(next) => self.keep(next)?,
        }
        // Only the trailers may follow a whole message; the rest of a longer one stays where it is.
        if is_whole(self.data[0].as_ref())
            && let Poll::Ready(next) = Pin::new(&mut self.rest).poll_frame(cx)
        {
            self.keep(next)?;
        }
        Poll::Ready(Ok(()))
    }

    fn keep(&mut self, next: Option<Result<Frame<Bytes>, Status>>) -> Result<(), Status> {
        let Some(frame) = next else {
            self.ended = true;
            return Ok(());
        };
        let frame = frame.map_err(|error| transport::normalize(Box::new(error)))?;
        match frame.into_trailers() {
            Ok(trailers) => self.trailers = Some(trailers),
            Err(frame) if self.data[0].is_none() => self.data[0] = Some(frame),
            Err(frame) => self.data[1] = Some(frame),
        }
        Ok(())
    }
}

/// Whether a frame is one whole gRPC message: flag, length, and as much as it says.
fn is_whole(frame: Option<&Frame<Bytes>>) -> bool {
    let Some(data) = frame.and_then(Frame::data_ref) else { return false };
    match data.get(1..5).and_then(|length| <[u8; 4]>::try_from(length).ok()) {
        Some(length) => data.len() == 5 + u32::from_be_bytes(length) as usize,
        None => false,
    }
}

impl http_body::Body for Peeked {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(frame) = self.data.iter_mut().find_map(Option::take) {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(trailers) = self.trailers.take() {
            self.ended = true;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.rest).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.data.iter().all(Option::is_none)
            && self.trailers.is_none()
            && (self.ended || self.rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.data.iter().flatten().filter_map(Frame::data_ref);
        let read = read.map(Bytes::len).sum::<usize>() as u64;
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + read);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + read);
        }
        hint
    }
}

impl fmt::Debug for Peeked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peeked").field("ended", &self.ended).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, channel::mpsc};
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    type Frames = mpsc::UnboundedSender<Result<Frame<Bytes>, Status>>;

    fn answer() -> (Frames, Response<Body>) {
        let (send, receive) = mpsc::unbounded();
        (send, Response::new(Body::new(StreamBody::new(receive))))
    }

    fn message(length: u8, text: &'static [u8]) -> Result<Frame<Bytes>, Status> {
        Ok(Frame::data([&[0, 0, 0, 0, length], text].concat().into()))
    }

    fn trailers(code: &'static str) -> Result<Frame<Bytes>, Status> {
        let code = http::HeaderValue::from_static(code);
        Ok(Frame::trailers(HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            code,
        )])))
    }

    #[tokio::test]
    async fn a_failure_in_the_trailers_is_seen_and_nothing_is_lost() {
        let (send, response) = answer();
        send.unbounded_send(message(2, b"hi")).unwrap();
        send.unbounded_send(trailers("14")).unwrap();

        let mut peeked = Peeked::look(response).await.unwrap();

        assert_eq!(Peeked::end(&mut peeked).unwrap()["grpc-status"], "14");
        let whole = peeked.into_body().collect().await.unwrap();
        assert_eq!(whole.trailers().unwrap()["grpc-status"], "14");
        assert_eq!(&whole.to_bytes()[5..], b"hi");
    }

    #[tokio::test]
    async fn trailers_that_are_not_there_yet_are_not_waited_for() {
        let (send, response) = answer();
        let mut look = Box::pin(Peeked::look(response));
        assert!(look.as_mut().now_or_never().is_none(), "the message is");
        send.unbounded_send(message(2, b"hi")).unwrap();

        let mut peeked = look.await.unwrap();
        assert!(Peeked::end(&mut peeked).is_none());

        send.unbounded_send(trailers("0")).unwrap();
        drop(send);
        let whole = peeked.into_body().collect().await.unwrap();
        assert!(whole.trailers().is_some());
    }

    #[tokio::test]
    async fn of_a_long_message_no_more_than_a_frame_is_taken() {
        let (send, response) = answer();
        send.unbounded_send(message(9, b"part")).unwrap();
        send.unbounded_send(Ok(Frame::data(Bytes::from_static(b" two!")))).unwrap();

        let peeked = Peeked::look(response).await.unwrap();

        assert!(peeked.body().data[1].is_none(), "it stays in the connection");
        drop(send);
        assert_eq!(&peeked.into_body().collect().await.unwrap().to_bytes()[5..], b"part two!");
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_none() {
        let (send, response) = answer();
        send.unbounded_send(message(2, b"hi")).unwrap();
        let broken = transport::gave_up(tonic::Code::Unavailable, "broken");
        send.unbounded_send(Err(broken)).unwrap();

        assert!(Peeked::look(response).await.is_err());
    }
}
