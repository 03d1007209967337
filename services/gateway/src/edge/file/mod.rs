//! The file that says what is done at the edge: rates, headers, and paths. It is refused as a whole when
//! something in it cannot be: with its line, and what was expected there.

use std::{collections::BTreeMap, fmt, ops::Range, sync::Arc};

use http::{HeaderName, HeaderValue, header::AUTHORIZATION};
use serde::{Deserialize, de::DeserializeOwned};
use toml::Spanned;

use super::{
    rates::{Limit, Quota, Rates},
    rewrites::Rewrites,
    rules::Rules,
};
use crate::metadata;

/// The most that a quota may be of either.
const MOST: i64 = 1_000_000;
/// The most gateways that share quotas.
const MOST_GATEWAYS: i64 = 1_000;
/// What belongs to the connection, or to how a body is to be read.
const FRAMING: [&str; 9] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What the file says, made sense of.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    pub(super) rates: Rates,
    pub(super) request: Rules,
    pub(super) answer: Rules,
    pub(super) rewrites: Rewrites,
    /// Which of a client's headers go on to services; not all of them because of the file.
    pub(super) forwarded: Arc<[HeaderName]>,
}

/// Why a file cannot be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub(crate) struct Wrong {
    pub(crate) line: usize,
    pub(crate) why: String,
}

