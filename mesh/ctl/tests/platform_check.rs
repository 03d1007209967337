//! temporary
use mesh_testkit::{Platform, PlatformOptions};
#[tokio::test]
async fn platform() {
    let begun = std::time::Instant::now();
    let platform = Platform::start(PlatformOptions::new(&["catalog","inventory","orders","payments","processor","shipping"]).replicas("orders", 2)).await;
    println!("start {:?}", begun.elapsed());
    let orders = platform.service("orders");
    orders.kill().await;
    orders.restarted(1).await;
    orders.ready().await;
    println!("kill {:?}", begun.elapsed());
    let starts = platform.service("inventory").arm("ReserveStock:before_commit").await;
    assert_eq!(starts, 1);
    orders.stop(); orders.cont();
    assert!(platform.discovery().contains("orders=static"));
    assert!(platform.superuser_url("orders").contains("/test_"));
    let b = std::time::Instant::now();
    platform.nats().kill().await;
    println!("nats kill {:?}", b.elapsed());
    platform.shutdown().await;
    println!("all {:?}", begun.elapsed());
    let begun = std::time::Instant::now();
    let platform = Platform::start(PlatformOptions::new(&["catalog"]).isolated_postgres()).await;
    println!("isolated start {:?}", begun.elapsed());
    platform.postgres().down().await;
    mesh_testkit::eventually("not ready", async || !platform.service("catalog").is_ready().await).await;
    platform.postgres().up().await;
    platform.ready().await;
    println!("isolated pg back {:?}", begun.elapsed());
}
