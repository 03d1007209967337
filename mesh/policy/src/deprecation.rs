//! The end of an RPC, as its contract announces it.

use std::sync::Arc;

use prost_reflect::{DescriptorPool, MethodDescriptor};
use time::{Date, format_description::BorrowedFormatItem, macros::format_description};

use crate::{Error, read::extension};

const OPTION: &str = "mesh.v1.deprecation";
const DAY: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");
/// As HTTP writes times (RFC 9110 §5.6.7).
const HTTP: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] 00:00:00 GMT");

/// The end of an RPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deprecation {
    /// The day from which on nobody should call it any more.
    pub since: Date,
    /// The first day on which it may be gone.
    pub sunset: Date,
    /// What to call instead, `package.Service/Method`.
    pub successor: Arc<str>,
}

impl Deprecation {
    /// The value of the header `Deprecation` (RFC 9745): `@1795392000`.
    pub fn deprecation(&self) -> String {
        format!("@{}", self.since.midnight().assume_utc().unix_timestamp())
    }

    /// The value of the header `Sunset` (RFC 8594): `Mon, 23 Nov 2026 00:00:00 GMT`.
    pub fn sunset(&self) -> String {
        // A day has every part that this wants.
        self.sunset.format(HTTP).unwrap_or_default()
    }
}

/// What an RPC's options say of its end.
pub(crate) fn read(
    pool: &DescriptorPool,
    descriptor: &MethodDescriptor,
    path: &Arc<str>,
) -> Result<Option<Deprecation>, Error> {
    let contradiction = |why: String| Error::Contradiction { subject: Arc::clone(path), why };
    let end = extension(pool, OPTION, &descriptor.options());
    let ends = is_deprecated(descriptor);
    let Some(end) = end else {
        let why = "it is deprecated, and no mesh.v1.deprecation says since when and until when";
        return if ends { Err(contradiction(why.to_owned())) } else { Ok(None) };
    };
    if !ends {
        return Err(contradiction("mesh.v1.deprecation is about what is `deprecated`".to_owned()));
    }
    let text = |field: &str| {
        let value = end.get_field_by_name(field);
        value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let day = |field: &str| {
        let text = text(field);
        Date::parse(&text, DAY)
            .map_err(|_| contradiction(format!("{field} `{text}` is no day, such as 2026-11-23")))
    };
    let (since, sunset, successor) = (day("since")?, day("sunset")?, text("successor"));
    if since >= sunset {
        return Err(contradiction("its sunset is not after the day since when".to_owned()));
    }
    let next = successor.split_once('/').and_then(|(service, method)| {
        pool.get_service_by_name(service)?.methods().find(|it| it.name() == method)
    });
    match next {
        Some(next) if !is_deprecated(&next) => {
            Ok(Some(Deprecation { since, sunset, successor: successor.into() }))
        }
        Some(_) => Err(contradiction(format!("its successor {successor} is deprecated as well"))),
        None => Err(contradiction(format!("its successor `{successor}` is no RPC"))),
    }
}

fn is_deprecated(descriptor: &MethodDescriptor) -> bool {
    let options = descriptor.method_descriptor_proto().options.as_ref();
    options.is_some_and(|options| options.deprecated())
}

#[cfg(test)]
mod tests {
    use crate::{
        Table,
        testing::{SERVICE, compile},
    };

    use super::*;

    const GOOD: &str = "{since: '2026-11-23', sunset: '2027-06-01', successor: 't.v1.Tested/Next'}";

    fn read(options: &str) -> Result<Option<Deprecation>, String> {
        let policy = "{default_deadline: {seconds: 1}, max_deadline: {seconds: 9}}";
        let rpc = |name: &str, options: &str| {
            format!(
                "rpc {name}(Bare) returns (Answer) {{
                   option idempotency_level = NO_SIDE_EFFECTS;
                   option (mesh.v1.method) = {policy};
                   {options}
                 }}"
            )
        };
        let set = compile(&format!(
            "service Tested {{ option (mesh.v1.service) = {SERVICE};
               option (mesh.v1.default_access) = {{public: true}};
               {} {} }}",
            rpc("Call", options),
            rpc("Next", "")
        ));
        let table = Table::from_descriptors(&[&set]).map_err(|error| error.to_string())?;
        Ok(table.method("t.v1.Tested/Call").unwrap().deprecation.clone())
    }

    #[test]
    fn an_end_is_announced_as_headers_write_it() {
        let options = format!("option deprecated = true; option (mesh.v1.deprecation) = {GOOD};");

        let end = read(&options).unwrap().unwrap();

        assert_eq!(end.deprecation(), "@1795392000");
        assert_eq!(end.sunset(), "Tue, 01 Jun 2027 00:00:00 GMT");
        assert_eq!(&*end.successor, "t.v1.Tested/Next");
        assert_eq!(read(""), Ok(None));
    }

    #[test]
    fn an_end_without_a_day_an_order_or_a_successor_is_refused() {
        let dated = |from: &str, to: &str| GOOD.replace(from, to);
        for (deprecated, end, why) in [
            ("true", String::new(), "no mesh.v1.deprecation says since when"),
            ("false", GOOD.to_owned(), "is about what is `deprecated`"),
            ("true", dated("2026-11-23", "2026-02-30"), "since `2026-02-30` is no day"),
            ("true", dated("2027-06-01", ""), "sunset `` is no day"),
            ("true", dated("2027-06-01", "2026-11-23"), "is not after the day"),
            ("true", dated("Next", "Nothing"), "`t.v1.Tested/Nothing` is no RPC"),
            ("true", dated("Next", "Call"), "t.v1.Tested/Call is deprecated as well"),
        ] {
            let end = match end.is_empty() {
                true => String::new(),
                false => format!("option (mesh.v1.deprecation) = {end};"),
            };
            let refused = read(&format!("option deprecated = {deprecated}; {end}")).unwrap_err();
            assert!(
                refused.starts_with("t.v1.Tested/Call: ") && refused.contains(why),
                "{refused}"
            );
        }
    }
}
