//! The API reference: one page, written from the contracts and their comments.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh_policy::{Criticality, Deprecation, Idempotency, Method, RequestId, Table};
use mesh_transcode::Transcoder;
use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind,
    MessageDescriptor, MethodDescriptor, ServiceDescriptor,
};

/// Where the page lies, from the root of the project.
pub const PAGE: &str = "docs/API.md";

const HEAD: &str = "# API reference

Written from the contracts in `proto/` and their comments by `cargo mesh docs api`; a test fails when
it is out of date. Change the contracts, not this page.

Who serves what: the part of a package behind `shop.` is the name of the service, `shop.orders.v1` is
served by `orders`; `mesh.operator.v1` by every service whose list shows it. `cargo mesh up` prints the
addresses, `cargo mesh status` prints them again, and reflection tells the rest:

```
grpcurl -plaintext ADDRESS list
grpcurl -plaintext -d '{\"page_size\": 3}' ADDRESS_OF_CATALOG shop.catalog.v1.CatalogService/ListProducts
```

With `up --mtls` callers show certificates; `up` prints what grpcurl needs then instead of `-plaintext`.
Whoever does not, or shows what is worth nothing, is refused with UNAUTHENTICATED: CERTIFICATE_MISSING,
CERTIFICATE_UNNAMED or PEER_FOREIGN. In plaintext a caller on this machine need not say who it is, but
what it shows has to be good: TOKEN_MALFORMED, TOKEN_EXPIRED, TOKEN_TOO_EARLY, TOKEN_TOO_LONG,
TOKEN_FORGED, TOKEN_ISSUER_UNKNOWN, TOKEN_FOR_ANOTHER; one from elsewhere is refused as
PLAINTEXT_REFUSED. Health and reflection are answered to everybody.

Who may call an RPC stands with it. A user shows a token in `authorization: Bearer …`, which
`cargo mesh token` prints; without one, or with one that is worth nothing, the answer is UNAUTHENTICATED:
TOKEN_MISSING, TOKEN_EXPIRED or TOKEN_REVOKED, which also end a stream, TOKEN_KEY_UNKNOWN,
TOKEN_ALGORITHM_REFUSED, REVOCATIONS_UNKNOWN, or one of those above. A caller who is known, and may not,
is refused with PERMISSION_DENIED (ACCESS_DENIED); what belongs to somebody else is NOT_FOUND where the
request does not say whose it is. Services and programs show who they are by their certificates, or by
`x-mesh-service-token`.

An RPC with a line `HTTP` is for customers: it is also reached at the gateway, whose one address speaks
gRPC, gRPC-Web and HTTP/JSON at these paths, and describes them at `/openapi.json`.

Every call may carry a deadline (`grpc-timeout`). Without one it has the default that stands with each
RPC, and a longer one than the longest that stands there is cut to that. A refusal carries
`google.rpc.ErrorInfo` with a stable reason, and `google.rpc.BadRequest` where a field is to blame.

Reasons that any call may meet: DEADLINE_EXCEEDED and, where nothing was begun, DEADLINE_PASSED (code
DEADLINE_EXCEEDED); OVERLOADED, SERVICE_BUSY and RATE_LIMITED, which say when to come back,
POOL_EXHAUSTED, METADATA_TOO_LARGE, above 32 KiB, and MESSAGE_TOO_LARGE, above 4 MiB
(RESOURCE_EXHAUSTED); DATABASE_UNAVAILABLE, SERVICE_STOPPING, STOPPING and, where something may have
been begun, STOPPED (UNAVAILABLE: ask again, with the same `request_id`); SERVICE_UNKNOWN
(UNIMPLEMENTED); MESSAGE_MALFORMED, of what is no message of the RPC's type (INVALID_ARGUMENT); PANICKED
and ROW_UNREADABLE (INTERNAL). A request is refused with the reason of the
first field that cannot be, and names up to 20 such fields; what a field's description says is what
its value must be.

