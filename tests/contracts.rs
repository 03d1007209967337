//! House rules for `proto/`, checked without any tool but Cargo. `buf lint` says more in CI.

use std::{collections::BTreeSet, time::Duration};

use mesh_policy::{Criticality, Idempotency, RequestId, Served, Table};
use meshctl::services::{GATEWAY, declarations, sources};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, Value};
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};

/// Places in a file descriptor, as `SourceCodeInfo` spells them.
const SERVICE: i32 = 6;
const METHOD: i32 = 2;
const ENUM: i32 = 5;

/// What nobody has to sign in for. Whoever opens another RPC to everybody says so here, too.
const PUBLIC: [&str; 19] = [
    "shop.catalog.v1.CatalogService/BatchGetProducts",
    "shop.catalog.v1.CatalogService/GetCategory",
    "shop.catalog.v1.CatalogService/GetProduct",
    "shop.catalog.v1.CatalogService/ListCategories",
    "shop.catalog.v1.CatalogService/ListProducts",
    "shop.catalog.v1.CatalogService/SearchProducts",
    "shop.catalog.v2.CategoriesService/GetCategory",
    "shop.catalog.v2.CategoriesService/ListCategories",
    "shop.processor.v1.CardsService/TokenizeCard",
    "shop.shipping.v1.ShippingService/QuoteShipping",
    "shop.storefront.v1.StorefrontService/GetHomePage",
    "shop.storefront.v1.StorefrontService/GetProductPage",
    "shop.users.v1.SessionsService/GetKeys",
    "shop.users.v1.SessionsService/RefreshSession",
    "shop.users.v1.SessionsService/SignIn",
    "shop.users.v1.UsersService/ConfirmEmailVerification",
    "shop.users.v1.UsersService/ConfirmPasswordReset",
    "shop.users.v1.UsersService/RegisterUser",
    "shop.users.v1.UsersService/RequestPasswordReset",
];

#[test]
fn every_service_rpc_and_enum_says_what_it_promises() {
    let mut problems = Vec::new();
    for file in ours() {
        for (s, service) in (0..).zip(&file.service) {
            if !service.name().ends_with("Service") || !has_comment(&file, &[SERVICE, s]) {
                problems.push(format!("{}: ends in `Service`, says what for", service.name()));
            }
            for (m, rpc) in (0..).zip(&service.method) {
                if !has_comment(&file, &[SERVICE, s, METHOD, m]) {
                    problems.push(format!("{}.{}: has no comment", service.name(), rpc.name()));
                }
            }
        }
        for (e, enumeration) in (0..).zip(&file.enum_type) {
            if !has_comment(&file, &[ENUM, e]) {
                problems.push(format!("{}: has no comment", enumeration.name()));
            }
        }
    }
    report(&problems);
}

#[test]
fn every_rpc_takes_its_own_request_and_returns_its_own_response() {
    let mut problems = Vec::new();
    for rpc in rpcs() {
        let own = |suffix| format!(".{}.{}{suffix}", rpc.package, rpc.name);
        if rpc.input != own("Request") || rpc.output != own("Response") {
            problems.push(format!("{}: takes FooRequest, returns FooResponse", rpc.path));
        }
    }
    report(&problems);
}

/// Two read it: the gateway, which has no tools of developers in it, and they.
#[test]
fn what_a_service_serves_is_read_alike_by_everybody() {
    let served = Served::declared(sources().map(|(_, text)| text)).unwrap();
    let contracts = ours().into_iter().flat_map(|file| {
        let package = file.package().to_owned();
        file.service.into_iter().map(move |it| format!("{package}.{}", it.name()))
    });
    let strange = ["shop.catalog.v3.CatalogService", "shop.catalog.v1", "CatalogService", ""];
    let contracts: Vec<String> = contracts.chain(strange.map(str::to_owned)).collect();
    let mut found = 0;
    for declared in declarations().unwrap() {
        for contract in &contracts {
            let serves = declared.serves(contract);
            assert_eq!(served.by(&declared.service, contract), serves, "{contract}");
            found += usize::from(serves);
        }
    }
    assert!(found > 10, "{found}");
}

