//! Tests that need what not every machine has.

/// Says that a test is skipped for want of `what`, and how to get it. With `REQUIRE_ALL=1`, which
/// `cargo mesh test --require all` sets, the test fails instead.
///
/// # Panics
/// If nothing may be skipped.
pub fn skipped(what: &str, way_out: &str) {
    let required = std::env::var("REQUIRE_ALL").is_ok_and(|value| value == "1");
    assert!(!required, "{what} is not here, and REQUIRE_ALL=1: {way_out}");
    println!("skipped: {what} is not here: {way_out}");
}