Reasons that the gateway adds: RPC_UNKNOWN and METHOD_NOT_ALLOWED (UNIMPLEMENTED), PATH_UNKNOWN
(NOT_FOUND), HEADERS_TOO_LARGE, HEADERS_TOO_MANY, BODY_TOO_LARGE and, with RetryInfo, RATE_LIMITED and
CALLER_BODIES_TOO_LARGE (RESOURCE_EXHAUSTED), ORIGIN_UNKNOWN (PERMISSION_DENIED), BODY_TOO_SLOW
(DEADLINE_EXCEEDED), PATH_TOO_LONG, MEDIA_TYPE_UNSUPPORTED, BODY_BROKEN, BODY_EMPTY, BODY_UNEXPECTED,
JSON_MALFORMED, PATH_MALFORMED, QUERY_MALFORMED, FIELD_UNKNOWN, FIELD_BOUND, FIELD_REPEATED,
FIELD_CONFLICT, VALUE_MALFORMED, ETAG_MALFORMED and ETAG_UNKNOWN (INVALID_ARGUMENT), SERVICE_STOPPING
and, with RetryInfo, BODIES_TOO_LARGE (UNAVAILABLE), MESSAGE_UNREADABLE (INTERNAL).

An RPC that ends says since when and until when; each of its answers, refusals too, has the headers
`deprecation` (RFC 9745) and `sunset` (RFC 8594), as metadata over gRPC.

The reasons of the domain `mesh` are the server's own, before or around its handlers. An answer with
`x-mesh-refusal` was given before a handler began: the call may be repeated whatever it does.
";

/// Writes the page.
pub fn page() -> Result<String> {
    let sets = [shop::DESCRIPTORS, mesh_proto::DESCRIPTORS];
    let mut pool = DescriptorPool::new();
    for set in sets {
        pool.decode_file_descriptor_set(set).context("the contracts cannot be read")?;
    }
    let policies = Table::from_descriptors(&sets).context("the contracts' options")?;
    let packages: BTreeSet<String> = pool
        .files()
        .map(|file| file.package_name().to_owned())
        .filter(|package| !package.starts_with("google."))
        .collect();
    let paths = paths(&pool)?;
    let mut page = HEAD.to_owned();
    contents(&mut page, &pool, &packages)?;
    for package in &packages {
        write!(page, "\n## {package}\n")?;
        for service in services(&pool, package) {
            write_service(&mut page, &service, &policies, &paths)?;
        }
        write_types(&mut page, &pool, package)?;
    }
    Ok(page)
}

fn contents(page: &mut String, pool: &DescriptorPool, packages: &BTreeSet<String>) -> Result<()> {
    page.push_str("\n| package | services | messages |\n|---|---|---|\n");
    for package in packages {
        let services: Vec<String> = services(pool, package)
            .iter()
            .map(|service| format!("[{0}](#{1})", service.name(), anchor(service.full_name())))
            .collect();
        let services = if services.is_empty() { "–".to_owned() } else { services.join(", ") };
        let messages = messages(pool, package).len();
        let package_anchor = anchor(package);
        writeln!(page, "| [{package}](#{package_anchor}) | {services} | {messages} |")?;
    }
    Ok(())
}

fn services(pool: &DescriptorPool, package: &str) -> Vec<ServiceDescriptor> {
    pool.services().filter(|service| service.package_name() == package).collect()
}

/// Messages that somebody wrote: not those that the compiler makes for maps.
fn messages(pool: &DescriptorPool, package: &str) -> Vec<MessageDescriptor> {
    let mut found: Vec<_> = pool
        .all_messages()
        .filter(|message| message.package_name() == package && !message.is_map_entry())
        .collect();
    found.sort_by(|a, b| a.full_name().cmp(b.full_name()));
    found
}

/// The methods and paths of HTTP that an RPC has, by its full name.
type Paths = BTreeMap<String, Vec<String>>;

