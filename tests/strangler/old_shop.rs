//! The system that the shop takes the place of: a small one, with a copy of the products, that knows
//! nothing of contracts, tokens, or the mesh.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime};

/// What its products have and the shop's have not.
pub const OWN: &str = "legacyId";

/// It runs by itself, and can be killed and started at the same address.
pub struct OldShop {
    at: SocketAddr,
    shelf: Arc<Shelf>,
    /// None while it is dead.
    process: Mutex<Option<Runtime>>,
}

/// What it sells, and how often it was asked.
#[derive(Default)]
struct Shelf {
    products: Mutex<BTreeMap<String, Value>>,
    asked: AtomicUsize,
}

impl OldShop {
    /// It listens somewhere, and sells nothing yet.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        drop(listener);
        let shop = Self { at, shelf: Arc::default(), process: Mutex::default() };
        shop.start();
        shop
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    /// Takes a product over as the shop shows it.
    pub fn copy(&self, sku: &str, product: &Value) {
        let mut own = product.clone();
        let mut products = self.shelf.products.lock().unwrap();
        own[OWN] = json!(products.len() + 1);
        products.insert(sku.to_owned(), own);
    }

    /// Changes what it says of a product.
    pub fn change(&self, sku: &str, place: &str, value: &str) {
        let mut products = self.shelf.products.lock().unwrap();
        let known = products.get_mut(sku).and_then(|product| product.pointer_mut(place));
        *known.unwrap_or_else(|| panic!("{sku} has no {place}")) = json!(value);
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.shelf.asked.load(SeqCst)
    }

    /// Ends it where it is: connections break off, answers too.
    pub fn kill(&self) {
        let process = self.process.lock().unwrap().take();
        process.expect("it is dead already").shutdown_background();
    }

    /// Starts it, for the first time or again.
    pub fn start(&self) {
        let runtime = Runtime::new().unwrap();
        let (at, shelf) = (self.at, Arc::clone(&self.shelf));
        runtime.spawn(async move {
            let listener = TcpListener::bind(at).await.unwrap();
            let router = Router::new().route("/v1/products/{sku}", get(product)).with_state(shelf);
            axum::serve(listener, router).await.unwrap();
        });
        *self.process.lock().unwrap() = Some(runtime);
    }
}

impl Drop for OldShop {
    fn drop(&mut self) {
        if let Some(process) = self.process.lock().unwrap().take() {
            process.shutdown_background();
        }
    }
}

async fn product(
    State(shelf): State<Arc<Shelf>>,
    Path(sku): Path<String>,
) -> (StatusCode, Json<Value>) {
    shelf.asked.fetch_add(1, SeqCst);
    match shelf.products.lock().unwrap().get(&sku) {
        Some(product) => (StatusCode::OK, Json(json!({ "product": product }))),
        None => (StatusCode::NOT_FOUND, Json(json!({ "error": "no such product" }))),
    }
}
