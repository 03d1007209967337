//! The pages: who is asked for what, side by side, and what is shown without those who are silent.

mod part;

use std::{collections::HashMap, time::Duration};

use mesh_flags::Flag;
use mesh_rpc::timeout_request;
use shop::{
    catalog::v1::Product,
    inventory::v1::{BatchGetStockRequest, BatchGetStockResponse, Stock},
    orders::v1::{GetCartRequest, GetOrderRequest, ListOrderEventsRequest, Order},
    payments::v1::ListPaymentsRequest,
    shipping::v1::ListShipmentsRequest,
    storefront::v1::{
        Availability, GetHomePageResponse, GetOrderPageResponse, GetProductPageResponse,
        ProductCard,
    },
};
use tonic::Status;
use uuid::Uuid;

use crate::{neighbours::Neighbours, products::Products, wire::Home};
use part::Shown;
pub use part::why;

/// Events, payments and parcels of one page.
const ROWS: i32 = 100;
/// So many pieces, or fewer, are few.
const FEW: i64 = 10;

/// Composes pages. Cheap to clone.
#[derive(Clone)]
pub struct Pages {
    pub neighbours: Neighbours,
    pub products: Products,
    /// The longest that a part is waited for.
    pub limit: Duration,
    /// Whose products the home page shows to who asks for no category; of all if none is featured.
    pub featured: Option<Uuid>,
    /// Whether the home page shows whether there is any.
    pub home_stock: Flag,
}

impl Pages {
    /// What is sold, whether there is any, and how full the cart is.
    pub async fn home(&self, asked: Home) -> GetHomePageResponse {
        let category = asked.category.or(self.featured);
        let category = category.map(|id| id.to_string()).unwrap_or_default();
        let customer = asked.customer.map(|id| id.to_string());
        let asks_stock = self.home_stock.is_on(customer.as_deref());
        let goods = async {
            let products = Shown::cached("products", self.products.first(&category).await);
            let stock = if asks_stock {
                self.stock(products.what.as_deref().unwrap_or_default()).await
            } else {
                Shown::switched_off("stock")
            };
            (products, stock)
        };
        let ((products, stock), cart) = tokio::join!(goods, self.cart(asked.customer));
        let cards = products.what.unwrap_or_default();
        GetHomePageResponse {
            products: cards.into_iter().map(|product| card(product, &stock)).collect(),
            cart_count: cart.what.unwrap_or_default(),
            parts: vec![products.mark, stock.mark, cart.mark],
        }
    }

    /// A product, and whether there is any.
    ///
    /// # Errors
    /// As the catalog's call ended, if nothing is known of the product.
    pub async fn product(&self, sku: &str) -> Result<GetProductPageResponse, Status> {
        let named = Product { sku: sku.to_owned(), ..Product::default() };
        let named = [named];
        let (product, stock) = tokio::join!(self.products.one(sku), self.stock(&named));
        let product = Shown::cached("product", Ok(product?));
        let shown = product.what.and_then(|found| found.into_iter().next());
        Ok(GetProductPageResponse {
            product: shown.map(|product| card(product, &stock)),
            parts: vec![product.mark, stock.mark],
        })
    }

    /// An order, what happened to it, what was paid, and where its parcels are.
    ///
    /// # Errors
    /// As the call ended that asks for the order, and with it whether the caller may see it.
    pub async fn order(&self, id: Uuid) -> Result<GetOrderPageResponse, Status> {
        let order_id = id.to_string();
        // The others are asked meanwhile; of an order that is not the caller's nothing is shown.
        let (order, history, payments, shipments) = tokio::join!(
            self.the_order(&order_id),
            self.history(&order_id),
            self.payments(&order_id),
            self.shipments(&order_id),
        );
        Ok(GetOrderPageResponse {
            order: order?,
            history: history.what.unwrap_or_default(),
            payments: payments.what.unwrap_or_default(),
            shipments: shipments.what.unwrap_or_default(),
            parts: vec![history.mark, payments.mark, shipments.mark],
        })
    }

    async fn the_order(&self, order_id: &str) -> Result<Option<Order>, Status> {
        let request = GetOrderRequest { order_id: order_id.to_owned(), ..Default::default() };
        Ok(self.neighbours.orders.clone().get_order(request).await?.into_inner().order)
    }

    async fn history(&self, order_id: &str) -> Shown<Vec<shop::orders::v1::OrderEvent>> {
        let (order_id, page_size) = (order_id.to_owned(), ROWS);
        let request = ListOrderEventsRequest { order_id, page_size, ..Default::default() };
        let request = timeout_request(request, self.limit);
        let answer = self.neighbours.queries.clone().list_order_events(request).await;
        Shown::asked("history", answer, |page| page.events)
    }

    async fn payments(&self, order_id: &str) -> Shown<Vec<shop::payments::v1::Payment>> {
        let (order_id, page_size) = (order_id.to_owned(), ROWS);
        let request = ListPaymentsRequest { order_id, page_size, ..Default::default() };
        let request = timeout_request(request, self.limit);
        let answer = self.neighbours.payments.clone().list_payments(request).await;
        Shown::asked("payments", answer, |page| page.payments)
    }

    async fn shipments(&self, order_id: &str) -> Shown<Vec<shop::shipping::v1::Shipment>> {
        let (order_id, page_size) = (order_id.to_owned(), ROWS);
        let request = ListShipmentsRequest { order_id, page_size, ..Default::default() };
        let request = timeout_request(request, self.limit);
        let answer = self.neighbours.shipping.clone().list_shipments(request).await;
        Shown::asked("shipments", answer, |page| page.shipments)
    }

    async fn cart(&self, customer: Option<Uuid>) -> Shown<i64> {
        let Some(customer) = customer else { return Shown::not_asked("cart") };
        let request = GetCartRequest { customer_id: customer.to_string() };
        let request = timeout_request(request, self.limit);
        let answer = self.neighbours.carts.clone().get_cart(request).await;
        Shown::asked("cart", answer, |found| {
            let lines = found.cart.map(|cart| cart.lines).unwrap_or_default();
            lines.iter().map(|line| line.quantity).sum()
        })
    }

    /// One call for all products of a page.
    async fn stock(&self, products: &[Product]) -> Shown<HashMap<String, Availability>> {
        if products.is_empty() {
            return Shown::not_asked("stock");
        }
        let skus = products.iter().map(|product| product.sku.clone()).collect();
        let request = timeout_request(BatchGetStockRequest { skus }, self.limit);
        let answer = self.neighbours.inventory.clone().batch_get_stock(request).await;
        Shown::asked("stock", answer, availabilities)
    }
}

fn card(product: Product, stock: &Shown<HashMap<String, Availability>>) -> ProductCard {
    let known = stock.what.as_ref().and_then(|all| all.get(&product.sku));
    let availability = known.copied().unwrap_or_default().into();
    ProductCard { product: Some(product), availability }
}

fn availabilities(answer: BatchGetStockResponse) -> HashMap<String, Availability> {
    let never = answer.missing_skus.into_iter().map(|sku| (sku, Availability::SoldOut));
    let known = answer.stock.into_iter().map(|stock| (stock.sku.clone(), availability(&stock)));
    known.chain(never).collect()
}

fn availability(stock: &Stock) -> Availability {
    match stock.on_hand {
        ..=0 => Availability::SoldOut,
        some if some <= stock.low_stock_threshold.max(FEW) => Availability::FewLeft,
        _ => Availability::InStock,
    }
}
