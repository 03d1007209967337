//! `WWW-Authenticate`: what every 401 has to say (RFC 9110 §11.6.1), in the words of bearer tokens
//! (RFC 6750 §3).

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use mesh_rpc::Code;
use tonic::{Status, body::Body};
use tonic_types::StatusExt as _;

/// Whose tokens are believed here.
const REALM: &str = "shop";
/// The domain of the reasons that say what is wrong with a token: those of every service's stack.
const STACK: &str = "mesh";
const NOTHING_WRONG: &str = "TOKEN_MISSING";

/// Why the token of a request is not believed, noted in the extensions of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Disbelief(String);

/// Notes in an answer what `status` says of the request's token. A wrong password, say, is no fault of a
/// token.
pub(crate) fn note(status: &Status, response: &mut Response<Body>) {
    if status.code() != Code::Unauthenticated {
        return;
    }
    let info = status.get_details_error_info();
    let is_of_token = info.is_some_and(|info| info.domain == STACK && info.reason != NOTHING_WRONG);
    if is_of_token {
        response.extensions_mut().insert(Disbelief(said(status.message())));
    }
}

/// Says in an answer that is 401 how to say who asks: with a token; and, if the request showed one, what
/// is wrong with it.
pub(crate) fn tell(asked: &HeaderMap, response: &mut Response<Body>) {
    if response.status() != StatusCode::UNAUTHORIZED {
        return;
    }
    let why = response.extensions_mut().remove::<Disbelief>().filter(|_| shows_token(asked));
    let challenge = match why {
        Some(Disbelief(why)) => format!(
            "Bearer realm=\"{REALM}\", error=\"invalid_token\", error_description=\"{why}\""
        ),
        None => format!("Bearer realm=\"{REALM}\""),
    };
    if let Ok(challenge) = HeaderValue::try_from(challenge) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
}

fn shows_token(asked: &HeaderMap) -> bool {
    let values = asked.get_all(header::AUTHORIZATION).iter();
    let schemes = values.filter_map(|value| value.as_bytes().split(|byte| *byte == b' ').next());
    schemes.into_iter().any(|scheme| scheme.eq_ignore_ascii_case(b"bearer"))
}

/// As much of a text as `error_description` has characters for.
fn said(text: &str) -> String {
    let fits = |c: char| matches!(c, ' '..='!' | '#'..='[' | ']'..='~');
    text.chars().map(|c| if fits(c) { c } else { '\'' }).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use tonic_types::ErrorDetails;

    use super::*;

    fn challenge(authorization: &str, domain: &str, reason: &str) -> Option<String> {
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, domain, []);
        let status = Status::with_error_details(
            Code::Unauthenticated,
            "the token is not for \"us\"\u{2026}",
            details,
        );
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        note(&status, &mut response);
        let shown = HeaderValue::from_str(authorization).unwrap();
        let asked = HeaderMap::from_iter([(header::AUTHORIZATION, shown)]);
        tell(&asked, &mut response);
        let told = response.headers().get(header::WWW_AUTHENTICATE)?;
        Some(told.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_token_that_is_not_believed_is_told_why_and_nothing_else_is() {
        let bare = "Bearer realm=\"shop\"";
        let full = "Bearer realm=\"shop\", error=\"invalid_token\", \
                    error_description=\"the token is not for 'us''\"";

        for scheme in ["Bearer x.y.z", "bearer x.y.z"] {
            assert_eq!(challenge(scheme, "mesh", "TOKEN_EXPIRED").unwrap(), full, "{scheme}");
        }
        for (shown, domain, reason, why) in [
            ("Basic YTpi", "mesh", "TOKEN_MISSING", "another scheme"),
            ("Basic YTpi", "mesh", "TOKEN_MALFORMED", "another scheme, whatever is said of it"),
            ("Bearer x.y.z", "users.shop", "SIGN_IN_REFUSED", "the password is wrong"),
        ] {
            assert_eq!(challenge(shown, domain, reason).unwrap(), bare, "{why}");
        }
    }

    #[test]
    fn what_is_no_401_asks_for_nothing() {
        let mut response = Response::new(Body::empty());
        let name = HeaderName::from_static("authorization");
        let asked = HeaderMap::from_iter([(name, HeaderValue::from_static("Bearer x"))]);

        note(&Status::with_error_details(Code::NotFound, "no", ErrorDetails::new()), &mut response);
        tell(&asked, &mut response);

        assert!(response.headers().is_empty());
    }
}
