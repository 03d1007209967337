//! The file that says what an old system answers. It is refused as a whole when something in it cannot
//! be: with its line, and what was expected there.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::{Method, Uri};
use mesh_flags::{Flag, Flags};
use mesh_transcode::{Segment, Template};
use serde::Deserialize;
use toml::Spanned;

use super::{
    backend::{Backend, Settings},
    compare::Ignored,
    table::{Route, Table},
};
use crate::edge::{Reader, Wrong};

/// What the file can refer to: the paths of the contracts, and the gateway's flags.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) places: Vec<Place>,
    pub(crate) flags: Flags,
}

/// Where the contracts have something.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) method: Method,
    pub(crate) template: Template,
    /// Whether everybody may ask there.
    pub(crate) is_public: bool,
    pub(crate) is_stream: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    backends: BTreeMap<Spanned<String>, WrittenBackend>,
    #[serde(default)]
    routes: Vec<WrittenRoute>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBackend {
    url: Spanned<String>,
    limit_ms: Option<Spanned<i64>>,
    at_once: Option<Spanned<i64>>,
    max_answer_bytes: Option<Spanned<i64>>,
    #[serde(default)]
    sends_token: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRoute {
    backend: Spanned<String>,
    method: Option<Spanned<String>>,
    path: Option<Spanned<String>>,
    below: Option<Spanned<String>>,
    moved: Spanned<String>,
    shadowed: Option<Spanned<String>>,
    #[serde(default)]
    ignore: Vec<Spanned<String>>,
}

/// Reads the file's text. Of a backend that is as it was in `before` the connections are kept, and what
/// is known of it.
pub(super) fn read(text: &str, ground: &Ground, before: &Table) -> Result<Table, Wrong> {
    let reader = Legible { reader: Reader { text }, ground };
    let written: Written = reader.reader.read()?;
    let mut table = Table::default();
    for (name, written) in &written.backends {
        let settings = reader.settings(name.get_ref(), written)?;
        let known = before.backends.get(name.get_ref()).filter(|it| it.settings == settings);
        let backend = known.map_or_else(|| Arc::new(Backend::new(settings)), Arc::clone);
        table.backends.insert(name.get_ref().clone(), backend);
    }
    for route in &written.routes {
        reader.route(route, &mut table)?;
    }
    Ok(table)
}

/// Makes sense of the file by what it refers to.
struct Legible<'a> {
    reader: Reader<'a>,
    ground: &'a Ground,
}

