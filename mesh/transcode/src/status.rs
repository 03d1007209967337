//! Errors as JSON: `google.rpc.Status`, with the HTTP status that `google/rpc/code.proto` names.

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::StatusCode;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::pb;

/// What details are made of.
static DETAILS: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let mut pool = DescriptorPool::global();
    // It comes with the crate, and either can always be read or never.
    pool.decode_file_descriptor_set(pb::FILE_DESCRIPTOR_SET).expect("google.rpc is readable");
    pool
});

/// The HTTP status of a code.
pub fn http_code(code: Code) -> StatusCode {
    let number = match code {
        Code::Ok => 200,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::ResourceExhausted => 429,
        Code::Cancelled => 499,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
    };
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// `google.rpc.Status` as JSON: number of the code, message, and details each with its `@type`.
pub fn status_json(status: &Status) -> Value {
    let details = pb::Status::decode(status.details()).unwrap_or_default().details;
    let details = details.iter().map(|any| detail(&any.type_url, &any.value));
    json!({
        "code": status.code() as i32,
        "message": status.message(),
        "details": details.collect::<Vec<_>>(),
    })
}

/// One that nobody knows here is shown as its bytes.
fn detail(type_url: &str, value: &[u8]) -> Value {
    let name = type_url.rsplit('/').next().unwrap_or_default();
    let message = DETAILS.get_message_by_name(name);
    let message = message.and_then(|known| DynamicMessage::decode(known, value).ok());
    let shown = message.and_then(|message| serde_json::to_value(message).ok());
    match shown {
        Some(Value::Object(mut fields)) => {
            fields.insert("@type".to_owned(), json!(type_url));
            Value::Object(fields)
        }
        _ => json!({ "@type": type_url, "value": STANDARD.encode(value) }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    #[test]
    fn details_are_shown_as_what_they_are() {
        let mut details = ErrorDetails::new();
        details.set_error_info(
            "CART_CHANGED",
            "orders.shop",
            [("sku".to_owned(), "MUG".to_owned())],
        );
        details.add_bad_request_violation("cart_etag", "must be the cart's");
        details.set_retry_info(Some(Duration::from_millis(1500)));
        let status = Status::with_error_details(Code::Aborted, "it changed", details);

        let shown = status_json(&status);

        assert_eq!((&shown["code"], &shown["message"]), (&json!(10), &json!("it changed")));
        let by_type = |name: &str| {
            let url = format!("type.googleapis.com/google.rpc.{name}");
            let all = shown["details"].as_array().unwrap();
            all.iter().find(|detail| detail["@type"] == json!(url)).unwrap().clone()
        };
        assert_eq!(by_type("ErrorInfo")["metadata"]["sku"], "MUG");
        assert_eq!(by_type("BadRequest")["fieldViolations"][0]["field"], "cart_etag");
        assert_eq!(by_type("RetryInfo")["retryDelay"], "1.500s");
    }

    #[test]
    fn a_detail_that_nobody_knows_is_shown_as_bytes() {
        let shown = detail("type.example.com/a.B", b"\x08\x01");
        assert_eq!(shown, json!({ "@type": "type.example.com/a.B", "value": "CAE=" }));
    }

    #[test]
    fn codes_have_the_http_status_that_their_contract_names() {
        let named = [
            (0, 200),
            (1, 499),
            (2, 500),
            (3, 400),
            (4, 504),
            (5, 404),
            (6, 409),
            (7, 403),
            (8, 429),
            (9, 400),
            (10, 409),
            (11, 400),
            (12, 501),
            (13, 500),
            (14, 503),
            (15, 500),
            (16, 401),
        ];
        for (code, status) in named {
            assert_eq!(http_code(Code::from_i32(code)).as_u16(), status, "{code}");
        }
    }
}