#[test]
fn every_service_and_every_rpc_is_annotated() {
    let mut pool = DescriptorPool::new();
    for set in [shop::DESCRIPTORS, mesh_proto::DESCRIPTORS] {
        pool.decode_file_descriptor_set(set).unwrap();
    }
    let says = |options: DynamicMessage, extension: &str, parts: &[&str]| -> Vec<String> {
        let extension = pool.get_extension_by_name(extension).unwrap();
        let value = options.get_extension(&extension).into_owned();
        let Value::Message(policy) = value else { panic!("the option is a message") };
        let missing = parts.iter().filter(|part| !policy.has_field_by_name(part));
        missing.map(|part| (*part).to_owned()).collect()
    };
    let mut problems = Vec::new();
    for service in pool.services() {
        let parts = ["owner", "concurrency"];
        for missing in says(service.options(), "mesh.v1.service", &parts) {
            problems.push(format!("{}: does not say {missing}", service.full_name()));
        }
        for method in service.methods() {
            let parts = ["default_deadline", "max_deadline", "criticality"];
            for missing in says(method.options(), "mesh.v1.method", &parts) {
                problems.push(format!("{}: does not say {missing}", method.full_name()));
            }
        }
    }
    report(&problems);
}

#[test]
fn what_can_be_asked_again_later_is_shed_first_and_money_and_stock_last() {
    let table = policies();
    let mut problems = Vec::new();
    for rpc in rpcs().iter().filter(|rpc| rpc.package.starts_with("shop.")) {
        let Some(policy) = table.method(&rpc.path) else { continue };
        let is_list = rpc.name.starts_with("List") || rpc.name.starts_with("Search");
        let moves = ["Reservation", "Payment", "Charge", "Order"];
        let is_step = policy.idempotency == Idempotency::Idempotent
            && moves.iter().any(|thing| rpc.name.ends_with(thing));
        let expected = match (is_list, is_step) {
            (true, _) => Criticality::Sheddable,
            (_, true) => Criticality::Critical,
            _ => continue,
        };
        if policy.criticality != expected {
            let found = policy.criticality;
            problems.push(format!("{}: is {found:?}, not {expected:?}", rpc.path));
        }
    }
    report(&problems);
}

#[test]
fn every_rpc_says_how_long_a_call_may_take() {
    let table = policies();
    let mut problems = Vec::new();
    for rpc in rpcs() {
        match table.method(&rpc.path) {
            None => problems.push(format!("{}: has no mesh.v1.method", rpc.path)),
            Some(policy) => {
                let (usual, longest) = (policy.default_deadline, policy.max_deadline);
                if usual == Duration::ZERO || usual > longest {
                    problems.push(format!("{}: {usual:?} by default, {longest:?}", rpc.path));
                }
            }
        }
    }
    report(&problems);
}

#[test]
fn a_stream_that_follows_something_has_minutes() {
    let table = policies();
    let mut problems = Vec::new();
    for rpc in rpcs().into_iter().filter(|rpc| rpc.streams) {
        let Some(policy) = table.method(&rpc.path) else { continue };
        if policy.default_deadline < Duration::from_secs(60) {
            problems.push(format!("{}: {:?} by default", rpc.path, policy.default_deadline));
        }
    }
    report(&problems);
}

#[test]
fn every_rpc_that_changes_something_is_safe_to_repeat() {
    let table = policies();
    let mut problems = Vec::new();
    for rpc in rpcs() {
        let Some(policy) = table.method(&rpc.path) else { continue };
        let sound = match policy.idempotency {
            Idempotency::NoSideEffects => policy.request_id == RequestId::NotNeeded,
            Idempotency::Idempotent => policy.request_id != RequestId::NotNeeded,
            Idempotency::Unknown => false,
        };
        if !sound {
            let (says, rule) = (policy.idempotency, policy.request_id);
            problems.push(format!("{}: is {says:?}, request_id {rule:?}", rpc.path));
        }
        if rpc.has_request_id != (policy.request_id == RequestId::Required) {
            problems.push(format!("{}: has a request_id exactly if required", rpc.path));
        }
    }
    report(&problems);
}

