//! Whom a request is about, read from its bytes.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes, BytesMut};
use http::Request;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use tonic::{Status, body::Body};
use uuid::Uuid;

use crate::{Refusal, server::refused};

/// What stands before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// Larger messages are not read by anybody.
const LARGEST: usize = 4 << 20;

/// Reads the id in the string field `number` of the request's message; none if it holds no id. The
/// request goes on as it came.
pub(super) async fn read(
    request: Request<Body>,
    number: u32,
) -> Result<(Request<Body>, Option<Uuid>), Status> {
    let (head, mut rest) = request.into_parts();
    let ahead = first_message(&mut rest).await?;
    let owner = match ahead.get(PREFIX..) {
        Some(message) => {
            let value = string_field(message, number);
            let value = value.map_err(|Unreadable| refused(Refusal::MessageMalformed))?;
            value.and_then(|id| Uuid::try_parse_ascii(id).ok())
        }
        // Whoever reads it next will say what is missing.
        None => None,
    };
    let body = Body::new(Ahead { ahead: Some(ahead), rest });
    Ok((Request::from_parts(head, body), owner))
}

/// Takes the first message out of a body, with what stands before it, and whatever came along. Most come
/// in one piece, which is not copied; of the others each byte is copied a few times at most, however small
/// their pieces are.
async fn first_message(body: &mut Body) -> Result<Bytes, Status> {
    let first = loop {
        match data(body).await? {
            None => return Ok(Bytes::new()),
            Some(data) if data.is_empty() => {}
            Some(data) => break data,
        }
    };
    if is_whole(&first)? {
        return Ok(first);
    }
    let mut read = BytesMut::from(&first[..]);
    while !is_whole(&read)? {
        // If it breaks off, the prefix counts more bytes than there are.
        let more = data(body).await?.ok_or_else(|| refused(Refusal::MessageMalformed))?;
        read.extend_from_slice(&more);
    }
    Ok(read.freeze())
}

/// The next bytes of a body; none at its end.
async fn data(body: &mut Body) -> Result<Option<Bytes>, Status> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Whether what was read holds a message.
fn is_whole(read: &[u8]) -> Result<bool, Status> {
    let Some((prefix, message)) = read.split_at_checked(PREFIX) else { return Ok(false) };
    let mut length = &prefix[1..];
    let length = length.get_u32() as usize;
    if length > LARGEST {
        return Err(refused(Refusal::MessageTooLarge));
    }
    // Nobody here reads what is compressed, and what is not read cannot be judged.
    if prefix[0] != 0 {
        return Err(refused(Refusal::MessageMalformed));
    }
    Ok(message.len() >= length)
}

/// Bytes that are no message.
struct Unreadable;

impl From<prost::DecodeError> for Unreadable {
    fn from(_: prost::DecodeError) -> Self {
        Self
    }
}

/// The value of a string field, by the rules that decoders follow: the last one counts.
fn string_field(message: &[u8], number: u32) -> Result<Option<&[u8]>, Unreadable> {
    let (mut rest, mut found) = (message, None);
    while !rest.is_empty() {
        let (tag, wire) = decode_key(&mut rest)?;
        if tag != number || wire != WireType::LengthDelimited {
            skip_field(wire, tag, &mut rest, DecodeContext::default())?;
            continue;
        }
        let length = decode_varint(&mut rest)?;
        let value = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
        let (value, after) = value.ok_or(Unreadable)?;
        (found, rest) = (Some(value), after);
    }
    Ok(found)
}

/// A body of which the beginning was read.
struct Ahead {
    ahead: Option<Bytes>,
    rest: Body,
}

impl http_body::Body for Ahead {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.ahead.take() {
            Some(ahead) if !ahead.is_empty() => Poll::Ready(Some(Ok(Frame::data(ahead)))),
            _ => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.as_ref().is_none_or(Bytes::is_empty) && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;
    use prost::Message;

    use super::*;

