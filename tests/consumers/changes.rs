//! Changes of contracts, and whom they would break.

use std::{collections::BTreeSet, path::Path, sync::LazyLock};

use meshctl::{
    contracts::{Recording, Report, compare, of_checkout, recordings},
    graph::Graph,
    services::{GATEWAY, sources},
};
use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet, ServiceDescriptorProto,
    field_descriptor_proto::Type,
};

static RECORDINGS: LazyLock<Vec<Recording>> = LazyLock::new(|| recordings(Path::new(".")).unwrap());
static GRAPH: LazyLock<Graph> = LazyLock::new(|| Graph::read(sources()).unwrap());

#[test]
fn the_contracts_as_they_stand_break_nobody() {
    let report = compare(&of_checkout(Path::new(".")).unwrap(), &RECORDINGS, &GRAPH);

    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    assert!(report.reasons_compared && report.reasons > 0, "{report:?}");
}

#[test]
fn all_that_is_declared_to_be_called_or_heard_is_recorded_and_nothing_else() {
    // What the gateway calls is what customers call through it.
    let calls = GRAPH.calls.iter().filter(|edge| edge.from != GATEWAY).map(|it| (&it.from, it));
    let events = GRAPH.events.iter().map(|edge| (&edge.to, edge));
    let declared: BTreeSet<(String, String)> = calls
        .chain(events)
        .flat_map(|(consumer, edge)| edge.names.iter().map(|of| (consumer.clone(), of.clone())))
        .collect();
    let recorded: BTreeSet<(String, String)> = RECORDINGS
        .iter()
        .flat_map(|it| {
            let names = it.calls.keys().chain(it.events.keys());
            names.map(|of| (it.consumer.clone(), of.clone()))
        })
        .collect();

    assert_eq!(declared, recorded);
}

#[test]
fn a_field_that_goes_names_who_relies_on_it_and_nobody_else() {
    for (message, field, consumers) in [
        ("shop.processor.v1.Charge", "captured", vec!["payments"]),
        ("shop.inventory.v1.Stock", "low_stock_threshold", vec!["storefront"]),
        ("shop.shipping.v1.ShipmentLost", "order_id", vec!["inventory", "orders"]),
        ("shop.catalog.v1.Product", "name", vec!["orders", "storefront"]),
        ("shop.inventory.v1.ReserveStockRequest", "lines", vec!["orders"]),
        // Nobody looks at these.
        ("shop.processor.v1.Charge", "decline_reason", vec![]),
        ("shop.inventory.v1.Reservation", "state", vec![]),
        ("shop.shipping.v1.ShipmentLost", "shipment_id", vec![]),
    ] {
        let report = changed(|set| {
            let fields = &mut the_message(set, message).field;
            let before = fields.len();
            fields.retain(|it| it.name() != field);
            assert_eq!(fields.len() + 1, before, "{message} has no {field}");
        });

        assert_eq!(broken(&report), consumers, "{message}.{field}: {:#?}", report.findings);
    }
}

#[test]
fn a_field_that_is_renamed_retyped_or_renumbered_is_told_as_that() {
    let change = |act: fn(&mut FieldDescriptorProto)| {
        changed(|set| {
            let charge = the_message(set, "shop.inventory.v1.Stock");
            act(charge.field.iter_mut().find(|field| field.name() == "on_hand").unwrap());
        })
    };
    for (act, told) in [
        (
            (|it| it.name = Some("free".to_owned())) as fn(&mut FieldDescriptorProto),
            "called free now",
        ),
        (|it| it.set_type(Type::String), "is string, not int64"),
        (|it| it.number = Some(99), "has number 99, not 2"),
    ] {
        let report = change(act);

        assert_eq!(broken(&report), ["storefront"], "{:#?}", report.findings);
        let finding = report.findings.first().unwrap();
        assert!(finding.change.contains(told), "{finding:?}");
        assert_eq!(finding.provider, "inventory");
    }
}

#[test]
fn an_rpc_that_goes_names_who_calls_it_and_who_lets_customers_call_it() {
    for (service, rpc, consumers) in [
        ("shop.processor.v1.ProcessorService", "GetCharge", vec!["payments"]),
        ("shop.shipping.v1.ShippingService", "ListShipments", vec!["gateway", "storefront"]),
        ("shop.inventory.v1.InventoryService", "ListMovements", vec![]),
    ] {
        let report = changed(|set| {
            let methods = &mut the_service(set, service).method;
            let before = methods.len();
            methods.retain(|it| it.name() != rpc);
            assert_eq!(methods.len() + 1, before, "{service} has no {rpc}");
            // Comments are found by their RPC's number, and those behind it have another one now.
            set.file.iter_mut().for_each(|file| file.source_code_info = None);
        });

        assert_eq!(broken(&report), consumers, "{rpc}: {:#?}", report.findings);
    }
}

#[test]
fn a_reason_that_changes_names_who_tells_it_from_others() {
    for (reason, consumers) in [
        ("CARD_TOKEN_UNKNOWN", vec!["payments"]),
        ("ADDRESS_NOT_SERVED", vec!["orders"]),
        ("decline_reason", vec!["orders", "payments"]),
        // Nobody makes a difference for these.
        ("SHIPMENT_STATE_CONFLICT", vec![]),
    ] {
        let mut found = false;
        let report = changed(|set| {
            let infos = set.file.iter_mut().filter_map(|file| file.source_code_info.as_mut());
            for location in infos.flat_map(|info| &mut info.location) {
                let comment = location.leading_comments.get_or_insert_default();
                found |= comment.contains(reason);
                *comment = comment.replace(reason, "SOMETHING_ELSE");
            }
        });

        assert!(found, "no comment names {reason}");
        assert_eq!(broken(&report), consumers, "{reason}: {:#?}", report.findings);
    }
}

#[test]
fn without_comments_reasons_are_not_compared_and_that_is_said() {
    let report = changed(|set| set.file.iter_mut().for_each(|file| file.source_code_info = None));

    assert!(!report.reasons_compared);
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
}

/// Whom contracts would break that were changed like this.
fn changed(change: impl FnOnce(&mut FileDescriptorSet)) -> Report {
    let mut set = FileDescriptorSet::decode(shop::DESCRIPTORS).unwrap();
    change(&mut set);
    let pool = DescriptorPool::from_file_descriptor_set(set).unwrap();
    compare(&pool, &RECORDINGS, &GRAPH)
}

fn broken(report: &Report) -> Vec<&str> {
    let consumers: BTreeSet<_> = report.findings.iter().map(|it| it.consumer.as_str()).collect();
    consumers.into_iter().collect()
}

fn the_message<'a>(set: &'a mut FileDescriptorSet, name: &str) -> &'a mut DescriptorProto {
    let (package, name) = name.rsplit_once('.').unwrap();
    let files = set.file.iter_mut().filter(|file| file.package() == package);
    files.flat_map(|file| &mut file.message_type).find(|it| it.name() == name).unwrap()
}

fn the_service<'a>(set: &'a mut FileDescriptorSet, name: &str) -> &'a mut ServiceDescriptorProto {
    let (package, name) = name.rsplit_once('.').unwrap();
    let files = set.file.iter_mut().filter(|file| file.package() == package);
    files.flat_map(|file| &mut file.service).find(|it| it.name() == name).unwrap()
}
