//! What a call brings along for the calls that its handler makes, and nobody here reads.
//!
//! Of W3C [baggage](https://www.w3.org/TR/baggage/) the entries whose keys the service allows
//! (`BAGGAGE`): whatever else a stranger puts there ends here. Of a
//! [trace](https://www.w3.org/TR/trace-context/) its `tracestate`, unchanged, if the call came with a
//! trace at all. Both are bounded as these documents say; what is longer is left out whole. And the
//! token of its user, so that whoever is called next can see for itself on whose behalf, and the part
//! of all users that the gateway has put that one into ([`USER_BUCKET`]), so that sidecars lead a user
//! to one version of every service: calls that no user waits for, such as a saga's, are made outside of
//! any call and carry neither. Where a service says in its place for whom it works, that goes on. Likewise
//! the id of the client's request ([`REQUEST_ID`]), so that it is on the log lines of every service that
//! works for it.

use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use mesh_runtime::{correlation, trace};

use crate::{access, guard};

/// In which of a hundred parts of all users the user of a call is: `00` to `99`. The gateway says it of
/// users whose tokens it has verified; from outside it does not come in.
pub const USER_BUCKET: HeaderName = HeaderName::from_static("x-user-bucket");
/// The id of the client's request that a call is made for, as the gateway took or made it. Not
/// `x-request-id`: proxies make one of their own where none is, and write into those that they meet.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-mesh-request-id");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
const SUBJECT: HeaderName = HeaderName::from_static(access::SUBJECT);
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Bytes of all entries together, and how many there may be.
const MAX_BAGGAGE: usize = 8_192;
const MAX_ENTRIES: usize = 64;
/// Bytes that everybody has to carry.
const MAX_TRACESTATE: usize = 512;

/// Headers for a handler's own calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Carried {
    baggage: Option<HeaderValue>,
    tracestate: Option<HeaderValue>,
    authorization: Option<HeaderValue>,
    subject: Option<HeaderValue>,
    bucket: Option<HeaderValue>,
    request_id: Option<HeaderValue>,
}

impl Carried {
    /// Reads what a call came with; of its baggage the entries whose keys are `allowed`.
    pub(crate) fn read(headers: &HeaderMap, allowed: &[String]) -> Self {
        let baggage = if allowed.is_empty() { None } else { baggage(headers, allowed) };
        let tracestate = match headers.contains_key(TRACESTATE) {
            true if headers.contains_key(trace::TRACEPARENT) => {
                joined(headers, &TRACESTATE).filter(|state| state.len() <= MAX_TRACESTATE)
            }
            _ => None,
        };
        let authorization = headers.get(AUTHORIZATION).cloned().map(|mut token| {
            // Neither shown in logs nor kept in a connection's table of headers.
            token.set_sensitive(true);
            token
        });
        // A user's token says who it is, and a user is not believed to be another.
        let is_said = authorization.is_none() && access::subject(headers).is_some();
        let subject = headers.get(&SUBJECT).filter(|_| is_said).cloned();
        let tracestate = tracestate.and_then(|state| state.parse().ok());
        let is_bucket = |it: &&HeaderValue| matches!(it.as_bytes(), [b'0'..=b'9', b'0'..=b'9']);
        let bucket = headers.get(USER_BUCKET).filter(is_bucket).cloned();
        let request_id = headers.get(REQUEST_ID).filter(|id| correlation::is_fine(id));
        let request_id = request_id.cloned().map(|mut id| {
            // Another one for each request: nothing for a connection's table of headers either.
            id.set_sensitive(true);
            id
        });
        Self { baggage, tracestate, authorization, subject, bucket, request_id }
    }

    /// The id of the client's request that the call is made for, if it came with one.
    pub(crate) fn request_id(&self) -> Option<&str> {
        self.request_id.as_ref()?.to_str().ok()
    }
}

/// Writes the id of the story that this task works for, and what its call brought along, below the
/// trace that is there already. What the caller wrote itself stays.
pub(crate) fn inject(headers: &mut HeaderMap) {
    correlation::inject(headers);
    let carried = guard::carried(Clone::clone);
    let Some(carried) = carried else { return };
    let Carried { baggage, tracestate, authorization, subject, bucket, request_id } = carried;
    if let Some(request_id) = request_id {
        headers.entry(REQUEST_ID).or_insert(request_id);
    }
    if let Some(token) = authorization {
        headers.entry(AUTHORIZATION).or_insert(token);
    }
    if let Some(subject) = subject {
        headers.entry(SUBJECT).or_insert(subject);
    }
    if let Some(bucket) = bucket {
        headers.entry(USER_BUCKET).or_insert(bucket);
    }
    if let Some(baggage) = baggage {
        headers.entry(BAGGAGE).or_insert(baggage);
    }
    // A state without its trace says nothing.
    if let Some(tracestate) = tracestate
        && headers.contains_key(trace::TRACEPARENT)
    {
        headers.entry(TRACESTATE).or_insert(tracestate);
    }
}

