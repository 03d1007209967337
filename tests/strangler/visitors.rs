//! People who look at products all the while, and see by whom they are answered.

use std::{
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use futures::future::join_all;
use http::{HeaderValue, Request, header};
use mesh_testkit::{browse, eventually};
use serde_json::Value;
use uuid::Uuid;

use super::old_shop::OWN;

/// Answers of one side in a row after which it counts as settled who answers.
const SETTLED: usize = 6;
/// Answers of each visitor from then on, each of which has to be of the same side.
const WATCHED: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Old,
    New,
}

/// One of them, who asks one gateway after the other.
pub struct Visitor {
    /// A user's id, or the address of somebody who has not signed in.
    pub who: String,
    token: Option<HeaderValue>,
    answered: AtomicUsize,
    last: Mutex<(Option<Side>, usize)>,
}

/// All of them, and what went wrong.
pub struct Crowd {
    pub visitors: Vec<Visitor>,
    gateways: Vec<SocketAddr>,
    sku: String,
    closed: AtomicBool,
    failed: Mutex<Vec<String>>,
}

impl Visitor {
    /// A user with this token.
    pub fn signed_in(user: Uuid, token: HeaderValue) -> Self {
        Self::new(user.to_string(), Some(token))
    }

    /// Somebody at this address.
    pub fn nobody(address: &str) -> Self {
        Self::new(address.to_owned(), None)
    }

    fn new(who: String, token: Option<HeaderValue>) -> Self {
        Self { who, token, answered: AtomicUsize::new(0), last: Mutex::default() }
    }

    fn note(&self, side: Side) {
        let mut last = self.last.lock().unwrap();
        *last = if last.0 == Some(side) { (last.0, last.1 + 1) } else { (Some(side), 1) };
        self.answered.fetch_add(1, SeqCst);
    }

    /// How often in a row it was answered by `side`.
    fn streak(&self, side: Side) -> usize {
        let last = *self.last.lock().unwrap();
        if last.0 == Some(side) { last.1 } else { 0 }
    }
}

impl Crowd {
    pub fn new(visitors: Vec<Visitor>, gateways: &[SocketAddr], sku: &str) -> Self {
        let (gateways, sku) = (gateways.to_vec(), sku.to_owned());
        let (closed, failed) = (AtomicBool::new(false), Mutex::default());
        Self { visitors, gateways, sku, closed, failed }
    }

    /// Lets all of them look, one after the other, while `scene` runs.
    pub async fn look_during<T>(&self, scene: impl Future<Output = T>) -> T {
        let looking = async {
            join_all(self.visitors.iter().map(|visitor| self.look(visitor))).await;
        };
        let scene = async {
            let end = scene.await;
            self.closed.store(true, SeqCst);
            end
        };
        tokio::join!(scene, looking).0
    }

    async fn look(&self, visitor: &Visitor) {
        let mut gateways = self.gateways.iter().cycle();
        while !self.closed.load(SeqCst) {
            let Some(at) = gateways.next() else { return };
            match self.side(visitor, *at).await {
                Ok(side) => visitor.note(side),
                Err(why) => self.failed.lock().unwrap().push(format!("{}: {why}", visitor.who)),
            }
        }
    }

    /// Who answers; or what is wrong with the answer.
    async fn side(&self, visitor: &Visitor, at: SocketAddr) -> Result<Side, String> {
        let mut request = Request::get(format!("/v1/products/{}", self.sku));
        request = match &visitor.token {
            Some(token) => request.header(header::AUTHORIZATION, token),
            None => request.header("x-forwarded-for", &visitor.who),
        };
        let request = request.body(Bytes::new()).unwrap();
        let mut answer = browse(at, request).await.map_err(|error| error.to_string())?;
        let mut bytes = Vec::new();
        while let Some(piece) = answer.piece().await {
            bytes.extend_from_slice(&piece);
        }
        let text = || format!("{} {}", answer.status, String::from_utf8_lossy(&bytes));
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| text())?;
        let product = &value["product"];
        if answer.status != 200 || product["sku"] != self.sku.as_str() {
            return Err(text());
        }
        Ok(if product.get(OWN).is_some() { Side::Old } else { Side::New })
    }

    /// Waits until everybody is answered by the side that `side` says, and goes on to be by it alone.
    pub async fn settles(&self, side: impl Fn(&Visitor) -> Side) {
        let settled = |count: usize| {
            let mut all = self.visitors.iter();
            all.all(|visitor| visitor.streak(side(visitor)) >= count)
        };
        eventually("everybody to be on their side", async || settled(SETTLED)).await;
        let before: Vec<_> = self.visitors.iter().map(|it| it.answered.load(SeqCst)).collect();
        let watched = || {
            let mut pairs = self.visitors.iter().zip(&before);
            pairs.all(|(it, before)| it.answered.load(SeqCst) >= before + WATCHED)
        };
        eventually("everybody to look again", async || watched()).await;
        assert!(settled(SETTLED + WATCHED), "somebody has changed sides");
    }

    /// What went wrong so far.
    pub fn failed(&self) -> Vec<String> {
        self.failed.lock().unwrap().clone()
    }
}