    #[derive(Clone, PartialEq, Message)]
    struct Asked {
        #[prost(string, tag = "1")]
        request_id: String,
        #[prost(string, tag = "2")]
        customer_id: String,
        #[prost(int64, tag = "3")]
        number: i64,
    }

    const ADA: Uuid = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001);

    fn asked(customer_id: impl Into<String>) -> Asked {
        Asked { request_id: "x".repeat(300), customer_id: customer_id.into(), number: -1 }
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0][..], &length, message].concat()
    }

    /// Reads what comes in pieces of a size; returns the owner, and what is there afterwards.
    async fn through(bytes: &[u8], piece: usize) -> Result<(Option<Uuid>, Bytes), Status> {
        let pieces: Vec<_> = bytes.chunks(piece).map(Bytes::copy_from_slice).collect();
        let frames = pieces.into_iter().map(|it| Ok::<_, Status>(Frame::data(it)));
        let body = Body::new(StreamBody::new(futures::stream::iter(frames)));
        let (request, owner) = read(Request::new(body), 2).await?;
        Ok((owner, request.into_body().collect().await?.to_bytes()))
    }

    #[tokio::test]
    async fn the_owner_is_found_however_it_is_spelled_and_the_request_goes_on_whole() {
        let spellings = [
            ADA.to_string(),
            ADA.to_string().to_uppercase(),
            ADA.simple().to_string(),
            ADA.urn().to_string(),
        ];
        for spelling in spellings {
            let bytes = framed(&asked(spelling.as_str()).encode_to_vec());
            for piece in [1, 7, 4096] {
                let (owner, after) = through(&bytes, piece).await.unwrap();

                assert_eq!(owner, Some(ADA), "{spelling}");
                assert_eq!(after, bytes);
            }
        }
    }

    #[tokio::test]
    async fn the_largest_message_in_the_smallest_pieces_goes_on_whole() {
        let long = Asked { request_id: "x".repeat(LARGEST - 100), ..asked(ADA) };
        let bytes = framed(&long.encode_to_vec());
        for piece in [16, bytes.len() - 1] {
            let (owner, after) = through(&bytes, piece).await.unwrap();
            assert!(owner == Some(ADA) && after == bytes, "in pieces of {piece}");
        }
    }

    #[tokio::test]
    async fn of_several_the_last_counts_as_it_does_for_whoever_decodes_it() {
        let eve = Uuid::from_u128(7);
        let both = [asked(ADA).encode_to_vec(), asked(eve).encode_to_vec()].concat();
        assert_eq!(Asked::decode(&*both).unwrap().customer_id, eve.to_string());

        let (owner, _) = through(&framed(&both), 4096).await.unwrap();

        assert_eq!(owner, Some(eve));
    }

    #[tokio::test]
    async fn what_names_nobody_has_no_owner() {
        for nobody in ["", "ada", "00000000"] {
            let bytes = framed(&asked(nobody).encode_to_vec());
            assert_eq!(through(&bytes, 4096).await.unwrap().0, None);
        }
        assert_eq!(through(&framed(&[]), 4096).await.unwrap().0, None);
        assert_eq!(through(&[], 1).await.unwrap(), (None, Bytes::new()));
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_refused() {
        let cut = framed(&[0x12, 0x24, b'0']);
        let broken_off = &framed(&asked(ADA).encode_to_vec())[..40];
        let compressed = [&[1][..], &framed(b"")[1..]].concat();
        for bytes in [&*cut, broken_off, &*compressed, &*framed(&[0xff; 11])] {
            let status = through(bytes, 4096).await.unwrap_err();
            assert_eq!(crate::refusal(&status), Some(Refusal::MessageMalformed), "{bytes:?}");
        }
        let status = through(&[0, 0xff, 0xff, 0xff, 0xff], 5).await.unwrap_err();
        assert_eq!(crate::refusal(&status), Some(Refusal::MessageTooLarge));
    }
}
