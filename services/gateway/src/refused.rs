//! What the gateway itself refuses, and how every error is told.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use mesh_rpc::{Code, Fault};
use mesh_transcode::{http_code, status_json};
use prost::Message as _;
use tonic::{Status, body::Body};
use tonic_types::{ErrorDetails, StatusExt as _, pb};

use crate::{edge, metadata, story::Story, whole};

/// Domain of the reasons.
const DOMAIN: &str = "gateway.shop";
const REQUEST_INFO: &str = "type.googleapis.com/google.rpc.RequestInfo";
const GRPC_STATUS: &str = "grpc-status";
/// What is answered to who may ask again (RFC 9110 §10.2.3, RFC 6585 §4).
const AGAIN: [StatusCode; 2] = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];

/// Why the gateway calls nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("no such RPC can be called here")]
    RpcUnknown,
    #[error("the headers are larger than {0} bytes")]
    HeadersTooLarge(u32),
    #[error("there are more than {0} headers")]
    HeadersTooMany(u16),
    #[error("the path and its query are longer than {0} bytes")]
    PathTooLong(u16),
    #[error("too many requests; ask again in {} ms", .0.as_millis())]
    RateLimited(Duration),
    #[error("pages of this origin may not ask here")]
    OriginUnknown,
    #[error("the body is larger than {0} bytes")]
    BodyTooLarge(usize),
    #[error("the body did not come in time")]
    BodyTooSlow,
    #[error("the body could not be read")]
    BodyBroken,
    #[error("so much is being sent that there is no room for more; ask again in {} ms", .0.as_millis())]
    BodiesTooLarge(Duration),
    #[error("you are sending so much that there is no room for more of it; ask again in {} ms", .0.as_millis())]
    CallerBodiesTooLarge(Duration),
    #[error("the gateway ends; ask again")]
    Stopping,
    #[error("a message cannot be read, or said in JSON")]
    MessageUnreadable,
    #[error("the system that answers this is not reached; ask again")]
    LegacyAway,
    #[error("the system that answers this gave no answer that can be handed on")]
    LegacyBroken,
    #[error("the system that answers this did not in time")]
    LegacySlow,
}

impl Refused {
    pub(crate) fn status(self) -> Status {
        mesh_rpc::status(DOMAIN, &self)
    }

    /// Where HTTP has a word of its own for it.
    pub(crate) fn http_status(self) -> StatusCode {
        match self {
            Self::RpcUnknown => StatusCode::NOT_FOUND,
            Self::PathTooLong(_) => StatusCode::URI_TOO_LONG,
            Self::HeadersTooLarge(_) | Self::HeadersTooMany(_) => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::LegacyBroken => StatusCode::BAD_GATEWAY,
            other => http_code(other.code()),
        }
    }
}

impl Fault for Refused {
    fn code(&self) -> Code {
        match self {
            Self::RpcUnknown => Code::Unimplemented,
            Self::HeadersTooLarge(_)
            | Self::HeadersTooMany(_)
            | Self::RateLimited(_)
            | Self::BodyTooLarge(_)
            | Self::CallerBodiesTooLarge(_) => Code::ResourceExhausted,
            Self::OriginUnknown => Code::PermissionDenied,
            Self::BodyTooSlow | Self::LegacySlow => Code::DeadlineExceeded,
            Self::BodyBroken | Self::PathTooLong(_) => Code::InvalidArgument,
            Self::BodiesTooLarge(_) | Self::Stopping | Self::LegacyAway | Self::LegacyBroken => {
                Code::Unavailable
            }
            Self::MessageUnreadable => Code::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::RpcUnknown => "RPC_UNKNOWN",
            Self::HeadersTooLarge(_) => "HEADERS_TOO_LARGE",
            Self::HeadersTooMany(_) => "HEADERS_TOO_MANY",
            Self::PathTooLong(_) => "PATH_TOO_LONG",
            Self::RateLimited(_) => "RATE_LIMITED",
            Self::OriginUnknown => "ORIGIN_UNKNOWN",
            Self::BodyTooLarge(_) => "BODY_TOO_LARGE",
            Self::BodyTooSlow => "BODY_TOO_SLOW",
            Self::BodyBroken => "BODY_BROKEN",
            Self::BodiesTooLarge(_) => "BODIES_TOO_LARGE",
            Self::CallerBodiesTooLarge(_) => "CALLER_BODIES_TOO_LARGE",
            Self::Stopping => "SERVICE_STOPPING",
            Self::MessageUnreadable => "MESSAGE_UNREADABLE",
            Self::LegacyAway => "LEGACY_AWAY",
            Self::LegacyBroken => "LEGACY_BROKEN",
            Self::LegacySlow => "LEGACY_SLOW",
        }
    }

