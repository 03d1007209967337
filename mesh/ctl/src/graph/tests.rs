use super::*;
use crate::{services, traces::Talk};

/// A `mesh.toml` of a service with a contract of the shop.
fn file(service: &str, calls: &[(&str, &str)]) -> String {
    let mut text = format!(
        "service = \"{service}\"\ncontract = \"shop.{service}.v1\"\npublishes = [\"shop.{service}.v1\"]\n"
    );
    for (callee, method) in calls {
        text.push_str(&format!(
            "[[calls]]\nservice = \"{callee}\"\nmethods = [\"{method}\"]\nwhy = \"a test\"\n"
        ));
    }
    text
}

const GET: [(&str, &str); 4] = [
    ("catalog", "GetProduct"),
    ("inventory", "GetStock"),
    ("payments", "GetPayment"),
    ("shipping", "GetShipment"),
];

/// A graph in which each pair's first calls the second.
fn graph(pairs: &[(&str, &str)]) -> Graph {
    let method = |callee: &str| GET.iter().find(|(name, _)| *name == callee).unwrap().1;
    let of = |service: &str| {
        let callees = pairs.iter().filter(|(from, _)| *from == service);
        let calls: Vec<_> = callees.map(|(_, to)| (*to, method(to))).collect();
        (format!("services/{service}/mesh.toml"), file(service, &calls))
    };
    let files: Vec<_> = GET.iter().map(|(service, _)| of(service)).collect();
    Graph::read(files.iter().map(|(path, text)| (path.as_str(), text.as_str()))).unwrap()
}

fn patterns(graph: &Graph) -> Vec<&'static str> {
    graph.lint().iter().map(|finding| finding.pattern).collect()
}

#[test]
fn the_shops_own_graph_can_be_and_is_wise() {
    let graph = Graph::read(services::sources()).unwrap();

    assert_eq!(graph.services.len(), 9);
    assert_eq!(graph.lint(), []);
    let callers = graph.calls.iter().filter(|edge| edge.to == "processor");
    let [door, paid] = callers.collect::<Vec<_>>()[..] else { panic!("{:?}", graph.calls) };
    assert_eq!((door.from.as_str(), paid.from.as_str()), ("gateway", "payments"));
    assert_eq!(door.names, ["shop.processor.v1.CardsService/TokenizeCard"]);
    assert!(paid.names.contains(&"shop.processor.v1.ProcessorService/VoidCharge".to_owned()));
    assert!(graph.mermaid().unwrap().contains("    payments --> processor\n"));
    assert!(graph.mermaid().unwrap().contains("    shipping -. events .-> orders\n"));
    assert!(
        graph
            .mermaid()
            .unwrap()
            .starts_with("flowchart LR\n    customer((customer)) --> gateway\n")
    );
    let edge = "    \"shipping\" -> \"orders\" [style=dotted, tooltip=\"shop.shipping.v1.Shipment";
    assert!(graph.dot().unwrap().contains(edge), "{}", graph.dot().unwrap());
}