fn paths(pool: &DescriptorPool) -> Result<Paths> {
    let rpcs = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let transcoder = Transcoder::new(pool, rpcs).context("the contracts' paths")?;
    let mut paths = Paths::new();
    for binding in transcoder.bindings() {
        let path = format!("`{} {}`", binding.method(), binding.template());
        paths.entry(binding.rpc().full_name().to_owned()).or_default().push(path);
    }
    Ok(paths)
}

fn write_service(
    page: &mut String,
    service: &ServiceDescriptor,
    policies: &Table,
    paths: &Paths,
) -> Result<()> {
    write!(page, "\n### {}\n\n", service.full_name())?;
    page.push_str(&prose(&service.parent_file(), service.path()));
    for method in service.methods() {
        write_method(page, service, &method, policies)?;
        if let Some(paths) = paths.get(method.full_name()) {
            write!(page, "\nHTTP {}.\n", paths.join(", "))?;
        }
        write_frames(page, &method)?;
    }
    Ok(())
}

fn write_method(
    page: &mut String,
    service: &ServiceDescriptor,
    method: &MethodDescriptor,
    policies: &Table,
) -> Result<()> {
    write!(page, "\n#### {}.{}\n\n", service.name(), method.name())?;
    page.push_str(&prose(&service.parent_file(), method.path()));
    let path = format!("{}/{}", service.full_name(), method.name());
    let policy = policies.method(&path).with_context(|| format!("{path} has no policy"))?;
    if let Some(Deprecation { since, sunset, successor }) = &policy.deprecation {
        write!(
            page,
            "\n**Deprecated** since {since}; from {sunset} on it may be gone. Instead: `{successor}`.\n"
        )?;
    }
    write!(page, "\nMay be called by {}.\n", policy.access)?;
    write!(page, "\n{}.\n", rules(policy).join("; "))?;
    Ok(())
}

/// What an RPC takes and returns.
fn write_frames(page: &mut String, method: &MethodDescriptor) -> Result<()> {
    for (title, message) in [("Request", method.input()), ("Response", method.output())] {
        if message.fields().len() == 0 {
            write!(page, "\n{title} `{}`: empty.\n", message.name())?;
            continue;
        }
        write!(page, "\n{title} `{}`:\n\n", message.name())?;
        write_fields(page, &message)?;
    }
    Ok(())
}

/// What its contract says about calls of one RPC.
fn rules(policy: &Method) -> Vec<String> {
    let mut rules = vec![format!(
        "Deadline {}, at most {}",
        seconds(policy.default_deadline),
        seconds(policy.max_deadline)
    )];
    let mut say = |rule: &str| rules.push(rule.to_owned());
    say(match policy.idempotency {
        Idempotency::NoSideEffects => "changes nothing",
        Idempotency::Idempotent => "safe to repeat",
        Idempotency::Unknown => "not safe to repeat",
    });
    if policy.request_id == RequestId::Required {
        say("needs a `request_id`");
    }
    if policy.server_streaming {
        say("answers with a stream");
    }
    if policy.hedging {
        say("a slow call may be sent to a second endpoint");
    }
    match policy.criticality {
        Criticality::Critical => say("refused last under overload"),
        Criticality::Default => (),
        Criticality::Sheddable => say("refused first under overload"),
    }
    rules
}

/// Messages and enums that are not the request or the response of one RPC.
fn write_types(page: &mut String, pool: &DescriptorPool, package: &str) -> Result<()> {
    let framed: BTreeSet<String> = pool
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .flat_map(|method| [method.input(), method.output()])
        .map(|message| message.full_name().to_owned())
        .collect();
    for message in messages(pool, package) {
        if framed.contains(message.full_name()) {
            continue;
        }
        let file = message.parent_file();
        let kind = if file.name().ends_with("/events.proto") { "Event" } else { "Message" };
        write!(page, "\n### {}\n\n", message.full_name())?;
        page.push_str(&prose(&file, message.path()));
        if message.fields().len() > 0 {
            write!(page, "\n{kind}:\n\n")?;
            write_fields(page, &message)?;
        }
    }
    let mut enums: Vec<_> =
        pool.all_enums().filter(|known| known.package_name() == package).collect();
    enums.sort_by(|a, b| a.full_name().cmp(b.full_name()));
    enums.iter().try_for_each(|known| write_enum(page, known))
}

