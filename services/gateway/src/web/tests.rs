use std::sync::LazyLock;

use futures::stream;
use http_body_util::{BodyExt as _, StreamBody};
use proptest::{collection::vec, prelude::*, sample::Index};
use tokio::runtime::{Builder, Runtime};
use tonic::Code;

use super::*;

#[test]
fn content_types_are_told_apart() {
    for (given, form) in [
        ("application/grpc-web", Some(Form::Binary)),
        ("application/grpc-web+proto; charset=utf-8", Some(Form::Binary)),
        ("Application/grpc-web-text", Some(Form::Text)),
        ("application/grpc-web+json", None),
        ("application/grpc", None),
        ("application/json", None),
    ] {
        assert_eq!(Form::of(given), form, "{given}");
    }
}

#[test]
fn pieces_may_be_padded_each_for_itself() {
    let pieces = ["a", "", "bc", "def", "g"].map(|piece| STANDARD.encode(piece)).concat();
    assert_eq!(decode(pieces.as_bytes()).unwrap(), "abcdefg");
    for bad in ["!!!!", "a===", "ab=c"] {
        assert_eq!(decode(bad.as_bytes()).unwrap_err().code(), Code::InvalidArgument, "{bad}");
    }
}

/// The same, changed for a while, is tried by `fuzz`.
#[test]
fn whatever_comes_is_read_or_refused() {
    let (mut taken, mut refused) = (0, 0);
    for line in include_str!("corpus/text.txt").lines() {
        let (data, _, error) = read(Form::Text.request(pieces(vec![line.as_bytes().to_vec()])));
        match error {
            Some(status) => {
                assert_eq!(status.code(), Code::InvalidArgument, "{line}");
                refused += 1;
            }
            None => {
                assert!(data.len() * 4 <= line.len() * 3, "{line}");
                taken += 1;
            }
        }
    }
    assert!(taken > 3 && refused > 3, "{taken} {refused}");
}

#[test]
fn trailers_are_a_frame() {
    let headers = HeaderMap::from_iter([(STATUS[0].clone(), HeaderValue::from_static("5"))]);
    assert_eq!(&trailers(&headers)[..], b"\x80\0\0\0\x10grpc-status: 5\r\n");
}

/// Reads a body to its end: its data, its trailers, and the error that ended it.
pub(super) fn read(body: Body) -> (Vec<u8>, Option<HeaderMap>, Option<Status>) {
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Builder::new_current_thread().build().unwrap());
    RUNTIME.block_on(async {
        let (mut body, mut data, mut trailers) = (body, Vec::new(), None);
        while let Some(frame) = body.frame().await {
            match frame.map(Frame::into_data) {
                Ok(Ok(more)) => data.extend_from_slice(&more),
                Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
                Err(status) => {
                    assert!(body.frame().await.is_none(), "nothing comes after an error");
                    return (data, trailers, Some(status));
                }
            }
        }
        (data, trailers, None)
    })
}

/// A body that comes in these pieces.
pub(super) fn pieces(
    pieces: Vec<Vec<u8>>,
) -> impl http_body::Body<Data = Bytes, Error = Status> + Send + Unpin {
    StreamBody::new(stream::iter(pieces.into_iter().map(|it| Ok(Frame::data(Bytes::from(it))))))
}

/// Cuts bytes at these places.
fn cut(bytes: &[u8], places: &[Index]) -> Vec<Vec<u8>> {
    let mut places: Vec<_> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    let ends = places.iter().copied().chain([bytes.len()]);
    let begins = [0].into_iter().chain(places.iter().copied());
    begins.zip(ends).map(|(begin, end)| bytes[begin..end].to_vec()).collect()
}

/// The frames of an answer: flags and contents.
pub(super) fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    while let [flag, a, b, c, d, rest @ ..] = bytes {
        let (frame, behind) = rest.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        all.push((*flag, frame.to_vec()));
        bytes = behind;
    }
    assert!(bytes.is_empty(), "{bytes:?}");
    all
}

proptest! {
    #[test]
    fn text_is_read_however_it_is_padded_and_cut(
        parts in vec(vec(any::<u8>(), 0..20), 0..5),
        places in vec(any::<Index>(), 0..6),
    ) {
        let text: String = parts.iter().map(|part| STANDARD.encode(part)).collect();
        let (data, trailers, error) = read(Form::Text.request(pieces(cut(text.as_bytes(), &places))));
        prop_assert_eq!((data, trailers.is_none(), error.is_none()), (parts.concat(), true, true));
    }

    #[test]
    fn an_answer_s_trailers_are_its_last_frame_whatever_was_before(
        messages in vec(vec(any::<u8>(), 0..20), 0..4),
        places in vec(any::<Index>(), 0..6),
        is_text in any::<bool>(),
    ) {
        let form = if is_text { Form::Text } else { Form::Binary };
        let framed = |message: &Vec<u8>| {
            [&[0], &u32::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()
        };
        let bytes = messages.iter().map(framed).collect::<Vec<_>>().concat();
        let said = HeaderMap::from_iter([(STATUS[0].clone(), HeaderValue::from_static("0"))]);
        let body = pieces(cut(&bytes, &places)).with_trailers(async move { Some(Ok(said)) });
        let answer = form.answer(Response::new(Body::new(body)));
        let (data, trailers, _) = read(answer.into_body());
        prop_assert!(trailers.is_none(), "who has no HTTP/2 has none");
        let data = if is_text { decode(&data).unwrap().to_vec() } else { data };
        let mut frames = frames(&data);
        prop_assert_eq!(frames.pop(), Some((TRAILERS, b"grpc-status: 0\r\n".to_vec())));
        prop_assert_eq!(frames, messages.into_iter().map(|it| (0, it)).collect::<Vec<_>>());
    }
}
