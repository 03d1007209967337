//! Answers as they come from the wire, and attempts that are answered by a script.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use mesh_rpc::{
    Code,
    attempt::{Attempt, Call},
    jitter::Jitter,
    retry::{Peeked, Retries, Rule},
};
use tokio::time::{Instant, sleep};
use tonic::{Status, body::Body};

pub type Answer = Result<Response<Body>, Status>;

pub const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A message, then its trailers.
pub fn success() -> Answer {
    streamed(Code::Ok, true)
}

/// Headers, perhaps a message, then trailers with `code`.
pub fn streamed(code: Code, message: bool) -> Answer {
    let message = message.then(|| Ok(Frame::data(Bytes::from_static(&[0, 0, 0, 0, 1, 7]))));
    let trailers = Ok::<_, Status>(Frame::trailers(status_headers(code)));
    let frames: Vec<_> = message.into_iter().chain([trailers]).collect();
    Ok(Response::new(Body::new(StreamBody::new(stream::iter(frames)))))
}

/// Trailers alone, as a handler's error comes.
pub fn failure(code: Code) -> Answer {
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = status_headers(code);
    Ok(response)
}

/// A failure that says when to come again.
pub fn pushed_back(code: Code, pushback: &'static str) -> Answer {
    failure(code).map(|mut response| {
        response.headers_mut().insert(PUSHBACK, HeaderValue::from_static(pushback));
        response
    })
}

/// The connection broke under the call.
pub fn lost() -> Answer {
    Err(Status::with_details(Code::Unavailable, "lost", Bytes::new()))
}

/// Nobody listens there.
pub fn refused() -> Answer {
    let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    let mut status = Status::with_details(Code::Unavailable, "refused", Bytes::new());
    status.set_source(Arc::new(refused));
    Err(status)
}

fn status_headers(code: Code) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", HeaderValue::from(code as i32));
    headers
}

/// Retries of a target whose pauses are the same in every run.
pub fn retries(seed: u64) -> Retries {
    Retries::new(mesh_policy::values::Budget::default(), Arc::new(Jitter::seeded(seed)))
}

pub fn safe() -> Rule {
    Rule::default().idempotent()
}

/// A call whose metrics are told apart by `target`.
pub fn call(target: &'static str) -> Call {
    Call::new(target, "echo.v1.EchoService/Say")
}

/// The code that the caller of a generated client would see.
pub async fn code(answer: Result<Response<Peeked>, Status>) -> Code {
    match answer {
        Err(status) => status.code(),
        Ok(response) => {
            let headers = response.headers().clone();
            let body = response.into_body().collect().await;
            let end = body.as_ref().ok().and_then(|body| body.trailers()).unwrap_or(&headers);
            end.get("grpc-status").map_or(Code::Unknown, |code| Code::from_bytes(code.as_bytes()))
        }
    }
}

/// Answers attempts from a list, each after a while, and remembers when they came.
pub struct Script {
    answers: Mutex<VecDeque<(Duration, Answer)>>,
    begin: Instant,
    came: Mutex<Vec<Duration>>,
    answered: Mutex<usize>,
}

impl Script {
    pub fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::slow(answers.into_iter().map(|answer| (Duration::ZERO, answer)))
    }

    pub fn slow(answers: impl IntoIterator<Item = (Duration, Answer)>) -> Self {
        Self {
            answers: Mutex::new(answers.into_iter().collect()),
            begin: Instant::now(),
            came: Mutex::default(),
            answered: Mutex::default(),
        }
    }

    pub async fn answer(&self, _attempt: Attempt<'_>) -> Answer {
        self.came.lock().unwrap().push(self.begin.elapsed());
        let next = self.answers.lock().unwrap().pop_front();
        let (while_, answer) = next.expect("no more attempts than the test has answers for");
        sleep(while_).await;
        *self.answered.lock().unwrap() += 1;
        answer
    }

    /// How many attempts came.
    pub fn attempts(&self) -> usize {
        self.came.lock().unwrap().len()
    }

    /// How many were waited for to the end.
    pub fn answered(&self) -> usize {
        *self.answered.lock().unwrap()
    }

    /// When the attempts came, after the script was made.
    pub fn came(&self) -> Vec<Duration> {
        self.came.lock().unwrap().clone()
    }

    /// The times between attempts.
    pub fn pauses(&self) -> Vec<Duration> {
        self.came().windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

/// The value of the metric with this name that is about `target`, all labels summed.
pub fn metric(name: &str, target: &str) -> f64 {
    let target = format!("target=\"{target}\"");
    let text = mesh_runtime::metrics::render().unwrap();
    text.lines()
        .filter(|line| line.split(['{', ' ']).next() == Some(name) && line.contains(&target))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}