fn baggage(headers: &HeaderMap, allowed: &[String]) -> Option<HeaderValue> {
    let text = joined(headers, &BAGGAGE)?;
    // KEY=VALUE;PROPERTIES, with blanks wherever they please.
    let key = |entry: &str| entry.split(['=', ';']).next().unwrap_or_default().trim().to_owned();
    let kept: Vec<_> = text
        .split(',')
        .map(str::trim)
        .filter(|entry| entry.contains('=') && allowed.contains(&key(entry)))
        .take(MAX_ENTRIES)
        .collect();
    let kept = kept.join(",");
    (!kept.is_empty() && kept.len() <= MAX_BAGGAGE).then(|| kept.parse().ok())?
}

/// A list that is spread over several headers is one list.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let all: Result<Vec<_>, _> = headers.get_all(name).iter().map(HeaderValue::to_str).collect();
    all.ok().filter(|all| !all.is_empty()).map(|all| all.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Scope;

    const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    /// What a handler's call takes along if its own call came with this.
    fn goes_on(pairs: &[(&'static str, &str)], allowed: &[&str]) -> HeaderMap {
        let allowed: Vec<_> = allowed.iter().map(|key| (*key).to_owned()).collect();
        let carried = Carried::read(&headers(pairs), &allowed);
        let mut sent = headers(&[("traceparent", TRACEPARENT)]);
        Scope::carrying(None, carried).step(|| inject(&mut sent));
        sent.remove("traceparent");
        sent
    }

    #[test]
    fn of_baggage_only_what_is_allowed_goes_on() {
        let came = [("baggage", "tenant = blue;p=1, user=ada"), ("baggage", "region=eu")];

        assert_eq!(goes_on(&came, &["tenant", "region"])["baggage"], "tenant = blue;p=1,region=eu");
        assert_eq!(goes_on(&came, &["user"])["baggage"], "user=ada");
        for nothing in [&[][..], &["ten", "tenants", "blue"]] {
            assert!(goes_on(&came, nothing).is_empty());
        }
    }

    #[test]
    fn baggage_that_is_too_much_is_left_behind() {
        let long = format!("tenant={}", "x".repeat(MAX_BAGGAGE));
        assert!(goes_on(&[("baggage", &long)], &["tenant"]).is_empty());

        let many = vec!["tenant=x"; MAX_ENTRIES + 1].join(",");
        let kept = goes_on(&[("baggage", &many)], &["tenant"]);
        assert_eq!(kept["baggage"].to_str().unwrap().split(',').count(), MAX_ENTRIES);
    }

    #[test]
    fn a_trace_keeps_its_state_and_nothing_else_has_one() {
        let whole = [("traceparent", TRACEPARENT), ("tracestate", "a=1"), ("tracestate", "b=2")];
        assert_eq!(goes_on(&whole, &[])["tracestate"], "a=1,b=2");

        assert!(goes_on(&whole[1..], &[]).is_empty(), "there is no trace");
        let long = format!("a={}", "x".repeat(MAX_TRACESTATE));
        assert!(goes_on(&[whole[0], ("tracestate", &long)], &[]).is_empty());
    }

    #[test]
    fn the_users_token_goes_on_unseen() {
        let sent = goes_on(&[("authorization", "Bearer t")], &[]);

        assert_eq!(sent["authorization"], "Bearer t");
        assert!(sent["authorization"].is_sensitive());
    }

    #[test]
    fn whom_a_service_works_for_goes_on_unless_a_user_says_it() {
        let said = ("x-mesh-subject", "00000000-0000-0000-0000-000000000007");

        assert_eq!(goes_on(&[said], &[])["x-mesh-subject"], said.1);
        let sent = goes_on(&[said, ("authorization", "Bearer t")], &[]);
        assert!(!sent.contains_key("x-mesh-subject"));
        assert!(goes_on(&[("x-mesh-subject", "ada")], &[]).is_empty(), "it is nobody");
    }

    #[test]
    fn the_users_part_of_all_users_goes_on_if_it_is_one() {
        assert_eq!(goes_on(&[("x-user-bucket", "07")], &[])["x-user-bucket"], "07");
        for nothing in ["", "7", "100", "0x", "-1"] {
            assert!(goes_on(&[("x-user-bucket", nothing)], &[]).is_empty(), "{nothing}");
        }
    }

    #[test]
    fn the_id_of_the_clients_request_goes_on_if_everybody_may_carry_it() {
        let sent = goes_on(&[("x-mesh-request-id", "r-1")], &[]);

        assert_eq!(sent["x-mesh-request-id"], "r-1");
        assert!(sent["x-mesh-request-id"].is_sensitive());
        for nothing in ["", "two words", &"x".repeat(129)] {
            assert!(goes_on(&[("x-mesh-request-id", nothing)], &[]).is_empty(), "{nothing}");
        }
    }

    #[test]
    fn what_is_there_stays_and_nothing_is_written_without_a_trace_or_outside_of_a_call() {
        let carried = Carried::read(&headers(&[("baggage", "a=1")]), &["a".to_owned()]);
        let mut sent = headers(&[("baggage", "mine=2")]);
        Scope::carrying(None, carried).step(|| inject(&mut sent));
        assert_eq!(sent["baggage"], "mine=2");

        let carried =
            Carried::read(&headers(&[("traceparent", TRACEPARENT), ("tracestate", "a=1")]), &[]);
        let mut untraced = HeaderMap::new();
        Scope::carrying(None, carried).step(|| inject(&mut untraced));
        assert!(untraced.is_empty());

        let mut outside = HeaderMap::new();
        inject(&mut outside);
        assert!(outside.is_empty());
    }
}
