//! Headers of HTTP that are fields of a request or an answer: `idempotency-key` is its `request_id`,
//! `if-match` and `etag` are its `etag`.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use mesh_rpc::{Invalid, Violation};
use mesh_transcode::Refusal;
use prost_reflect::{DynamicMessage, Kind, ReflectMessage as _, Value};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REQUEST_ID: &str = "request_id";
const ETAG: &str = "etag";

/// Fills fields that the request has and leaves empty. What changes something on a condition that it has no
/// field for is refused: nobody would look at it (RFC 9110 §13.2.1).
pub(crate) fn fill(
    message: &mut DynamicMessage,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    if let Some(key) = headers.get(IDEMPOTENCY_KEY) {
        let key =
            key.to_str().map_err(|_| refuse(REQUEST_ID, "VALUE_MALFORMED", "must be text"))?;
        set(message, REQUEST_ID, key.trim_matches('"'))?;
    }
    let mut matches = headers.get_all(header::IF_MATCH).iter();
    if let Some(tag) = matches.next() {
        let tag = tag.to_str().unwrap_or_default().trim();
        // Any: what the contracts say with an empty etag.
        if tag == "*" {
            return Ok(());
        }
        let strong = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        match strong.filter(|tag| !tag.is_empty() && !tag.contains('"')) {
            Some(tag) if matches.next().is_none() => {
                if !method.is_safe() && message.descriptor().get_field_by_name(ETAG).is_none() {
                    return Err(refuse(ETAG, "ETAG_UNKNOWN", "must not be there: it has none"));
                }
                set(message, ETAG, tag)?;
            }
            _ => {
                return Err(refuse(
                    ETAG,
                    "ETAG_MALFORMED",
                    "must be one strong etag in quotes, or *",
                ));
            }
        }
    }
    Ok(())
}

fn set(message: &mut DynamicMessage, name: &str, value: &str) -> Result<(), Refusal> {
    let field = message.descriptor().get_field_by_name(name);
    let Some(field) = field.filter(|field| field.kind() == Kind::String && !field.is_list()) else {
        return Ok(());
    };
    let given = message.get_field(&field).as_str().unwrap_or_default().to_owned();
    if !given.is_empty() && given != value {
        return Err(refuse(name, "FIELD_CONFLICT", "must be the same in the header and elsewhere"));
    }
    message.set_field(&field, Value::String(value.to_owned()));
    Ok(())
}

fn refuse(field: &str, reason: &'static str, description: &str) -> Refusal {
    let violation =
        Violation { field: field.to_owned(), reason, description: description.to_owned() };
    Refusal::Invalid(Invalid(vec![violation]))
}

/// The etag of an answer: its own, or that of the one message that it consists of.
pub(crate) fn etag(answer: &DynamicMessage) -> Option<HeaderValue> {
    let own = text(answer).or_else(|| {
        let kind = answer.descriptor();
        let mut fields = kind.fields();
        let (only, more) = (fields.next()?, fields.next());
        let value = answer.get_field(&only);
        text(value.as_message().filter(|_| more.is_none())?)
    })?;
    HeaderValue::try_from(format!("\"{own}\"")).ok()
}

fn text(message: &DynamicMessage) -> Option<String> {
    let value = message.get_field_by_name(ETAG)?;
    value.as_str().filter(|etag| !etag.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;

    use super::*;

    fn message(name: &str) -> DynamicMessage {
        let pool = DescriptorPool::decode(shop::DESCRIPTORS).unwrap();
        DynamicMessage::new(pool.get_message_by_name(name).unwrap())
    }

    fn filled(header: HeaderName, value: &'static str) -> Result<DynamicMessage, Refusal> {
        let mut request = message("shop.orders.v1.ClearCartRequest");
        let headers = HeaderMap::from_iter([(header, HeaderValue::from_static(value))]);
        fill(&mut request, &Method::POST, &headers).map(|()| request)
    }

    #[test]
    fn headers_fill_what_is_empty() {
        let request = filled(IDEMPOTENCY_KEY, "\"k\"").unwrap();
        assert_eq!(request.get_field_by_name(REQUEST_ID).unwrap().as_str(), Some("k"));
        let request = filled(header::IF_MATCH, "\"7\"").unwrap();
        assert_eq!(request.get_field_by_name(ETAG).unwrap().as_str(), Some("7"));
        let any = filled(header::IF_MATCH, "*").unwrap();
        assert!(!any.has_field_by_name(ETAG));
        for bad in ["7", "W/\"7\"", "\"7\", \"8\"", "\"\""] {
            assert!(filled(header::IF_MATCH, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_header_that_says_otherwise_is_refused() {
        let mut request = message("shop.orders.v1.ClearCartRequest");
        request.set_field_by_name(REQUEST_ID, Value::String("k".to_owned()));
        let key = |key| HeaderMap::from_iter([(IDEMPOTENCY_KEY, HeaderValue::from_static(key))]);

        assert!(fill(&mut request, &Method::POST, &key("k")).is_ok());
        let refused = fill(&mut request, &Method::POST, &key("other")).unwrap_err();
        assert!(refused.to_string().contains("request_id must be the same"), "{refused}");
        let mut question = message("shop.orders.v1.GetOrderRequest");
        assert!(fill(&mut question, &Method::GET, &key("k")).is_ok(), "it has no such field");
    }

    #[test]
    fn a_condition_that_nobody_looks_at_is_refused() {
        let headers = HeaderMap::from_iter([(header::IF_MATCH, HeaderValue::from_static("\"1\""))]);
        let asked = |name: &str, method| fill(&mut message(name), &method, &headers);

        let refused = asked("shop.users.v1.ChangePasswordRequest", Method::POST).unwrap_err();
        assert!(refused.to_string().contains("etag must not be there"), "{refused}");
        assert!(asked("shop.orders.v1.GetOrderRequest", Method::GET).is_ok());
    }

    #[test]
    fn an_answers_etag_is_its_own_or_that_of_what_it_is() {
        let mut cart = message("shop.orders.v1.Cart");
        cart.set_field_by_name(ETAG, Value::String("7".to_owned()));
        assert_eq!(etag(&cart).unwrap(), "\"7\"");
        let mut answer = message("shop.orders.v1.GetCartResponse");
        assert_eq!(etag(&answer), None);
        answer.set_field_by_name("cart", Value::Message(cart));
        assert_eq!(etag(&answer).unwrap(), "\"7\"");
    }
}
