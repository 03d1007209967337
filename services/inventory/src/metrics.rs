//! What is counted of the stock.

use std::sync::LazyLock;

use opentelemetry::metrics::Counter;

static STOCK_OUTS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    mesh_runtime::metrics::meter()
        .u64_counter("shop.inventory.stock_outs")
        .with_unit("{refusal}")
        .with_description("Reservations refused because too few pieces were free")
        .build()
});

/// Counts a reservation that was refused for lack of stock. A refusal leaves no trace in the stock:
/// whoever asks again is refused, and counted, again.
pub fn stock_out() {
    STOCK_OUTS.add(1, &[]);
}
