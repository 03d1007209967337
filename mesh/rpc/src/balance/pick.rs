//! One attempt: an endpoint for it, and what comes back.

use std::{fmt, net::SocketAddr, sync::Arc};

use http::{
    HeaderValue, Request, Response, Uri,
    header::USER_AGENT,
    uri::{PathAndQuery, Scheme},
};
use tonic::{Code, Status, body::Body};

use super::{Answer, flight::Flight, link::Link, upload::Upload, verdict::code_of_http};
use crate::{method::code_of, transport};

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("grpc-rust-mesh/", env!("CARGO_PKG_VERSION")));

/// An endpoint, picked for one attempt of a call.
///
/// It counts as pending there from now on; dropped unsent, it leaves no trace, and if it was a
/// probe the next call is the probe.
#[must_use = "an attempt is pending until it is sent or dropped"]
pub struct Pick {
    flight: Flight,
}

impl Pick {
    pub(super) fn new(flight: Flight) -> Self {
        Self { flight }
    }

    /// Returns the endpoint's address.
    pub fn address(&self) -> SocketAddr {
        self.flight.candidate.endpoint.address
    }

    /// Returns whether this call decides if the endpoint is well again.
    pub fn is_probe(&self) -> bool {
        self.flight.is_probe()
    }

    /// Sends the request and returns the answer when its headers are there.
    ///
    /// The answer is judged by its first message or, if it has none, by its status; the call is
    /// pending until the body ends or is dropped. A dropped future or body says nothing about the
    /// endpoint, unless the deadline that the pick was made with has passed: one that had the time
    /// which 99 % of the answers take counts as a failure.
    ///
    /// The request needs a path; scheme and authority are the endpoint's. Above the peer's limit of
    /// streams it waits for one, at most until the pick's deadline; a body of one message then
    /// leaves with its headers, and a task sends a longer one as the callee takes it. It sets no
    /// other time limit and repeats nothing. Dropping the future cancels the call.
    ///
    /// # Errors
    /// What broke the connection, with its [`Disposition`](crate::Disposition); DEADLINE_EXCEEDED
    /// for a call that got no stream in time and INTERNAL for one with headers that HTTP/2 forbids,
    /// neither of them sent; the status that the request's body failed with. Statuses that the
    /// callee answers are in the response.
    pub async fn send(mut self, request: Request<Body>) -> Result<Response<Answer>, Status> {
        let (head, body) = self.address_to(request).into_parts();
        let head = Request::from_parts(head, ());
        let link = Arc::clone(&self.flight.candidate.link);
        let slot = Link::slot(link, self.flight.deadline()).await?;
        let upload = Upload::begin(body).await?;
        self.flight.send();
        let (response, stream) = match slot.open(head, upload.is_empty()) {
            Ok(opened) => opened,
            Err(status) => {
                self.flight.failed(&status);
                return Err(status);
            }
        };
        let pump = upload.start(stream);
        let response = match response.await {
            Ok(response) => response,
            Err(error) => {
                let own = pump.and_then(|pump| pump.failure());
                let status = own.unwrap_or_else(|| transport::broken(error));
                self.flight.failed(&status);
                return Err(status);
            }
        };
        let mut flight = self.flight;
        let code = code_of(response.headers()).or_else(|| code_of_http(response.status()));
        if let Some(code) = code {
            flight.ended(code, Some(response.headers()));
        } else if response.body().is_end_stream() {
            // No message and no status: it was cut.
            flight.ended(Code::Unavailable, None);
        }
        Ok(response.map(|body| Answer::new(body, flight, slot, pump)))
    }

    /// Ends the attempt as if it had been sent when it was picked and were answered with `code`
    /// now: for simulations, and for who sends the request some other way.
    pub fn conclude(mut self, code: Code) {
        self.flight.conclude(code);
    }

    fn address_to(&self, mut request: Request<Body>) -> Request<Body> {
        let path = request.uri().path_and_query().cloned();
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme());
        parts.authority = Some(self.flight.candidate.endpoint.authority.clone());
        parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        *request.uri_mut() = Uri::from_parts(parts).expect("scheme, authority and path are there");
        request.headers_mut().entry(USER_AGENT).or_insert(AGENT);
        request
    }

    fn scheme(&self) -> Scheme {
        self.flight.pool().connect.scheme()
    }
}

impl fmt::Debug for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pick")
            .field("address", &self.address())
            .field("probe", &self.is_probe())
            .finish_non_exhaustive()
    }
}