/// What can be asked here, to tell places from mistakes.
pub(crate) trait Places {
    /// Whether there is an RPC `package.Service/Method`.
    fn has_rpc(&self, name: &str) -> bool;
    /// Whether something is at `path` or below it.
    fn has_path(&self, path: &str) -> bool;
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    rates: WrittenRates,
    request: WrittenRules,
    answer: WrittenRules,
    rewrites: Vec<WrittenRewrite>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenRates {
    gateways: Option<Spanned<i64>>,
    address: Option<WrittenQuota>,
    user: Option<WrittenQuota>,
    rpcs: BTreeMap<Spanned<String>, WrittenQuota>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenQuota {
    requests: Spanned<i64>,
    seconds: Spanned<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenRules {
    remove: Vec<Spanned<String>>,
    rename: BTreeMap<Spanned<String>, Spanned<String>>,
    set: BTreeMap<Spanned<String>, Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRewrite {
    from: Spanned<String>,
    to: Spanned<String>,
}

impl Sheet {
    /// Reads the file's text.
    pub(super) fn read(text: &str, places: &impl Places) -> Result<Self, Wrong> {
        let reader = Reader { text };
        let written: Written = reader.read()?;
        Ok(Self {
            rates: reader.rates(&written.rates, places)?,
            request: reader.rules(&written.request, &Side::Request)?,
            answer: reader.rules(&written.answer, &Side::Answer)?,
            rewrites: reader.rewrites(&written.rewrites, places)?,
            forwarded: Arc::default(),
        })
    }
}

/// Whose headers they are.
enum Side {
    Request,
    Answer,
}

/// Makes sense of values, and knows where they stand.
pub(crate) struct Reader<'a> {
    pub(crate) text: &'a str,
}

impl Reader<'_> {
    /// What stands in the file.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Wrong> {
        toml::from_str(self.text).map_err(|error| {
            self.wrong(&error.span().unwrap_or_default(), error.message().replace('\n', " "))
        })
    }

    pub(crate) fn wrong(&self, at: &Range<usize>, why: impl fmt::Display) -> Wrong {
        let before = self.text.as_bytes().iter().take(at.start);
        Wrong { line: 1 + before.filter(|byte| **byte == b'\n').count(), why: why.to_string() }
    }

    fn rates(&self, written: &WrittenRates, places: &impl Places) -> Result<Rates, Wrong> {
        let gateways = match &written.gateways {
            Some(gateways) => self.number("gateways", gateways, MOST_GATEWAYS)?,
            None => 1,
        };
        let general = |name: &str, quota: &Option<WrittenQuota>| {
            let quota = quota.as_ref().map(|quota| self.quota(quota, gateways)).transpose()?;
            Ok(quota.map(|quota| Limit::new(name, quota)))
        };
        let mut rates = Rates {
            address: general("address", &written.address)?,
            user: general("user", &written.user)?,
            ..Rates::default()
        };
        for (rpc, quota) in &written.rpcs {
            let name = rpc.get_ref();
            if !places.has_rpc(name) {
                let why = format!(
                    "`{name}` cannot be called here: expected package.Service/Method, such as \
                     shop.orders.v1.OrdersService/PlaceOrder"
                );
                return Err(self.wrong(&rpc.span(), why));
            }
            let short = name.rsplit('/').next().unwrap_or(name);
            rates.rpcs.insert(format!("/{name}"), Limit::new(short, self.quota(quota, gateways)?));
        }
        Ok(rates)
    }

    /// What each of so many gateways has of a quota.
    fn quota(&self, written: &WrittenQuota, gateways: u32) -> Result<Quota, Wrong> {
        let requests = self.number("requests", &written.requests, MOST)?;
        if requests < gateways {
            let why = format!(
                "`requests` is {requests}, of which none is left for some of {gateways} gateways: \
                 expected at least {gateways}"
            );
            return Err(self.wrong(&written.requests.span(), why));
        }
        let seconds = self.number("seconds", &written.seconds, MOST)?;
        Ok(Quota { requests: requests / gateways, seconds })
    }

    fn number(&self, name: &str, value: &Spanned<i64>, most: i64) -> Result<u32, Wrong> {
        let fits = Some(*value.get_ref()).filter(|value| (1..=most).contains(value));
        fits.and_then(|value| u32::try_from(value).ok()).ok_or_else(|| {
            let why = format!("`{name}` is {}: expected 1 to {most}", value.get_ref());
            self.wrong(&value.span(), why)
        })
    }

    fn rules(&self, written: &WrittenRules, side: &Side) -> Result<Rules, Wrong> {
        let mut rules = Rules::default();
        for name in &written.remove {
            rules.remove.push(self.name(name)?);
        }
        for (from, to) in &written.rename {
            rules.rename.push((self.name(from)?, self.own(to, side)?));
        }
        for (name, value) in &written.set {
            let read = HeaderValue::from_str(value.get_ref());
            let value = read.map_err(|_| {
                self.wrong(&value.span(), "expected the text of a header: printable, on one line")
            })?;
            rules.set.push((self.own(name, side)?, value));
        }
        Ok(rules)
    }

    /// The name of a header that is nobody's duty.
    fn name(&self, written: &Spanned<String>) -> Result<HeaderName, Wrong> {
        let text = written.get_ref();
        let wrong = |why| self.wrong(&written.span(), format!("`{text}` {why}"));
        let name: HeaderName =
            text.parse().map_err(|_| wrong("is no header: expected a name such as x-channel"))?;
        if FRAMING.contains(&name.as_str()) || name.as_str().starts_with("grpc-") {
            return Err(wrong("says how a message is read: expected another header"));
        }
        Ok(name)
    }

    /// The name of a header that there may be because of the file.
    fn own(&self, written: &Spanned<String>, side: &Side) -> Result<HeaderName, Wrong> {
        let name = self.name(written)?;
        match side {
            // It goes on in any case, and each service verifies what it says.
            Side::Request if name == AUTHORIZATION => Ok(name),
            Side::Request => metadata::allowed(name.as_str())
                .map_err(|why| self.wrong(&written.span(), format!("{why}: expected another"))),
            Side::Answer => Ok(name),
        }
    }

    fn rewrites(&self, all: &[WrittenRewrite], places: &impl Places) -> Result<Rewrites, Wrong> {
        let mut read: Vec<(String, String)> = Vec::new();
        for WrittenRewrite { from, to } in all {
            let (from_path, to_path) = (self.path(from)?, self.path(to)?);
            if read.iter().any(|(known, _)| known == from_path) {
                return Err(self.wrong(&from.span(), format!("`{from_path}` is there twice")));
            }
            if !places.has_path(to_path) {
                let why = format!(
                    "nothing is at `{to_path}` or below it: expected the beginning of a path that \
                     can be asked for here, such as /v1/orders"
                );
                return Err(self.wrong(&to.span(), why));
            }
            read.push((from_path.to_owned(), to_path.to_owned()));
        }
        Ok(Rewrites(read))
    }

    /// A path, or the beginning of one.
    pub(crate) fn path<'a>(&self, written: &'a Spanned<String>) -> Result<&'a str, Wrong> {
        let path = written.get_ref();
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._~:".contains(c);
        let parts = path.strip_prefix('/');
        let is_path =
            |parts: &str| parts.split('/').all(|it| !it.is_empty() && it.chars().all(fits));
        if parts.is_some_and(is_path) {
            return Ok(path);
        }
        let why = format!(
            "`{path}` is no path: expected one such as /api/v1, of letters, digits and -._~:"
        );
        Err(self.wrong(&written.span(), why))
    }
}

#[cfg(test)]
mod tests;
