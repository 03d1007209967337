//! A guest's cart becomes a customer's.

use futures::future::join_all;
use shop::orders::v1::{CartLine, MergeCartsRequest};
use tonic::Code;

use crate::{
    carts::{Ask, merge},
    lab::{Lab, MUG, TEAPOT, cart_lines, refused, uuid},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_guests_cart_is_poured_into_the_customers() {
    let lab = Lab::start().await;
    let node = lab.node().await;
    let (customer, guest) = (uuid(), uuid());
    let mine = node.fill(&customer, &[(MUG, 2)]).await;
    let theirs = node.fill(&guest, &[(TEAPOT, 1), (MUG, 3)]).await;

    let (etag, source_etag) = (mine.etag, theirs.etag);
    let request = MergeCartsRequest { etag, source_etag, ..merge(&customer, &guest) };
    let merged = node.ask(Ask::Merge(request)).await.unwrap();

    assert_eq!(merged.lines, cart_lines(&[(MUG, 5), (TEAPOT, 1)]));
    assert_eq!(node.cart(&customer).await, merged);
    let emptied = node.cart(&guest).await;
    assert_eq!((emptied.lines.len(), emptied.etag.as_str()), (0, "2"));
    // A cart that never was has nothing to give.
    let again = node.ask(Ask::Merge(merge(&customer, &uuid()))).await.unwrap();
    assert_eq!(again.lines, merged.lines);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_is_refused_moves_nothing() {
    let lab = Lab::start().await;
    let node = lab.node().await;
    let (customer, guest) = (uuid(), uuid());
    let mine = node.fill(&customer, &[(MUG, 600_000)]).await;
    let theirs = node.fill(&guest, &[(TEAPOT, 1), (MUG, 600_000)]).await;
    let mut carts = node.carts();

    let request = MergeCartsRequest { etag: "9".to_owned(), ..merge(&customer, &guest) };
    refused(carts.merge_carts(request).await, Code::Aborted, "CART_CHANGED", "etag");
    let request = MergeCartsRequest { source_etag: "9".to_owned(), ..merge(&customer, &guest) };
    refused(carts.merge_carts(request).await, Code::Aborted, "CART_CHANGED", "source_etag");
    let heavy = carts.merge_carts(merge(&customer, &guest)).await;
    let metadata = mesh_rpc::error_metadata(heavy.as_ref().unwrap_err(), "sku");
    assert_eq!(metadata.as_deref(), Some(MUG));
    let (code, field) = (Code::FailedPrecondition, "source_customer_id");
    refused(heavy, code, "QUANTITY_TOO_LARGE", field);

    assert_eq!((node.cart(&customer).await, node.cart(&guest).await), (mine, theirs));
    let skus: Vec<_> = (0..100).map(|n| format!("SKU-{n}")).collect();
    let lines: Vec<_> = skus.iter().map(|sku| (sku.as_str(), 1)).collect();
    node.fill(&customer, &lines).await;
    refused(carts.merge_carts(merge(&customer, &guest)).await, code, "CART_FULL", field);
}

#[tokio::test(flavor = "multi_thread")]
async fn merges_that_cross_each_other_lose_and_make_no_piece() {
    let lab = Lab::start().await;
    let nodes = [lab.node().await, lab.node().await];
    let customers: Vec<_> = (0..6).map(|_| uuid()).collect();
    for customer in &customers {
        nodes[0].fill(customer, &[(MUG, 1), (TEAPOT, 10)]).await;
    }

    for round in 0..5_usize {
        let merges = (0..12).map(|n| {
            let (to, from) = (n % 6, (n + 1 + (round + n / 6) % 5) % 6);
            let ask = Ask::Merge(merge(&customers[to], &customers[from]));
            nodes[n % 2].ask(ask)
        });
        for merged in join_all(merges).await {
            merged.unwrap();
        }
    }

    let mut pieces = [0, 0];
    for customer in &customers {
        for CartLine { sku, quantity } in nodes[0].cart(customer).await.lines {
            pieces[usize::from(sku == TEAPOT)] += quantity;
        }
    }
    assert_eq!(pieces, [6, 60]);
}