fn write_fields(page: &mut String, message: &MessageDescriptor) -> Result<()> {
    page.push_str("| field | type | number | meaning |\n|---|---|---|---|\n");
    let file = message.parent_file();
    for field in message.fields() {
        let (name, number) = (field.name(), field.number());
        let meaning = cell(&comment(&file, field.path()));
        writeln!(page, "| `{name}` | {} | {number} | {meaning} |", type_of(&field))?;
    }
    Ok(())
}

fn write_enum(page: &mut String, known: &EnumDescriptor) -> Result<()> {
    let file = known.parent_file();
    write!(page, "\n### {}\n\n", known.full_name())?;
    page.push_str(&prose(&file, known.path()));
    page.push_str("\n| value | number | meaning |\n|---|---|---|\n");
    for value in known.values() {
        let meaning = cell(&comment(&file, value.path()));
        writeln!(page, "| `{}` | {} | {meaning} |", value.name(), value.number())?;
    }
    Ok(())
}

fn type_of(field: &FieldDescriptor) -> String {
    if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
        let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        return format!("map of {} to {}", type_of(&key), type_of(&value));
    }
    let name = match field.kind() {
        Kind::Message(message) => link(message.full_name()),
        Kind::Enum(known) => link(known.full_name()),
        scalar => format!("{scalar:?}").to_ascii_lowercase(),
    };
    match field.cardinality() {
        Cardinality::Repeated => format!("list of {name}"),
        _ if field.containing_oneof().is_some_and(|of| of.name().starts_with('_')) => {
            format!("{name}, optional")
        }
        _ => name,
    }
}

fn link(full_name: &str) -> String {
    match full_name.strip_prefix("google.protobuf.") {
        Some(name) => name.to_owned(),
        None => {
            let name = full_name.rsplit('.').next().unwrap_or(full_name);
            format!("[{name}](#{})", anchor(full_name))
        }
    }
}

/// The anchor that renderers of Markdown give a heading.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    heading.chars().filter(kept).map(|c| c.to_ascii_lowercase()).collect()
}

/// What stands above something in its file.
fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let proto = file.file_descriptor_proto();
    let locations = proto.source_code_info.iter().flat_map(|info| &info.location);
    let found = locations.into_iter().find(|location| location.path == path);
    let text = found.map(|location| location.leading_comments().to_owned()).unwrap_or_default();
    let lines = text.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end());
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

fn prose(file: &FileDescriptor, path: &[i32]) -> String {
    format!("{}\n", comment(file, path))
}

/// A comment within a table.
fn cell(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::{anchor, cell, page};

    #[test]
    fn comments_types_and_rules_are_on_the_page() {
        let page = page().unwrap();

        for part in [
            "### shop.orders.v1.OrdersService",
            "#### OrdersService.PlaceOrder",
            "Orders what is in the customer's cart",
            "Deadline 5 s, at most 30 s; safe to repeat; needs a `request_id`.",
            "needs a `request_id`; refused last under overload.",
            "changes nothing; a slow call may be sent to a second endpoint.",
            "answers with a stream",
            "May be called by the user in `customer_id`, users with `orders.manage`.",
            "HTTP `GET /v1/orders/{order_id}:watch`.",
            "| `cart_etag` | string | 3 | The etag of the cart that is ordered. |",
            "list of [OrderLine](#shopordersv1orderline)",
            "### shop.orders.v1.OrderPlaced",
            "| `ORDER_STATE_PENDING` | 1 | Accepted;",
        ] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("### google."));
    }

    #[test]
    fn a_cell_is_one_line_and_an_anchor_is_what_renderers_make() {
        assert_eq!(cell("one\ntwo | three"), "one two \\| three");
        assert_eq!(anchor("shop.orders.v1.Order"), "shopordersv1order");
    }
}