    fn describe(&self, details: &mut ErrorDetails) {
        if let Self::RateLimited(early)
        | Self::BodiesTooLarge(early)
        | Self::CallerBodiesTooLarge(early) = self
        {
            details.set_retry_info(Some(*early));
        }
    }
}

/// An error as JSON. When to ask again, whoever says so, is also where HTTP looks for it.
pub(crate) fn json(status: &Status, http: StatusCode, story: &Story) -> http::Response<Body> {
    let mut response = whole::json(http, with_request_info(status, story).to_string());
    if AGAIN.contains(&http)
        && let Some(early) = status.get_details_retry_info().and_then(|it| it.retry_delay)
    {
        // Whole seconds, of which none would be at once.
        let seconds = HeaderValue::from(edge::seconds(early).max(1));
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// The same, for the end of a stream.
pub(crate) fn with_request_info(status: &Status, story: &Story) -> serde_json::Value {
    let mut headers = HeaderMap::new();
    // What has no room in headers has it in JSON.
    let told = match status.add_header(&mut headers) {
        Ok(()) => {
            tell(&mut headers, story);
            Status::from_header_map(&headers)
        }
        Err(_) => None,
    };
    status_json(told.as_ref().unwrap_or(status))
}

/// Adds `google.rpc.RequestInfo` to an error in headers or trailers; what stands there stays.
pub(crate) fn tell(headers: &mut HeaderMap, story: &Story) {
    metadata::strip(headers);
    if headers.get(GRPC_STATUS).is_none_or(|code| code == "0") {
        return;
    }
    let Some(status) = Status::from_header_map(headers) else { return };
    let mut told = pb::Status::decode(status.details()).unwrap_or_default();
    told.code = status.code() as i32;
    told.message = status.message().to_owned();
    let info =
        pb::RequestInfo { request_id: story.request_id().to_owned(), serving_data: String::new() };
    let value = info.encode_to_vec();
    told.details.push(prost_any(value));
    let status = Status::with_details(status.code(), status.message(), told.encode_to_vec().into());
    let mut only = HeaderMap::new();
    if status.add_header(&mut only).is_ok() {
        for (name, value) in &only {
            headers.insert(name, value.clone());
        }
    }
}

fn prost_any(value: Vec<u8>) -> Any {
    Any { type_url: REQUEST_INFO.to_owned(), value }
}

type Any = prost_reflect::prost_types::Any;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_details_and_names_its_request() {
        let story = Story::of(&HeaderMap::from_iter([(
            http::HeaderName::from_static("x-request-id"),
            HeaderValue::from_static("r"),
        )]));
        let mut details = ErrorDetails::new();
        details.set_error_info("CART_CHANGED", "orders.shop", []);
        let status = Status::with_error_details(Code::Aborted, "it changed", details);
        let mut headers = HeaderMap::new();
        status.add_header(&mut headers).unwrap();

        tell(&mut headers, &story);

        let told = Status::from_header_map(&headers).unwrap();
        assert_eq!((told.code(), told.message()), (Code::Aborted, "it changed"));
        assert_eq!(told.get_details_error_info().unwrap().reason, "CART_CHANGED");
        assert_eq!(told.get_details_request_info().unwrap().request_id, "r");

        let mut fine = HeaderMap::from_iter([(
            http::HeaderName::from_static(GRPC_STATUS),
            HeaderValue::from_static("0"),
        )]);
        tell(&mut fine, &story);
        assert_eq!(fine.len(), 1);
    }
}