#[test]
fn what_everybody_may_call_is_on_this_list_and_nothing_else() {
    let table = policies();
    let public = table.methods().filter(|it| it.access.public);
    let public: BTreeSet<&str> = public.map(|it| &*it.path).collect();

    assert_eq!(public, BTreeSet::from(PUBLIC));
}

#[test]
fn what_the_gateway_reaches_lets_nobody_in_for_being_a_service() {
    // The gateway calls as itself: what services may do, every customer could.
    let table = policies();
    let all = declarations().unwrap();
    let gateway = all.iter().find(|it| it.service == GATEWAY).unwrap();
    let (mut problems, mut reached) = (Vec::new(), 0);
    for call in &gateway.calls {
        let callee = all.iter().find(|it| it.service == call.service).unwrap();
        for method in table.methods().filter(|it| callee.serves(it.service())) {
            let name = method.path.rsplit('/').next().unwrap();
            if call.methods.include(name) {
                reached += 1;
                if method.access.service || method.access.operator {
                    problems.push(format!("{}: is for {}", method.path, method.access));
                }
            }
        }
    }
    assert!(reached > 20);
    report(&problems);
}

#[test]
fn no_event_carries_what_a_person_is_known_by_or_a_secret() {
    let mut pool = DescriptorPool::new();
    pool.decode_file_descriptor_set(shop::DESCRIPTORS).unwrap();
    let table = policies();
    let (mut problems, mut events) = (Vec::new(), 0);
    for event in pool.all_messages().filter(|it| it.parent_file().name().ends_with("/events.proto"))
    {
        events += 1;
        let mut open = vec![event.clone()];
        let mut seen = Vec::new();
        while let Some(message) = open.pop() {
            for field in message.fields() {
                if let Some(what) = table.sensitivity(field.full_name()) {
                    let (event, field) = (event.full_name(), field.full_name());
                    problems.push(format!("{event}: {field} is {}", what.as_str()));
                }
                if let Kind::Message(inner) = field.kind()
                    && !seen.contains(&inner)
                {
                    seen.push(inner.clone());
                    open.push(inner);
                }
            }
        }
    }
    assert!(events > 20);
    assert!(table.sensitivity("shop.common.v1.Address.recipient").is_some());
    report(&problems);
}

/// One RPC, with the full names of its messages.
struct Rpc {
    package: String,
    name: String,
    path: String,
    input: String,
    output: String,
    has_request_id: bool,
    streams: bool,
}

fn rpcs() -> Vec<Rpc> {
    let mut found = Vec::new();
    for file in ours() {
        for service in &file.service {
            for method in &service.method {
                let input = file.message_type.iter().find(|message| {
                    method.input_type() == format!(".{}.{}", file.package(), message.name())
                });
                found.push(Rpc {
                    package: file.package().to_owned(),
                    name: method.name().to_owned(),
                    path: format!("{}.{}/{}", file.package(), service.name(), method.name()),
                    input: method.input_type().to_owned(),
                    output: method.output_type().to_owned(),
                    has_request_id: input.is_some_and(has_request_id),
                    streams: method.client_streaming() || method.server_streaming(),
                });
            }
        }
    }
    assert!(found.len() > 20, "the contracts were not read");
    found
}

fn has_request_id(message: &DescriptorProto) -> bool {
    message.field.iter().any(|field| field.name() == "request_id")
}

fn policies() -> Table {
    Table::from_descriptors(&[shop::DESCRIPTORS, mesh_proto::DESCRIPTORS]).unwrap()
}

/// The files of the shop and of the platform, each once; not those of Google.
fn ours() -> Vec<FileDescriptorProto> {
    let sets = [shop::DESCRIPTORS, mesh_proto::DESCRIPTORS];
    let files = sets.into_iter().flat_map(|set| FileDescriptorSet::decode(set).unwrap().file);
    let mut ours: Vec<_> = files
        .filter(|file| ["shop.", "mesh."].iter().any(|ours| file.package().starts_with(ours)))
        .collect();
    ours.sort_by(|a, b| a.name().cmp(b.name()));
    ours.dedup_by(|a, b| a.name() == b.name());
    ours
}

fn has_comment(file: &FileDescriptorProto, path: &[i32]) -> bool {
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    locations.filter(|location| location.path == path).any(|l| !l.leading_comments().is_empty())
}

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}