impl Legible<'_> {
    fn settings(&self, name: &str, written: &WrittenBackend) -> Result<Settings, Wrong> {
        let number = |what, value: &Option<Spanned<i64>>, default, most| {
            self.number(what, value.as_ref(), default, most)
        };
        let limit = number("limit_ms", &written.limit_ms, 2_000, 60_000)?;
        let at_once = number("at_once", &written.at_once, 64, 10_000)?;
        let max_bytes = number("max_answer_bytes", &written.max_answer_bytes, 1 << 20, 64 << 20)?;
        Ok(Settings {
            name: name.into(),
            url: self.url(&written.url)?,
            limit: Duration::from_millis(limit),
            at_once: usize::try_from(at_once).unwrap_or(usize::MAX),
            max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX),
            sends_token: written.sends_token,
        })
    }

    fn number(
        &self,
        what: &str,
        value: Option<&Spanned<i64>>,
        default: u64,
        most: u64,
    ) -> Result<u64, Wrong> {
        let Some(value) = value else { return Ok(default) };
        let fits = u64::try_from(*value.get_ref()).ok().filter(|it| (1..=most).contains(it));
        fits.ok_or_else(|| {
            let why = format!("`{what}` is {}: expected 1 to {most}", value.get_ref());
            self.reader.wrong(&value.span(), why)
        })
    }

    /// Where the old system is, without a slash at the end: paths are put behind it.
    fn url(&self, written: &Spanned<String>) -> Result<String, Wrong> {
        let text = written.get_ref().trim_end_matches('/');
        let uri = text.parse::<Uri>().ok().filter(|uri| {
            let authority = uri.authority().map(|it| it.as_str());
            uri.scheme_str() == Some("http")
                && authority.is_some_and(|it| !it.is_empty() && !it.contains('@'))
                && uri.query().is_none()
        });
        uri.map(|_| text.to_owned()).ok_or_else(|| {
            let why = format!(
                "`{text}` is no address: expected one such as http://old-shop:8080, in plaintext and \
                 without a user"
            );
            self.reader.wrong(&written.span(), why)
        })
    }

    fn route(&self, written: &WrittenRoute, table: &mut Table) -> Result<(), Wrong> {
        let Some(backend) = table.backends.get(written.backend.get_ref()).map(Arc::clone) else {
            let known: Vec<_> = table.backends.keys().map(|name| format!("`{name}`")).collect();
            let why = format!(
                "there is no [backends.{}]: expected one of {}",
                written.backend.get_ref(),
                known.join(", ")
            );
            return Err(self.reader.wrong(&written.backend.span(), why));
        };
        let made = |name: &str| -> Result<Arc<Route>, Wrong> {
            Ok(Arc::new(Route {
                name: name.into(),
                moved: self.flag(&written.moved)?,
                shadowed: written.shadowed.as_ref().map(|flag| self.flag(flag)).transpose()?,
                ignored: self.ignored(&written.ignore)?,
                backend: Arc::clone(&backend),
            }))
        };
        match (&written.path, &written.below) {
            (Some(path), None) => {
                let place = self.place(path, written.method.as_ref())?;
                self.check(&[place], &backend, path)?;
                let name = place.template.to_string();
                let key = (place.method.clone(), name.clone());
                if table.bindings.insert(key, made(&name)?).is_some() {
                    return Err(self.twice(path));
                }
            }
            (None, Some(below)) => {
                if let Some(method) = &written.method {
                    let why = "all methods go below a path: leave `method` out";
                    return Err(self.reader.wrong(&method.span(), why));
                }
                let from = self.reader.path(below)?;
                let covered = self.ground.places.iter().filter(|it| is_below(&it.template, from));
                self.check(&covered.collect::<Vec<_>>(), &backend, below)?;
                if table.beginnings.iter().any(|(known, _)| known == from) {
                    return Err(self.twice(below));
                }
                table.beginnings.push((from.to_owned(), made(&format!("{from}/**"))?));
            }
            _ => {
                let why = "expected either `path`, one of the contracts, or `below`";
                return Err(self.reader.wrong(&written.backend.span(), why));
            }
        }
        Ok(())
    }

    fn twice(&self, place: &Spanned<String>) -> Wrong {
        self.reader.wrong(&place.span(), format!("`{}` is there twice", place.get_ref()))
    }

    /// The place of the contracts that a route names.
    fn place(
        &self,
        path: &Spanned<String>,
        method: Option<&Spanned<String>>,
    ) -> Result<&Place, Wrong> {
        let name = method.map_or("GET", |method| method.get_ref());
        let template = path.get_ref().parse::<Template>();
        let mut all = self.ground.places.iter();
        let found = all.find(|it| it.method == name && template.as_ref() == Ok(&it.template));
        found.ok_or_else(|| {
            let why = format!(
                "no contract has {name} `{}`: expected one of docs/API.md's, such as \
                 /v1/products/{{sku}}",
                path.get_ref()
            );
            self.reader.wrong(&path.span(), why)
        })
    }

    /// Whether the old system can answer at these places as it has to.
    fn check(
        &self,
        places: &[&Place],
        backend: &Backend,
        at: &Spanned<String>,
    ) -> Result<(), Wrong> {
        for Place { method, template, is_public, is_stream } in places {
            let wrong = |why| self.reader.wrong(&at.span(), format!("{method} {template} {why}"));
            if *is_stream {
                return Err(wrong("is a stream: only what has one answer can be left to another"));
            }
            if !is_public && !backend.settings.sends_token {
                return Err(wrong(
                    "is not for everybody, and who checks that has to see who asks: expected a \
                     backend with `sends_token = true`, which verifies tokens itself",
                ));
            }
        }
        Ok(())
    }

    fn flag(&self, name: &Spanned<String>) -> Result<Flag, Wrong> {
        let flag = self.ground.flags.flag(name.get_ref());
        flag.map_err(|undeclared| self.reader.wrong(&name.span(), undeclared))
    }

    fn ignored(&self, written: &[Spanned<String>]) -> Result<Ignored, Wrong> {
        let mut ignored = Ignored::default();
        for pointer in written {
            let added = ignored.add(pointer.get_ref());
            added.map_err(|why| self.reader.wrong(&pointer.span(), why))?;
        }
        Ok(ignored)
    }
}

/// Whether some path of `template` is `from` or below it.
fn is_below(template: &Template, from: &str) -> bool {
    let parts: Vec<_> = from.split('/').skip(1).collect();
    let segments = template.segments();
    let mut pairs = parts.iter().zip(segments);
    let is_open = segments.last() == Some(&Segment::Many);
    (parts.len() <= segments.len() || is_open)
        && pairs.all(|(part, segment)| match segment {
            Segment::Literal(text) => text == part,
            Segment::One | Segment::Many => true,
        })
}

#[cfg(test)]
mod tests;
