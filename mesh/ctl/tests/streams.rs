//! `provision streams` against a broker of somebody else's.

use mesh_local::connect_nats;

use crate::shop::Shop;

#[tokio::test]
async fn a_broker_that_up_does_not_run_is_given_its_streams_and_keeps_them() {
    let shop = Shop::bare("streams");
    let broker = mesh_testkit::isolated_nats().await;
    let url = broker.url();

    for again in [false, true] {
        let output = shop.run(&["provision", "streams", "--nats-url", &url]);

        assert!(output.status.success(), "{again}: {}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said.matches("stream ").count(), 6, "{said}");
    }
    let jetstream = async_nats::jetstream::new(connect_nats(&url).await.unwrap());
    let stream = jetstream.get_stream("orders").await.unwrap();
    assert_eq!(stream.cached_info().config.subjects, ["shop.orders.v1.>"]);
    assert_eq!(stream.cached_info().config.num_replicas, 1);

    // One server cannot keep three copies: it says so, and so does the program.
    let output = shop.run(&["provision", "streams", "--nats-url", &url, "--stream-replicas", "3"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot create the stream `catalog`"), "{said}");
}