#[test]
fn what_is_not_there_is_named_with_its_line_all_at_once() {
    let lost = file("catalog", &[("warehouse", "Get"), ("inventory", "Steal")])
        + "[[subscribes]]\nstream = \"inventory\"\nsubjects = [\"shop.catalog.v1.Product\"]\n\
           why = \"\"\n[[subscribes]]\nstream = \"radio\"\nsubjects = []\nwhy = \"\"\n";
    let files = [
        ("services/catalog/mesh.toml", lost.as_str()),
        ("services/inventory/mesh.toml", &file("inventory", &[])),
        ("services/copy/mesh.toml", &file("inventory", &[])),
    ];

    let refused = Graph::read(files).unwrap_err().to_string();

    let expected = [
        "services/copy/mesh.toml:1: `inventory` is the name of services/inventory/mesh.toml, too",
        "services/catalog/mesh.toml:5: there is no service `warehouse`",
        "services/catalog/mesh.toml:10: no service of shop.inventory.v1 has an RPC `Steal`",
        "services/catalog/mesh.toml:14: inventory publishes no event `shop.catalog.v1.Product`",
        "services/catalog/mesh.toml:17: nobody publishes a stream `radio`",
    ];
    assert_eq!(refused.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn unknown_keys_are_refused_with_their_file_and_line() {
    let text = file("catalog", &[]) + "replica = 2\n";

    let refused =
        format!("{:#}", Graph::read([("services/catalog/mesh.toml", &*text)]).unwrap_err());

    assert!(
        refused.contains("services/catalog/mesh.toml") && refused.contains("replica"),
        "{refused}"
    );
    assert!(refused.contains("line 4"), "{refused}");
}

#[test]
fn who_calls_everything_calls_each_rpc_there_is_and_no_door_does() {
    let all = |exposure: &str| {
        let text = file("shipping", &[("payments", "GetPayment")]);
        let text = text.replace("[\"GetPayment\"]", "\"all\"");
        text.replacen('\n', &format!("\nexposure = \"{exposure}\"\n"), 1)
    };
    let payments = file("payments", &[]).replacen('\n', "\nexposure = \"gateway\"\n", 1);
    let read = |exposure: &str| {
        let own = all(exposure);
        Graph::read([("shipping.toml", own.as_str()), ("payments.toml", payments.as_str())])
    };

    let graph = read("mesh").unwrap();
    let [edge] = &graph.calls[..] else { panic!("{:?}", graph.calls) };
    assert!(edge.names.len() > 5, "{:?}", edge.names);
    assert!(edge.names.contains(&"shop.payments.v1.PaymentsService/CapturePayment".to_owned()));

    let refused = read("public").unwrap_err().to_string();
    let said =
        "shipping.toml:6: customers reach what `shipping` calls of `payments`: name each RPC";
    assert_eq!(refused, said);
}

#[test]
fn a_circle_is_told_once() {
    let circle =
        graph(&[("inventory", "payments"), ("payments", "shipping"), ("shipping", "inventory")]);

    let findings = circle.lint();

    assert_eq!(patterns(&circle), ["circle of calls"]);
    assert!(findings[0].evidence.starts_with("inventory → payments → shipping → inventory:"));
    assert_eq!(findings[0].place.to_string(), "services/inventory/mesh.toml:5");
}

#[test]
fn a_chain_of_three_is_fine_and_of_four_is_not() {
    let three = [("catalog", "inventory"), ("inventory", "payments"), ("payments", "shipping")];
    assert_eq!(graph(&three).lint(), []);

    let four = four("GetShipment").lint();
    assert!(matches!(&four[..], [one] if one.pattern == "deep chain"), "{four:?}");
    assert!(four[0].evidence.starts_with("orders → catalog → inventory → payments → shipping:"));
}

#[test]
fn what_only_reads_is_not_the_cause_of_a_change() {
    assert_eq!(four("ReleaseShipment").lint(), []);
}

/// A chain of four, of which the last call is this one.
fn four(last: &str) -> Graph {
    let calls = [
        ("orders", Some(("catalog", "GetProduct"))),
        ("catalog", Some(("inventory", "GetStock"))),
        ("inventory", Some(("payments", "GetPayment"))),
        ("payments", Some(("shipping", last))),
        ("shipping", None),
    ];
    let files = calls
        .map(|(from, call)| (format!("services/{from}/mesh.toml"), file(from, call.as_slice())));
    Graph::read(files.iter().map(|(path, text)| (path.as_str(), text.as_str()))).unwrap()
}

#[test]
fn a_call_that_waits_longer_than_its_caller_is_waited_for_is_told() {
    let orders = file("orders", &[]);
    let storefront = |method: &str| file("storefront", &[("orders", method)]);
    let told = |method: &str| {
        let own = storefront(method);
        let files = [("orders.toml", orders.as_str()), ("storefront.toml", own.as_str())];
        let findings = Graph::read(files).unwrap().lint();
        let told =
            findings.iter().map(|it| format!("{} {}: {}", it.place, it.pattern, it.evidence));
        told.collect::<Vec<_>>()
    };

    // By default a page is waited for for 3 s, an order for 2 s, and for 5 s where one is placed.
    assert_eq!(told("GetOrder"), [""; 0]);
    let said = "storefront.toml:5 waits too long: shop.orders.v1.OrdersService/PlaceOrder may take 5s, \
                and who says nothing waits 3s at most for storefront";
    assert_eq!(told("PlaceOrder"), [said]);
    // A stream lasts as long as somebody listens.
    assert_eq!(told("WatchOrder"), [""; 0]);
}

#[test]
fn a_service_that_all_others_call_is_told() {
    let hub =
        graph(&[("catalog", "shipping"), ("inventory", "shipping"), ("payments", "shipping")]);

    assert_eq!(patterns(&hub), ["everybody needs it"]);
}

#[test]
fn what_customers_would_reach_has_to_be_exposed_to_them() {
    let door = file("shipping", &[("payments", "GetPayment")]).replacen(
        "\n",
        "\nexposure = \"public\"\n",
        1,
    );
    let read = |payments: &str| {
        Graph::read([
            ("services/shipping/mesh.toml", door.as_str()),
            ("services/payments/mesh.toml", payments),
        ])
    };
    let closed = file("payments", &[]);

    let refused = read(&closed).unwrap_err().to_string();

    assert!(
        refused
            .starts_with("services/shipping/mesh.toml:6: `payments` is exposed to the mesh alone"),
        "{refused}"
    );
    assert!(
        refused.ends_with("say exposure = \"gateway\" in services/payments/mesh.toml"),
        "{refused}"
    );
    read(&closed.replacen("\n", "\nexposure = \"gateway\"\n", 1)).unwrap();
}

#[test]
fn a_picture_shows_every_service_once_and_every_edge() {
    let graph = Graph::read(services::sources()).unwrap();

    let svg = graph.svg().unwrap();

    assert_eq!(svg.matches("<rect ").count(), graph.services.len());
    assert_eq!(svg.matches("<title>").count(), graph.calls.len() + graph.events.len());
    assert_eq!(svg.matches("stroke-dasharray").count(), graph.events.len());
    // The door stands at the left, and whom it calls to the right of it.
    let x = |service: &str| -> usize {
        let (before, _) = svg.split_once(&format!(">{service}</text>")).unwrap();
        let (_, x) = before.rsplit_once("<rect x=\"").unwrap();
        x.split_once('"').unwrap().0.parse().unwrap()
    };
    assert!(
        x("gateway") < x("orders") && x("orders") < x("payments") && x("payments") < x("processor")
    );
}

#[test]
fn a_bucket_that_is_read_has_to_be_written() {
    let uses = |service: &str, access: &str| {
        let bucket = "[[buckets]]\nname = \"prices\"\nwhy = \"a test\"";
        format!("{}{bucket}\naccess = \"{access}\"\n", file(service, &[]))
    };
    let read = |access: &str| {
        let files = [("a.toml", uses("catalog", "read")), ("b.toml", uses("orders", access))];
        Graph::read(files.iter().map(|(path, text)| (*path, text.as_str())))
    };

    assert!(read("write").is_ok());
    let refused = read("read").unwrap_err().to_string();
    assert_eq!(refused.lines().next(), Some("a.toml:5: nobody writes the bucket `prices`"));
}

#[test]
fn what_two_services_write_is_told_with_both() {
    let writes = |service: &str, more: &str| {
        let text = file(service, &[]).replace("publishes = [", &format!("publishes = [{more}"));
        text + "[[buckets]]\nname = \"prices\"\nwhy = \"a test\"\naccess = \"write\"\n"
    };
    let catalog = writes("catalog", "");
    let orders = writes("orders", "\"shop.catalog.v1\", ");
    let files = [("a.toml", catalog.as_str()), ("b.toml", orders.as_str())];

    let findings = Graph::read(files).unwrap().lint();

    let told: Vec<_> =
        findings.iter().map(|it| format!("{} {} {}", it.place, it.pattern, it.evidence)).collect();
    let both = "shared store catalog and orders both write";
    let why = "it needs one owner, whom the other asks or tells";
    assert_eq!(
        told,
        [
            format!("b.toml:5 {both} the bucket `prices`: {why}"),
            format!("b.toml:3 {both} the events of `shop.catalog.v1`: {why}"),
        ]
    );
    let alone = Graph::read([files[0], ("b.toml", &file("orders", &[]))]).unwrap();
    assert_eq!(alone.lint(), []);
}

#[test]
fn who_asks_more_than_three_times_for_one_request_is_told_with_the_trace() {
    let graph = graph(&[("catalog", "inventory")]);
    let talk = |requests, calls| Talk {
        from: "catalog".to_owned(),
        request: "shop.catalog.v1.CatalogService/ListProducts".to_owned(),
        to: "inventory".to_owned(),
        requests,
        calls,
        most: 20,
        trace: "abc".to_owned(),
    };

    assert_eq!(graph.chatty(&[talk(4, 12)]), []);
    let found = graph.chatty(&[talk(4, 30)]);

    let [one] = &found[..] else { panic!("{found:?}") };
    assert_eq!(
        (one.pattern, one.place.to_string().as_str()),
        ("chatty pair", "services/catalog/mesh.toml:5")
    );
    let said = "catalog asks inventory 7.5 times for one shop.catalog.v1.CatalogService/ListProducts \
                (seen for 4; 20 times in the trace abc)";
    assert!(one.evidence.starts_with(said), "{}", one.evidence);
}
