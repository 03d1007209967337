//! The body of an answer, watched to its end.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tonic::{Code, Status};

use super::{flight::Flight, link::Slot, upload::Pump};
use crate::{method::code_of, transport};

/// An answer's body: messages as the reader takes them, then the status.
///
/// The endpoint has the call pending until this ends or is dropped, and may send at most 1 MiB
/// ahead of the reader. Dropped early, it cancels the call.
pub struct Answer {
    flight: Flight,
    /// None when the call is over.
    call: Option<Call>,
    data_over: bool,
}

/// What a call holds until it is over; dropped, the stream ends.
struct Call {
    answer: RecvStream,
    pump: Option<Pump>,
    _slot: Slot,
}

impl Answer {
    pub(super) fn new(answer: RecvStream, flight: Flight, slot: Slot, pump: Option<Pump>) -> Self {
        let over = answer.is_end_stream();
        let call = (!over).then_some(Call { answer, pump, _slot: slot });
        Self { flight, call, data_over: false }
    }

    fn ended(&mut self, trailers: Option<&HeaderMap>) {
        // A gRPC answer has trailers: one without was cut.
        let cut = if trailers.is_some() { Code::Unknown } else { Code::Unavailable };
        let code = trailers.and_then(code_of).unwrap_or(cut);
        self.flight.ended(code, trailers);
        self.call = None;
    }

    fn failed(&mut self, error: h2::Error) -> Status {
        let own = self.call.take().and_then(|call| call.pump?.failure());
        let status = own.unwrap_or_else(|| transport::broken(error));
        self.flight.failed(&status);
        status
    }
}

impl Call {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        let data = ready!(self.answer.poll_data(cx));
        if let Some(Ok(data)) = &data {
            // Fails for streams that have ended, whose window matters no more.
            let _ = self.answer.flow_control().release_capacity(data.len());
        }
        Poll::Ready(data)
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let answer = self.get_mut();
        let Some(call) = &mut answer.call else { return Poll::Ready(None) };
        if !answer.data_over {
            match ready!(call.poll_data(cx)) {
                Some(Ok(data)) => {
                    answer.flight.first_message();
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(answer.failed(error)))),
                None => answer.data_over = true,
            }
        }
        match ready!(call.answer.poll_trailers(cx)) {
            Ok(trailers) => {
                answer.ended(trailers.as_ref());
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
            Err(error) => Poll::Ready(Some(Err(answer.failed(error)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.call.as_ref().is_none_or(|call| call.answer.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("ended", &self.call.is_none()).finish_non_exhaustive()
    }
}
