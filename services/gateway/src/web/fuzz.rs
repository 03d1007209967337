//! What strangers and services send, by gRPC-Web: what was kept in `corpus/`, and what comes of changing it
//! (`mesh_testkit::fuzz`).

use http_body_util::BodyExt as _;
use mesh_testkit::fuzz::{Target, fuzz};
use tonic::Code;

use super::{
    tests::{frames, pieces, read},
    *,
};

const TEXT: Target<'_> = Target {
    corpus: "src/web/corpus/text",
    words: &["AAAA", "AA==", "AAA=", "====", "/+/+", "\t"],
};
const BINARY: Target<'_> = Target {
    corpus: "src/web/corpus/binary",
    words: &["\n\n", "grpc-status: 0", "grpc-message: ", "\r\n", "\0\0\0\0\x05"],
};

/// Cuts bytes at places that follow from them.
fn cut(bytes: &[u8]) -> Vec<Vec<u8>> {
    let sum = bytes.iter().fold(7_usize, |sum, byte| sum.wrapping_mul(31) + usize::from(*byte));
    let mut places = [sum, sum / 7, sum / 131].map(|place| place % (bytes.len() + 1)).to_vec();
    places.sort_unstable();
    let ends = places.iter().copied().chain([bytes.len()]);
    let begins = [0].into_iter().chain(places.iter().copied());
    begins.zip(ends).map(|(begin, end)| bytes[begin..end].to_vec()).collect()
}

fn equal<T: PartialEq + fmt::Debug>(what: &str, one: &T, other: &T) -> Result<(), String> {
    if one == other { Ok(()) } else { Err(format!("{what}: {one:?}, and not {other:?}")) }
}

/// What a client reads of an answer with this data and these trailers: frames, the last one apart.
fn answered(form: Form, data: &[u8], trailers: &HeaderMap) -> Result<(Vec<u8>, Vec<u8>), String> {
    let trailers = trailers.clone();
    let body = pieces(cut(data)).with_trailers(async move { Some(Ok(trailers)) });
    let answer = form.answer(Response::new(Body::new(body)));
    let (read, trailers, error) = read(answer.into_body());
    equal("trailers beside the body", &(trailers.is_none(), error.is_none()), &(true, true))?;
    let mut bytes = match form {
        Form::Binary => read,
        Form::Text => decode(&read).map_err(|status| format!("no base64: {status:?}"))?.to_vec(),
    };
    if !bytes.starts_with(data) {
        return Err(format!("{form:?}: {bytes:?} does not begin with {data:?}"));
    }
    let mut last = frames(&bytes.split_off(data.len()));
    match (last.pop(), last.is_empty()) {
        (Some((TRAILERS, text)), true) => Ok((bytes, text)),
        other => Err(format!("{form:?}: the last frame is {other:?}")),
    }
}

#[test]
fn a_body_in_base64_is_read_or_refused_however_it_is_cut() {
    read(Body::empty());
    fuzz(&TEXT, |input| {
        let (data, _, error) = read(Form::Text.request(pieces(vec![input.to_vec()])));
        let (cut_data, _, cut_error) = read(Form::Text.request(pieces(cut(input))));
        let code = |error: &Option<Status>| error.as_ref().map(Status::code);
        equal("cut in pieces", &code(&cut_error), &code(&error))?;
        equal("no more than was sent", &(data.len() * 4 <= input.len() * 3), &true)?;
        match code(&error) {
            Some(Code::InvalidArgument) => {}
            Some(other) => return Err(format!("it is refused as {other:?}")),
            None => {
                equal("cut in pieces", &cut_data, &data)?;
                answered(Form::Text, &data, &HeaderMap::new())?;
            }
        }
        Ok((code(&error).map(|code| code as i32), data.len() % 16))
    });
}

/// A message, and behind an empty line trailers, as a service might send them.
#[test]
fn an_answer_s_trailers_are_its_last_frame_and_say_what_the_service_said() {
    read(Body::empty());
    fuzz(&BINARY, |input| {
        let (bytes, _, error) = read(Form::Binary.request(pieces(cut(input))));
        equal("as it came", &(bytes.as_slice(), error.is_none()), &(input, true))?;
        let end = input.windows(2).position(|it| it == b"\n\n");
        let (data, rest) = end.map_or((input, &[][..]), |end| (&input[..end], &input[end + 2..]));
        let mut trailers = HeaderMap::new();
        for line in rest.split(|byte| *byte == b'\n') {
            let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            let value = line.get(at + 1..).unwrap_or_default().trim_ascii();
            let name = HeaderName::from_bytes(line[..at].trim_ascii());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
                trailers.append(name, value);
            }
        }
        let (of_bytes, text) = answered(Form::Binary, data, &trailers)?;
        let of_text = answered(Form::Text, data, &trailers)?;
        equal("the other form", &of_text, &(of_bytes, text.clone()))?;
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let mut said = HeaderMap::new();
        for line in lines {
            let line = line.strip_suffix(b"\r").ok_or("a line does not end")?;
            let at = line.iter().position(|byte| *byte == b':').ok_or("a line without a name")?;
            let name = HeaderName::from_bytes(&line[..at]).map_err(|error| error.to_string())?;
            let value = HeaderValue::from_bytes(&line[at + 2..]).map_err(|it| it.to_string())?;
            said.append(name, value);
        }
        equal("what is said", &said, &trailers)?;
        Ok((trailers.len(), data.len() % 8))
    });
}
